//! A weight with an adapter along its sides, and the matrices that are multiplied with it.
//!
//! ```text
//! M = | W  C |    y = [x | h]·[W | C]ᵀ    ∂L/∂x = [∂L/∂y | ∂L/∂h]·[W ; A]    h = x Aᵀ,  ∂L/∂h = ∂L/∂y C
//!     | A  · |
//! ```
//!
//! An adapter is a linear layer's weight with r more inputs and r more outputs. C is s B in LoRA, Λ_b B Λ_d in VeRA.
//! Layers that share their input have their W's and A's one below the other, and their C's on a diagonal of blocks. Between the
//! blocks are zeros: an h that is infinite makes NaN of the other layers' y too, since 0 · ∞ is NaN.

use adapter::check_shape;
use ndarray::ArrayView2;

use crate::{Device, Element, Matrix, Result, Stream, View, ViewMut, multiply};

/// M: W \[out, in\] with C \[out, r\] on its right and A \[r, in\] below it, in one buffer of padded rows.
pub struct Bordered<T: Element, D: Device> {
    matrix: Matrix<T, D>,
    /// \[out, in\].
    shape: [usize; 2],
}

impl<T: Element, D: Device> Bordered<T, D> {
    /// A weight of the host, rounded to `T`; A and C are zero.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, weight: ArrayView2<'_, f64>, rank: usize) -> Result<Self> {
        let [out, inputs] = [weight.nrows(), weight.ncols()];
        let matrix = Matrix::padded(device, [out + rank, inputs + rank])?;
        let mut made = Self { matrix, shape: [out, inputs] };
        made.matrix.clear()?;
        let [to, _, _] = made.split_mut();
        to.write(weight)?;
        Ok(made)
    }

    /// \[out, in\].
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// r, or Σr.
    pub fn rank(&self) -> usize {
        self.matrix.shape()[0] - self.shape[0]
    }

    /// The device it lies on.
    pub fn device(&self) -> &D {
        self.matrix.device()
    }

    /// W.
    pub fn weight(&self) -> View<'_, T, D> {
        self.wide().columns(0..self.shape[1])
    }

    /// A.
    pub fn a(&self) -> View<'_, T, D> {
        self.tall().rows(self.shape[0]..self.shape[0] + self.rank())
    }

    /// C.
    pub fn c(&self) -> View<'_, T, D> {
        self.wide().columns(self.shape[1]..self.shape[1] + self.rank())
    }

    /// \[W | C\]: \[out, in + r\].
    pub fn wide(&self) -> View<'_, T, D> {
        self.matrix.view().rows(0..self.shape[0])
    }

    /// \[W ; A\]: \[out + r, in\].
    pub fn tall(&self) -> View<'_, T, D> {
        self.matrix.view().columns(0..self.shape[1])
    }

    /// W, C and A, to write.
    pub fn split_mut(&mut self) -> [ViewMut<'_, T, D>; 3] {
        let [out, inputs] = self.shape;
        let [above, below] = self.matrix.view_mut().split_rows(out);
        let [weight, c] = above.split_columns(inputs);
        [weight, c, below.columns(0..inputs)]
    }

    // ANCHOR: forward
    /// y \[tokens, out\] from x, and h beside x.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn forward(
        &self,
        x_h: &mut Augmented<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: ViewMut<'_, T, D>,
    ) -> Result<()> {
        x_h.check("[x | h]", [self.shape[1], self.rank()])?;
        let [x, h] = x_h.split_mut();
        // h = x̃ Aᵀ: [tokens, in]·[in, r] → [tokens, r]
        match dropout {
            Some(dropout) => multiply(1.0, dropout.apply(x.view())?, self.a().t(), 0.0, h)?,
            None => multiply(1.0, x.view(), self.a().t(), 0.0, h)?,
        }
        // y = [x | h]·[W | C]ᵀ: [tokens, in + r]·[in + r, out] → [tokens, out]
        multiply(1.0, x_h.view(), self.wide().t(), 0.0, y)
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
    /// ∂L/∂x \[tokens, in\] from ∂L/∂y, and ∂L/∂h beside ∂L/∂y.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        dropout: Option<&Stream<'_, T, D>>,
        grad_y_h: &mut Augmented<T, D>,
        mut grad_x: ViewMut<'_, T, D>,
    ) -> Result<()> {
        grad_y_h.check("[grad_y | grad_h]", [self.shape[0], self.rank()])?;
        let [grad_y, grad_h] = grad_y_h.split_mut();
        // ∂L/∂h = ∂L/∂y C: [tokens, out]·[out, r] → [tokens, r]
        multiply(1.0, grad_y.view(), self.c(), 0.0, grad_h)?;
        let Some(dropout) = dropout else {
            // ∂L/∂x = [∂L/∂y | ∂L/∂h]·[W ; A]: [tokens, out + r]·[out + r, in] → [tokens, in]
            return multiply(1.0, grad_y_h.view(), self.tall(), 0.0, grad_x);
        };
        // The mask stands between: ∂L/∂x = (∂L/∂h A) ⊙ mask/(1 − p), then += ∂L/∂y W
        multiply(1.0, grad_y_h.right(), self.a(), 0.0, grad_x.reborrow())?;
        dropout.apply_in_place(grad_x.reborrow())?;
        multiply(1.0, grad_y_h.left(), self.weight(), 1.0, grad_x)
    }
    // ANCHOR_END: backward

    /// W ← W + C A, the adapter's ΔW. What reads W alone computes with both from here on.
    ///
    /// # Errors
    /// The device refuses.
    pub fn merge(&mut self) -> Result<()> {
        self.add(1.0)
    }

    /// W ← W − C A. Equal to the W before [`merge`](Self::merge) up to rounding: in bf16, keep W₀.
    ///
    /// # Errors
    /// The device refuses.
    pub fn unmerge(&mut self) -> Result<()> {
        self.add(-1.0)
    }

    /// W ← W + `sign` · C A.
    ///
    /// # Errors
    /// The device refuses.
    pub fn add(&mut self, sign: f64) -> Result<()> {
        let [weight, c, a] = self.split_mut();
        // [out, r]·[r, in] → [out, in], added where it belongs and rounded once
        multiply(sign, c.view(), a.view(), 1.0, weight)
    }

    /// Room for \[x | h\]: \[tokens, in + r\].
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn input(&self, tokens: usize) -> Result<Augmented<T, D>> {
        Augmented::new(self.device(), tokens, [self.shape[1], self.rank()])
    }

    /// Room for \[∂L/∂y | ∂L/∂h\]: \[tokens, out + r\].
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn grad_y(&self, tokens: usize) -> Result<Augmented<T, D>> {
        Augmented::new(self.device(), tokens, [self.shape[0], self.rank()])
    }
}

