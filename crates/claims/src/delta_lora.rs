//! Delta-LoRA, arXiv 2309.02411: what the moves of W come to.
//!
//! The paper has W ← W + λ s (B⁺A⁺ − B A). What follows from it here is algebra, checked on a small layer.

use ::delta_lora::{DeltaLora, Settings};
use adapter::{AdamVariant, AdamW, Adapter, Group, Optimizer, Result, Sgd};
use lora::Lora;
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::Tolerance;

use crate::problem::{Problem, gaussian, relative_error};
use crate::{Claim, Finding};
use methods::Method;

const SHAPE: [usize; 2] = [6, 9];
const RANK: usize = 2;
const SCALE: f64 = 1.5;
const LAMBDA: f64 = 2.0;
const STEPS: usize = 40;

pub fn claims() -> Result<Vec<Claim>> {
    let mut rng = ChaCha8Rng::seed_from_u64(26);
    let problem = Problem::new(12, SHAPE, &mut rng);
    let [out, inputs] = SHAPE;
    let (a, b) = (gaussian(RANK, inputs, &mut rng), gaussian(out, RANK, &mut rng));
    let claim = |number, statement, findings, note| Claim {
        number,
        paper: Method::DeltaLora,
        statement,
        findings,
        note,
    };
    let started = Lora::new(a.clone(), b, SCALE)?;
    let fresh = Lora::new(a, Array2::zeros((out, RANK)), SCALE)?;
    Ok(vec![
        claim(
            26,
            "One step's B⁺A⁺ − B A has rank 2r at most, at r = 2; (B⁺ − B)(A⁺ − A) has only r",
            one_step(&problem, &started)?,
            Some("Ports have been seen with the second in the place of the first."),
        ),
        claim(
            27,
            "All steps together: W_T − W₀ = λ s (B_T A_T − B_K A_K), of rank 2r at most, at r = 2",
            telescoping(&problem, &fresh)?,
            Some(
                "\"High-rank\" in the paper's title is true of W, not of what training adds to it.",
            ),
        ),
        claim(
            28,
            "With K = 0, under Adam: LoRA with scale (1 + λ) s and ε (1 + λ)",
            vec![same_as_lora(&problem, &fresh, adam(1e-6), adam(1e-6 * (1.0 + LAMBDA)))?],
            None,
        ),
        claim(
            29,
            "With K = 0, under SGD: LoRA with scale (1 + λ) s, rate η/(1 + λ) and decay β (1 + λ)",
            vec![same_as_lora(
                &problem,
                &fresh,
                sgd(0.01, 0.05),
                sgd(0.01 / (1.0 + LAMBDA), 0.05 * (1.0 + LAMBDA)),
            )?],
            None,
        ),
    ])
}

fn sgd(lr: f64, weight_decay: f64) -> Sgd {
    Sgd { group: Group { lr, weight_decay } }
}

fn adam(eps: f64) -> AdamW<f64> {
    let group = Group { lr: 0.02, weight_decay: 0.01 };
    AdamW { eps, ..AdamW::new(group, AdamVariant::Torch) }
}

fn delta(lora: &Lora<f64>, start_step: u64) -> Result<DeltaLora<f64>> {
    let settings = Settings { lambda: LAMBDA, start_step, include_scale: true };
    DeltaLora::new(lora.clone(), settings)
}

/// Singular values above 10⁻¹¹ of the largest; rounding leaves some 10⁻¹⁵.
fn rank_of(matrix: &Array2<f64>) -> Result<usize> {
    let svd = rank::svd(matrix.view())?;
    Ok(svd.rank(Tolerance::Absolute(1e-11 * svd.s[0])))
}

fn rank_finding(of: &'static str, rank: usize) -> Finding {
    Finding::of_number(of, None, rank as f64, format!("rank {rank}"))
}

fn one_step(problem: &Problem, lora: &Lora<f64>) -> Result<Vec<Finding>> {
    let (after, weight) = problem.train(delta(lora, 0)?, &mut sgd(0.1, 0.0), 1)?;
    let wrong = (&after.lora.b - &lora.b).dot(&(&after.lora.a - &lora.a));
    Ok(vec![
        rank_finding("B⁺A⁺ − B A", rank_of(&(weight - &problem.weight))?),
        rank_finding("(B⁺ − B)(A⁺ − A)", rank_of(&wrong)?),
    ])
}

fn telescoping(problem: &Problem, lora: &Lora<f64>) -> Result<Vec<Finding>> {
    let start = 10;
    let (at_start, _) = problem.train(lora.clone(), &mut adam(1e-8), start)?;
    let (last, weight) = problem.train(delta(lora, start as u64)?, &mut adam(1e-8), STEPS)?;
    let moved = weight - &problem.weight;
    let product = |lora: &Lora<f64>| lora.b.dot(&lora.a);
    let whole = (product(&last.lora) - product(&at_start)) * (LAMBDA * SCALE);
    Ok(vec![
        Finding::equation("sum of the steps", None, relative_error(&moved, &whole), bound()),
        rank_finding("W_T − W₀", rank_of(&moved)?),
    ])
}

/// How much W + ΔW differs between Delta-LoRA and LoRA with the scale (1 + λ) s, relative to what training changed.
fn same_as_lora(
    problem: &Problem,
    lora: &Lora<f64>,
    mut ours: impl Optimizer<f64>,
    mut loras: impl Optimizer<f64>,
) -> Result<Finding> {
    let (adapter, weight) = problem.train(delta(lora, 0)?, &mut ours, STEPS)?;
    let change = &weight + adapter.delta_weight(weight.view())? - &problem.weight;
    let larger = Lora { scale: (1.0 + LAMBDA) * SCALE, ..lora.clone() };
    let (adapter, weight) = problem.train(larger, &mut loras, STEPS)?;
    let error = relative_error(&change, &adapter.delta_weight(weight.view())?);
    Ok(Finding::equation("W_T + s B A", None, error, bound()))
}

/// A step rounds W, y and the gradients, sums of some 12 terms: about 50 roundings of ε/2 on numbers near 1. On this convex
/// problem the steps' errors do not grow, so they add up.
fn bound() -> f64 {
    25.0 * STEPS as f64 * f64::EPSILON
}
