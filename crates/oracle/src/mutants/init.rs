//! What A and B hold before the first step.

use std::sync::Arc;

use ndarray::{ArrayD, arr1};

use super::change::named;
use super::mutant::Change::OfOutputs;
use super::mutant::{Mutant, SCALED};
use crate::case::{InitScheme, Method, Op};
use crate::error::{Result, wrong};
use crate::ops::Output;

const INIT: &[Op] = &[Op::Init];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "init-wrong-fan",
        "A drawn with its fan-in taken from the wrong axis, r",
        // As many draws as before: only their size changes.
        OfOutputs(|problem, _, right| {
            let init = &problem.params.init;
            let factor = (init.inputs as f64 / init.rank as f64).sqrt();
            let applies = init.scheme != InitScheme::Gaussian && init.rank != init.inputs;
            Ok(if applies { stretched(right, first(problem.method).0, factor) } else { None })
        }),
    )
    .seen("LLMs-from-scratch, appendix E: 6.9 times too large at 768/16")
    .in_ops(INIT),
    Mutant::new(
        "init-wrong-slope",
        "Kaiming's a = 0 in the place of √5 (in VeRA √5 in the place of 0)",
        OfOutputs(|problem, _, right| {
            let (a, factor) = first(problem.method);
            let uniform = problem.params.init.scheme.is_uniform();
            Ok(if uniform { stretched(right, a, factor) } else { None })
        }),
    )
    .in_ops(INIT),
    Mutant::new(
        "init-gaussian-of-one",
        "σ = 1 in the place of 1/r",
        OfOutputs(|problem, _, right| {
            let gaussian = problem.params.init.scheme == InitScheme::Gaussian;
            let rank = problem.params.init.rank as f64;
            Ok(if gaussian { stretched(right, "lora_A", rank) } else { None })
        }),
    )
    .of(SCALED)
    .in_ops(INIT),
    Mutant::new(
        "init-normal-for-uniform",
        "a normal law of the same variance in the place of the uniform one",
        OfOutputs(|problem, _, right| {
            let (a, _) = first(problem.method);
            let uniform = problem.params.init.scheme.is_uniform();
            let second = named(right, &format!("{a}.moments")).map(|output| output.value[[1]]);
            let (true, Some(second)) = (uniform, second) else { return Ok(None) };
            let moments = arr1(&[0.0, second, 3.0 * second * second]).into_dyn();
            // Of 40,000 draws the largest is beyond 4 σ.
            let support = arr1(&[-4.0, 4.0]).into_dyn() * second.sqrt();
            // Var x² is 2 σ⁴ where it was 4/5 σ⁴, Var x⁴ 96 σ⁸ where it was 144/25 σ⁸.
            let wider = [1.0, 2.5_f64.sqrt(), (50.0_f64 / 3.0).sqrt()];
            let name = format!("{a}.moments");
            let outputs = replaced(right, &name, moments, (&name, arr1(&wider).into_dyn()))?;
            let (name, same) = (format!("{a}.support"), arr1(&[1.0, 1.0]).into_dyn());
            Ok(Some(replaced(&outputs, &name, support, (&name, same))?))
        }),
    )
    .in_ops(INIT),
    Mutant::new(
        "init-b-not-zero",
        "B drawn as A is, λ_b as λ_d: ΔW is not 0 at the start",
        OfOutputs(|problem, _, right| {
            let (from, to) = match problem.method {
                Method::Vera => ("vera_lambda_d", "vera_lambda_b"),
                _ => ("lora_A", "lora_B"),
            };
            let mut outputs = right.to_vec();
            for kind in ["moments", "support"] {
                let from = format!("{from}.{kind}");
                let Some(value) = named(right, &from).map(|output| output.value.clone()) else {
                    return Ok(None);
                };
                let same = value.mapv(|_| 1.0);
                outputs = replaced(&outputs, &format!("{to}.{kind}"), value, (&from, same))?;
            }
            Ok(Some(outputs))
        }),
    )
    .in_ops(INIT),
    Mutant::new(
        "init-d-of-one",
        "λ_d = 1 in the place of 0.1",
        OfOutputs(|_, _, right| Ok(stretched(right, "vera_lambda_d", 10.0))),
    )
    .of(&[Method::Vera])
    .in_ops(INIT),
];

/// The tensor that is drawn first, and what the wrong slope multiplies it by.
fn first(method: Method) -> (&'static str, f64) {
    match method {
        Method::Vera => ("vera_A", 1.0 / 6.0_f64.sqrt()),
        _ => ("lora_A", 6.0_f64.sqrt()),
    }
}

/// Every draw multiplied.
fn stretched(right: &[Output], tensor: &str, factor: f64) -> Option<Vec<Output>> {
    let (moments, support) = (format!("{tensor}.moments"), format!("{tensor}.support"));
    let powers = arr1(&[1, 2, 4].map(|power| factor.abs().powi(power))).into_dyn();
    let [of_moments, of_support] = [
        named(right, &moments)?.value.clone() * &powers,
        named(right, &support)?.value.clone() * factor,
    ];
    let outputs = replaced(right, &moments, of_moments, (&moments, powers)).ok()?;
    let widths = arr1(&[factor.abs(); 2]).into_dyn();
    replaced(&outputs, &support, of_support, (&support, widths)).ok()
}

/// One statistic replaced: its bound is that of the statistic that is named, times the factors.
fn replaced(
    right: &[Output],
    name: &str,
    value: ArrayD<f64>,
    (like, factors): (&str, ArrayD<f64>),
) -> Result<Vec<Output>> {
    let like = named(right, like).ok_or_else(|| wrong(format!("{like} is not there")))?.clone();
    let replace = |output: &Output| match output.name == name {
        true => {
            let (bound, factors) = (like.bound.clone(), factors.clone());
            let bound = Arc::new(move |units: &_| bound(units) * &factors);
            Output { value: value.clone(), bound, ..output.clone() }
        }
        false => output.clone(),
    };
    Ok(right.iter().map(replace).collect())
}
