//! LoRA on a GPU: the same four functions, with the room for their results passed in, so that a step can be recorded.
//!
//! ```text
//! y = s · x̃ Aᵀ Bᵀ + x Wᵀ        x̃ = dropout(x),  s = α/r
//! ```
//!
//! In that order: the thin product is written first and the large one adds to it, so that y is written twice and read once.
//! The other way round y would be read and written once more; the book's chapter "On the GPU" counts.
//!
//! Layers with the same input (q, k and v; gate and up) are one [`Lora`] on one stacked weight: their A's lie below one
//! another, and x is read once for all.
//!
//! Generic over [`Device`]: a GPU, or its emulation in the tests.

use std::ops::Range;

use adapter::check_shape;
use cuda::{AdamW, Device, Element, Matrix, Parameter, Result, Stream, Update, View, multiply};
use ndarray::{Axis, concatenate};

/// The B of one layer, and its scale.
pub struct Segment<T: Element, D: Device> {
    /// B, \[out, r\].
    pub b: Parameter<T, D>,
    /// s, usually α/r.
    pub scale: f64,
    /// Its rows of A and its columns of h.
    ranks: Range<usize>,
    /// Its rows of W and its columns of y.
    outputs: Range<usize>,
}

/// LoRA of one layer, or of several that share their input.
pub struct Lora<T: Element, D: Device> {
    /// The A of each, one below the other: \[Σr, in\].
    pub a: Parameter<T, D>,
    segments: Vec<Segment<T, D>>,
}

/// What `forward` keeps besides x: h = x̃ Aᵀ, \[tokens, Σr\].
pub struct Saved<T: Element, D: Device> {
    /// h.
    pub h: Matrix<T, D>,
}

/// ∂L/∂A and ∂L/∂B, and ∂L/∂h on the way to them.
pub struct Grads<T: Element, D: Device> {
    /// \[Σr, in\].
    pub a: Matrix<T::Master, D>,
    /// \[out, r\] each.
    pub b: Vec<Matrix<T::Master, D>>,
    /// \[tokens, Σr\].
    pub h: Matrix<T, D>,
}

