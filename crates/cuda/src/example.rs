//! What the methods' `gpu` examples share: opening a GPU or saying why not, numbers, and a row of their table.

use adapter::Adapter;
use ndarray::{Array2, Zip};

use crate::{Device, Element, Error, Gpu, Kind, Matrix, Result, multiply};

/// \[tokens, in, out, r\] of the examples.
pub const SHAPE: [usize; 4] = [2048, 1024, 1024, 16];

/// [`Gpu::open_or_skip`], and the head of the table.
///
/// # Errors
/// There is no GPU, and `LOWRANK_REQUIRE_GPU` is 1.
pub fn open() -> Result<Option<Gpu>> {
    let gpu = Gpu::open_or_skip()?;
    if let Some(gpu) = &gpu {
        println!("{}, {}", gpu.name(), gpu.architecture());
        println!("{:<6} {:>16} {:>16} {:>14}", "", "y, of its bound", "∂L/∂x", "of base time");
    }
    Ok(gpu)
}

/// Numbers between −2 and 2 with 8 significant bits: every kind of element holds them, so that nothing is lost on the way.
pub fn numbers(shape: [usize; 2], seed: usize) -> Array2<f64> {
    Array2::from_shape_fn(shape, |(i, j)| {
        let mixed = (i * 7919 + j * 104_729 + seed * 1_299_709).wrapping_mul(2_654_435_761) >> 7;
        ((mixed % 255) as f64 - 127.0) / 64.0
    })
}

/// \[y, ∂L/∂x\] in f64 on the numbers of [`Operands`]: the truth, or with `f64::abs` the gauge of what rounding may do.
///
/// # Errors
/// The adapter does not have the shape of the examples.
pub fn on_cpu(
    adapter: &impl Adapter<f64>,
    of: fn(f64) -> f64,
) -> adapter::Result<[Array2<f64>; 2]> {
    let [weight, x, grad_y] = host(of);
    let (y, saved) = adapter.forward(weight.view(), &x.into_shared(), None)?;
    let (grad_x, _) = adapter.backward(weight.view(), &saved, grad_y.view())?;
    Ok([y, grad_x])
}

fn host(of: fn(f64) -> f64) -> [Array2<f64>; 3] {
    let [tokens, inputs, out, _] = SHAPE;
    [([out, inputs], 1), ([tokens, inputs], 2), ([tokens, out], 3)]
        .map(|(shape, seed)| numbers(shape, seed).mapv(of))
}

/// What a pass reads, and room for what it writes.
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
    pub fn new(gpu: &D) -> Result<Self> {
        let [weight, x, grad_y] = host(|number| number);
        Ok(Self {
            y: Matrix::new(gpu, [x.nrows(), weight.nrows()])?,
            grad_x: Matrix::new(gpu, [x.nrows(), weight.ncols()])?,
            weight: Matrix::from_host(gpu, weight.view())?,
            x: Matrix::from_host(gpu, x.view())?,
            grad_y: Matrix::from_host(gpu, grad_y.view())?,
        })
    }
}

/// The largest error in units of its bound: that of the oracle's contract, (2n + r) u_a + 7 u_s times the gauge, with n summed
/// over and the gauge the method itself on absolute values.
fn of_bound<T: Element>(
    got: &Array2<f64>,
    want: &Array2<f64>,
    gauge: &Array2<f64>,
    n: usize,
) -> f64 {
    let (accumulate, store) = match T::KIND {
        Kind::F64 => (2.0_f64.powi(-53), 2.0_f64.powi(-53)),
        Kind::F32 => (2.0_f64.powi(-24), 2.0_f64.powi(-24)),
        Kind::Tf32 => (2.0_f64.powi(-23), 2.0_f64.powi(-11)),
        Kind::Bf16 => (2.0_f64.powi(-23), 2.0_f64.powi(-8)),
    };
    let unit = (2 * n + SHAPE[3]) as f64 * accumulate + 7.0 * store;
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

/// The time of a forward and a backward over that of their two base products.
///
/// # Errors
/// The GPU fails.
pub fn of_base<T: Element>(
    gpu: &Gpu,
    weight: &Matrix<T, Gpu>,
    pass: impl FnMut() -> Result<()>,
) -> Result<f64> {
    let [out, inputs] = weight.shape();
    let mut y = Matrix::<T, _>::zeros(gpu, [SHAPE[0], out])?;
    let mut x = Matrix::<T, _>::from_host(gpu, numbers([SHAPE[0], inputs], 9).view())?;
    let base = fastest(gpu, || {
        multiply(1.0, x.view(), weight.view().t(), 0.0, y.view_mut())?;
        multiply(1.0, y.view(), weight.view(), 0.0, x.view_mut())
    })?;
    Ok(fastest(gpu, pass)? / base)
}

/// A row of the table: `made` by a pass on the GPU against the truth of the CPU.
///
/// # Errors
/// An error is above its bound, or the GPU fails.
pub fn row<T: Element, D: Device>(
    made: &Operands<T, D>,
    truth: &[Array2<f64>; 2],
    gauge: &[Array2<f64>; 2],
    of_base: f64,
) -> Result<()> {
    let [_, inputs, out, _] = SHAPE;
    let y = of_bound::<T>(&made.y.to_host()?, &truth[0], &gauge[0], inputs);
    let x = of_bound::<T>(&made.grad_x.to_host()?, &truth[1], &gauge[1], out);
    println!("{:<6} {y:>16.3} {x:>16.3} {of_base:>14.2}", T::KIND.name());
    if y <= 1.0 && x <= 1.0 {
        return Ok(());
    }
    let hint = "errors in units of their bounds are at most 1";
    Err(Error::Argument(adapter::Error::value("y and grad_x", format!("{y} and {x}"), hint)))
}

/// The fastest of some runs, in milliseconds.
fn fastest(gpu: &Gpu, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    (0..3).try_for_each(|_| work())?;
    let times = (0..20).map(|_| gpu.milliseconds(&mut work)).collect::<Result<Vec<_>>>()?;
    Ok(times.into_iter().fold(f64::INFINITY, f64::min))
}
