//! One update: SGD, AdamW in both variants, and what Delta-LoRA does to W after it.
//!
//! All counts are of stored roundings u, since an update works element by element. L is 1, the rounding of η, and 3 for B
//! in LoRA+, whose rate is a product. E_g is the bound of the gradient: 0 where the case gives it.
//!
//! # SGD: p − η (g + λ p)
//! | term | stored | |
//! |---|---|---|
//! | p | 1 or 3 | the sum; with decay also p · fl(1 − η λ) |
//! | η λ p | 5 + L | λ, the product, + g, ·η, the sum |
//! | η g | 3 + L | + λ p, ·η, the sum |
//!
//! and η E_g. This covers the coupled form above and the decoupled p (1 − η λ) − η g.
//!
//! # AdamW: the moments
//! m⁺ = β₁ m + (1 − β₁) g, or as an interpolation m + (1 − β₁)(g − m), which computes with more: the gauge is
//! β₁|m| + (1 − β₁)|g| + 2 min(β₁, 1 − β₁) |m| (|g| where β₁ < ½, since PyTorch then starts from the other end), and 4
//! roundings: g − m, 1 − β₁, the product, the sum. v⁺ likewise with g², one more rounding, hence 5.
//!
//! 1 − β cancels. Formed from a rounded β in the accumulator's format it is off by u_a β, which is u_a β/(1 − β) of itself
//! (999 u for β₂ = 0.999), and 1 − βᵗ by at most (2t + 1) u_a βᵗ, of which a root leaves half. PyTorch forms both in `f64`, optax forms 1 − βᵗ in f32. **That
//! passes**: u_a β₁ (|m| + |g|) is added to E_m, u_a β₂ (v + g²) to E_v, and both corrections to what q may be off. Formed in
//! bf16 it does not pass.
//!
//! # AdamW: the parameter
//! q = rate · m⁺ / (√v⁺/√(1 − β₂ᵗ) + ε). m⁺ and v⁺ have the errors above, so q lies between the corners of
//! \[m⁺ − E_m, m⁺ + E_m\] / \[√(v⁺ − E_v) …, √(v⁺ + E_v) …\]. On top of that 10 + L roundings: √v, √(1 − β₂ᵗ) (2), L, 1 − β₁ᵗ,
//! their quotient, its product with √(1 − β₂ᵗ) or m, a quotient, + ε, m/…, the sum. hf: 4 + L more, since the decay comes
//! last: η (L), λ, η λ, the product, the difference. p itself: 5 + L roundings of |p| (1 + η λ): η (L), λ, η λ, 1 − η λ,
//! the product, the sum.
//!
//! # Delta-LoRA: W + λ s (B⁺A⁺ − B A)
//! | term | in sums | stored |
//! |---|---|---|
//! | W | 2r | 2: two sums |
//! | λ s B⁺A⁺ and λ s B A | 2r | 10: the product, the difference, λ, s (3), λ s, the product with it, two sums |
//!
//! The two products cancel, so the gauge is |λ s| (|B⁺||A⁺| + |B||A|). A⁺ and B⁺ have errors of their own:
//! |λ s| (|B⁺| E_A + E_B |A⁺| + E_B E_A).

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array2, ArrayD, Zip};

use crate::bound::constants::{ADAMW, DECAY_LAST, MOVE, Row, SGD, Sizes};
use crate::bound::{Bound, Part, Roundings, Underflow, bound, largest, plus, with};
use crate::case::Method;
use crate::case::inputs::trained;
use crate::ops::layer::{AdamNow, Named, Problem};
use crate::ops::{Output, projected_gradient};
use crate::{Result, error::wrong};

/// A gradient as the optimiser gets it.
#[derive(Clone)]
pub(crate) struct Gradient {
    pub value: ArrayD<f64>,
    /// ≥ |g|.
    pub gauge: ArrayD<f64>,
    /// E_g.
    pub error: Bound,
}

