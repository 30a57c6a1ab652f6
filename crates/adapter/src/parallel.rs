//! The same work on many rows: on all cores with the feature `threads`, one row after the other without it.
//!
//! No result depends on the number of threads. Each row, head or block of columns is computed by one thread, in the
//! order of the loop that it replaces, and where the blocks lie follows from the shapes alone.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis};

use crate::Real;

/// Below so many numbers the other core would wake up too late to be of use.
const FEW: usize = 1 << 15;

/// `work` on each of `items`, which are made of `numbers` numbers in all; the results in the same order.
pub fn map<I: Send, R: Send>(
    numbers: usize,
    items: impl Iterator<Item = I>,
    work: impl Fn(I) -> R + Sync + Send,
) -> Vec<R> {
    #[cfg(feature = "threads")]
    if numbers >= FEW {
        use ndarray::parallel::prelude::*;
        return items.collect::<Vec<_>>().into_par_iter().map(work).collect();
    }
    let _ = (numbers, FEW);
    items.map(work).collect()
}

/// a b: \[m, k\]·\[k, n\] → \[m, n\].
///
/// A large product is cut into blocks of columns, and each is one product of BLAS. BLAS itself must then have a single
/// thread (`OPENBLAS_NUM_THREADS=1`): its own threads wait for each other by spinning, and when the machine is busy with
/// something else they do little but that.
pub fn multiply<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<T> {
    // BLAS copies a once for each block, so blocks are wide; and an even number, since most machines have so many cores.
    // Below 2²³ multiplications, a tenth of a millisecond, one thread is as fast.
    let large = a.len() * b.ncols() >= 1 << 23;
    let blocks = if large { (b.ncols() / 512).next_power_of_two().clamp(2, 16) } else { 1 };
    if cfg!(not(feature = "threads")) || blocks < 2 {
        return a.dot(&b);
    }
    let mut c = Array2::zeros((a.nrows(), b.ncols()));
    let width = b.ncols().div_ceil(blocks).next_multiple_of(16); // 16 numbers: what BLAS computes at once
    let numbers = c.len();
    let columns = c.axis_chunks_iter_mut(Axis(1), width).zip(b.axis_chunks_iter(Axis(1), width));
    map(numbers, columns, |(mut c, b)| general_mat_mul(T::one(), &a, &b, T::zero(), &mut c));
    c
}
