//! How far off each element is, in units of its bound.

use ndarray::{ArrayD, Dimension};

use super::verdict::{Finding, Verdict, Worst};

/// |got − want|/bound at every element, and the largest. `excused` says which elements pass all the same.
pub(super) fn compare(
    got: &ArrayD<f64>,
    want: &ArrayD<f64>,
    bound: &ArrayD<f64>,
    smaller: &ArrayD<f64>,
    excused: impl Fn(usize, f64, f64) -> bool,
) -> Finding {
    let (mut rho, mut rho_sqrt, mut worst) = (0.0, 0.0, None);
    let mut judged = got.is_empty();
    for (at, ((index, &got), &want)) in got.indexed_iter().zip(want).enumerate() {
        if excused(at, got, want) {
            judged = true;
            continue;
        }
        let of = |bound: &ArrayD<f64>| bound.get(index.clone()).copied().unwrap_or(f64::NAN);
        let (allowed, ratio) = (of(bound), ratio(got, want, of(bound)));
        let vacuous = allowed == f64::INFINITY && got.is_finite() && want.is_finite();
        judged |= !vacuous;
        let sqrt = self::ratio(got, want, of(smaller));
        rho_sqrt = if sqrt <= rho_sqrt { rho_sqrt } else { sqrt };
        if worst.is_none() || !(ratio <= rho) {
            rho = ratio;
            worst = Some(Worst { index: index.slice().to_vec(), got, want, bound: allowed });
        }
    }
    let verdict = match (judged, rho <= 1.0) {
        (_, false) => Verdict::Fail,
        (true, true) => Verdict::Pass,
        (false, true) => Verdict::NotRun,
    };
    let note = (verdict == Verdict::NotRun)
        .then(|| "the bound is infinite: in this format nothing can be said".to_owned());
    Finding { tensor: String::new(), verdict, rho, rho_sqrt, worst, profile: None, note }
}

/// The same number, or NaN in both.
pub(crate) fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

/// ρ of one element: 0 when nothing is off, ∞ when the bound allows nothing, or when anything is NaN that should not be.
fn ratio(got: f64, want: f64, bound: f64) -> f64 {
    if same(got, want) {
        return 0.0;
    }
    if !got.is_finite() || !want.is_finite() {
        return f64::INFINITY;
    }
    let ratio = (got - want).abs() / bound;
    if ratio.is_nan() || bound <= 0.0 { f64::INFINITY } else { ratio }
}
