//! Delta-LoRA: W + λ s (B⁺A⁺ − B A)
//! | term | in sums | stored |
//! |---|---|---|
//! | W | 2r | 2: two sums |
//! | λ s B⁺A⁺ and λ s B A | 2r | 10: the product, the difference, λ, s (3), λ s, the product with it, two sums |
//!
//! The two products cancel, so the gauge is |λ s| (|B⁺||A⁺| + |B||A|). A⁺ and B⁺ have errors of their own:
//! |λ s| (|B⁺| E_A + E_B |A⁺| + E_B E_A).

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array2, ArrayD};

use crate::bound::constants::MOVE;
use crate::bound::{Bound, Part, Roundings, Row, Sizes, Underflow, bound, largest, sum};
use crate::error::{Error, Result, wrong};
use crate::ops::output::Output;
use crate::ops::problem::Problem;

/// Delta-LoRA's W after the update. `errors` are the bounds of A⁺ and B⁺.
pub(super) fn moved_weight(
    before: &Problem,
    after: &Problem,
    errors: &BTreeMap<String, Bound>,
    suffix: &str,
) -> Result<Output> {
    let matrix = |problem: &Problem, name: &str| {
        problem.inputs.matrix(name).ok_or_else(|| wrong(format!("in.{name} is missing")))
    };
    let absolute =
        |problem: &Problem, name: &str| Ok::<_, Error>(matrix(problem, name)?.mapv(f64::abs));
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
        bound: sum(bound(parts), from_factors),
        residual: None,
    };
    Ok(if before.params.fan_in_fan_out { output.transposed() } else { output })
}