/// A lone step: the case gives the gradients.
pub(crate) fn lone(problem: &Problem) -> Result<Vec<Output>> {
    let mut gradients = BTreeMap::new();
    for name in trained(problem.method) {
        let value = problem.inputs.get(&format!("grad_{name}"));
        let value = value.ok_or_else(|| wrong(format!("in.grad_{name} is missing")))?.clone();
        let zeros = ArrayD::zeros(value.shape());
        let gauge = value.mapv(f64::abs);
        let error: Bound = Arc::new(move |_| zeros.clone());
        gradients.insert((*name).to_owned(), Gradient { value, gauge, error });
    }
    Ok(update(problem, gradients, "")?.0)
}

/// The update, and the problem after it.
pub(crate) fn update(
    before: &Problem,
    mut gradients: BTreeMap<String, Gradient>,
    suffix: &str,
) -> Result<(Vec<Output>, Problem)> {
    let values: Named = gradients.iter().map(|(k, g)| (k.clone(), g.value.clone())).collect();
    let mut after = before.clone();
    after.step(&values)?;

    if let (Some(projection), Some(raw)) =
        (projected_gradient::of(before), gradients.get_mut("lora_B"))
    {
        let value = before.layer()?.direction(&raw.value)?;
        raw.error = projection.error(value.clone(), raw.error.clone());
        raw.gauge = value.mapv(f64::abs);
        raw.value = value;
    }
    let (mut outputs, mut errors) = (Vec::new(), BTreeMap::<String, Bound>::new());
    for (name, gradient) in &gradients {
        let made = Update { before, after: &after, name, gradient }.outputs(suffix)?;
        errors.insert(name.clone(), made[0].bound.clone());
        outputs.extend(made);
    }
    if before.method == Method::DeltaLora {
        outputs.push(moved_weight(before, &after, &errors, suffix)?);
    }
    Ok((outputs, after))
}

/// One tensor's update.
struct Update<'a> {
    before: &'a Problem,
    after: &'a Problem,
    name: &'a str,
    gradient: &'a Gradient,
}

