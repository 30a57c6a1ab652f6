//! DoRA: forward, backward, merge. V = W + s B A, n = ‖V‖ row by row, c = m/n.
//!
//! # The length of a row
//! V is off by at most growth(n_in + r, 6) of its gauge |W| + |s||B||A|, entry by entry: see `merge.rs`. A length cannot be
//! off by more than the length of that, so by growth · κ of itself, where κ ≥ 1 is the length of the gauge's row divided by
//! n. Squares and their sum are halved by the root: 2 more stored, and n_in in sums. So the computed length is
//!
//! ```text
//! n̂ = n (1 + φ), |φ| ≤ θ = ((1 + u_a)^(n_in + r) (1 + u_s)^8 − 1) κ
//! ```
//!
//! Where θ > ½ nothing is said: the bound is infinite.
//!
//! Not covered: ‖V‖² from its terms ‖W‖² + 2 s ⟨W, B A⟩ + …, which cancel where V is short, and a norm that scales as it goes.
//!
//! # An output
//! First put n̂ in the place of n, exactly: what is multiplied by c is off by 1/(1 − θ) − 1 = θ/(1 − θ) of itself. So the gauge
//! `norm` has each sum over a row of V as it is, times κ. Then round everything else, with a c that is at most 1/(1 − θ)
//! times as large:
//!
//! | output | term | in sums | stored |
//! |---|---|---|---|
//! | y | (x, x̃) Wᵀ ⊙ (1, c) + bias | n + r | 8: x̃ Wᵀ, + the low-rank term, c, c − 1, ⊙, + x Wᵀ, + bias; x − x̃, or − bias |
//! | | c ⊙ s x̃ Aᵀ Bᵀ | 2n + r | 10: LoRA's 7, c, ⊙ c, a sum |
//! | ∂L/∂x | (g, c ⊙ g) W | m + r | 7: c, c − 1, ⊙ g, the product, + the low-rank term, + g W; one to spare |
//! | | s (c ⊙ g) B A | 2m + r | 10: LoRA's 7, c, ⊙ c, a sum |
//! | ∂L/∂A | s ((c ⊙ g) B)ᵀ x̃ | m + b | 8: LoRA's 6, c, ⊙ c |
//! | ∂L/∂B | s (c ⊙ g)ᵀ (x̃ Aᵀ) | n + b | 8 |
//! | ∂L/∂m | Σ g ⊙ x̃ Vᵀ / n | 2n + r + b | 10: x̃ Aᵀ, s (3), s h, its product, + x̃ Wᵀ, g ⊙, the sum, / n |
//! | merged | c ⊙ V, also as W + (c ⊙ V − W) | r | 10: V (6), c, ⊙ c, − W, + W |
//! | through the norm | s Bᵀ M, s M Aᵀ | 3n + m + 2r + b | 26: V (6), ∂L/∂m (10), c, ⊙, /n, ⊙ V, s (3), ·s, the product, the sum |
//!
//! 2 more, stored, with a mask. W's terms have x and x̃, since some form (x − x̃) Wᵀ beside c ⊙ x̃ Vᵀ. So does the bias: PEFT
//! takes it off the layer's output to have x Wᵀ, which is 1 more in y and 2 in ∂L/∂m. In M = −c ∂L/∂m ⊙ V/n the length is there
//! three times: roundings count (1 − θ)⁻³ times, and `norm` has 7 κ |M|, since (1 − θ)⁻³ − 1 ≤ 7 θ/(1 − θ) up to ½.

mod sensitivity;
mod through;

use ndarray::{Array1, Array2, Axis};

use self::sensitivity::Sensitivity;
use self::through::{Through, to_b};
use super::dora_formula::{Masked, rows};
use super::output::Output;
use super::pass::Pass;
use super::problem::Problem;
use crate::bound::{Part, Roundings, Underflow, constants};
use crate::error::Result;

