//! LoRA on a GPU: the same four functions, with the room for their results passed in, so that a step can be recorded.
//!
//! ```text
//! M = | W  sB |    h = x̃ Aᵀ             y = [x | h]·[W | sB]ᵀ
//!     | A   · |    ∂L/∂h = ∂L/∂y sB     ∂L/∂x = [∂L/∂y | ∂L/∂h]·[W ; A]
//! ```
//!
//! One product computes y, one ∂L/∂x: each is written once and never read. The book's chapter "On the GPU" counts.
//!
//! Layers with the same input (q, k and v; gate and up) are one [`Lora`] on one stacked weight: their A's lie below one
//! another, their sB's on a diagonal of blocks, and x is read once for all.
//!
//! Generic over [`Device`]: a GPU, or its emulation in the tests.

use std::ops::Range;

use adapter::check_shape;
use cuda::{AdamW, Device, Element, Matrix, Result, Stream, Update, View, ViewMut, multiply, rows};
use ndarray::{ArrayView2, Axis, concatenate};

/// \[x | h\], which is what `forward` reads and keeps; \[∂L/∂y | ∂L/∂h\].
pub use cuda::{Augmented, Bordered};

/// The B of one layer, and its scale.
pub struct Segment<T: Element, D: Device> {
    /// B, \[out, r\], as the optimiser moves it. Products read s B, in M.
    pub b: Matrix<T::Master, D>,
    /// s, usually α/r.
    pub scale: f64,
    /// Its columns of h and its rows of A.
    ranks: Range<usize>,
    /// Its columns of y and its rows of W.
    outputs: Range<usize>,
}

/// LoRA of one layer, or of several that share their input, with their weight.
pub struct Lora<T: Element, D: Device> {
    /// M. Its A and sB are copies that follow what the optimiser moves.
    pub matrix: Bordered<T, D>,
    /// The A of each, one below the other, as the optimiser moves them: \[Σr, in\].
    a: Matrix<T::Master, D>,
    segments: Vec<Segment<T, D>>,
}

/// ∂L/∂A and ∂L/∂B.
pub struct Grads<T: Element, D: Device> {
    /// \[Σr, in\].
    pub a: Matrix<T::Master, D>,
    /// \[out, r\] each.
    pub b: Vec<Matrix<T::Master, D>>,
}

impl<T: Element, D: Device> Lora<T, D> {
    /// A copy of an adapter of the CPU, and of its weight \[out, in\].
    ///
    /// # Errors
    /// They do not fit together, or there is not enough memory.
    pub fn new(device: &D, weight: ArrayView2<'_, f64>, lora: &crate::Lora<f64>) -> Result<Self> {
        Self::stacked(device, weight, &[lora])
    }

    /// Adapters of layers that share their input, and their weights one below the other: \[Σout, in\].
    ///
    /// # Errors
    /// There is none, they do not fit the weight, or there is not enough memory.
    pub fn stacked(
        device: &D,
        weight: ArrayView2<'_, f64>,
        loras: &[&crate::Lora<f64>],
    ) -> Result<Self> {
        if loras.is_empty() {
            return Err(adapter::Error::value("layers", 0, "at least one is stacked").into());
        }
        let (mut segments, mut rank, mut output) = (Vec::new(), 0, 0);
        for lora in loras {
            let [r, out] = [lora.a.nrows(), lora.b.nrows()];
            let hint = "[r, in], with in from weight [out, in]";
            check_shape("A", lora.a.shape(), &[r, weight.ncols()], hint)?;
            segments.push(Segment {
                b: Matrix::from_host(device, lora.b.view())?,
                scale: lora.scale,
                ranks: rank..rank + r,
                outputs: output..output + out,
            });
            (rank, output) = (rank + r, output + out);
        }
        let hint = "[out, in], with out from B and in from A";
        check_shape("weight", weight.shape(), &[output, weight.ncols()], hint)?;
        let a: Vec<_> = loras.iter().map(|lora| lora.a.view()).collect();
        let a = concatenate(Axis(0), &a).expect("equal lengths, checked above");
        let matrix = Bordered::new(device, weight, rank)?;
        let mut made = Self { matrix, a: Matrix::from_host(device, a.view())?, segments };
        let [_, c, below] = made.matrix.split_mut();
        rows::round(1.0, made.a.view(), below)?;
        for (segment, s_b) in made.segments.iter().zip(blocks(&made.segments, c)) {
            rows::round(segment.scale, segment.b.view(), s_b)?;
        }
        Ok(made)
    }

    /// A, \[Σr, in\].
    pub fn a(&self) -> &Matrix<T::Master, D> {
        &self.a
    }

    /// The layers, in order.
    pub fn segments(&self) -> &[Segment<T, D>] {
        &self.segments
    }

