//! Independent runs, as many at once as there are cores: side by side they take half as long as one after another with
//! BLAS on two threads.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread::{available_parallelism, scope};

use anyhow::{Result, anyhow};

/// `run` of every item, in the order of the items.
///
/// # Errors
/// The first that a run returned.
pub fn map<I: Send, O: Send>(items: Vec<I>, run: impl Fn(I) -> Result<O> + Sync) -> Result<Vec<O>> {
    let mut results: Vec<Option<Result<O>>> = items.iter().map(|_| None).collect();
    let queue = Mutex::new(items.into_iter().zip(&mut results));
    scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                // The lock is given back before the run begins.
                let next = || queue.lock().ok()?.next();
                while let Some((item, result)) = next() {
                    *result = Some(run(item));
                }
            });
        }
    });
    results.into_iter().map(|result| result.ok_or_else(|| anyhow!("a run ended early"))?).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_items() {
        let squares = map((0..100).collect(), |i: u64| Ok(i * i)).unwrap();
        assert_eq!(squares, (0..100).map(|i| i * i).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_is_returned() {
        assert!(map(vec![1, 2], |i| if i == 2 { Err(anyhow!("two")) } else { Ok(i) }).is_err());
    }
}
