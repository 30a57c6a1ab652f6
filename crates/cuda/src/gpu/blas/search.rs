//! Which of several algorithms takes the least time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::timing::{Effort, in_turns};
use crate::{Device, Result};

/// The first runs this long before any is timed: clocks rise.
const WARM_UP: Duration = Duration::from_millis(100);
/// Clocks stay up this long when there is nothing to do any more.
const AWAKE: Duration = Duration::from_millis(200);
/// Milliseconds that all runs may take together, if each is to run at all.
const MOST: f64 = 100.0;
/// Times of each, in turns.
const ROUNDS: usize = 5;
/// Runs between two events: one alone is as long as its launch.
const REPEATS: usize = 10;
/// What another may take of the first one's time. The first is the library's own choice, and a smaller difference is noise.
const CLEARLY: f64 = 0.98;

/// Knows when the last search ended, since only a GPU that was idle must be warmed up.
#[derive(Default)]
pub(super) struct Search {
    ended: Cell<Option<Instant>>,
}

impl Search {
    /// The number of the fastest of these, of which there is one at least.
    ///
    /// # Errors
    /// What a work returns, or the device fails.
    pub(super) fn fastest<D: Device>(
        &self,
        device: &D,
        works: &mut [&mut dyn FnMut() -> Result<()>],
    ) -> Result<usize> {
        let awake = self.ended.get().is_some_and(|at| at.elapsed() < AWAKE);
        let warm_up = if awake { Duration::ZERO } else { WARM_UP };
        let once = Effort { warm_up, repeats: 1, rounds: 1 };
        let first = in_turns(device, once, &mut works[..1])?;
        let effort = effort(first[0][0], works.len());
        let times = in_turns(device, effort, works)?;
        self.ended.set(Some(Instant::now()));
        Ok(chosen(&times))
    }
}

/// As many runs as fit, for `count` works that take about so many milliseconds: rounds before repeats, since the fastest
/// round is what counts.
fn effort(ms: f64, count: usize) -> Effort {
    let fit = MOST / (ms * count as f64);
    let runs = fit.clamp(1.0, (ROUNDS * REPEATS) as f64) as usize;
    let rounds = runs.min(ROUNDS);
    Effort { warm_up: Duration::ZERO, repeats: (runs / rounds) as u32, rounds }
}

/// By the fastest round of each: what disturbs a round only ever adds to it.
fn chosen(times: &[Vec<f64>]) -> usize {
    let least = |work: usize| times[work].iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = (0..times.len()).min_by(|one, other| least(*one).total_cmp(&least(*other)));
    fastest.filter(|fastest| least(*fastest) <= CLEARLY * least(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_stays_short_whatever_a_product_takes() {
        let runs = |ms| {
            let Effort { repeats, rounds, .. } = effort(ms, 8);
            (rounds, repeats)
        };
        assert_eq!([0.0, 0.01, 0.35].map(runs), [(5, 10), (5, 10), (5, 7)]);
        assert_eq!([5.5, 500.0].map(runs), [(2, 1), (1, 1)]);
    }

    #[test]
    fn the_first_stays_unless_another_is_clearly_faster() {
        assert_eq!(chosen(&[vec![1.0, 1.1], vec![0.99, 0.985]]), 0);
        assert_eq!(chosen(&[vec![1.0, 1.1], vec![0.97, 1.2], vec![1.1, 0.9]]), 2);
        // A round that was disturbed says nothing about its algorithm.
        assert_eq!(chosen(&[vec![9.0, 1.0], vec![0.95, 9.0]]), 1);
    }

    #[cfg(feature = "emulator")]
    #[test]
    fn the_fastest_is_found() {
        let device = match crate::Emulator::open() {
            Ok(device) => device,
            Err(error) => return println!("SKIPPED {error}"),
        };
        let mut slow = || {
            std::thread::sleep(Duration::from_millis(1));
            Ok(())
        };
        let mut fast = || Ok(());
        let mut works: [&mut dyn FnMut() -> Result<()>; 2] = [&mut slow, &mut fast];
        assert_eq!(Search::default().fastest(&device, &mut works), Ok(1));
    }
}
