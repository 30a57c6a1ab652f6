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

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayD, Axis};

use super::layer::{BackwardPass, Named};
use super::output::Output;
use super::pass::Pass;
use super::problem::Problem;
use crate::bound::constants::{self, LENGTH};
use crate::bound::{Bound, GAUGE, Part, Roundings, Sizes, Underflow, Units, bound, largest};
use crate::error::{Result, wrong};

/// What y and the gradients are made of. A mutant changes it.
#[derive(Clone)]
pub(crate) struct Formula {
    /// W and s B A, \[out, in\].
    pub weight: Array2<f64>,
    pub low_rank: Array2<f64>,
    /// s, without which s B A is B A.
    pub scale: f64,
    /// m, \[out\].
    pub magnitude: Array1<f64>,
    /// x̃ Wᵀ is multiplied by this: c − 1.
    pub of_weight: Array1<f64>,
    /// And s x̃ Aᵀ Bᵀ by this: c.
    pub of_low_rank: Array1<f64>,
    /// c in the gradients of A and B.
    pub back: Array1<f64>,
    /// What ∂L/∂m multiplies Σ g ⊙ x̃ Wᵀ and Σ g ⊙ s x̃ Aᵀ Bᵀ by: 1/n.
    pub to_magnitude: [Array1<f64>; 2],
    /// Is it x̃ that W's second term has, and not x?
    pub masks_weight: bool,
}

impl Formula {
    /// Of a case, with the mistake in it.
    ///
    /// # Errors
    /// An input is missing.
    pub fn new(problem: &Problem) -> Result<Self> {
        let missing = |name: &str| wrong(format!("in.{name} is missing"));
        let get = |name| problem.inputs.matrix(name).ok_or_else(|| missing(name));
        let (a, b, scale) = (get("lora_A")?, get("lora_B")?, problem.scale()?);
        let magnitude = problem.inputs.vector("lora_magnitude_vector");
        let magnitude = magnitude.ok_or_else(|| missing("lora_magnitude_vector"))?;
        let (weight, low_rank) = (problem.weight(), b.dot(&a) * scale); // [out, r]·[r, in] → [out, in]
        let ones = Array1::ones(magnitude.len());
        let mut formula = Self {
            of_weight: ones.clone(),
            of_low_rank: ones.clone(),
            back: ones.clone(),
            to_magnitude: [ones.clone(), ones],
            masks_weight: true,
            weight,
            low_rank,
            scale,
            magnitude,
        };
        formula.divide_by(lengths(&formula.direction()));
        if let Some(mistake) = problem.mistake {
            mistake(&mut formula);
        }
        Ok(formula)
    }

    /// V.
    pub fn direction(&self) -> Array2<f64> {
        &self.weight + &self.low_rank
    }

    /// Take these for the lengths of V's rows.
    pub fn divide_by(&mut self, lengths: Array1<f64>) {
        let c = &self.magnitude / &lengths;
        self.of_weight = &c - 1.0;
        self.of_low_rank.clone_from(&c);
        self.back = c;
        let inverse = lengths.recip();
        self.to_magnitude = [inverse.clone(), inverse];
    }

    /// (1 + of_weight) ⊙ W + of_low_rank ⊙ s B A.
    fn merged(&self) -> Array2<f64> {
        rows(&(&self.of_weight + 1.0), &self.weight) + rows(&self.of_low_rank, &self.low_rank)
    }

    fn y(&self, masked: &Masked) -> Array2<f64> {
        let second = if self.masks_weight { &masked.dropped } else { &masked.x };
        masked.x.dot(&self.weight.t())
            + second.dot(&self.weight.t()) * &self.of_weight
            + masked.dropped.dot(&self.low_rank.t()) * &self.of_low_rank
    }

