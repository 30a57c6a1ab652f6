//! Dropout as an explicit mask: whoever trains draws it, and passes it in.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2, Zip};
use rand::Rng;

use crate::{Bytes, Error, Ledger, Real, Result, check_shape};

/// Which elements of an adapter's input are kept. Inverted: what is kept is divided by 1 − p, so that the
/// expectation does not change and nothing has to be undone when the model is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    mask: Array2<u8>,
    p: f64,
}

impl Dropout {
    /// `mask` is \[tokens, in\], 1 = kept, 0 = dropped; each element was dropped with probability `p`.
    ///
    /// # Errors
    /// `p` is not in \[0, 1), or the mask holds something other than 0 and 1.
    pub fn new(mask: Array2<u8>, p: f64) -> Result<Arc<Self>> {
        check_probability(p)?;
        if let Some(other) = mask.iter().find(|&&kept| kept > 1) {
            return Err(Error::value("dropout mask", other, "1 is kept, 0 is dropped"));
        }
        Ok(Arc::new(Self { mask, p }))
    }

    /// Draw a mask for an input of shape `[tokens, in]`.
    ///
    /// # Errors
    /// `p` is not in \[0, 1).
    pub fn draw(shape: (usize, usize), p: f64, rng: &mut impl Rng) -> Result<Arc<Self>> {
        check_probability(p)?;
        let mask = Array2::from_shape_simple_fn(shape, || u8::from(rng.random::<f64>() >= p));
        Ok(Arc::new(Self { mask, p }))
    }

    /// The mask that a GPU draws where it needs it: Philox4x32-10 (Salmon et al. 2011, *Parallel random numbers: as easy as
    /// 1, 2, 3*). Element i, counted row by row, is word i mod 4 of the block with counter (i/4, `layer`, `step`) and key
    /// `seed`, and is dropped if that word is below ⌊p 2³²⌋.
    ///
    /// # Errors
    /// `p` is not in \[0, 1).
    pub fn philox(
        shape: (usize, usize),
        p: f64,
        seed: u64,
        layer: u32,
        step: u32,
    ) -> Result<Arc<Self>> {
        check_probability(p)?;
        let threshold = (p * 4_294_967_296.0) as u32;
        let key = [seed as u32, (seed >> 32) as u32];
        let kept = |i: usize| {
            let four = (i / 4) as u64;
            let block = philox([four as u32, (four >> 32) as u32, layer, step], key);
            u8::from(block[i % 4] >= threshold)
        };
        let mask = Array2::from_shape_fn(shape, |(row, column)| kept(row * shape.1 + column));
        Ok(Arc::new(Self { mask, p }))
    }

    /// 1 = kept, 0 = dropped: \[tokens, in\].
    pub fn mask(&self) -> ArrayView2<'_, u8> {
        self.mask.view()
    }

    /// x ⊙ mask / (1 − p), the x̃ of the book: \[tokens, in\].
    ///
    /// A dropped element is 0 even where x is NaN or infinite.
    ///
    /// # Errors
    /// `x` does not have the mask's shape.
    pub fn apply<T: Real>(&self, x: ArrayView2<'_, T>) -> Result<Array2<T>> {
        check_shape("x", x.shape(), self.mask.shape(), "the dropout mask's shape")?;
        let keep = T::from_f64(1.0 - self.p);
        Ok(Zip::from(x).and(&self.mask).map_collect(
            |&x, &kept| {
                if kept == 1 { x / keep } else { T::zero() }
            },
        ))
    }
}

/// Four words of random bits from a counter and a key.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let product = |a: u32, b: u32| {
        let wide = u64::from(a) * u64::from(b);
        ((wide >> 32) as u32, wide as u32)
    };
    for _ in 0..10 {
        let (high0, low0) = product(0xD251_1F53, counter[0]);
        let (high1, low1) = product(0xCD9E_8D57, counter[2]);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

fn check_probability(p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::value("dropout", p, "a probability p with 0 ≤ p < 1"))
}

impl Bytes for Arc<Dropout> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.region(self.mask.as_ptr().addr(), self.mask.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_known_answers_of_its_authors() {
        // Random123, tests/kat_vectors, philox4x32 with 10 rounds.
        for (counter, key, want) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(counter, key), want);
        }
    }

    #[test]
    fn an_element_has_its_own_word() {
        let (seed, layer, step) = (0x0123_4567_89ab_cdef, 5, 9);
        let mask = Dropout::philox((3, 5), 0.5, seed, layer, step).unwrap();
        for ((row, column), &kept) in mask.mask().indexed_iter() {
            let place = row * 5 + column;
            let block = philox([place as u32 / 4, 0, layer, step], [0x89ab_cdef, 0x0123_4567]);
            assert_eq!(kept == 1, block[place % 4] >= 1 << 31, "({row}, {column})");
        }
    }

    #[test]
    fn philox_drops_a_share_of_p() {
        let mask = Dropout::philox((200, 300), 0.3, 7, 2, 5).unwrap();
        let dropped = mask.mask().iter().filter(|kept| **kept == 0).count() as f64 / 60_000.0;
        // Five standard deviations of a binomial share.
        assert!((dropped - 0.3).abs() <= 5.0 * (0.3 * 0.7 / 60_000.0_f64).sqrt(), "{dropped}");
        assert_ne!(mask, Dropout::philox((200, 300), 0.3, 7, 3, 5).unwrap());
        assert_ne!(mask, Dropout::philox((200, 300), 0.3, 7, 2, 6).unwrap());
        assert_eq!(Dropout::philox((2, 3), 0.0, 7, 2, 6).unwrap().mask(), Array2::ones((2, 3)));
    }
}
