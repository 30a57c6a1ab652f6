//! Products as a GPU makes them: factors rounded to their kind, sums in `f32` (`f64` for `f64`), the result rounded once.

use half::bf16;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, LinalgScalar};

use crate::Kind;
use crate::device::{Factor, Product};

/// # Safety
/// As `Device::multiply`.
pub(super) unsafe fn multiply(product: &Product) {
    // SAFETY: the caller's promise is the same.
    unsafe {
        match product.input {
            Kind::F64 => typed::<f64>(product, |value| value, |value| value),
            _ => typed::<f32>(product, |value| value as f32, f64::from),
        }
    }
}

unsafe fn typed<S: LinalgScalar>(
    product: &Product,
    narrow: impl Fn(f64) -> S,
    widen: impl Fn(S) -> f64,
) {
    let &Product { m, n, k, alpha, a, b, beta, c, input, output } = product;
    let factor = |factor: Factor, rows, columns| {
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            let (row, column) = if factor.transposed { (column, row) } else { (row, column) };
            // SAFETY: the factor describes memory that holds this element.
            narrow(for_product(input, unsafe { get(input, factor, row, column) }))
        })
    };
    let (left, right) = (factor(a, m, k), factor(b, k, n));
    let mut sum = Array2::from_shape_fn((m, n), |(row, column)| {
        // What C holds is not looked at where β is 0.
        // SAFETY: C describes memory that holds this element.
        if beta == 0.0 { S::zero() } else { narrow(unsafe { get(output, c, row, column) }) }
    });
    general_mat_mul(narrow(alpha), &left, &right, narrow(beta), &mut sum);
    for ((row, column), &value) in sum.indexed_iter() {
        // SAFETY: C describes memory that holds this element, and nothing else borrows it.
        unsafe { put(output, c, row, column, widen(value)) }
    }
}

/// Tensor cores look at 11 significant bits of a TF32 factor: rounded to nearest, ties to even.
fn for_product(kind: Kind, value: f64) -> f64 {
    if kind != Kind::Tf32 || !value.is_finite() {
        return value;
    }
    let bits = (value as f32).to_bits();
    let rounded = (bits + 0xfff + ((bits >> 13) & 1)) & !0x1fff;
    f32::from_bits(rounded).into()
}

/// # Safety
/// The factor describes memory that holds this element.
unsafe fn get(kind: Kind, factor: Factor, row: usize, column: usize) -> f64 {
    let at = address(kind, factor, row, column);
    // SAFETY: as promised; matrices are aligned to their elements.
    unsafe {
        match kind {
            Kind::F64 => at.cast::<f64>().read(),
            Kind::F32 | Kind::Tf32 => at.cast::<f32>().read().into(),
            Kind::Bf16 => at.cast::<bf16>().read().into(),
        }
    }
}

/// # Safety
/// The factor describes memory that holds this element and that nothing else borrows.
unsafe fn put(kind: Kind, factor: Factor, row: usize, column: usize, value: f64) {
    let at = address(kind, factor, row, column);
    // SAFETY: as promised; matrices are aligned to their elements.
    unsafe {
        match kind {
            Kind::F64 => at.cast::<f64>().write(value),
            Kind::F32 | Kind::Tf32 => at.cast::<f32>().write(value as f32),
            Kind::Bf16 => at.cast::<bf16>().write(bf16::from_f64(value)),
        }
    }
}

fn address(kind: Kind, factor: Factor, row: usize, column: usize) -> *mut u8 {
    let offset = (row * factor.stride + column) * kind.size();
    std::ptr::with_exposed_provenance_mut::<u8>(factor.address as usize).wrapping_add(offset)
}