    fn backward(
        &self,
        masked: &Masked,
        problem: &Problem,
        g: &Array2<f64>,
    ) -> Result<BackwardPass> {
        let second = if self.masks_weight { &masked.dropped } else { &masked.x };
        let into_weight = (g * &self.of_weight).dot(&self.weight); // [tokens, out]·[out, in]
        let into_low_rank = (g * &self.of_low_rank).dot(&self.low_rank);
        let grad_x = g.dot(&self.weight)
            + into_low_rank * &masked.keep
            + if self.masks_weight { into_weight * &masked.keep } else { into_weight };
        let (outer, of_second) = (g.t().dot(&masked.dropped), g.t().dot(second)); // [out, tokens]·[tokens, in]
        let [a, b] = factors(problem)?;
        let into = rows(&self.back, &outer) * self.scale;
        let [of_weight, of_low_rank] = &self.to_magnitude;
        let magnitude = (of_second * &self.weight).sum_axis(Axis(1)) * of_weight
            + (outer * &self.low_rank).sum_axis(Axis(1)) * of_low_rank;
        let gradients = Named::from([
            ("lora_A".to_owned(), b.t().dot(&into).into_dyn()), // [r, out]·[out, in] → [r, in]
            ("lora_B".to_owned(), into.dot(&a.t()).into_dyn()), // [out, in]·[in, r] → [out, r]
            ("lora_magnitude_vector".to_owned(), magnitude.into_dyn()),
        ]);
        Ok(BackwardPass { y: self.y(masked), grad_x, gradients })
    }
}

/// x, x̃ and what is between them.
struct Masked {
    x: Array2<f64>,
    dropped: Array2<f64>,
    /// mask/(1 − p), or 1.
    keep: Array2<f64>,
}

impl Masked {
    fn of(pass: &Pass<'_>) -> Result<Self> {
        let (x, dropout) = (pass.matrix("x")?, pass.dropout()?);
        let ones = Array2::ones(x.dim());
        let (dropped, keep) = match &dropout {
            Some(dropout) => (dropout.apply(x.view())?, dropout.apply(ones.view())?),
            None => (x.clone(), ones),
        };
        Ok(Self { x, dropped, keep })
    }

    /// |x| + |x̃|.
    fn both(&self) -> Array2<f64> {
        self.x.mapv(f64::abs) + self.dropped.mapv(f64::abs)
    }
}

fn factors(problem: &Problem) -> Result<[Array2<f64>; 2]> {
    let get = |name: &str| {
        problem.inputs.matrix(name).ok_or_else(|| wrong(format!("in.{name} is missing")))
    };
    Ok([get("lora_A")?, get("lora_B")?])
}

/// The length of each row.
pub(crate) fn lengths(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.map_axis(Axis(1), |row| row.dot(&row).sqrt())
}

/// Each row times its factor.
fn rows(factors: &Array1<f64>, matrix: &Array2<f64>) -> Array2<f64> {
    matrix * &factors.view().insert_axis(Axis(1))
}

/// What the gauges need: everything positive, and κ.
struct Sensitivity {
    formula: Formula,
    direction: Array2<f64>,
    /// |W|, |s||B||A|.
    weight: Array2<f64>,
    low_rank: Array2<f64>,
    bias: Option<Array1<f64>>,
    /// |c|, 1/n, κ.
    size: Array1<f64>,
    inverse: Array1<f64>,
    condition: Array1<f64>,
    length: Length,
    /// What an underflow may be multiplied by, beside the factors.
    largest: f64,
}

/// How far off a length may be.
#[derive(Clone, Copy)]
struct Length {
    /// The largest κ and the smallest n.
    condition: f64,
    shortest: f64,
    sizes: Sizes,
    amplification: f64,
}

impl Length {
    /// θ as it counts in the gauge `norm`, so without κ, and 1/(1 − θ); nothing where θ > ½.
    fn error(&self, units: &Units) -> Option<[f64; 2]> {
        let roundings = Roundings {
            accumulate: LENGTH.accumulate.of(self.sizes),
            store: LENGTH.store.of(self.sizes),
            inputs: 2,
        };
        let tiny = units.tiny_store.max(units.tiny_accumulate);
        let in_squares = (self.sizes.inputs + 1) as f64 * tiny / (self.shortest * self.shortest);
        let terms = 8.0 * (self.sizes.rank + 1) as f64 * (self.sizes.inputs as f64).sqrt();
        let in_direction = terms * tiny * self.amplification / self.shortest;
        let growth = units.growth(roundings) * GAUGE;
        let theta = growth * self.condition + in_squares + in_direction;
        // κ ≥ 1, so what underflow adds may stand beside the growth.
        (theta <= 0.5).then(|| [growth + in_squares + in_direction, 1.0 / (1.0 - theta)])
    }
}

