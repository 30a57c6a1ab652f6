//! VeRA on a GPU. The vectors are folded into B after each step, F = Λ_b B Λ_d \[out, r\]; from there on it is LoRA with
//! frozen matrices, and no array of tokens × out is formed besides y.
//!
//! ```text
//! M = | W  F |    u = x̃ Aᵀ              y = [x | u]·[W | F]ᵀ
//!     | A  · |    ∂L/∂u = ∂L/∂y F       ∂L/∂x = [∂L/∂y | ∂L/∂u]·[W ; A]
//!
//! P = (∂L/∂y)ᵀ u      ∂L/∂b = rowsum(P ⊙ B Λ_d),  ∂L/∂d = colsum(P ⊙ Λ_b B)
//! ```
//!
//! Both gradients come from one P \[out, r\], which is what LoRA computes for ∂L/∂B. Nothing is divided by d or b: they may
//! be 0.
//!
//! Layers with the same input (q, k and v; gate and up) that share A and B, as all layers do unless each shape has its own,
//! are one [`Vera`] on one stacked weight, with one u.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use adapter::check_shape;
use cuda::{
    AdamW, Augmented, Bordered, Device, Element, Matrix, Result, Stream, Update, ViewMut, multiply,
    rows,
};
use ndarray::{ArrayView2, NewAxis, s};

use crate::kernels;
pub use crate::kernels::KERNELS;

/// The two vectors of one layer.
pub struct Layer<T: Element, D: Device> {
    /// b, \[1, out\].
    pub lambda_b: Matrix<T::Master, D>,
    /// d, \[1, r\].
    pub lambda_d: Matrix<T::Master, D>,
    /// Its rows of W and F and its columns of y.
    outputs: Range<usize>,
}

/// VeRA of one layer, or of several that share their input, with their weight.
pub struct Vera<T: Element, D: Device> {
    /// M. Its F follows the vectors. Its A is a copy for each weight, so that one product reads both.
    pub matrix: Bordered<T, D>,
    layers: Vec<Layer<T, D>>,
    /// B, frozen and shared by layers: \[≥ out, r\].
    b: Rc<Matrix<T, D>>,
}

/// What `forward` keeps: u = x̃ Aᵀ, \[tokens, r\].
pub struct Saved<T: Element, D: Device> {
    u: Matrix<T, D>,
}

/// ∂L/∂b and ∂L/∂d of one layer.
pub struct LayerGrads<T: Element, D: Device> {
    /// \[1, out\].
    pub lambda_b: Matrix<T::Master, D>,
    /// \[1, r\].
    pub lambda_d: Matrix<T::Master, D>,
    /// Sums on the way to ∂L/∂d.
    partial: Matrix<T::Master, D>,
}

/// The gradients of each layer, and what they are made of.
pub struct Grads<T: Element, D: Device> {
    /// In order.
    pub layers: Vec<LayerGrads<T, D>>,
    /// P, \[Σout, r\].
    p: Matrix<T::Master, D>,
}

impl<T: Element, D: Device> Vera<T, D> {
    /// A copy of an adapter of the CPU, and of its weight \[out, in\]. `b` is the device's copy of the projections' B.
    ///
    /// # Errors
    /// As [`stacked`](Self::stacked).
    pub fn new(
        device: &D,
        weight: ArrayView2<'_, f64>,
        like: &crate::Vera<f64>,
        b: &Rc<Matrix<T, D>>,
    ) -> Result<Self> {
        Self::stacked(device, weight, &[like], b)
    }

    /// Adapters whose layers share their input, and their weights one below the other: \[Σout, in\].
    ///
    /// # Errors
    /// There is none, they have A and B of their own, they do not fit the weight or B, or there is not enough memory.
    pub fn stacked(
        device: &D,
        weight: ArrayView2<'_, f64>,
        like: &[&crate::Vera<f64>],
        b: &Rc<Matrix<T, D>>,
    ) -> Result<Self> {
        let Some(first) = like.first() else {
            return Err(adapter::Error::value("layers", 0, "at least one is stacked").into());
        };
        let ([b_outputs, rank], inputs) = (b.shape(), weight.ncols());
        let (mut layers, mut output) = (Vec::new(), 0);
        for like in like {
            if !Arc::ptr_eq(like.projections(), first.projections())
                && like.projections() != first.projections()
            {
                let hint = "stacked layers share A and B: stack those alone that do";
                return Err(adapter::Error::value("layers", "of several projections", hint).into());
            }
            let out = like.lambda_b.len();
            check_shape("lambda_d", like.lambda_d.shape(), &[rank], "[r], with r from B [out, r]")?;
            check_shape("A", like.a().shape(), &[rank, inputs], "[r, in] of the weight")?;
            let fits = [b_outputs.max(out), rank];
            check_shape("vera_B", &[b_outputs, rank], &fits, "at least as long as the layer")?;
            layers.push(Layer {
                lambda_b: Matrix::from_host(device, like.lambda_b.slice(s![NewAxis, ..]))?,
                lambda_d: Matrix::from_host(device, like.lambda_d.slice(s![NewAxis, ..]))?,
                outputs: output..output + out,
            });
            output += out;
        }
        let hint = "[out, in], with out from b and in from A";
        check_shape("weight", weight.shape(), &[output, inputs], hint)?;
        let mut matrix = Bordered::new(device, weight, rank)?;
        let [_, _, below] = matrix.split_mut();
        below.write(first.a())?;
        let mut made = Self { matrix, layers, b: Rc::clone(b) };
        made.fold()?;
        Ok(made)
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer<T, D>] {
        &self.layers
    }

