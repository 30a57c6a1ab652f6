//! Merge and unmerge: W ± ΔW.
//!
//! | term | in sums | stored |
//! |---|---|---|
//! | W | r | 1: the sum |
//! | s B A | r | 6: s (3), s into a factor or the product, B A, the sum |
//! | Λ_b B Λ_d A | r | 4: Λ_b and Λ_d into their factors, the product, the sum |
//!
//! r in sums for W too, because a GEMM may add its products to W one by one.

use super::dora;
use super::output::Output;
use super::problem::Problem;
use crate::bound::{Part, Roundings, Row, Sizes, Underflow, constants, largest};
use crate::case::Method;
use crate::error::Result;

/// W + `sign` ΔW.
pub(super) fn merge(problem: &Problem, sign: f64) -> Result<Vec<Output>> {
    if problem.method == Method::Dora {
        if sign < 0.0 {
            problem.layer()?.unmerge(&mut problem.weight())?; // an error that says why
        }
        return dora::merge(problem);
    }
    let (mut weight, layer) = (problem.weight(), problem.layer()?);
    let base = weight.mapv(f64::abs).into_dyn();
    if sign > 0.0 {
        layer.merge(&mut weight)?
    } else {
        layer.unmerge(&mut weight)?
    }
    let low_rank = problem.absolute()?.delta_weight(weight.view())?.into_dyn();

    let r = problem.inputs.dims.rank;
    let vera = problem.method == Method::Vera;
    let [of_base, of_low_rank] =
        ["weight.base", "weight.low_rank"].map(|term| constants::layer(problem.method, term));
    let sizes = Sizes { rank: r, ..Sizes::default() };
    let store = of_low_rank.store.of(sizes);
    let names = ["lora_A", "lora_B", "vera_A", "vera_B", "vera_lambda_d", "vera_lambda_b"];
    let amplification = largest(names.iter().filter_map(|name| problem.inputs.get(name)));
    let underflow = Underflow {
        accumulated: 2.0 * (r + 1) as f64,
        stored: (store + 2) as f64 * (r + 1) as f64,
        amplification: amplification * problem.scale()?.abs().max(1.0),
    };
    let part = |gauge, row: Row, inputs| Part {
        gauge,
        roundings: Roundings {
            accumulate: row.accumulate.of(sizes),
            store: row.store.of(sizes),
            inputs,
        },
        underflow,
    };
    let all = &base + &low_rank;
    let mut output = Output::new(
        "weight".into(),
        weight.into_dyn(),
        vec![
            ("base", part(base, of_base, 1)),
            ("low_rank", part(low_rank, of_low_rank, if vera { 4 } else { 2 })),
        ],
    );
    output.gauges = vec![("all", all)]; // a file has one
    Ok(vec![if problem.params.fan_in_fan_out { output.transposed() } else { output }])
}