/// Two matrices side by side, \[left | right\], in one buffer of padded rows: a product can read both at once.
///
/// Who computes the left one writes it there: the layer before writes its y into the x of the next, and the layer behind its
/// ∂L/∂x into the ∂L/∂y of the one before.
pub struct Augmented<T: Element, D: Device> {
    both: Matrix<T, D>,
    left: usize,
}

impl<T: Element, D: Device> Augmented<T, D> {
    /// Room for two of these widths: what they hold is of no meaning.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, rows: usize, [left, right]: [usize; 2]) -> Result<Self> {
        Ok(Self { both: Matrix::padded(device, [rows, left + right])?, left })
    }

    /// Fails unless the two have these widths.
    ///
    /// # Errors
    /// They have others; `name` says of what.
    pub fn check(&self, name: &'static str, [left, right]: [usize; 2]) -> Result<()> {
        let widths = [self.left, self.both.shape()[1] - self.left];
        Ok(check_shape(name, &widths, &[left, right], "the widths of both, as the layer has them")?)
    }

    /// Both.
    pub fn view(&self) -> View<'_, T, D> {
        self.both.view()
    }

    /// The left one.
    pub fn left(&self) -> View<'_, T, D> {
        self.both.view().columns(0..self.left)
    }

    /// The right one.
    pub fn right(&self) -> View<'_, T, D> {
        self.both.view().columns(self.left..self.both.shape()[1])
    }

    /// The left one, to write.
    pub fn left_mut(&mut self) -> ViewMut<'_, T, D> {
        let [left, _] = self.split_mut();
        left
    }

    /// Each, to write.
    pub fn split_mut(&mut self) -> [ViewMut<'_, T, D>; 2] {
        self.both.view_mut().split_columns(self.left)
    }
}
