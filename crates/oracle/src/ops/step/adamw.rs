//! AdamW, in PyTorch's variant and in the older one of Hugging Face.
//!
//! # AdamW: the moments
//! m⁺ = β₁ m + (1 − β₁) g, or as an interpolation m + (1 − β₁)(g − m), which computes with more: the gauge is
//! β₁|m| + (1 − β₁)|g| + 2 min(β₁, 1 − β₁) |m| (|g| where β₁ < ½, since PyTorch then starts from the other end), and 4
//! roundings: g − m, 1 − β₁, the product, the sum. v⁺ likewise with g², one more rounding, hence 5.
//!
//! 1 − β cancels. Formed from a rounded β in the accumulator's format it is off by u_a β, which is u_a β/(1 − β) of itself
//! (999 u for β₂ = 0.999), and 1 − βᵗ by at most (2t + 1) u_a βᵗ, of which a root leaves half. PyTorch forms both in `f64`,
//! optax forms 1 − βᵗ in f32. **That passes**: u_a β₁ (|m| + |g|) is added to E_m, u_a β₂ (v + g²) to E_v, and both
//! corrections to what q may be off. Formed in bf16 it does not pass.
//!
//! # AdamW: the parameter
//! q = rate · m⁺ / (√v⁺/√(1 − β₂ᵗ) + ε). m⁺ and v⁺ have the errors above, so q lies between the corners of
//! \[m⁺ − E_m, m⁺ + E_m\] / \[√(v⁺ − E_v) …, √(v⁺ + E_v) …\]. On top of that 10 + L roundings: √v, √(1 − β₂ᵗ) (2), L, 1 − β₁ᵗ,
//! their quotient, its product with √(1 − β₂ᵗ) or m, a quotient, + ε, m/…, the sum. hf: 4 + L more, since the decay comes
//! last: η (L), λ, η λ, the product, the difference. p itself: 5 + L roundings of |p| (1 + η λ): η (L), λ, η λ, 1 − η λ,
//! the product, the sum.

use std::sync::Arc;

use ndarray::{ArrayD, Zip};

use super::tensor::{Gradient, TensorUpdate};
use crate::bound::constants::{ADAMW, DECAY_LAST};
use crate::bound::{Bound, Units, zip_map};
use crate::error::Result;
use crate::ops::adam_constants::AdamConstants;
use crate::ops::output::Output;

/// The moments after the update, then the parameter that they move: in the order in which one wrong makes the next wrong.
pub(super) fn adamw(
    tensor: &TensorUpdate<'_>,
    constants: AdamConstants,
    suffix: &str,
) -> Result<Vec<Output>> {
    let m = first_moment(tensor, constants, suffix).remembered();
    let v = second_moment(tensor, constants, suffix).remembered();
    let parameter = parameter(tensor, constants, suffix, &m, &v)?;
    Ok(vec![m, v, parameter])
}

/// The coefficients of the old moment and of the new number in the gauge.
fn coefficients(beta: f64) -> (f64, f64) {
    let extra = 2.0 * beta.min(1.0 - beta);
    if beta < 0.5 { (beta, 1.0 - beta + extra) } else { (beta + extra, 1.0 - beta) }
}

/// m⁺.
fn first_moment(tensor: &TensorUpdate<'_>, constants: AdamConstants, suffix: &str) -> Output {
    let Gradient { value: g, gauge: g_gauge, error: of_g } = tensor.gradient.clone();
    let m = tensor.get(tensor.before, "exp_avg.").mapv(f64::abs);
    let beta = constants.betas.0;
    let (old, new) = coefficients(beta);
    let gauge = &m * old + &g_gauge * new;
    // E_m = growth · (…|m| + …|g|) + …E_g
    let of_values = &m * old + g.mapv(f64::abs) * new;
    let both = &m + &g.mapv(f64::abs);
    let [roundings, ..] = ADAMW;
    let bound: Bound = Arc::new(move |units| {
        let growth = units.stored(roundings + usize::from(units.inputs_round));
        zip_map(of_g(units), &of_values, &both, |of_g, gauge, both| {
            growth * gauge
                + units.accumulate * beta * (1.0 + growth) * both
                + new * (1.0 + growth) * of_g
                + 4.0 * units.tiny_store
        })
    });
    output(tensor, "exp_avg.", suffix, gauge, bound)
}

