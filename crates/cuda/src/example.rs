//! What the methods' `gpu` examples share: opening a GPU or saying why not, numbers, and a row of their table.

use ndarray::{Array2, Zip};

use crate::{Device, Element, Error, Gpu, Kind, Matrix, Result, multiply};

/// \[tokens, in, out, r\] of the examples.
pub const SHAPE: [usize; 4] = [2048, 1024, 1024, 16];

/// The first GPU; or nothing, after a line that begins with SKIPPED and says why.
///
/// # Errors
/// There is no GPU, and `LOWRANK_REQUIRE_GPU` is 1.
pub fn open() -> Result<Option<Gpu>> {
    match Gpu::open() {
        Ok(gpu) => {
            println!("{}, {}", gpu.name(), gpu.architecture());
            println!("{:<6} {:>16} {:>16} {:>14}", "", "y, of its bound", "∂L/∂x", "of base time");
            Ok(Some(gpu))
        }
        Err(error) if std::env::var("LOWRANK_REQUIRE_GPU").is_ok_and(|value| value == "1") => {
            Err(error)
        }
        Err(error) => {
            println!("SKIPPED {error}");
            Ok(None)
        }
    }
}

/// Numbers between −2 and 2 with 8 significant bits: every kind of element holds them, so that nothing is lost on the way.
pub fn numbers(shape: [usize; 2], seed: usize) -> Array2<f64> {
    Array2::from_shape_fn(shape, |(i, j)| {
        let mixed = (i * 7919 + j * 104_729 + seed * 1_299_709).wrapping_mul(2_654_435_761) >> 7;
        ((mixed % 255) as f64 - 127.0) / 64.0
    })
}

/// The largest error in units of its bound: that of the oracle's contract, (2n + r) u_a + 7 u_s times the gauge, with n summed
/// over and the gauge the method itself on absolute values.
pub fn of_bound<T: Element>(
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
    let mut worst = 0.0;
    Zip::from(got).and(want).and(gauge).for_each(|got, want, gauge| {
        let rho = (got - want).abs() / (unit * gauge);
        // A NaN must not hide.
        if !(rho <= worst) {
            worst = rho;
        }
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

/// A row of the table.
///
/// # Errors
/// An error is above its bound.
pub fn row<T: Element>([y, x]: [f64; 2], of_base: f64) -> Result<()> {
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
