//! What the methods' `gpu` examples and `gpu-check` share: numbers, the truth of some tokens, and how far off a device is.

use adapter::Adapter;
use ndarray::{Array2, Zip};

use crate::timing::{Effort, in_turns, median_ratio};
use crate::{
    Augmented, Bordered, Device, Element, Error, Gpu, Kind, Matrix, Replay, Result, multiply, rows,
};

/// \[tokens, in, out, r\] of the examples: a layer of a model with 7 billion parameters.
pub const SHAPE: [usize; 4] = [8192, 4096, 4096, 16];

/// Tokens whose rows of y and ∂L/∂x are compared: all of them would take the CPU minutes.
const CHECKED: usize = 32;

/// [`Gpu::open_or_skip`], and the head of the table.
///
/// # Errors
/// There is no GPU, and `LOWRANK_REQUIRE_GPU` is 1.
pub fn open() -> Result<Option<Gpu>> {
    let gpu = Gpu::open_or_skip()?;
    if let Some(gpu) = &gpu {
        let [tokens, inputs, out, rank] = SHAPE;
        println!("{}, {}", gpu.name(), gpu.architecture());
        println!("{tokens} tokens, {out} x {inputs}, r = {rank}, a step as a graph");
        println!("{:<6} {:>16} {:>16} {:>14}", "", "y, of its bound", "∂L/∂x", "of base time");
    }
    Ok(gpu)
}

/// Numbers between −2 and 2 with 8 significant bits: every kind of element holds them, so that nothing is lost on the way.
pub fn numbers(shape: [usize; 2], seed: usize) -> Array2<f64> {
    Array2::from_shape_fn(shape, |(i, j)| number(i, j, seed))
}

fn number(i: usize, j: usize, seed: usize) -> f64 {
    let mixed = (i * 7919 + j * 104_729 + seed * 1_299_709).wrapping_mul(2_654_435_761) >> 7;
    ((mixed % 255) as f64 - 127.0) / 64.0
}

/// The tokens whose rows are compared: the first, the last, and some between.
fn checked(tokens: usize) -> Vec<usize> {
    let count = CHECKED.min(tokens);
    (0..count).map(|i| i * (tokens - 1) / (count - 1).max(1)).collect()
}

/// Seeds of W, x and ∂L/∂y.
const SEEDS: [usize; 3] = [1, 2, 3];

/// \[y, ∂L/∂x\] of the tokens that are compared, in f64 on the numbers of [`Operands`], from A and B and without ΔW: the truth,
/// or with `f64::abs` the gauge of what rounding may do.
///
/// # Errors
/// The adapter does not have this shape.
pub fn on_cpu(
    adapter: &impl Adapter<f64>,
    [tokens, inputs, out, _]: [usize; 4],
    of: fn(f64) -> f64,
) -> adapter::Result<[Array2<f64>; 2]> {
    let rows = checked(tokens);
    let some = |width, seed| {
        Array2::from_shape_fn((rows.len(), width), |(i, j)| of(number(rows[i], j, seed)))
    };
    let weight = numbers([out, inputs], SEEDS[0]).mapv(of);
    let x = some(inputs, SEEDS[1]).into_shared();
    let (y, saved) = adapter.forward(weight.view(), &x, None)?;
    let (grad_x, _) = adapter.backward(weight.view(), &saved, some(out, SEEDS[2]).view())?;
    Ok([y, grad_x])
}

/// What the two base products read, and room for what they or a pass write. A layer has W, x and ∂L/∂y in matrices of its own.
#[allow(missing_docs)]
pub struct Operands<T: Element, D: Device = Gpu> {
    pub weight: Matrix<T, D>,
    pub x: Matrix<T, D>,
    pub grad_y: Matrix<T, D>,
    pub y: Matrix<T, D>,
    pub grad_x: Matrix<T, D>,
}

impl<T: Element, D: Device> Operands<T, D> {
    /// On this device.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, [tokens, inputs, out, _]: [usize; 4]) -> Result<Self> {
        let on = |shape, seed| Matrix::from_host(device, numbers(shape, seed).view());
        Ok(Self {
            weight: on([out, inputs], SEEDS[0])?,
            x: on([tokens, inputs], SEEDS[1])?,
            grad_y: on([tokens, out], SEEDS[2])?,
            y: Matrix::new(device, [tokens, out])?,
            grad_x: Matrix::new(device, [tokens, inputs])?,
        })
    }
}