impl Sensitivity {
    fn new(problem: &Problem) -> Result<Self> {
        let formula = Formula::new(problem)?;
        let [a, b] = factors(problem)?.map(|factor| factor.mapv(f64::abs));
        let (weight, low_rank) = (formula.weight.mapv(f64::abs), b.dot(&a) * formula.scale.abs());
        let direction = formula.direction();
        let norm = lengths(&direction);
        let condition = lengths(&(&weight + &low_rank)) / &norm;
        let dims = problem.inputs.dims;
        let least = |values: &Array1<f64>| values.iter().fold(f64::INFINITY, |a, &b| a.min(b));
        let most = |values: &Array1<f64>| values.iter().fold(0.0_f64, |a, &b| a.max(b));
        let size = formula.of_low_rank.mapv(f64::abs);
        let [_, inverse] = &formula.to_magnitude;
        let inverse = inverse.mapv(f64::abs);
        let length = Length {
            condition: most(&condition),
            shortest: least(&norm),
            sizes: Sizes {
                inputs: dims.inputs,
                outputs: dims.outputs,
                rank: dims.rank,
                ..Sizes::default()
            },
            amplification: largest([&a.into_dyn(), &b.into_dyn()]) * formula.scale.abs().max(1.0),
        };
        let largest = most(&size).max(1.0) * most(&inverse).max(1.0);
        let bias = problem.inputs.vector("bias").map(|bias| bias.mapv(f64::abs));
        Ok(Self {
            direction,
            weight,
            low_rank,
            bias,
            size,
            inverse,
            condition,
            length,
            largest,
            formula,
        })
    }

    /// |c| κ.
    fn sensitive(&self) -> Array1<f64> {
        &self.size * &self.condition
    }

    /// The part of an output that a row of constants is about.
    fn part(&self, pass: &Pass<'_>, name: &str, gauge: Array2<f64>, terms: usize) -> Result<Part> {
        let x = pass.matrix("x")?;
        let mut term = pass.term(name, &x);
        (term.inputs, term.terms) = (5, terms);
        term.factors = &["x", "grad_y", "W", "A", "B", "m"];
        let part = pass.part(gauge.into_dyn(), term)?;
        let amplification = part.underflow.amplification * self.largest;
        Ok(Part { underflow: Underflow { amplification, ..part.underflow }, ..part })
    }

