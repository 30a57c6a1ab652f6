//! VeRA on the CPU: the reference.
//!
//! Kopiczko, Blankevoort & Asano 2024, *VeRA: Vector-based Random Matrix Adaptation*, arXiv 2310.11454: A and B are
//! random, frozen and shared; each layer trains a vector in the middle and one at the end.
//!
//! ```text
//! y = x Wᵀ + ((x̃ Aᵀ ⊙ d) Bᵀ) ⊙ b        x̃ = dropout(x)
//! ```
//!
//! Run it: `cargo run -p lowrank-vera --example vera-quickstart`. Not here: how A and B are drawn (`projections.rs`).

use std::sync::Arc;

use adapter::{Adapter, Bytes, Dropout, Error, Ledger, Real, Result, check_shape, linear};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArcArray2, Array1, Array2, ArrayView2, Axis, NewAxis, s};

use crate::Projections;

// ANCHOR: struct
/// The two trained vectors of a layer, and the matrices it shares with others.
#[derive(Clone, Debug, PartialEq)]
pub struct Vera<T> {
    /// b, \[out\]: how strongly each output is written. Zero at the start, so that nothing changes.
    pub lambda_b: Array1<T>,
    /// d, \[r\]: how strongly each of the r random directions is used.
    pub lambda_d: Array1<T>,
    /// A and B, at least as large as the layer.
    projections: Arc<Projections<T>>,
    inputs: usize,
}
// ANCHOR_END: struct

/// What [`Vera::forward`](Adapter::forward) keeps: u = x̃ Aᵀ and the mask. Not x.
#[derive(Debug)]
pub struct Saved<T> {
    u: Array2<T>,
    dropout: Option<Arc<Dropout>>,
}

/// ∂L/∂b and ∂L/∂d.
#[derive(Clone, Debug, PartialEq)]
pub struct Grads<T> {
    /// \[out\].
    pub lambda_b: Array1<T>,
    /// \[r\].
    pub lambda_d: Array1<T>,
}

impl<T: Real> Vera<T> {
    /// Vectors for a weight of shape `[outputs, inputs]`, with d = `d_init` and b = 0.
    ///
    /// # Errors
    /// `d_init` is not finite, or the projections are smaller than the weight.
    pub fn init(
        [outputs, inputs]: [usize; 2],
        d_init: f64,
        projections: Arc<Projections<T>>,
    ) -> Result<Self> {
        if !d_init.is_finite() {
            return Err(Error::value("d_init", d_init, "it must be finite"));
        }
        let lambda_d = Array1::from_elem(projections.rank(), T::from_f64(d_init));
        Self::new(Array1::zeros(outputs), lambda_d, inputs, projections)
    }

    /// Vectors b \[out\] and d \[r\] for a weight of shape \[out, `inputs`\].
    ///
    /// # Errors
    /// d is not as long as the projections' rank, or the projections are smaller than the weight.
    pub fn new(
        lambda_b: Array1<T>,
        lambda_d: Array1<T>,
        inputs: usize,
        projections: Arc<Projections<T>>,
    ) -> Result<Self> {
        let rank = projections.rank();
        check_shape("lambda_d", lambda_d.shape(), &[rank], "[r], with r from A [r, in]")?;
        projections.check([lambda_b.len(), inputs])?;
        Ok(Self { lambda_b, lambda_d, projections, inputs })
    }

    /// A and B as they are shared.
    pub fn projections(&self) -> &Arc<Projections<T>> {
        &self.projections
    }

    /// The part of A that this layer uses, \[r, in\].
    pub fn a(&self) -> ArrayView2<'_, T> {
        self.projections.a().slice_move(s![.., ..self.inputs])
    }

    /// The part of B that this layer uses, \[out, r\].
    pub fn b(&self) -> ArrayView2<'_, T> {
        self.projections.b().slice_move(s![..self.lambda_b.len(), ..])
    }

    fn check(&self, weight: ArrayView2<'_, T>) -> Result<()> {
        let shape = [self.lambda_b.len(), self.inputs];
        check_shape("weight", weight.shape(), &shape, "[out, in] of the adapter")?;
        let rank = self.projections.rank();
        check_shape("lambda_d", self.lambda_d.shape(), &[rank], "[r], with r from A [r, in]")?;
        self.projections.check(shape) // lambda_b is public and may have grown
    }
}