/// y, with the bias.
pub(super) fn forward(pass: &Pass<'_>) -> Result<Output> {
    let problem = pass.problem;
    let (sensitivity, masked) = (Sensitivity::new(problem)?, masked(pass)?);
    let y = match problem.mistake {
        Some(_) => sensitivity.formula.y(&masked),
        None => problem.layer()?.forward(&problem.weight(), &masked.x, pass.dropout()?.as_ref())?,
    };
    output_y(pass, &sensitivity, &masked, y)
}

fn output_y(
    pass: &Pass<'_>,
    sensitivity: &Sensitivity,
    masked: &Masked,
    mut y: Array2<f64>,
) -> Result<Output> {
    if let Some(bias) = pass.problem.inputs.vector("bias") {
        y += &bias;
    }
    let (base, r) = (sensitivity.of_base(masked), pass.problem.inputs.dims.rank);
    let base = base * &(&sensitivity.size + 1.0);
    let dropped = masked.dropped.mapv(f64::abs);
    let low_rank = dropped.dot(&sensitivity.low_rank.t()) * &sensitivity.size;
    let norm =
        masked.dropped.dot(&sensitivity.direction.t()).mapv(f64::abs) * &sensitivity.sensitive();
    let parts = vec![
        ("base", sensitivity.part(pass, "y.base", base, 0)?),
        ("low_rank", sensitivity.part(pass, "y.low_rank", low_rank, r)?),
    ];
    Ok(sensitivity.output(format!("y{}", pass.suffix), y.into_dyn(), parts, norm.into_dyn()))
}

/// y, ∂L/∂x and the gradients.
pub(super) fn backward(pass: &Pass<'_>) -> Result<Vec<Output>> {
    let problem = pass.problem;
    let (sensitivity, masked) = (Sensitivity::new(problem)?, masked(pass)?);
    let g = pass.matrix("grad_y")?;
    let mut passed = match problem.mistake {
        Some(_) => sensitivity.formula.backward(&masked, &problem.factors()?, &g),
        None => {
            problem.layer()?.backward(&problem.weight(), &masked.x, pass.dropout()?.as_ref(), &g)?
        }
    };
    let mut outputs = vec![output_y(pass, &sensitivity, &masked, passed.y.clone())?];
    let [r, b] = [problem.inputs.dims.rank, g.nrows()];
    let abs = |matrix: &Array2<f64>| matrix.mapv(f64::abs);
    let (size, sensitive) = (&sensitivity.size, sensitivity.sensitive());

    let once = (abs(&g) * &(size + 1.0)).dot(&sensitivity.weight); // [tokens, out]·[out, in]
    let base = once * &(&masked.keep + 1.0);
    let low_rank = (abs(&g) * size).dot(&sensitivity.low_rank) * &masked.keep;
    let norm = (abs(&g) * &sensitive).dot(&abs(&sensitivity.direction)) * &masked.keep;
    let parts = vec![
        ("base", sensitivity.part(pass, "grad_x.base", base, 0)?),
        ("low_rank", sensitivity.part(pass, "grad_x.low_rank", low_rank, r)?),
    ];
    let (name, value) = (format!("grad_x{}", pass.suffix), passed.grad_x.into_dyn());
    outputs.push(sensitivity.output(name, value, parts, norm.into_dyn()));

    let [a, b_matrix] = problem.factors()?.map(|factor| factor.mapv(f64::abs));
    let s = sensitivity.formula.scale.abs();
    let outer = g.t().dot(&masked.dropped); // [out, tokens]·[tokens, in] → [out, in]
    let positive = abs(&g).t().dot(&abs(&masked.dropped));
    let through = match problem.params.detach_norm {
        true => None,
        false => Some(Through::new(&sensitivity, &masked, &g, &outer)),
    };
    if let Some(through) = &through {
        through.add(problem, &sensitivity, &mut passed.gradients)?;
    }
    let to_a = |into: &Array2<f64>| b_matrix.t().dot(into) * s; // [r, out]·[out, in] → [r, in]
    let to_b_positive = |into: &Array2<f64>| into.dot(&a.t()) * s; // [out, in]·[in, r] → [out, r]
    let all = rows(size, &positive);
    // Of A the rows of V are summed; of B each entry has one of them, and its own sum over the row.
    let mut norms =
        [to_a(&rows(&sensitive, &abs(&outer))), rows(&sensitive, &abs(&to_b(problem, &outer)?))];
    if let Some(through) = &through {
        norms[0] += &to_a(&rows(&through.sensitive, &abs(&sensitivity.direction)));
        norms[1] += &rows(&through.sensitive, &abs(&to_b(problem, &sensitivity.direction)?));
    }
    for (name, all, norm, of_through) in [
        ("lora_A", to_a(&all), &norms[0], through.as_ref().map(|through| to_a(&through.gauge))),
        (
            "lora_B",
            to_b_positive(&all),
            &norms[1],
            through.as_ref().map(|through| to_b_positive(&through.gauge)),
        ),
    ] {
        let mut parts = vec![("all", sensitivity.part(pass, &format!("grad_{name}.all"), all, b)?)];
        if let Some(gauge) = of_through {
            parts.push((
                "through",
                sensitivity.part(pass, &format!("grad_{name}.through"), gauge, b)?,
            ));
        }
        let value = passed.gradients[name].clone();
        outputs.push(sensitivity.output(
            format!("grad_{name}{}", pass.suffix),
            value,
            parts,
            norm.clone().into_dyn(),
        ));
    }
    let value = passed.gradients["lora_magnitude_vector"].clone();
    let (all, norm) = sensitivity.of_magnitude(&masked, &g, &outer);
    let row = |vector: Array1<f64>| vector.insert_axis(Axis(1));
    let mut part = sensitivity.part(pass, "grad_lora_magnitude_vector.all", row(all), b)?;
    part.gauge = part.gauge.index_axis_move(Axis(1), 0);
    let name = format!("grad_lora_magnitude_vector{}", pass.suffix);
    outputs.push(sensitivity.output(name, value, vec![("all", part)], norm.into_dyn()));
    Ok(outputs)
}

