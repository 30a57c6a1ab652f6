//! Products of matrices.

use adapter::check_shape;

use crate::device::{Factor, Product};
use crate::{Device, Element, Error, Kind, Result, View, ViewMut};

/// C ← α A B + β C, as `ndarray::linalg::general_mat_mul` on the host. α and β are `f32` (`f64` for `f64`), never rounded to
/// the matrices' type. With β = 0 what C held is of no meaning, not even a NaN.
///
/// # Errors
/// The shapes or the devices do not fit together; the kinds are not ones that can be mixed (the output has the inputs' kind
/// or that of their masters); the device refuses.
pub fn multiply<T: Element, U: Element, D: Device>(
    alpha: f64,
    a: View<'_, T, D>,
    b: View<'_, T, D>,
    beta: f64,
    c: ViewMut<'_, U, D>,
) -> Result<()> {
    let c = c.view();
    let ([m, k], [_, n]) = (a.shape(), b.shape());
    check_shape("B of a product", &b.shape(), &[k, n], "as many rows as A has columns")?;
    check_shape("C of a product", &c.shape(), &[m, n], "the rows of A and the columns of B")?;
    if !(a.device.same(b.device) && a.device.same(c.device)) {
        return Err(Error::Devices { operation: "a product" });
    }
    let (input, output) = (T::KIND, U::KIND);
    if !(output == input || output == T::Master::KIND) {
        let kinds = format!("{} into {}", input.name(), output.name());
        let hint = "a product has the kind of its factors, or of their masters";
        return Err(adapter::Error::value("a product", kinds, hint).into());
    }
    if m == 0 || n == 0 {
        return Ok(());
    }
    let factor = |address, stride: usize, transposed| Factor {
        address,
        // A stride of 0 is refused by BLAS, even where there is no second row.
        stride: stride.max(1),
        transposed,
    };
    let product = Product {
        m,
        n,
        k,
        alpha: scalar(input, alpha),
        a: factor(a.address, a.stride, a.transposed),
        b: factor(b.address, b.stride, b.transposed),
        beta: scalar(input, beta),
        c: factor(c.address, c.stride, false),
        input,
        output,
    };
    // SAFETY: the views borrow memory of this device, C mutably, and their shapes fit together.
    unsafe { a.device.multiply(&product) }
}

fn scalar(input: Kind, value: f64) -> f64 {
    if input == Kind::F64 { value } else { f64::from(value as f32) }
}
