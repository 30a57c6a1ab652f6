//! How adapters go wrong: are the answers right?

use exercises::looks::right_number;
use exercises::work::wrong::{bf16, factor, lost, times};
use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

#[test]
fn the_factor_of_an_output() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (x, weight) = (gaussian(5, 7, &mut rng), gaussian(4, 7, &mut rng));
    let (a, b) = (gaussian(2, 7, &mut rng), gaussian(4, 2, &mut rng));
    let (base, added) = (x.dot(&weight.t()), x.dot(&a.t()).dot(&b.t()));
    let dot = |p: &Array2<f64>, q: &Array2<f64>| (p * q).sum();
    for s in [2.0, 16.0, 1.0, 0.0, -0.5] {
        let y = &base + &(&added * s);
        let mistakes = [
            ("x Wᵀ is not subtracted", dot(&y, &added) / dot(&added, &added)),
            ("it is 1/s", 1.0 / s),
            ("it is divided by the length and not by its square", s * dot(&added, &added).sqrt()),
        ];
        let got = factor(x.view(), weight.view(), a.view(), b.view(), y.view());
        assert!(got.is_finite(), "s is {got}");
        // Of a sum that cancels: absolutely, since s may be 0.
        right_number(
            "1 + s",
            1.0 + got,
            1.0 + s,
            &mistakes.map(|(name, wrong)| (name, 1.0 + wrong)),
        );
    }
}

/// By hand: between 1 and 2 the numbers of bf16 are 1/128 apart, between 2 and 4 1/64.
#[test]
fn rounding_to_eight_bits() {
    let step = 1.0_f32 / 128.0;
    let cases = [
        (1.0, 1.0, "nothing to round"),
        (1.0 + 0.4 * step, 1.0, "the nearer is below"),
        (1.0 + 0.6 * step, 1.0 + step, "the nearer is above: this is rounding and not cutting off"),
        (1.0 + 0.5 * step, 1.0, "both are as near, and the last bit of 1 is 0"),
        (
            1.0 + 1.5 * step,
            1.0 + 2.0 * step,
            "both are as near, and the last bit of the upper is 0",
        ),
        (-1.0 - 0.6 * step, -1.0 - step, "a sign changes nothing"),
        (2.0 - 0.4 * step, 2.0, "into the next power of two"),
        (2.0 + step, 2.0, "there the numbers are twice as far apart"),
        (0.0, 0.0, "zero"),
    ];
    for (number, want, why) in cases {
        assert_eq!(bf16(number), want, "{number}: {why}");
    }
}

#[test]
fn what_a_merge_loses() {
    // 1 + 1/512 becomes 1, and 1 + 1/128 is exact: of the two changes the smaller is lost.
    let (weight, delta) = (array![[1.0, 1.0]], array![[1.0 / 512.0, 1.0 / 128.0]]);
    let want = 1.0 / 17_f64.sqrt();
    let mistakes = [
        ("it is the square", want * want),
        ("it is a share of W", want * 17_f64.sqrt() / 512.0 / 2_f64.sqrt()),
        ("ΔW alone is rounded, which loses nothing here", 0.0),
    ];
    right_number("the share", lost(weight.view(), delta.view()), want, &mistakes);
    let small = &delta / 16.0;
    right_number("the share of a change too small", lost(weight.view(), small.view()), 1.0, &[]);
}

#[test]
fn how_often_it_was_merged() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (before, delta) = (gaussian(4, 7, &mut rng), gaussian(4, 7, &mut rng));
    for want in [0.0, 1.0, 2.0, -1.0] {
        let after = &before + &(&delta * want);
        let share = |m: &Array2<f64>| (m * &delta).sum() / (&delta * &delta).sum();
        let mistakes = [
            ("W is not subtracted", 3.0 + share(&after)),
            ("it is the other way round", 3.0 - want),
        ];
        let got = times(before.view(), after.view(), delta.view());
        right_number("3 + the times", 3.0 + got, 3.0 + want, &mistakes);
    }
}