impl<T: Real> Adapter<T> for Vera<T> {
    type Saved = Saved<T>;
    type Grads = Grads<T>;

    // ANCHOR: forward
    fn forward(
        &self,
        weight: ArrayView2<'_, T>,
        x: &ArcArray2<T>,
        dropout: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<T>, Saved<T>)> {
        self.check(weight)?;
        let mut y = linear::forward(weight, x.view())?; // [tokens, in]·[in, out] → [tokens, out]

        // u = x̃ Aᵀ
        let u = match dropout {
            Some(dropout) => dropout.apply(x.view())?.dot(&self.a().t()),
            None => x.dot(&self.a().t()), // [tokens, in]·[in, r] → [tokens, r]
        };
        // z = (u ⊙ d) Bᵀ
        let z = (&u * &self.lambda_d).dot(&self.b().t()); // [tokens, r]·[r, out] → [tokens, out]
        // y = x Wᵀ + z ⊙ b
        y += &(z * &self.lambda_b);

        Ok((y, Saved { u, dropout: dropout.cloned() }))
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    fn backward(
        &self,
        weight: ArrayView2<'_, T>,
        saved: &Saved<T>,
        grad_y: ArrayView2<'_, T>,
    ) -> Result<(Array2<T>, Grads<T>)> {
        self.check(weight)?;
        let Saved { u, dropout } = saved;
        check_shape("u", u.shape(), &[u.nrows(), self.lambda_d.len()], "[tokens, r]")?;
        check_shape("grad_y", grad_y.shape(), &[u.nrows(), weight.nrows()], "the shape of y")?;

        // v = u ⊙ d and z = v Bᵀ, made again instead of kept
        let z = (u * &self.lambda_d).dot(&self.b().t()); // [tokens, r]·[r, out] → [tokens, out]
        // ∂L/∂b = Σ_tokens ∂L/∂y ⊙ z
        let lambda_b = (&grad_y * &z).sum_axis(Axis(0)); // [out]

        // ∂L/∂v = (∂L/∂y ⊙ b) B
        let grad_v = (&grad_y * &self.lambda_b).dot(&self.b()); // [tokens, out]·[out, r] → [tokens, r]
        // ∂L/∂d = Σ_tokens u ⊙ ∂L/∂v
        let lambda_d = (u * &grad_v).sum_axis(Axis(0)); // [r]

        // ∂L/∂x = ∂L/∂y W, and what comes back through A (and the mask): ∂L/∂u A, with ∂L/∂u = ∂L/∂v ⊙ d.
        let mut grad_x = linear::backward(weight, grad_y)?; // [tokens, out]·[out, in] → [tokens, in]
        let grad_u = grad_v * &self.lambda_d; // [tokens, r]
        match dropout {
            Some(dropout) => grad_x += &dropout.apply(grad_u.dot(&self.a()).view())?,
            None => general_mat_mul(T::one(), &grad_u, &self.a(), T::one(), &mut grad_x), // [tokens, r]·[r, in]
        }
        Ok((grad_x, Grads { lambda_b, lambda_d }))
    }
    // ANCHOR_END: backward

    // ANCHOR: delta
    /// ΔW = Λ_b B Λ_d A.
    fn delta_weight(&self, weight: ArrayView2<'_, T>) -> Result<Array2<T>> {
        self.check(weight)?;
        let b = &self.b() * &self.lambda_b.slice(s![.., NewAxis]) * &self.lambda_d;
        Ok(b.dot(&self.a())) // [out, r]·[r, in] → [out, in]
    }
    // ANCHOR_END: delta
}

adapter::tensors!(Vera, Grads { "vera_lambda_b" => lambda_b, "vera_lambda_d" => lambda_d });

impl<T> Bytes for Vera<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.lambda_b);
        ledger.owned(&self.lambda_d);
        self.projections.count(ledger);
    }
}

impl<T> Bytes for Saved<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.u);
        self.dropout.iter().for_each(|dropout| dropout.count(ledger));
    }
}
