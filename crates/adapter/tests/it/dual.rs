//! Dual numbers: the rules of differentiation, and a function with known derivative through all of them.

use std::iter::Sum;

use adapter::{Dual, Real};
use num_traits::{One, Zero};
use proptest::prelude::*;

const U: f64 = f64::UNIT_ROUNDOFF;

fn close(got: f64, want: f64, roundings: f64) -> bool {
    (got - want).abs() <= roundings * U * want.abs()
}

/// Integers below 2¹⁶: products of two and sums of those are exact, so `==`.
fn integer() -> impl Strategy<Value = Dual> {
    (-60_000..60_000_i32, -60_000..60_000_i32).prop_map(|(v, t)| Dual::new(v.into(), t.into()))
}

proptest! {
    #[test]
    fn ring(x in integer(), y in integer(), z in integer()) {
        let (Dual { value: a, tangent: da }, Dual { value: b, tangent: db }) = (x, y);
        prop_assert_eq!(x + y, Dual::new(a + b, da + db));
        prop_assert_eq!(x - y, Dual::new(a - b, da - db));
        prop_assert_eq!(x * y, Dual::new(a * b, da * b + a * db));
        prop_assert_eq!(-x, Dual::new(-a, -da));
        prop_assert_eq!(x + Dual::zero(), x);
        prop_assert_eq!(x * Dual::one(), x);
        prop_assert_eq!(x * y, y * x);
        prop_assert_eq!(z * (x + y), z * x + z * y);
        prop_assert_eq!(Dual::sum([x, y, z].into_iter()), x + y + z);
        let mut sum = x;
        sum += y;
        sum -= z;
        prop_assert_eq!(sum, x + y - z);
        let mut product = x;
        product *= y;
        prop_assert_eq!(product, x * y);
        prop_assert_eq!(x < y, a < b);
    }

    /// (n/d)′ = (n′ − q d′)/d. Integers whose quotient is one too: exact.
    #[test]
    fn quotient(x in integer(), d in integer()) {
        prop_assume!(d.value != 0.0);
        let n = x * d;
        prop_assert_eq!(n / d, x);
        let mut assigned = n;
        assigned /= d;
        prop_assert_eq!(assigned, x);
    }

    /// Relative errors: three roundings at most, and a library function of up to one more each.
    #[test]
    fn functions(v in 0.01..20.0f64, t in -5.0..5.0f64) {
        let x = Dual::new(v, t);
        prop_assert!(close(x.exp().tangent, t * v.exp(), 6.0));
        prop_assert!(close(x.ln().tangent, t / v, 6.0));
        prop_assert!(close(x.sqrt().tangent, t / (2.0 * v.sqrt()), 6.0));
        prop_assert_eq!(x.exp().value, v.exp());
        prop_assert_eq!(x.ln().value, v.ln());
        prop_assert_eq!(x.sqrt().value, v.sqrt());
        // A constant has no derivative.
        prop_assert_eq!(Dual::from_f64(v).exp().tangent, 0.0);
        // Inverse functions: the derivatives cancel. ln near 1 is small, so its rounding counts in full.
        let there_and_back = x.exp().ln();
        prop_assert!((there_and_back.value - v).abs() <= 6.0 * U * v.max(1.0));
        prop_assert!(close(there_and_back.tangent, t, 6.0));
    }

    /// σ(x) = 1/(1 + e⁻ˣ) has the derivative σ(1 − σ) = σ(x)·σ(−x).
    #[test]
    fn sigmoid(v in -20.0..20.0f64) {
        let x = Dual::new(v, 1.0);
        let sigma = |x: Dual| Dual::one() / (Dual::one() + (-x).exp());
        let want = sigma(x).value * sigma(-x).value;
        prop_assert!(close(sigma(x).tangent, want, 24.0), "{} {}", sigma(x).tangent, want);
    }
}

#[test]
fn zero_has_no_value_and_no_derivative() {
    for (dual, is_zero) in [
        (Dual::new(0.0, 0.0), true),
        (Dual::new(0.0, 2.0), false),
        (Dual::new(2.0, 0.0), false),
        (Dual::new(2.0, 3.0), false),
    ] {
        assert_eq!(dual.is_zero(), is_zero, "{dual}");
    }
}

#[test]
fn a_dual_is_read_by_its_value_and_shown_with_its_derivative() {
    assert_eq!(Dual::new(2.5, -3.0).to_f64(), 2.5);
    assert_eq!(Dual::from_f64(2.5), Dual::new(2.5, 0.0));
    assert_eq!(Dual::new(2.5, -3.0).to_string(), "2.5 + -3ε");
}