    /// Room for the gradients.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn grads(&self) -> Result<Grads<T, D>> {
        let device = self.a.device();
        let b = self.segments.iter().map(|segment| Matrix::new(device, segment.b.shape()));
        Ok(Grads { a: Matrix::new(device, self.a.shape())?, b: b.collect::<Result<_>>()? })
    }

    // ANCHOR: forward
    /// y \[tokens, Σout\] from x, and h beside x: M's.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn forward(
        &self,
        x_h: &mut Augmented<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: ViewMut<'_, T, D>,
    ) -> Result<()> {
        self.matrix.forward(x_h, dropout, y)
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    /// ∂L/∂x \[tokens, in\] and `grads` from ∂L/∂y, and ∂L/∂h beside ∂L/∂y.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        x_h: &Augmented<T, D>,
        mut dropout: Option<&mut Stream<'_, T, D>>,
        grad_y_h: &mut Augmented<T, D>,
        grad_x: ViewMut<'_, T, D>,
        grads: &mut Grads<T, D>,
    ) -> Result<()> {
        self.backward_frozen_a(x_h.right(), dropout.as_deref(), grad_y_h, grad_x, &mut grads.b)?;
        // ∂L/∂A = (∂L/∂h)ᵀ x̃, the mask drawn again: [Σr, tokens]·[tokens, in] → [Σr, in]
        let dropped = match &mut dropout {
            Some(dropout) => dropout.apply(x_h.left())?,
            None => x_h.left(),
        };
        multiply(1.0, grad_y_h.right().t(), dropped, 0.0, grads.a.view_mut())
    }

    /// All of `backward` but ∂L/∂A, which alone needs x: what LoRA-FA does.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward_frozen_a(
        &self,
        h: View<'_, T, D>,
        dropout: Option<&Stream<'_, T, D>>,
        grad_y_h: &mut Augmented<T, D>,
        grad_x: ViewMut<'_, T, D>,
        grad_b: &mut [Matrix<T::Master, D>],
    ) -> Result<()> {
        self.check_count(grad_b)?;
        self.matrix.backward(dropout, grad_y_h, grad_x)?;
        for (Segment { scale, ranks, outputs, .. }, grad_b) in self.segments.iter().zip(grad_b) {
            // ∂L/∂B = s (∂L/∂y)ᵀ h: [out, tokens]·[tokens, r] → [out, r]
            let grad_y = grad_y_h.left().columns(outputs.clone());
            let h = h.columns(ranks.clone());
            multiply(*scale, grad_y.t(), h, 0.0, grad_b.view_mut())?;
        }
        Ok(())
    }
    // ANCHOR_END: backward

    fn check_count(&self, grad_b: &[Matrix<T::Master, D>]) -> Result<()> {
        let hint = "one for each layer";
        Ok(check_shape("grad_B", &[grad_b.len()], &[self.segments.len()], hint)?)
    }

    /// What the optimiser is to do for this adapter of the layer `name`; A is left alone without a gradient. Where layers are
    /// stacked, the names of their B's end in their numbers.
    ///
    /// # Errors
    /// There is not one gradient for each B.
    pub fn updates<'a>(
        &'a mut self,
        name: &str,
        grad_a: Option<&'a Matrix<T::Master, D>>,
        grad_b: &'a [Matrix<T::Master, D>],
    ) -> Result<Vec<Update<'a, T, D>>> {
        self.check_count(grad_b)?;
        let Self { matrix, a, segments } = self;
        let [_, c, below] = matrix.split_mut();
        let (blocks, one) = (blocks(segments, c), segments.len() == 1);
        let mut updates =
            Vec::from_iter(grad_a.map(|grad_a| {
                Update::new(format!("{name}.lora_A"), a, grad_a).with_copy(1.0, below)
            }));
        for (i, ((segment, s_b), grad_b)) in segments.iter_mut().zip(blocks).zip(grad_b).enumerate()
        {
            let number = if one { String::new() } else { format!(".{i}") };
            let update = Update::new(format!("{name}.lora_B{number}"), &mut segment.b, grad_b);
            updates.push(update.with_copy(segment.scale, s_b));
        }
        Ok(updates)
    }
}

/// The part of C for each layer's s B.
fn blocks<'a, T: Element, D: Device>(
    segments: &[Segment<T, D>],
    c: ViewMut<'a, T, D>,
) -> Vec<ViewMut<'a, T, D>> {
    let (mut rest, mut made) = (c, Vec::new());
    for Segment { ranks, outputs, .. } in segments {
        let [block, below] = rest.split_rows(outputs.len());
        made.push(block.columns(ranks.clone()));
        rest = below;
    }
    made
}

// ANCHOR: step
/// A and B of every layer follow their gradients, and their copies in M follow them, all in one launch; W stays.
///
/// # Errors
/// A name occurs twice, gradients are another adapter's, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut Lora<T, D>, &Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    let mut updates = Vec::new();
    for (name, lora, Grads { a, b }) in layers {
        updates.extend(lora.updates(name, Some(a), b)?);
    }
    optimizer.step(updates)
}
// ANCHOR_END: step
