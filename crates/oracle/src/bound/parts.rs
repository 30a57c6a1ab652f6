//! The bound as a sum over parts: what roundings allow, and what underflow adds.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{ArrayD, Zip};

use super::units::{Roundings, Units};

/// How much underflow can do to a term.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Underflow {
    /// Operations that feed one element, in sums.
    pub accumulated: f64,
    /// Operations that feed one element, in what is stored.
    pub stored: f64,
    /// The product of max(1, max|factor|) over the factors of the term.
    pub amplification: f64,
}

/// A part of an output: its terms go through the same roundings.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Σ |term|, element by element.
    pub gauge: ArrayD<f64>,
    /// How many.
    pub roundings: Roundings,
    /// What underflow adds.
    pub underflow: Underflow,
}

/// |got − want| ≤ this, element by element, in these units.
pub type Bound = Arc<dyn Fn(&Units) -> ArrayD<f64> + Send + Sync>;

/// The gauge is itself a sum in `f64`, of fewer than 2²² terms: it is low by less than this fraction.
pub(crate) const GAUGE: f64 = 1.0 + 1.0 / (1u64 << 30) as f64;

// ANCHOR: bound
/// Σ over the parts: growth · gauge, and underflow where there is a term at all.
pub(crate) fn bound(parts: Vec<Part>) -> Bound {
    Arc::new(move |units| {
        let mut sum: Option<ArrayD<f64>> = None;
        for Part { gauge, roundings, underflow } in &parts {
            let growth = units.growth(*roundings) * GAUGE;
            let tiny = underflow.amplification
                * (underflow.accumulated * units.tiny_accumulate
                    + underflow.stored * units.tiny_store);
            // Without a term that is not 0, every honest result is exactly 0.
            let term = gauge.mapv(|gauge| if gauge == 0.0 { 0.0 } else { gauge * growth + tiny });
            sum = Some(match sum {
                None => term,
                Some(sum) => sum + term,
            });
        }
        sum.expect("an output has at least one part")
    })
}
// ANCHOR_END: bound

/// The same, computed once for each units: a bound may be made of others, and those of an update are of many.
pub(crate) fn remembered(bound: Bound) -> Bound {
    let known: Mutex<Vec<(Units, ArrayD<f64>)>> = Mutex::default();
    Arc::new(move |units| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = known.iter().find(|(of, _)| of == units) {
            return made.clone();
        }
        let made = bound(units);
        known.push((*units, made.clone()));
        made
    })
}

/// The sum of two bounds.
pub(crate) fn sum(a: Bound, b: Bound) -> Bound {
    Arc::new(move |units| a(units) + b(units))
}

/// Element by element: f of the bound in these units and two arrays.
pub(crate) fn zip_map(
    bound: ArrayD<f64>,
    a: &ArrayD<f64>,
    b: &ArrayD<f64>,
    f: impl Fn(f64, f64, f64) -> f64,
) -> ArrayD<f64> {
    let mut out = bound;
    Zip::from(&mut out).and(a).and(b).for_each(|bound, &a, &b| *bound = f(*bound, a, b));
    out
}

/// max(1, max|element|), multiplied: what an error made before these factors may grow by. What is not finite does not
/// count: where it enters, the result is not finite either.
pub(crate) fn largest<'a>(tensors: impl IntoIterator<Item = &'a ArrayD<f64>>) -> f64 {
    let finite = |x: &&f64| x.is_finite();
    let of = |tensor: &ArrayD<f64>| {
        tensor.iter().filter(finite).fold(1.0, |most: f64, x| most.max(x.abs()))
    };
    tensors.into_iter().map(of).product()
}