/// c ⊙ V.
pub(super) fn merge(problem: &Problem) -> Result<Vec<Output>> {
    let sensitivity = Sensitivity::new(problem)?;
    let mut weight = problem.weight();
    match problem.mistake {
        Some(_) => weight = sensitivity.formula.merged(),
        None => problem.layer()?.merge(&mut weight)?,
    }
    let all = rows(&sensitivity.size, &(&sensitivity.weight + &sensitivity.low_rank))
        + &sensitivity.weight;
    let norm = rows(&sensitivity.sensitive(), &sensitivity.direction.mapv(f64::abs));
    let row = constants::layer(problem.method, "weight.all");
    let (r, sizes) = (problem.inputs.dims.rank, sensitivity.length.sizes);
    let store = row.store.of(sizes);
    let part = Part {
        gauge: all.into_dyn(),
        roundings: Roundings { accumulate: row.accumulate.of(sizes), store, inputs: 3 },
        underflow: Underflow {
            accumulated: 2.0 * (r + 1) as f64,
            stored: (store + 2) as f64 * (r + 1) as f64,
            amplification: sensitivity.length.amplification * sensitivity.largest,
        },
    };
    let output = sensitivity.output(
        "weight".into(),
        weight.into_dyn(),
        vec![("all", part)],
        norm.into_dyn(),
    );
    Ok(vec![if problem.params.fan_in_fan_out { output.transposed() } else { output }])
}

fn masked(pass: &Pass<'_>) -> Result<Masked> {
    let (x, dropout) = (pass.matrix("x")?, pass.dropout()?);
    let ones = Array2::ones(x.dim());
    let (dropped, keep) = match &dropout {
        Some(dropout) => (dropout.apply(x.view())?, dropout.apply(ones.view())?),
        None => (x.clone(), ones),
    };
    Ok(Masked { x, dropped, keep })
}