impl Update<'_> {
    /// The parameter first, then its moments.
    fn outputs(&self, suffix: &str) -> Result<Vec<Output>> {
        let group = self.before.group(self.name)?;
        match AdamNow::new(&self.before.params, group.lr) {
            None => Ok(vec![self.sgd(suffix)?]),
            Some(now) => self.adamw(now, suffix),
        }
    }

    fn get(&self, problem: &Problem, prefix: &str) -> ArrayD<f64> {
        let found = problem.inputs.get(&format!("{prefix}{}", self.name)).cloned();
        found.unwrap_or_else(|| ArrayD::zeros(self.gradient.value.shape()))
    }

    /// L.
    fn rate_roundings(&self) -> usize {
        if self.before.method == Method::LoraPlus && self.name == "lora_B" { 3 } else { 1 }
    }

    fn sgd(&self, suffix: &str) -> Result<Output> {
        let group = self.before.group(self.name)?;
        let (lr, decay) = (group.lr, group.weight_decay);
        let p = self.get(self.before, "").mapv(f64::abs);
        let value = self.get(self.after, "");
        let part = |gauge: ArrayD<f64>, store| Part {
            gauge,
            roundings: Roundings { accumulate: 0, store, inputs: 1 },
            underflow: Underflow {
                accumulated: 0.0,
                stored: 8.0,
                amplification: lr.max(1.0) * decay.max(1.0),
            },
        };
        let l = self.rate_roundings();
        let [alone, decayed, of_decay, of_g] = SGD;
        let parts = vec![
            part(p.clone(), if decay == 0.0 { alone } else { decayed }),
            part(&p * (lr * decay), of_decay + l),
            part(&self.gradient.gauge * lr, of_g + l),
        ];
        let all = &p * (1.0 + lr * decay) + &self.gradient.gauge * lr;
        let error = self.gradient.error.clone();
        let from_gradient: Bound =
            Arc::new(move |units| error(units) * (lr * (1.0 + units.stored(of_g + l))));
        Ok(Output {
            name: format!("{}{suffix}", self.name),
            value,
            gauges: vec![("all", all)],
            bound: plus(bound(parts), from_gradient),
            residual: None,
        })
    }

    fn adamw(&self, now: AdamNow, suffix: &str) -> Result<Vec<Output>> {
        let group = self.before.group(self.name)?;
        let shrink = 1.0 + group.lr * group.weight_decay;
        let Gradient { value: g, gauge: g_gauge, error: of_g } = self.gradient.clone();
        let [m, v] = ["exp_avg.", "exp_avg_sq."].map(|kind| self.get(self.before, kind));

        // The coefficients of the old moment and of the new number in the gauge.
        let coefficients = |beta: f64| {
            let extra = 2.0 * beta.min(1.0 - beta);
            if beta < 0.5 { (beta, 1.0 - beta + extra) } else { (beta + extra, 1.0 - beta) }
        };
        let ((m_old, m_new), (v_old, v_new)) =
            (coefficients(now.betas.0), coefficients(now.betas.1));
        let m_gauge = m.mapv(f64::abs) * m_old + &g_gauge * m_new;
        let v_gauge = v.mapv(f64::abs) * v_old + g_gauge.mapv(|g| g * g) * v_new;

        let [in_m, in_v, in_q, in_p] = ADAMW;
        // E_m = growth · (…|m| + …|g|) + …E_g
        let m_abs = m.mapv(f64::abs) * m_old + g.mapv(f64::abs) * m_new;
        let m_both = m.mapv(f64::abs) + g.mapv(f64::abs);
        let of_g_m = of_g.clone();
        let m_error: Bound = Arc::new(move |units| {
            let growth = units.stored(in_m + usize::from(units.inputs_round));
            with(of_g_m(units), &m_abs, &m_both, |of_g, gauge, both| {
                growth * gauge
                    + units.accumulate * now.betas.0 * (1.0 + growth) * both
                    + m_new * (1.0 + growth) * of_g
                    + 4.0 * units.tiny_store
            })
        });
        // E_v = growth · (…v + …g²) + …(2|g| E_g + E_g²)
        let v_abs = v.mapv(f64::abs) * v_old + g.mapv(|g| g * g) * v_new;
        let v_both = v.mapv(f64::abs) + g.mapv(|g| g * g);
        let g_abs = g.mapv(f64::abs);
        let v_error: Bound = Arc::new(move |units| {
            let growth = units.stored(in_v + 2 * usize::from(units.inputs_round));
            let rest = &v_both * (units.accumulate * now.betas.1 * (1.0 + growth));
            rest + with(of_g(units), &v_abs, &g_abs, |of_g, gauge, g| {
                growth * gauge
                    + v_new * (1.0 + growth) * (2.0 * g + of_g) * of_g
                    + 4.0 * units.tiny_store
            })
        });

        let [m_after, v_after] = ["exp_avg.", "exp_avg_sq."].map(|kind| self.get(self.after, kind));
        let p = self.get(self.before, "").mapv(f64::abs);
        let denominator = move |v: f64| v.max(0.0).sqrt() / now.root_bias + now.eps;
        let mut p_gauge = &m_gauge * now.rate;
        Zip::from(&mut p_gauge).and(&v_after).for_each(|q, &v| *q /= denominator(v));
        p_gauge += &(&p * shrink);

        let (of_m, of_v) = (m_error.clone(), v_error.clone());
        let (m_mid, v_mid) = (m_after.clone(), v_after.clone());
        let l = self.rate_roundings();
        let counts = in_q + l + if now.decay_last { DECAY_LAST + l } else { 0 };
        let p_error: Bound = Arc::new(move |units| {
            let (of_m, of_v) = (of_m(units), of_v(units));
            let rounded = 1.0 + units.stored(counts);
            let [first, second] = now.bias_roundings.map(|count| count * units.accumulate);
            // √(1 − θ) ≥ 1 − θ/2 − θ²/2
            let biased = first + second / 2.0 * (1.0 + second);
            let q_growth = rounded / (1.0 - biased).max(0.0) - 1.0;
            let p_growth = units.stored(in_p + l + usize::from(units.inputs_round));
            let mut error = p.clone();
            Zip::from(&mut error).and(&of_m).and(&of_v).and(&m_mid).and(&v_mid).for_each(
                |error, &of_m, &of_v, &m, &v| {
                    // Nothing is known of the gradient (a projection whose series diverges): nothing of q either. The
                    // corners would be ∞/∞.
                    if m.is_finite() && v.is_finite() && !(of_m + of_v).is_finite() {
                        *error = f64::INFINITY;
                        return;
                    }
                    let q = now.rate * m / denominator(v);
                    let mut off = 0.0;
                    let mut most = 0.0;
                    for m in [m - of_m, m + of_m] {
                        for v in [v - of_v, v + of_v] {
                            let corner = now.rate * m / denominator(v);
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
        let output = |name: String, value, gauge, bound| Output {
            name,
            value,
            gauges: vec![("all", gauge)],
            bound,
            residual: None,
        };
        let name = self.name;
        Ok(vec![
            output(format!("{name}{suffix}"), self.get(self.after, ""), p_gauge, p_error),
            output(format!("exp_avg.{name}{suffix}"), m_after, m_gauge, m_error),
            output(format!("exp_avg_sq.{name}{suffix}"), v_after, v_gauge, v_error),
        ])
    }
}

/// Delta-LoRA's W.
fn moved_weight(
    before: &Problem,
    after: &Problem,
    errors: &BTreeMap<String, Bound>,
    suffix: &str,
) -> Result<Output> {
    let matrix = |problem: &Problem, name: &str| {
        problem.inputs.matrix(name).ok_or_else(|| wrong(format!("in.{name} is missing")))
    };
    let absolute = |problem: &Problem, name: &str| {
        Ok::<_, crate::Error>(matrix(problem, name)?.mapv(f64::abs))
    };
    let [a0, b0] = [absolute(before, "lora_A")?, absolute(before, "lora_B")?];
    let [a1, b1] = [absolute(after, "lora_A")?, absolute(after, "lora_B")?];
    let settings = before.params.delta;
    // The number of this update, from 1 on.
    let moves = before.params.start + 1 > settings.start_step;
    let scale = if settings.include_scale { before.scale()?.abs() } else { 1.0 };
    let factor = if moves { settings.lambda * scale } else { 0.0 };

    let base = before.weight().mapv(f64::abs).into_dyn();
    let low_rank = ((b1.dot(&a1) + b0.dot(&a0)) * factor).into_dyn();
    let all = &base + &low_rank;
    let r = before.inputs.dims.rank;
    let amplification = largest([&a1, &b1, &a0, &b0].map(|m| m.clone().into_dyn()).iter());
    let sizes = Sizes { rank: r, ..Sizes::default() };
    let part = |gauge, row: Row, inputs| Part {
        gauge,
        roundings: Roundings {
            accumulate: row.accumulate.of(sizes),
            store: row.store.of(sizes),
            inputs,
        },
        underflow: Underflow {
            accumulated: 4.0 * (r + 1) as f64,
            stored: 12.0,
            amplification: amplification * factor.max(1.0),
        },
    };
    let parts = if moves {
        vec![part(base, MOVE[0], 1), part(low_rank, MOVE[1], 2)]
    } else {
        // W rests, and only the format can change it.
        vec![part(base, Row::default(), 1)]
    };
    let [of_a, of_b] = ["lora_A", "lora_B"].map(|name| errors[name].clone());
    let shape = all.shape().to_vec();
    let from_factors: Bound = Arc::new(move |units| {
        let two = |array: ArrayD<f64>| array.into_dimensionality::<ndarray::Ix2>();
        let (Ok(of_a), Ok(of_b)) = (two(of_a(units)), two(of_b(units))) else {
            return ArrayD::from_elem(shape.clone(), f64::INFINITY);
        };
        let [accumulate, store] = [MOVE[1].accumulate, MOVE[1].store].map(|count| count.of(sizes));
        let growth = units.growth(Roundings { accumulate, store, inputs: 0 });
        let sum: Array2<f64> = b1.dot(&of_a) + of_b.dot(&a1) + of_b.dot(&of_a);
        // Without a move, 0 · ∞ must not make NaN.
        sum.mapv(|sum| if factor == 0.0 { 0.0 } else { sum * factor * (1.0 + growth) }).into_dyn()
    });
    let output = Output {
        name: format!("weight{suffix}"),
        value: after.weight().into_dyn(),
        gauges: vec![("all", all)],
        bound: plus(bound(parts), from_factors),
        residual: None,
    };
    Ok(if before.params.fan_in_fan_out { output.turned() } else { output })
}