    /// Room for what `forward` keeps of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn saved(&self, tokens: usize) -> Result<Saved<T, D>> {
        Ok(Saved { u: Matrix::new(self.matrix.device(), [tokens, self.matrix.rank()])? })
    }

    /// Room for the gradients.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn grads(&self) -> Result<Grads<T, D>> {
        let (device, rank) = (self.matrix.device(), self.matrix.rank());
        let room = |layer: &Layer<T, D>| -> Result<LayerGrads<T, D>> {
            let out = layer.outputs.len();
            Ok(LayerGrads {
                lambda_b: Matrix::new(device, [1, out])?,
                lambda_d: Matrix::new(device, [1, rank])?,
                partial: Matrix::new(device, kernels::partial_shape([out, rank]))?,
            })
        };
        Ok(Grads {
            layers: self.layers.iter().map(room).collect::<Result<_>>()?,
            p: Matrix::new(device, [self.matrix.shape()[0], rank])?,
        })
    }

    /// F = Λ_b B Λ_d, in M.
    fn fold(&mut self) -> Result<()> {
        let [_, mut rest, _] = self.matrix.split_mut();
        for Layer { lambda_b, lambda_d, outputs } in &self.layers {
            let [folded, below] = rest.split_rows(outputs.len());
            kernels::fold(lambda_b, &self.b, lambda_d, folded)?;
            rest = below;
        }
        Ok(())
    }

    // ANCHOR: forward
    /// y \[tokens, Σout\] from x, and u beside x. u is kept, and x is free to be overwritten.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn forward(
        &self,
        x_u: &mut Augmented<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: ViewMut<'_, T, D>,
        saved: &mut Saved<T, D>,
    ) -> Result<()> {
        self.matrix.forward(x_u, dropout, y)?;
        rows::copy(x_u.right(), saved.u.view_mut())
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    /// ∂L/∂x \[tokens, in\] and `grads` from ∂L/∂y, and ∂L/∂u beside ∂L/∂y. Not from x, only from what `forward` kept.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        Saved { u }: &Saved<T, D>,
        dropout: Option<&Stream<'_, T, D>>,
        grad_y_u: &mut Augmented<T, D>,
        grad_x: ViewMut<'_, T, D>,
        grads: &mut Grads<T, D>,
    ) -> Result<()> {
        self.matrix.backward(dropout, grad_y_u, grad_x)?;
        // P = (∂L/∂y)ᵀ u: [Σout, tokens]·[tokens, r] → [Σout, r]
        let Grads { layers, p } = grads;
        multiply(1.0, grad_y_u.left().t(), u.view(), 0.0, p.view_mut())?;
        self.check_count(layers)?;
        for (Layer { lambda_b, lambda_d, outputs }, grads) in self.layers.iter().zip(layers) {
            let LayerGrads { lambda_b: grad_b, lambda_d: grad_d, partial } = grads;
            // ∂L/∂b = rowsum(P ⊙ B Λ_d) [out] and ∂L/∂d = colsum(P ⊙ Λ_b B) [r]
            let p = p.view().rows(outputs.clone());
            kernels::reduce(p, lambda_b, &self.b, lambda_d, grad_b, grad_d, partial)?;
        }
        Ok(())
    }
    // ANCHOR_END: backward

    fn check_count(&self, grads: &[LayerGrads<T, D>]) -> Result<()> {
        Ok(check_shape("grads", &[grads.len()], &[self.layers.len()], "one for each layer")?)
    }

    /// What the optimiser is to do for this adapter of the layer `name`. Where layers are stacked, the names of their vectors end in
    /// their numbers.
    fn updates<'a>(
        &'a mut self,
        name: &str,
        grads: &'a Grads<T, D>,
    ) -> Result<Vec<Update<'a, T, D>>> {
        self.check_count(&grads.layers)?;
        let one = self.layers.len() == 1;
        let mut updates = Vec::new();
        for (i, (layer, grads)) in self.layers.iter_mut().zip(&grads.layers).enumerate() {
            let number = if one { String::new() } else { format!(".{i}") };
            let of = |tensor| format!("{name}.{tensor}{number}");
            let [b, d] = ["vera_lambda_b", "vera_lambda_d"].map(of);
            updates.push(Update::new(b, &mut layer.lambda_b, &grads.lambda_b));
            updates.push(Update::new(d, &mut layer.lambda_d, &grads.lambda_d));
        }
        Ok(updates)
    }
}

// ANCHOR: step
/// b and d of every layer follow their gradients, all in one launch, and F follows them; A, B and W stay.
///
/// # Errors
/// A name occurs twice, gradients are another adapter's, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut Vera<T, D>, &Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    let mut updates = Vec::new();
    for (name, vera, grads) in layers.iter_mut() {
        updates.extend(vera.updates(name, grads)?);
    }
    optimizer.step(updates)?;
    layers.iter_mut().try_for_each(|(_, vera, _)| vera.fold())
}
// ANCHOR_END: step