    /// An output of these terms, and of `norm`: what an error of a length may do.
    fn output(
        &self,
        name: String,
        value: ArrayD<f64>,
        parts: Vec<(&'static str, Part)>,
        norm: ArrayD<f64>,
    ) -> Output {
        let mut gauges: Vec<_> =
            parts.iter().map(|(term, part)| (*term, part.gauge.clone())).collect();
        gauges.push(("norm", norm.clone()));
        let of_parts = parts.into_iter().map(|(term, part)| {
            let lengths = if term == "through" { 3 } else { 1 };
            (lengths, bound(vec![part]))
        });
        let (of_parts, length) = (of_parts.collect::<Vec<(i32, Bound)>>(), self.length);
        let bound: Bound = Arc::new(move |units| {
            let [error, larger] = length.error(units).unwrap_or([f64::INFINITY; 2]);
            let times = |bound: ArrayD<f64>, factor: f64| {
                // 0 stays 0, however far off a length is.
                bound.mapv_into(|bound| if bound == 0.0 { 0.0 } else { bound * factor })
            };
            let of_length = times(norm.clone(), error * larger);
            let each = of_parts.iter().map(|(lengths, of)| times(of(units), larger.powi(*lengths)));
            each.fold(of_length, |sum, bound| sum + bound)
        });
        Output { name, value, gauges, bound, residual: None }
    }
}

/// y, with the bias.
pub(super) fn forward(pass: &Pass<'_>) -> Result<Output> {
    let problem = pass.problem;
    let (sensitivity, masked) = (Sensitivity::new(problem)?, Masked::of(pass)?);
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
    let (sensitivity, masked) = (Sensitivity::new(problem)?, Masked::of(pass)?);
    let g = pass.matrix("grad_y")?;
    let mut passed = match problem.mistake {
        Some(_) => sensitivity.formula.backward(&masked, problem, &g)?,
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

    let [a, b_matrix] = factors(problem)?.map(|factor| factor.mapv(f64::abs));
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
    let to_b = |into: &Array2<f64>| into.dot(&a.t()) * s; // [out, in]·[in, r] → [out, r]
    let all = rows(size, &positive);
    // Of A the rows of V are summed; of B each entry has one of them, and its own sum over the row.
    let mut norms = [
        to_a(&rows(&sensitive, &abs(&outer))),
        rows(&sensitive, &abs(&to_b_signed(problem, &outer)?)),
    ];
    if let Some(through) = &through {
        norms[0] += &to_a(&rows(&through.sensitive, &abs(&sensitivity.direction)));
        norms[1] += &rows(&through.sensitive, &abs(&to_b_signed(problem, &sensitivity.direction)?));
    }
    for (name, all, norm, of_through) in [
        ("lora_A", to_a(&all), &norms[0], through.as_ref().map(|through| to_a(&through.gauge))),
        ("lora_B", to_b(&all), &norms[1], through.as_ref().map(|through| to_b(&through.gauge))),
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

fn to_b_signed(problem: &Problem, into: &Array2<f64>) -> Result<Array2<f64>> {
    let [a, _] = factors(problem)?;
    Ok(into.dot(&a.t()) * problem.scale()?) // [out, in]·[in, r] → [out, r]
}

impl Sensitivity {
    /// (|x| + |x̃|)|W|ᵀ + |bias|, \[tokens, out\].
    fn of_base(&self, masked: &Masked) -> Array2<f64> {
        let both = masked.both().dot(&self.weight.t()); // [tokens, in]·[in, out]
        match &self.bias {
            Some(bias) => both + bias,
            None => both,
        }
    }

    /// The gauges of ∂L/∂m: all, and of the length.
    fn of_magnitude(
        &self,
        masked: &Masked,
        g: &Array2<f64>,
        outer: &Array2<f64>,
    ) -> (Array1<f64>, Array1<f64>) {
        let u = self.of_base(masked) + masked.dropped.mapv(f64::abs).dot(&self.low_rank.t());
        let all = (g.mapv(f64::abs) * u).sum_axis(Axis(0)) * &self.inverse;
        let sums = (outer * &self.direction).sum_axis(Axis(1)).mapv(f64::abs);
        (all, sums * &self.inverse * &self.condition)
    }
}

/// What comes back through a length that is not held constant: M = −c ∂L/∂m ⊙ V/n.
struct Through {
    /// −c Σ g ⊙ u/n².
    factors: Array1<f64>,
    /// Of the rows of V: 7 κ |factor|, and everything positive.
    sensitive: Array1<f64>,
    gauge: Array2<f64>,
}

impl Through {
    fn new(of: &Sensitivity, masked: &Masked, g: &Array2<f64>, outer: &Array2<f64>) -> Self {
        let (all, _) = of.of_magnitude(masked, g, outer);
        let sums = (outer * &of.direction).sum_axis(Axis(1));
        let factors = -&of.formula.back * sums * &of.inverse * &of.inverse;
        let sensitive = factors.mapv(f64::abs) * &of.condition * 7.0;
        let gauge = rows(&(&of.size * all * &of.inverse), &(&of.weight + &of.low_rank));
        Self { factors, sensitive, gauge }
    }

    /// Adds s Bᵀ M and s M Aᵀ.
    fn add(&self, problem: &Problem, of: &Sensitivity, gradients: &mut Named) -> Result<()> {
        let [_, b] = factors(problem)?;
        let m = rows(&self.factors, &of.direction);
        let of_a = (b.t().dot(&m) * of.formula.scale).into_dyn(); // [r, out]·[out, in] → [r, in]
        let of_b = to_b_signed(problem, &m)?.into_dyn();
        for (name, more) in [("lora_A", of_a), ("lora_B", of_b)] {
            if let Some(gradient) = gradients.get_mut(name) {
                *gradient += &more;
            }
        }
        Ok(())
    }
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
