//! The launches of kernels.cu, with the numbers that must agree with it.

use adapter::check_shape;
use cuda::{BLOCK, Device, Dimensions, Element, Launch, Matrix, Result, Source, View, ViewMut};

/// The kernels that fold the vectors, and that reduce P.
pub static KERNELS: Source = Source::new("crates/vera/src/kernels.cu", include_str!("kernels.cu"));

/// Rows of P that a block reduces; the same number stands in kernels.cu.
const ROWS: usize = 32;
/// Threads that exchange their sums.
const WARP: usize = 32;
/// Warps of a block.
const WARPS: usize = BLOCK as usize / WARP;

// ANCHOR: fold
/// F = Λ_b B Λ_d \[out, r\], from b \[1, out\], the first rows of B \[≥ out, r\], and d \[1, r\].
pub(crate) fn fold<T: Element, D: Device>(
    lambda_b: &Matrix<T::Master, D>,
    b: &Matrix<T, D>,
    lambda_d: &Matrix<T::Master, D>,
    folded: ViewMut<'_, T, D>,
) -> Result<()> {
    let [out, rank] = folded.shape();
    check_layer([out, rank], lambda_b, b, lambda_d)?;
    Launch::new::<T>(b.device(), &KERNELS, "vera_fold")
        .read(lambda_b)
        .read(b)
        .read(lambda_d)
        .write_strided(folded)
        .count(out)
        .count(rank)
        .run(Dimensions::each(out * rank))
}
// ANCHOR_END: fold

/// A kernel looks at none of its arrays' sizes.
fn check_layer<T: Element, D: Device>(
    [out, rank]: [usize; 2],
    lambda_b: &Matrix<T::Master, D>,
    b: &Matrix<T, D>,
    lambda_d: &Matrix<T::Master, D>,
) -> Result<()> {
    check_shape("vera_lambda_b", &lambda_b.shape(), &[1, out], "[1, out] of the layer")?;
    check_shape("vera_B", &b.shape(), &[b.shape()[0].max(out), rank], "[≥ out, r] of the layer")?;
    Ok(check_shape("vera_lambda_d", &lambda_d.shape(), &[1, rank], "[1, r] of the layer")?)
}

/// Of the sums over columns that [`reduce`] leaves on its way, a row for each warp.
pub(crate) fn partial_shape([out, rank]: [usize; 2]) -> [usize; 2] {
    [out.div_ceil(ROWS) * WARPS, rank]
}

/// ∂L/∂b = rowsum(P ⊙ B Λ_d) \[1, out\] and ∂L/∂d = colsum(P ⊙ Λ_b B) \[1, r\], from P \[out, r\].
pub(crate) fn reduce<T: Element, D: Device>(
    p: View<'_, T::Master, D>,
    lambda_b: &Matrix<T::Master, D>,
    b: &Matrix<T, D>,
    lambda_d: &Matrix<T::Master, D>,
    grad_b: &mut Matrix<T::Master, D>,
    grad_d: &mut Matrix<T::Master, D>,
    partial: &mut Matrix<T::Master, D>,
) -> Result<()> {
    let ([out, rank], device) = (p.shape(), b.device());
    check_layer([out, rank], lambda_b, b, lambda_d)?;
    let made = "gradients of this adapter, made by its `grads`";
    check_shape("the gradient of vera_lambda_b", &grad_b.shape(), &[1, out], made)?;
    check_shape("the gradient of vera_lambda_d", &grad_d.shape(), &[1, rank], made)?;
    check_shape("partial", &partial.shape(), &partial_shape([out, rank]), made)?;
    let blocks = out.div_ceil(ROWS);
    if blocks > 0 {
        Launch::new::<T>(device, &KERNELS, "vera_reduce")
            .read_packed(p)
            .read(lambda_b)
            .read(b)
            .read(lambda_d)
            .write(grad_b)
            .write(partial)
            .count(out)
            .count(rank)
            .run(Dimensions::blocks(blocks)?)?;
    }
    Launch::new::<T>(device, &KERNELS, "vera_finish")
        .read(partial)
        .write(grad_d)
        .count(blocks * WARPS)
        .count(rank)
        .run(Dimensions::blocks(rank.div_ceil(WARPS))?)
}
