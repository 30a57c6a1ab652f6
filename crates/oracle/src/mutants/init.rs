//! What A and B hold before the first step.

use ndarray::arr1;

use super::change::{named, put, with_value};
use super::mutant::Change::{OfOutputs, OfProblem};
use super::mutant::{Mutant, SCALED};
use crate::case::{InitScheme, Method, Op};
use crate::ops::Output;

const INIT: &[Op] = &[Op::Init];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "init-wrong-fan",
        "A drawn with its fan-in taken from the wrong axis, r",
        OfProblem(|problem, _| {
            let rank = problem.params.init.rank;
            problem.params.init.scheme != InitScheme::Gaussian
                && put(&mut problem.params.init.inputs, rank)
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
            let outputs = with_value(right, &format!("{a}.moments"), moments, 9.0);
            Ok(Some(with_value(&outputs, &format!("{a}.support"), support, 1.0)))
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
                let Some(from) = named(right, &format!("{from}.{kind}")) else { return Ok(None) };
                let value = from.value.clone();
                outputs = with_value(&outputs, &format!("{to}.{kind}"), value, 1.0);
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
    let powers = arr1(&[1, 2, 4].map(|power| factor.powi(power))).into_dyn();
    let [of_moments, of_support] = [
        named(right, &moments)?.value.clone() * powers,
        named(right, &support)?.value.clone() * factor,
    ];
    let widest = factor.abs().max(1.0).powi(4);
    let outputs = with_value(right, &moments, of_moments, widest);
    Some(with_value(&outputs, &support, of_support, widest))
}
