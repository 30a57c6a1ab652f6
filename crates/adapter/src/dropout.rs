//! Dropout as an explicit mask: whoever trains draws it, and passes it in.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2, Zip};
use rand::Rng;

use crate::{Bytes, Error, Ledger, Real, Result, check_shape};

/// Which elements of an adapter's input are kept. Inverted: what is kept is divided by 1 − p, so that the
/// expectation does not change and nothing has to be undone when the model is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    mask: Array2<u8>,
    p: f64,
}

impl Dropout {
    /// `mask` is \[tokens, in\], 1 = kept, 0 = dropped; each element was dropped with probability `p`.
    ///
    /// # Errors
    /// `p` is not in \[0, 1), or the mask holds something other than 0 and 1.
    pub fn new(mask: Array2<u8>, p: f64) -> Result<Arc<Self>> {
        check_probability(p)?;
        if let Some(other) = mask.iter().find(|&&kept| kept > 1) {
            return Err(Error::value("dropout mask", other, "1 is kept, 0 is dropped"));
        }
        Ok(Arc::new(Self { mask, p }))
    }

    /// Draw a mask for an input of shape `[tokens, in]`.
    ///
    /// # Errors
    /// `p` is not in \[0, 1).
    pub fn draw(shape: (usize, usize), p: f64, rng: &mut impl Rng) -> Result<Arc<Self>> {
        check_probability(p)?;
        let mask = Array2::from_shape_simple_fn(shape, || u8::from(rng.random::<f64>() >= p));
        Ok(Arc::new(Self { mask, p }))
    }

    /// x ⊙ mask / (1 − p), the x̃ of the book: \[tokens, in\].
    ///
    /// A dropped element is 0 even where x is NaN or infinite.
    ///
    /// # Errors
    /// `x` does not have the mask's shape.
    pub fn apply<T: Real>(&self, x: ArrayView2<'_, T>) -> Result<Array2<T>> {
        check_shape("x", x.shape(), self.mask.shape(), "the dropout mask's shape")?;
        let keep = T::from_f64(1.0 - self.p);
        Ok(Zip::from(x).and(&self.mask).map_collect(
            |&x, &kept| {
                if kept == 1 { x / keep } else { T::zero() }
            },
        ))
    }
}

fn check_probability(p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::value("dropout", p, "a probability p with 0 ≤ p < 1"))
}

impl Bytes for Arc<Dropout> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.region(self.mask.as_ptr().addr(), self.mask.len());
    }
}