/// v⁺.
fn second_moment(tensor: &TensorUpdate<'_>, constants: AdamConstants, suffix: &str) -> Output {
    let Gradient { value: g, gauge: g_gauge, error: of_g } = tensor.gradient.clone();
    let v = tensor.get(tensor.before, "exp_avg_sq.").mapv(f64::abs);
    let beta = constants.betas.1;
    let (old, new) = coefficients(beta);
    let gauge = &v * old + g_gauge.mapv(|g| g * g) * new;
    // E_v = growth · (…v + …g²) + …(2|g| E_g + E_g²)
    let of_values = &v * old + g.mapv(|g| g * g) * new;
    let both = &v + &g.mapv(|g| g * g);
    let g = g.mapv(f64::abs);
    let [_, roundings, ..] = ADAMW;
    let bound: Bound = Arc::new(move |units| {
        let growth = units.stored(roundings + 2 * usize::from(units.inputs_round));
        let of_beta = &both * (units.accumulate * beta * (1.0 + growth));
        of_beta
            + zip_map(of_g(units), &of_values, &g, |of_g, gauge, g| {
                growth * gauge
                    + new * (1.0 + growth) * (2.0 * g + of_g) * of_g
                    + 4.0 * units.tiny_store
            })
    });
    output(tensor, "exp_avg_sq.", suffix, gauge, bound)
}

/// p, from the moments after the update.
fn parameter(
    tensor: &TensorUpdate<'_>,
    constants: AdamConstants,
    suffix: &str,
    m: &Output,
    v: &Output,
) -> Result<Output> {
    let group = tensor.before.group(tensor.name)?;
    let shrink = 1.0 + group.lr * group.weight_decay;
    let p = tensor.get(tensor.before, "").mapv(f64::abs);
    let rate = constants.rate;
    let denominator = move |v: f64| constants.denominator(v);
    let mut gauge = &m.gauge() * rate;
    Zip::from(&mut gauge).and(&v.value).for_each(|q, &v| *q /= denominator(v));
    gauge += &(&p * shrink);

    let (of_m, of_v, m, v) = (m.bound.clone(), v.bound.clone(), m.value.clone(), v.value.clone());
    let [_, _, of_q, of_p] = ADAMW;
    let l = tensor.rate_roundings();
    let counts = of_q + l + if constants.decay_last { DECAY_LAST + l } else { 0 };
    let bound: Bound = Arc::new(move |units| {
        let (of_m, of_v) = (of_m(units), of_v(units));
        let q_growth = quotient_growth(constants, units, counts);
        let p_growth = units.stored(of_p + l + usize::from(units.inputs_round));
        let mut error = p.clone();
        Zip::from(&mut error).and(&of_m).and(&of_v).and(&m).and(&v).for_each(
            |error, &of_m, &of_v, &m, &v| {
                // Nothing is known of the gradient (a projection whose series diverges): nothing of q either. The
                // corners would be ∞/∞.
                if m.is_finite() && v.is_finite() && !(of_m + of_v).is_finite() {
                    *error = f64::INFINITY;
                    return;
                }
                let q = rate * m / denominator(v);
                let mut off = 0.0;
                let mut most = 0.0;
                for m in [m - of_m, m + of_m] {
                    for v in [v - of_v, v + of_v] {
                        let corner = rate * m / denominator(v);
                        // NaN must stay, so no `f64::max`.
                        let far = (corner - q).abs();
                        off = if far <= off { off } else { far };
                        most = if corner.abs() <= most { most } else { corner.abs() };
                    }
                }
                *error = p_growth * *error * shrink
                    + (off + q_growth * most) * shrink
                    + 8.0 * units.tiny_store;
            },
        );
        error
    });
    Ok(output(tensor, "", suffix, gauge, bound))
}

/// What q grows by in `counts` roundings and in both bias corrections.
fn quotient_growth(constants: AdamConstants, units: &Units, counts: usize) -> f64 {
    let rounded = 1.0 + units.stored(counts);
    let [first, second] = constants.bias_roundings.map(|count| count * units.accumulate);
    // √(1 − θ) ≥ 1 − θ/2 − θ²/2
    let biased = first + second / 2.0 * (1.0 + second);
    rounded / (1.0 - biased).max(0.0) - 1.0
}

/// The tensor, or the moment with this prefix, after the update.
fn output(
    tensor: &TensorUpdate<'_>,
    prefix: &str,
    suffix: &str,
    gauge: ArrayD<f64>,
    bound: Bound,
) -> Output {
    let value = tensor.get(tensor.after, prefix);
    let name = format!("{prefix}{}{suffix}", tensor.name);
    Output { name, value, gauges: vec![("all", gauge)], bound, residual: None }
}
