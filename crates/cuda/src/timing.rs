//! How long things take, one beside the other in the same run.

use std::time::{Duration, Instant};

use crate::{Device, Result};

/// How much is done for one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// All of it runs this long before anything is timed: clocks rise, kernels are loaded.
    pub warm_up: Duration,
    /// Runs between two events.
    pub repeats: u32,
    /// Times of each, one after the other in turns.
    pub rounds: usize,
}

impl Effort {
    /// What a time that is reported takes.
    pub const FULL: Self = Self { warm_up: Duration::from_millis(300), repeats: 20, rounds: 7 };
    /// Everything once: for tests of what is timed.
    pub const LEAST: Self = Self { warm_up: Duration::ZERO, repeats: 1, rounds: 1 };
}

/// Milliseconds of one run of each work, by round. They take turns, so that a change of the clocks meets them all.
///
/// # Errors
/// What a work returns, or the device fails.
pub fn in_turns<D: Device>(
    device: &D,
    effort: Effort,
    works: &mut [&mut dyn FnMut() -> Result<()>],
) -> Result<Vec<Vec<f64>>> {
    let start = Instant::now();
    while start.elapsed() < effort.warm_up {
        for work in works.iter_mut() {
            (0..effort.repeats).try_for_each(|_| work())?;
        }
        device.synchronize()?;
    }
    let mut times = vec![Vec::new(); works.len()];
    for _ in 0..effort.rounds.max(1) {
        for (work, times) in works.iter_mut().zip(&mut times) {
            let all = device.milliseconds(|| (0..effort.repeats).try_for_each(|_| work()))?;
            times.push(all / f64::from(effort.repeats));
        }
    }
    Ok(times)
}

/// The median; NaN of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median over the rounds of what one takes, as a multiple of the other.
pub fn median_ratio(one: &[f64], other: &[f64]) -> f64 {
    median(one.iter().zip(other).map(|(one, other)| one / other).collect())
}
