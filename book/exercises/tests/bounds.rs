//! How near is near enough: are the answers right?

use exercises::looks::{right, right_number};
use exercises::work::bounds::{dot, gauge, growth, rho};
use ndarray::{Array2, array};

/// By the binomial theorem: k u + k (k − 1)/2 u² + …, of which these many terms are exact to the last digit.
#[test]
fn many_small_roundings() {
    let unit = |bits: i32| 2_f64.powi(-bits);
    for (k, u) in [(1, unit(53)), (100, unit(53)), (4096, unit(24)), (256, unit(8)), (3, 0.5)] {
        let (mut want, mut term) = (0.0, 1.0);
        for i in 0..k.min(60) {
            term *= f64::from(k - i) / f64::from(i + 1) * u;
            want += term;
        }
        let ku = f64::from(k) * u;
        let mistakes = [
            ("1 + u was rounded first", (1.0 + u).powi(k as i32) - 1.0),
            ("it is k u", ku),
            ("it is the textbook's k u/(1 − k u)", ku / (1.0 - ku)),
        ];
        right_number("(1 + u)ᵏ − 1", growth(k, u), want, &mistakes);
    }
}

#[test]
fn sizes_of_terms_that_cancel() {
    let (x, weight) = (array![[1.0, -2.0]], array![[2.0, 1.0], [-1.0, 3.0]]);
    let (a, b, s) = (array![[3.0, 1.0]], array![[1.0], [-2.0]], -0.5);
    // |x| |W|ᵀ is [4, 7]; |x| |A|ᵀ is 5.
    let want = array![[4.0 + 2.5, 7.0 + 5.0]];
    let base: Array2<f64> = x.dot(&weight.t());
    let low_rank: Array2<f64> = x.dot(&a.t()).dot(&b.t()) * s;
    let mistakes = [
        ("s has its sign", array![[4.0 - 2.5, 7.0 - 5.0]]),
        ("it is |y|", (&base + &low_rank).mapv(f64::abs)),
        (
            "the sizes are those of the two parts and not of their terms",
            base.mapv(f64::abs) + low_rank.mapv(f64::abs),
        ),
    ];
    let got = gauge(x.view(), weight.view(), a.view(), b.view(), s);
    right("the gauge", &got, &want, &mistakes);
}

#[test]
fn what_counts_as_wrong() {
    let infinite = f64::INFINITY;
    for (got, want, bound, rho_is, why) in [
        ([1.0, 2.0], [1.0, 2.5], [0.1, 0.25], 2.0, "the largest counts"),
        (
            [3.0, 0.0],
            [1.0, 0.0],
            [4.0, 0.0],
            0.5,
            "what is equal counts 0, also where the bound is 0",
        ),
        (
            [1e-300, 0.0],
            [0.0, 0.0],
            [0.0, 1.0],
            infinite,
            "where the bound is 0 nothing else passes",
        ),
        ([f64::NAN, 0.0], [1.0, 0.0], [1.0, 1.0], infinite, "a NaN is ∞"),
        (
            [0.0, f64::NAN],
            [0.5, 1.0],
            [1.0, infinite],
            infinite,
            "a NaN is ∞, also within an infinite bound",
        ),
        (
            [1.0, 7.0],
            [1.5, 0.0],
            [1.0, infinite],
            0.5,
            "within an infinite bound any number passes",
        ),
    ] {
        let got = rho(&got, &want, &bound);
        assert!(got == rho_is, "ρ is {got}, and should be {rho_is}: {why}");
    }
}

/// 1 + 2⁻²⁴ is a tie and becomes 1, so that every small term is lost: by hand, the error is (n − 1) 2⁻²⁴.
#[test]
fn a_sum_that_loses_its_small_terms() {
    let n = 9;
    let mut x = vec![2_f32.powi(-24); n];
    x[0] = 1.0;
    let w = vec![1.0; n];
    let (error, u) = (8.0 * 2_f64.powi(-24), 2_f64.powi(-24));
    let sizes = 1.0 + error;
    let of = |k: i32| error / (((f64::from(k) * u) + f64::from(k * (k - 1)) / 2.0 * u * u) * sizes);
    let mistakes = [
        ("the roundings of the products are missing", of(n as i32 - 1)),
        ("there are two roundings for each term", of(2 * n as i32)),
        ("the sum was computed in f64", 0.0),
    ];
    right_number("ρ", dot(&x, &w), of(n as i32), &mistakes);
    // Terms that cancel: the bound is a share of their sizes, so that what is left may be wholly wrong.
    let rho = dot(&[1e8, 1.0, -1e8], &[1.0, 1.0, 1.0]);
    assert!(
        rho > 0.0 && rho <= 1.0,
        "ρ is {rho}: the bound is a share of Σ |x w|, and not of |Σ x w|"
    );
}
