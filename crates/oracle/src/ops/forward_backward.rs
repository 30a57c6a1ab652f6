//! Forward and backward.
//!
//! n inputs, m outputs, b tokens, rank r. s counts as 3 roundings: α, √r, and their quotient. A mask counts as 2: 1 − p or
//! its inverse, formed in `f64` and rounded once as PyTorch does, and the product with x. (Formed from a p that was rounded
//! before, 1 − p is off by p/(1 − p) u: that is not covered.)
//!
//! # LoRA, and what is built on it
//! | output | term | in sums | stored |
//! |---|---|---|---|
//! | y | x Wᵀ + bias | n + r | 3: x Wᵀ, + bias, + the low-rank term |
//! | | s x̃ Aᵀ Bᵀ | 2n + r | 7: h = x̃ Aᵀ, s (3), s h, (s h) Bᵀ, + x Wᵀ; one more where a bias may be added last |
//! | ∂L/∂x | g W | m + r | 3: g W, + the low-rank term, and one to spare |
//! | | s g B A ⊙ mask/(1 − p) | 2m + r | 7: g B, s (3), s g B, (s g B) A, + g W |
//! | ∂L/∂A | s (g B)ᵀ x̃ | m + b | 6: g B, s (3), s g B, the product |
//! | ∂L/∂B | s gᵀ (x̃ Aᵀ) | n + b | 6: x̃ Aᵀ, s (3), s h, the product |
//!
//! n + r for x Wᵀ and 2n + r for the other, because both products may be summed as one: `[x, s h]·[W, B]ᵀ`. 2 more, stored,
//! on every term with a mask.
//!
//! # VeRA
//! | output | term | in sums | stored |
//! |---|---|---|---|
//! | y | x Wᵀ + bias | n + r | 3 |
//! | | ((x̃ Aᵀ ⊙ d) Bᵀ) ⊙ b | 2n + r | 5: x̃ Aᵀ, ⊙ d, Bᵀ, ⊙ b, + x Wᵀ; one more with a bias |
//! | ∂L/∂x | g W | m + r | 3 |
//! | | ((g ⊙ b) B ⊙ d) A ⊙ mask/(1 − p) | 2m + r | 5: g ⊙ b, B, ⊙ d, A, + g W |
//! | ∂L/∂b | Σ g ⊙ ((x̃ Aᵀ ⊙ d) Bᵀ) | n + r + b | 5: x̃ Aᵀ, ⊙ d, Bᵀ, g ⊙, the sum |
//! | ∂L/∂d | Σ x̃ Aᵀ ⊙ ((g ⊙ b) B) | n + m + b | 5: x̃ Aᵀ, g ⊙ b, B, ⊙, the sum |
//!
//! d folded into A or B, or b into B, moves a rounding and adds none.

use ndarray::Array2;

use super::dora;
use super::output::Output;
use super::pass::{Pass, Term};
use super::projected_gradient;
use crate::case::Method;
use crate::error::Result;

/// y, with the bias.
pub(super) fn forward(pass: &Pass<'_>) -> Result<Output> {
    let problem = pass.problem;
    if problem.method == Method::Dora {
        return dora::forward(pass);
    }
    let (weight, x, dropout) = (problem.weight(), pass.matrix("x")?, pass.dropout()?);
    let mut y = problem.layer()?.forward(&weight, &x, dropout.as_ref())?;
    if let Some(bias) = problem.inputs.vector("bias") {
        y += &bias;
    }
    output_y(pass, y)
}

