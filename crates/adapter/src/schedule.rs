//! Learning rates that change with the step.

use crate::{Error, Result};

/// What the rate does after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decay {
    /// Stays.
    #[default]
    Constant,
    /// Falls on a straight line that would reach 0 one step after the last.
    Linear,
    /// Falls on half a cosine that would reach 0 one step after the last.
    Cosine,
}

/// A warm-up from 0 on a straight line, then a [`Decay`]: the three schedules of Hugging Face's transformers, with
/// their convention that the very first step of a warm-up has rate 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// After the warm-up.
    pub decay: Decay,
    /// Steps of warm-up.
    pub warmup: usize,
    /// All steps, warm-up included.
    pub steps: usize,
}

impl Schedule {
    /// # Errors
    /// The warm-up is longer than the run.
    pub fn new(decay: Decay, warmup: usize, steps: usize) -> Result<Self> {
        if warmup > steps {
            let hint = format!("the run has only {steps} steps");
            return Err(Error::value("warmup", warmup, hint));
        }
        Ok(Self { decay, warmup, steps })
    }

    /// What to multiply the learning rate with at `step`, counted from 0.
    pub fn factor(&self, step: usize) -> f64 {
        if step < self.warmup {
            return step as f64 / self.warmup as f64;
        }
        let left = self.steps.saturating_sub(step) as f64;
        let progress = 1.0 - left / self.steps.saturating_sub(self.warmup).max(1) as f64;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_of_transformers() {
        // transformers.get_{constant,linear,cosine}_schedule_with_warmup, 2 warm-up steps of 6.
        let at = |decay| {
            let schedule = Schedule::new(decay, 2, 6).unwrap();
            (0..6).map(|step| schedule.factor(step)).collect::<Vec<_>>()
        };
        assert_eq!(at(Decay::Constant), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(at(Decay::Linear), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
        let half = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
        let cosine = [0.0, 0.5, 1.0, 0.5 + half, 0.5, 0.5 - half];
        for (got, want) in at(Decay::Cosine).into_iter().zip(cosine) {
            // Three roundings of numbers near 1.
            assert!((got - want).abs() <= 4.0 * f64::EPSILON, "{got} {want}");
        }
        assert!(Schedule::new(Decay::Linear, 7, 6).is_err());
    }
}