impl<T: Element, D: Device> Lora<T, D> {
    /// A copy of an adapter of the CPU.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, lora: &crate::Lora<f64>) -> Result<Self> {
        Self::stacked(device, &[lora])
    }

    /// Adapters of layers that share their input, for the weights one below the other.
    ///
    /// # Errors
    /// There is none, their inputs have different lengths, or there is not enough memory.
    pub fn stacked(device: &D, loras: &[&crate::Lora<f64>]) -> Result<Self> {
        let Some(first) = loras.first() else {
            return Err(adapter::Error::value("layers", 0, "at least one is stacked").into());
        };
        let (mut segments, mut rank, mut output) = (Vec::new(), 0, 0);
        for lora in loras {
            let [r, out] = [lora.a.nrows(), lora.b.nrows()];
            let hint = "[r, in], with in from the first layer";
            check_shape("A", lora.a.shape(), &[r, first.a.ncols()], hint)?;
            segments.push(Segment {
                b: Parameter::from_host(device, lora.b.view())?,
                scale: lora.scale,
                ranks: rank..rank + r,
                outputs: output..output + out,
            });
            (rank, output) = (rank + r, output + out);
        }
        let a: Vec<_> = loras.iter().map(|lora| lora.a.view()).collect();
        let a = concatenate(Axis(0), &a).expect("equal lengths, checked above");
        Ok(Self { a: Parameter::from_host(device, a.view())?, segments })
    }

    /// The layers, in order.
    pub fn segments(&self) -> &[Segment<T, D>] {
        &self.segments
    }

    /// \[Σout, in\], the shape of the weight.
    pub fn shape(&self) -> [usize; 2] {
        [self.segments.last().map_or(0, |last| last.outputs.end), self.a.shape()[1]]
    }

    /// Room for what `forward` keeps of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn saved(&self, tokens: usize) -> Result<Saved<T, D>> {
        Ok(Saved { h: Matrix::new(self.a.device(), [tokens, self.a.shape()[0]])? })
    }

    /// Room for the gradients of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn grads(&self, tokens: usize) -> Result<Grads<T, D>> {
        let device = self.a.device();
        let b = self.segments.iter().map(|segment| Matrix::new(device, segment.b.shape()));
        Ok(Grads {
            a: Matrix::new(device, self.a.shape())?,
            b: b.collect::<Result<_>>()?,
            h: Matrix::new(device, [tokens, self.a.shape()[0]])?,
        })
    }

    fn check_weight(&self, weight: View<'_, T, D>) -> Result<()> {
        let hint = "[out, in], with out from B and in from A";
        Ok(check_shape("weight", &weight.shape(), &self.shape(), hint)?)
    }

    // ANCHOR: forward
    /// y \[tokens, Σout\] and `saved`.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn forward(
        &self,
        weight: View<'_, T, D>,
        x: &Matrix<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: &mut Matrix<T, D>,
        saved: &mut Saved<T, D>,
    ) -> Result<()> {
        self.check_weight(weight)?;
        let [out, inputs] = self.shape();
        let tokens = x.shape()[0];
        check_shape("x", &x.shape(), &[tokens, inputs], "[tokens, in]")?;
        check_shape("y", &y.shape(), &[tokens, out], "[tokens, out]")?;
        // h = x̃ Aᵀ: [tokens, in]·[in, Σr] → [tokens, Σr]
        let dropped = match dropout {
            Some(dropout) => dropout.apply(x)?,
            None => x,
        };
        multiply(1.0, dropped.view(), self.a.view().t(), 0.0, saved.h.view_mut())?;
        // y = s h Bᵀ, each layer into its own columns: [tokens, r]·[r, out]
        for Segment { b, scale, ranks, outputs } in &self.segments {
            let h = saved.h.view().columns(ranks.clone());
            multiply(*scale, h, b.view().t(), 0.0, y.view_mut().columns(outputs.clone()))?;
        }
        // y += x Wᵀ: [tokens, in]·[in, Σout]
        multiply(1.0, x.view(), weight.t(), 1.0, y.view_mut())
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    /// ∂L/∂x \[tokens, in\] and `grads`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    #[allow(clippy::too_many_arguments)] // the CPU's, and where the results go
    pub fn backward(
        &self,
        weight: View<'_, T, D>,
        x: &Matrix<T, D>,
        mut dropout: Option<&mut Stream<'_, T, D>>,
        saved: &Saved<T, D>,
        grad_y: &Matrix<T, D>,
        grad_x: &mut Matrix<T, D>,
        grads: &mut Grads<T, D>,
    ) -> Result<()> {
        let Grads { a, b, h } = grads;
        self.backward_frozen_a(weight, dropout.as_deref(), saved, grad_y, grad_x, b, h)?;
        // ∂L/∂A = (∂L/∂h)ᵀ x̃, the mask drawn again: [Σr, tokens]·[tokens, in] → [Σr, in]
        let dropped = match &mut dropout {
            Some(dropout) => dropout.apply(x)?,
            None => x,
        };
        multiply(1.0, h.view().t(), dropped.view(), 0.0, a.view_mut())
    }

    /// All of `backward` but ∂L/∂A, which alone needs x: what LoRA-FA does. ∂L/∂h is left in `grad_h`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    #[allow(clippy::too_many_arguments)] // the CPU's, and where the results go
    pub fn backward_frozen_a(
        &self,
        weight: View<'_, T, D>,
        dropout: Option<&Stream<'_, T, D>>,
        saved: &Saved<T, D>,
        grad_y: &Matrix<T, D>,
        grad_x: &mut Matrix<T, D>,
        grad_b: &mut [Matrix<T::Master, D>],
        grad_h: &mut Matrix<T, D>,
    ) -> Result<()> {
        self.check_weight(weight)?;
        let tokens = grad_y.shape()[0];
        check_shape("grad_y", &grad_y.shape(), &[tokens, self.shape()[0]], "[tokens, out]")?;
        check_shape("h", &saved.h.shape(), &[tokens, self.a.shape()[0]], "[tokens, r]")?;
        check_shape("grad_h", &grad_h.shape(), &saved.h.shape(), "the shape of h")?;
        check_shape("grad_B", &[grad_b.len()], &[self.segments.len()], "one for each layer")?;
        for (Segment { b, scale, ranks, outputs }, grad_b) in self.segments.iter().zip(grad_b) {
            let grad_y = grad_y.view().columns(outputs.clone());
            // ∂L/∂h = s ∂L/∂y B: [tokens, out]·[out, r] → [tokens, r]
            multiply(*scale, grad_y, b.view(), 0.0, grad_h.view_mut().columns(ranks.clone()))?;
            // ∂L/∂B = s (∂L/∂y)ᵀ h: [out, tokens]·[tokens, r] → [out, r]
            let h = saved.h.view().columns(ranks.clone());
            multiply(*scale, grad_y.t(), h, 0.0, grad_b.view_mut())?;
        }
        // ∂L/∂x = (∂L/∂h A) ⊙ mask/(1 − p), then += ∂L/∂y W: [tokens, Σout]·[Σout, in] → [tokens, in]
        multiply(1.0, grad_h.view(), self.a.view(), 0.0, grad_x.view_mut())?;
        if let Some(dropout) = dropout {
            dropout.apply_in_place(grad_x)?;
        }
        multiply(1.0, grad_y.view(), weight, 1.0, grad_x.view_mut())
    }
    // ANCHOR_END: backward

    /// What the optimiser is to do for this adapter of the layer `name`. Where layers are stacked, the names of their B's end in
    /// their numbers.
    pub fn updates<'a>(&'a mut self, name: &str, grads: &'a Grads<T, D>) -> Vec<Update<'a, T, D>> {
        let mut updates = vec![update(format!("{name}.lora_A"), &mut self.a, &grads.a)];
        updates.extend(updates_of_b(&mut self.segments, name, &grads.b));
        updates
    }

    /// [`updates`](Self::updates) where A is frozen.
    pub fn updates_of_b<'a>(
        &'a mut self,
        name: &str,
        grad_b: &'a [Matrix<T::Master, D>],
    ) -> Vec<Update<'a, T, D>> {
        updates_of_b(&mut self.segments, name, grad_b)
    }

    // ANCHOR: merge
    /// W ← W + ΔW, with ΔW = s B A for each layer's rows.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn merge(&self, weight: &mut Matrix<T, D>) -> Result<()> {
        self.add(weight, 1.0)
    }

    /// W ← W − ΔW. Equal to the W before [`merge`](Self::merge) up to rounding: in bf16, keep W₀.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub fn unmerge(&self, weight: &mut Matrix<T, D>) -> Result<()> {
        self.add(weight, -1.0)
    }

    fn add(&self, weight: &mut Matrix<T, D>, sign: f64) -> Result<()> {
        check_shape("weight", &weight.shape(), &self.shape(), "the shape of ΔW")?;
        for Segment { b, scale, ranks, outputs } in &self.segments {
            let rows = weight.view_mut().rows(outputs.clone());
            // [out, r]·[r, in] → [out, in], added where it belongs and rounded once
            multiply(sign * scale, b.view(), self.a.view().rows(ranks.clone()), 1.0, rows)?;
        }
        Ok(())
    }
    // ANCHOR_END: merge
}

fn update<'a, T: Element, D: Device>(
    name: String,
    parameter: &'a mut Parameter<T, D>,
    gradient: &'a Matrix<T::Master, D>,
) -> Update<'a, T, D> {
    Update { name, parameter, gradient, rate: 1.0, decays: true }
}

fn updates_of_b<'a, T: Element, D: Device>(
    segments: &'a mut [Segment<T, D>],
    name: &str,
    grad_b: &'a [Matrix<T::Master, D>],
) -> Vec<Update<'a, T, D>> {
    let one = segments.len() == 1;
    let number = |i| if one { String::new() } else { format!(".{i}") };
    let each = segments.iter_mut().zip(grad_b).enumerate();
    each.map(|(i, (segment, grad))| {
        update(format!("{name}.lora_B{}", number(i)), &mut segment.b, grad)
    })
    .collect()
}

// ANCHOR: step
/// A and B of every layer follow their gradients, all in one launch; W stays.
///
/// # Errors
/// A name occurs twice, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut Lora<T, D>, &Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    let updates = layers.iter_mut().flat_map(|(name, lora, grads)| lora.updates(name, grads));
    optimizer.step(updates.collect())
}
// ANCHOR_END: step
