//! Delta-LoRA on a GPU: LoRA, and one product that moves W.
//!
//! ```text
//! W ← W + λ s [B⁺ | −B] [A⁺; A]
//! ```
//!
//! W moves in `f32`, in full precision. In bf16 the moves would vanish, being smaller than half the distance to the next
//! number: there W has a master, and the W in M is a copy of it. In TF32 the two halves of a move would not cancel.

use adapter::check_shape;
use cuda::{AdamW, Device, Dimensions, Element, Launch, Matrix, Result, Source, multiply, rows};
use lora::gpu::{Grads, Lora};
use ndarray::{Array2, ArrayView2};

use crate::{DeltaLora as Cpu, Settings};

/// The kernel that lays out the factors of a move.
pub static KERNELS: Source =
    Source::new("crates/delta-lora/src/kernels.cu", include_str!("kernels.cu"));

/// Delta-LoRA of one layer, with its weight.
pub struct DeltaLora<T: Element, D: Device> {
    /// M, A, B and their scale. Forward and backward are LoRA's, without dropout.
    pub lora: Lora<T, D>,
    /// W in `f32`, where the one in M is narrower: \[out, in\].
    master: Option<Matrix<T::Master, D>>,
    settings: Settings,
    updates: u64,
    /// λ s, or λ.
    factor: f64,
    /// [A⁺; A], \[2r, in\].
    a: Matrix<T::Master, D>,
    /// [B⁺ | −B], \[out, 2r\].
    b: Matrix<T::Master, D>,
}

impl<T: Element, D: Device> DeltaLora<T, D> {
    /// A copy of an adapter of the CPU, at its count of updates, and of its weight \[out, in\].
    ///
    /// # Errors
    /// They do not fit together, or there is not enough memory.
    pub fn new(device: &D, weight: ArrayView2<'_, f64>, like: &Cpu<f64>) -> Result<Self> {
        let lora = Lora::new(device, weight, &like.lora)?;
        let ([rank, inputs], [out, _]) = (lora.a().shape(), lora.matrix.shape());
        let narrow = size_of::<T>() < size_of::<T::Master>();
        let master = narrow.then(|| Matrix::from_host(device, weight)).transpose()?;
        let settings = like.settings();
        let scale = if settings.include_scale { like.lora.scale } else { 1.0 };
        Ok(Self {
            lora,
            master,
            settings,
            updates: like.updates(),
            factor: settings.lambda * scale,
            a: Matrix::new(device, [2 * rank, inputs])?,
            b: Matrix::new(device, [out, 2 * rank])?,
        })
    }

    /// t, the updates so far. A graph that is replayed does not count them.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// W \[out, in\] on the host, from its master.
    ///
    /// # Errors
    /// The device refuses, or something asked for before has failed.
    pub fn weight_to_host(&self) -> Result<Array2<f64>> {
        match &self.master {
            Some(master) => master.to_host(),
            None => self.lora.matrix.weight().to_host(),
        }
    }

    /// W ← W + s B A, in its master if there is one, which M follows.
    ///
    /// # Errors
    /// The device refuses.
    pub fn merge(&mut self) -> Result<()> {
        self.add(1.0)
    }

    /// W ← W − s B A.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub fn unmerge(&mut self) -> Result<()> {
        self.add(-1.0)
    }

    fn add(&mut self, sign: f64) -> Result<()> {
        let matrix = &mut self.lora.matrix;
        let Some(master) = &mut self.master else { return matrix.add(sign) };
        multiply(sign, matrix.c(), matrix.a(), 1.0, master.view_mut())?;
        let [weight, _, _] = matrix.split_mut();
        rows::round(1.0, master.view(), weight)
    }

    /// Does W move in the next update?
    fn moves_next(&self) -> bool {
        self.updates >= self.settings.start_step
    }

    /// Write A and ±B into one half of the factors: 0 for what they are after the update, 1 for what they were before.
    fn pack(&mut self, half: usize) -> Result<()> {
        let (a, b) = (self.lora.a(), &self.lora.segments()[0].b);
        let ([rank, inputs], [out, _]) = (a.shape(), b.shape());
        // `lora` is public and may have been replaced; a kernel looks at none of its arrays' sizes.
        let hint = "of the adapter that this was made with";
        check_shape("A", &[2 * rank, inputs], &self.a.shape(), hint)?;
        check_shape("B", &[out, 2 * rank], &self.b.shape(), hint)?;
        let count = (rank * inputs).max(out * rank);
        Launch::new::<T::Master>(a.device(), &KERNELS, "delta_lora_pack")
            .read(a)
            .read(b)
            .write(&mut self.a)
            .write(&mut self.b)
            .count(inputs)
            .count(out)
            .count(rank)
            .count(half)
            .run(Dimensions::each(count))
    }

    /// W += λ s [B⁺ | −B] [A⁺; A], in its master if there is one, which M follows.
    fn move_weight(&mut self) -> Result<()> {
        let Self { lora, master, factor, a, b, .. } = self;
        let [weight, _, _] = lora.matrix.split_mut();
        // [out, 2r]·[2r, in] → [out, in]
        let product = |to| multiply(*factor, b.view(), a.view(), 1.0, to);
        match master {
            Some(master) => {
                product(master.view_mut())?;
                rows::round(1.0, master.view(), weight)
            }
            None => product(weight.as_master().expect("as wide as its master")),
        }
    }
}

// ANCHOR: step
/// A and B of every layer follow their gradients in one launch, then W of each follows B A.
///
/// # Errors
/// A name occurs twice, a step before W moves is recorded, gradients are another adapter's, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut DeltaLora<T, D>, &Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    for (_, delta, _) in layers.iter_mut() {
        // The host counts the updates, and a graph does what it did when it was recorded: W would never move.
        if !delta.moves_next() {
            let operation = "a step of Delta-LoRA at or below start_step";
            delta.a.device().not_recording(operation, "record a step after start_step")?;
        }
        delta.pack(1)?;
    }
    let mut loras: Vec<_> =
        layers.iter_mut().map(|(name, delta, grads)| (*name, &mut delta.lora, *grads)).collect();
    lora::gpu::step(&mut loras, optimizer)?;
    for (_, delta, _) in layers {
        let moves = delta.moves_next();
        if !delta.a.device().is_recording() {
            delta.updates += 1;
        }
        if moves {
            delta.pack(0)?;
            delta.move_weight()?;
        }
    }
    Ok(())
}
// ANCHOR_END: step
