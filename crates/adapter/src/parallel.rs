//! The same work on many rows: on all cores with the feature `threads`, one row after the other without it.
//!
//! No result depends on the number of threads. Each row, head or block of columns is computed by one thread, and where the
//! blocks lie follows from the shapes alone.

use ndarray::{Array2, ArrayView2};

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
/// With the feature `threads` a large product is cut into blocks of columns, one for each thread at a time. BLAS, which
/// computes the small ones, must then have a single thread (`OPENBLAS_NUM_THREADS=1`): its own threads wait for each
/// other by spinning, and when the machine is busy with something else they do little but that.
///
/// # Panics
/// a and b disagree on k.
pub fn multiply<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<T> {
    #[cfg(feature = "threads")]
    if let Some(product) = matmul::multiply(a, b) {
        return product;
    }
    a.dot(&b)
}
