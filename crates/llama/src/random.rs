//! Random numbers of a run: each purpose has its own, so that no two of them share a draw.
//!
//! A seed chooses ChaCha's key; purpose and index choose one of its 2⁶⁴ streams, which do not overlap. So a dropout mask
//! says nothing about the A that the same seed drew, and what is drawn for one step does not depend on what was drawn
//! for another: a resumed run needs no state of a generator.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are for, and what its index counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What adapters start with; index 0.
    Adapters,
    /// The order of the examples; by the pass through them.
    Order,
    /// Dropout masks; by the step.
    Dropout,
    /// Problems of the embedded model's task; by the set: to train on, to choose by, to report on.
    Problems,
    /// The tokens of a generated text; index 0.
    Sampling,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Adapters, Self::Order, Self::Dropout, Self::Problems, Self::Sampling];
}

/// The generator of one purpose: its stream is `index` + 2⁵⁶ times the purpose's number.
pub fn random(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 56) + index);
    rng
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::RngCore;

    use super::*;

    #[test]
    fn no_two_purposes_share_a_word() {
        let mut seen = BTreeSet::new();
        for purpose in Purpose::ALL {
            for index in [0, 1, 2, 1 << 40] {
                let mut rng = random(7, purpose, index);
                for _ in 0..256 {
                    // Of 5,120 words of 64 bits, two are equal by chance once in 10¹².
                    assert!(seen.insert(rng.next_u64()), "{purpose:?} {index}");
                }
            }
        }
    }

    #[test]
    fn the_same_purpose_draws_the_same() {
        let draw = |seed, index| random(seed, Purpose::Dropout, index).next_u64();
        assert_eq!(draw(1, 5), draw(1, 5));
        assert_ne!(draw(1, 5), draw(2, 5));
    }
}
