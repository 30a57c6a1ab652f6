//! The product of two large matrices, on all cores.
//!
//! Three quarters of a training step's time are products with frozen weights. The crate [`gemm`] computes them, which knows
//! the processor by what it can do and not by its model number, and needs no library in C. Its functions take pointers:
//! this crate is one function that takes arrays.

use std::any::TypeId;
use std::mem::MaybeUninit;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, LinalgScalar};

/// From so many multiplications on two threads are faster than one: a tenth of a millisecond.
const LARGE: usize = 1 << 23;

/// a b: \[m, k\]·\[k, n\] → \[m, n\], of `f32` or `f64`. `None` where ndarray's `dot` is the better choice: the product is small,
/// or of other numbers, or the shapes do not fit.
///
/// The product is cut into blocks of columns, and each is computed by one thread of `rayon`. Where the blocks lie follows
/// from the shapes alone, so the result does not depend on the number of threads. In its last bits it depends on the
/// processor.
pub fn multiply<T>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Option<Array2<T>>
where
    T: LinalgScalar + Send + Sync,
{
    let (m, n) = (a.nrows(), b.ncols());
    let float =
        TypeId::of::<T>() == TypeId::of::<f32>() || TypeId::of::<T>() == TypeId::of::<f64>();
    if !float || a.len().saturating_mul(n) < LARGE || a.ncols() != b.nrows() {
        return None;
    }
    let mut c = Array2::uninit((m, n));
    // Each block reads all of a, so blocks are wide; and their number is even, since most machines have so many cores.
    let blocks = (n / 512).next_power_of_two().clamp(2, 16);
    let width = n.div_ceil(blocks).next_multiple_of(16); // 16 numbers: what a core computes at once
    let columns = c.axis_chunks_iter_mut(Axis(1), width).into_par_iter();
    columns.zip(b.axis_chunks_iter(Axis(1), width)).for_each(|(c, b)| write_product(a, b, c));
    // SAFETY: the blocks are all of c, and each has been written.
    Some(unsafe { c.assume_init() })
}

/// Writes a b, \[m, k\]·\[k, n\], into every element of c, \[m, n\]. `T` is `f32` or `f64`.
fn write_product<T: LinalgScalar>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, MaybeUninit<T>>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert!(b.nrows() == k && c.dim() == (m, n), "the shapes fit");
    let [(row_a, column_a), (row_b, column_b)] =
        [a, b].map(|view| (view.strides()[0], view.strides()[1]));
    let (row_c, column_c) = (c.strides()[0], c.strides()[1]);
    // SAFETY: each pointer and its strides are those of a view whose shape has just been checked. c is ours alone, and it is
    // written without being read (`read_dst` is false), whatever k is.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr().cast::<T>(),
            column_c,
            row_c,
            false,
            a.as_ptr(),
            column_a,
            row_a,
            b.as_ptr(),
            column_b,
            row_b,
            T::zero(), // c is not multiplied with anything
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also where there is nothing to add up, or nowhere to write it.
    #[test]
    fn every_element_is_written() {
        for m in [0, 1, 3, 17] {
            for n in [0, 1, 5, 33] {
                for k in [0, 1, 2, 31] {
                    let a = Array2::from_shape_fn((m, k), |(i, j)| (3 * i + 5 * j) as f64 - 7.0);
                    let b = Array2::from_shape_fn((k, n), |(i, j)| (11 * i + j) as f64 - 9.0);
                    let mut c = Array2::from_elem((m, n), MaybeUninit::new(f64::NAN));
                    write_product(a.view(), b.view(), c.view_mut());
                    // SAFETY: it was initialised with NaN.
                    let c = unsafe { c.assume_init() };
                    for ((i, j), c) in c.indexed_iter() {
                        let product: f64 = (0..k).map(|l| a[[i, l]] * b[[l, j]]).sum();
                        assert_eq!(*c, product, "{i}, {j} of [{m}, {k}]·[{k}, {n}]");
                    }
                }
            }
        }
    }
}