/// y with its gauges: |x||W|ᵀ + |bias|, and the method on absolute values and W = 0.
fn output_y(pass: &Pass<'_>, y: Array2<f64>) -> Result<Output> {
    let problem = pass.problem;
    let (weight, x, dropout) =
        (problem.weight(), pass.matrix("x")?.mapv(f64::abs), pass.dropout()?);
    let r = problem.inputs.dims.rank;
    let mut base = x.dot(&weight.mapv(f64::abs).t()); // [tokens, in]·[in, out] → [tokens, out]
    if let Some(bias) = problem.inputs.vector("bias") {
        base += &bias.mapv(f64::abs);
    }
    let zeros = Array2::zeros(weight.dim());
    let low_rank = problem.absolute()?.forward(&zeros, &x, dropout.as_ref())?;
    let factors = &["x", "W"];
    let term = Term { inputs: 2, factors, ..pass.term("y.base", &x) };
    let base = pass.part(base.into_dyn(), term)?;
    let (inputs, factors) = (low_rank_factors(problem.method), &["x", "A", "B"]);
    let term = Term { inputs, terms: r, factors, ..pass.term("y.low_rank", &x) };
    let low_rank = pass.part(low_rank.into_dyn(), term)?;
    let name = format!("y{}", pass.suffix);
    Ok(Output::new(name, y.into_dyn(), vec![("base", base), ("low_rank", low_rank)]))
}

/// How many inputs are factors of the low-rank term of y and of ∂L/∂x.
fn low_rank_factors(method: Method) -> usize {
    if method == Method::Vera { 5 } else { 3 }
}

/// y, ∂L/∂x, the gradients, and LoRA-FA's projected one.
pub(super) fn backward(pass: &Pass<'_>) -> Result<Vec<Output>> {
    let problem = pass.problem;
    if problem.method == Method::Dora {
        return dora::backward(pass);
    }
    let (weight, x, dropout) = (problem.weight(), pass.matrix("x")?, pass.dropout()?);
    let grad_y = pass.matrix("grad_y")?;
    let layer = problem.layer()?;
    let mut passed = layer.backward(&weight, &x, dropout.as_ref(), &grad_y)?;
    if let Some(bias) = problem.inputs.vector("bias") {
        passed.y += &bias;
    }

    // The pass on absolute values and W = 0: what the low-rank path sends back, and the gradients.
    let (abs_weight, abs_grad) = (weight.mapv(f64::abs), grad_y.mapv(f64::abs));
    let zeros = Array2::zeros(weight.dim());
    let absolute =
        problem.absolute()?.backward(&zeros, &x.mapv(f64::abs), dropout.as_ref(), &abs_grad)?;

    let dims = problem.inputs.dims;
    let [r, b] = [dims.rank, x.nrows()];
    let mut outputs = vec![output_y(pass, passed.y)?];

    let factors = &["grad_y", "W"];
    let term = Term { inputs: 2, factors, ..pass.term("grad_x.base", &x) };
    let base = abs_grad.dot(&abs_weight).into_dyn(); // [tokens, out]·[out, in] → [tokens, in]
    let base = pass.part(base, term)?;
    let (inputs, factors) = (low_rank_factors(problem.method), &["grad_y", "A", "B"]);
    let term = Term { inputs, terms: r, factors, ..pass.term("grad_x.low_rank", &x) };
    let low_rank = pass.part(absolute.grad_x.into_dyn(), term)?;
    let parts = vec![("base", base), ("low_rank", low_rank)];
    outputs.push(Output::new(format!("grad_x{}", pass.suffix), passed.grad_x.into_dyn(), parts));

    for (name, value) in passed.gradients {
        let (inputs, terms) = match name.as_str() {
            "lora_A" | "lora_B" => (3, b),
            "vera_lambda_b" => (5, r * b),
            _ => (5, b),
        };
        let factors = &["x", "grad_y", "A", "B"];
        let term = pass.term(&format!("grad_{name}.all"), &x);
        let term = Term { inputs, terms, factors, ..term };
        let part = pass.part(absolute.gradients[&name].clone(), term)?;
        outputs.push(Output::new(
            format!("grad_{name}{}", pass.suffix),
            value,
            vec![("all", part)],
        ));
    }
    if let Some(system) = projected_gradient::system(problem) {
        let gradient = outputs.last().expect("∂L/∂B is the last").clone();
        outputs.push(system.output(
            format!("projected_grad_lora_B{}", pass.suffix),
            &layer,
            gradient,
        )?);
    }
    Ok(outputs)
}
