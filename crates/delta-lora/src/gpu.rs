//! Delta-LoRA on a GPU: LoRA, and one product that moves W.
//!
//! ```text
//! W ← W + λ s [B⁺ | −B] [A⁺; A]
//! ```
//!
//! W is a [`Parameter`]: the moves go into its master in `f32`, in full precision. In bf16 they would vanish, being smaller
//! than half the distance to the next number, and in TF32 the two halves would not cancel.

use cuda::{
    AdamW, Device, Dimensions, Element, Launch, Matrix, Parameter, Result, Source, multiply,
};
use lora::gpu::{Grads, Lora};

use crate::{DeltaLora as Cpu, Settings};

/// The kernel that lays out the factors of a move.
pub static KERNELS: Source =
    Source::new("crates/delta-lora/src/kernels.cu", include_str!("kernels.cu"));

/// Delta-LoRA of one layer.
pub struct DeltaLora<T: Element, D: Device> {
    /// A, B and their scale. Forward and backward are LoRA's, without dropout.
    pub lora: Lora<T, D>,
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
    /// A copy of an adapter of the CPU, at its count of updates.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, like: &Cpu<f64>) -> Result<Self> {
        let lora = Lora::new(device, &like.lora)?;
        let ([rank, inputs], [out, _]) = (lora.a.shape(), lora.shape());
        let settings = like.settings();
        let scale = if settings.include_scale { like.lora.scale } else { 1.0 };
        Ok(Self {
            lora,
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

    /// Does W move in the next update?
    fn moves_next(&self) -> bool {
        self.updates >= self.settings.start_step
    }

    /// Write A and ±B into one half of the factors: 0 for what they are after the update, 1 for what they were before.
    fn pack(&mut self, half: usize) -> Result<()> {
        let b = &self.lora.segments()[0].b;
        let ([rank, inputs], [out, _]) = (self.lora.a.shape(), b.shape());
        let device = self.a.device().clone();
        let count = (rank * inputs).max(out * rank);
        Launch::new::<T::Master>(&device, &KERNELS, "delta_lora_pack")
            .read(self.lora.a.master())
            .read(b.master())
            .write(&mut self.a)
            .write(&mut self.b)
            .count(inputs)
            .count(out)
            .count(rank)
            .count(half)
            .run(Dimensions::each(count))
    }
}

// ANCHOR: step
/// A and B of every layer follow their gradients in one launch, then W of each follows B A.
///
/// # Errors
/// A weight does not have its layer's shape, a name occurs twice, a step before W moves is recorded, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut DeltaLora<T, D>, &mut Parameter<T, D>, &Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    for (_, delta, weight, _) in layers.iter_mut() {
        adapter::check_shape("weight", &weight.shape(), &delta.lora.shape(), "[out, in]")?;
        // The host counts the updates, and a graph does what it did when it was recorded: W would never move.
        if !delta.moves_next() {
            let operation = "a step of Delta-LoRA at or below start_step";
            weight.device().not_recording(operation, "record a step after start_step")?;
        }
        delta.pack(1)?;
    }
    let updates =
        layers.iter_mut().flat_map(|(name, delta, _, grads)| delta.lora.updates(name, grads));
    optimizer.step(updates.collect())?;
    for (_, delta, weight, _) in layers {
        let moves = delta.moves_next();
        if !weight.device().is_recording() {
            delta.updates += 1;
        }
        if moves {
            delta.pack(0)?;
            // W += λ s [B⁺ | −B] [A⁺; A]: [out, 2r]·[2r, in]
            let (a, b) = (delta.a.view(), delta.b.view());
            multiply(delta.factor, b, a, 1.0, weight.master_mut().view_mut())?;
            weight.round()?;
        }
    }
    Ok(())
}
// ANCHOR_END: step