impl<T: Element, D: Device> Operands<T, D> {
    /// \[x | ·\] and \[∂L/∂y | ·\] of a layer, with x and ∂L/∂y in them.
    ///
    /// # Errors
    /// The layer has another shape, or there is not enough memory.
    pub fn beside(&self, matrix: &Bordered<T, D>) -> Result<[Augmented<T, D>; 2]> {
        let tokens = self.x.shape()[0];
        let [mut x_h, mut grad_y_h] = [matrix.input(tokens)?, matrix.grad_y(tokens)?];
        rows::copy(self.x.view(), x_h.left_mut())?;
        rows::copy(self.grad_y.view(), grad_y_h.left_mut())?;
        Ok([x_h, grad_y_h])
    }
}

/// The largest errors of y and of ∂L/∂x in units of their bounds, at the tokens that are compared.
///
/// # Errors
/// The device fails.
pub fn of_bounds<T: Element, D: Device>(
    y: &Matrix<T, D>,
    grad_x: &Matrix<T, D>,
    rank: usize,
    truth: &[Array2<f64>; 2],
    gauge: &[Array2<f64>; 2],
) -> Result<[f64; 2]> {
    let rows = checked(y.shape()[0]);
    let ([_, out], [_, inputs]) = (y.shape(), grad_x.shape());
    let of = |made: &Matrix<T, D>, which: usize, n: usize| -> Result<f64> {
        let got = made.rows_to_host(&rows)?;
        Ok(of_bound::<T>(&got, &truth[which], &gauge[which], n, rank))
    };
    Ok([of(y, 0, inputs)?, of(grad_x, 1, out)?])
}

/// The largest error in units of its bound: that of the oracle's contract, (2n + r) u_a + 7 u_s times the gauge, with n summed
/// over and the gauge the method itself on absolute values.
fn of_bound<T: Element>(
    got: &Array2<f64>,
    want: &Array2<f64>,
    gauge: &Array2<f64>,
    n: usize,
    rank: usize,
) -> f64 {
    let (accumulate, store) = match T::KIND {
        Kind::F64 => (2.0_f64.powi(-53), 2.0_f64.powi(-53)),
        Kind::F32 => (2.0_f64.powi(-24), 2.0_f64.powi(-24)),
        Kind::Tf32 => (2.0_f64.powi(-23), 2.0_f64.powi(-11)),
        Kind::Bf16 => (2.0_f64.powi(-23), 2.0_f64.powi(-8)),
    };
    let unit = (2 * n + rank) as f64 * accumulate + 7.0 * store;
    let mut worst = 0.0_f64;
    Zip::from(got).and(want).and(gauge).for_each(|got, want, gauge| {
        let (error, bound) = ((got - want).abs(), unit * gauge);
        // An error that is NaN must not hide: `max` would drop it.
        let rho = match error {
            0.0 => 0.0,
            _ if error.is_nan() => f64::INFINITY,
            _ => error / bound,
        };
        worst = worst.max(rho);
    });
    worst
}

/// The time of a forward and a backward over that of their two base products: each as a graph, in turns. The pass writes its y
/// and ∂L/∂x where the base products write theirs, and after them.
///
/// # Errors
/// The GPU fails.
pub fn of_base<T: Element>(
    gpu: &Gpu,
    Operands { weight, x, grad_y, y, grad_x }: &mut Operands<T>,
    mut pass: impl FnMut(&mut Matrix<T, Gpu>, &mut Matrix<T, Gpu>) -> Result<()>,
) -> Result<f64> {
    let mut base = || {
        multiply(1.0, x.view(), weight.view().t(), 0.0, y.view_mut())?;
        multiply(1.0, grad_y.view(), weight.view(), 0.0, grad_x.view_mut())
    };
    base()?;
    let base = gpu.record(base)?;
    pass(y, grad_x)?;
    let pass = gpu.record(|| pass(y, grad_x))?;
    let mut replays = (|| base.replay(), || pass.replay());
    let times = in_turns(gpu, Effort::FULL, &mut [&mut replays.0, &mut replays.1])?;
    Ok(median_ratio(&times[1], &times[0]))
}

/// A row of the table: `made` by a pass on the GPU against the truth of the CPU.
///
/// # Errors
/// An error is above its bound, or the GPU fails.
pub fn row<T: Element, D: Device>(
    made: &Operands<T, D>,
    rank: usize,
    truth: &[Array2<f64>; 2],
    gauge: &[Array2<f64>; 2],
    of_base: f64,
) -> Result<()> {
    let [y, x] = of_bounds(&made.y, &made.grad_x, rank, truth, gauge)?;
    println!("{:<6} {y:>16.3} {x:>16.3} {of_base:>14.2}", T::KIND.name());
    if y <= 1.0 && x <= 1.0 {
        return Ok(());
    }
    let hint = "errors in units of their bounds are at most 1";
    Err(Error::Argument(adapter::Error::value("y and grad_x", format!("{y} and {x}"), hint)))
}
