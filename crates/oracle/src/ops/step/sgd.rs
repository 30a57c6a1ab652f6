//! SGD: p − η (g + λ p)
//! | term | stored | |
//! |---|---|---|
//! | p | 1 or 3 | the sum; with decay also p · fl(1 − η λ) |
//! | η λ p | 5 + L | λ, the product, + g, ·η, the sum |
//! | η g | 3 + L | + λ p, ·η, the sum |
//!
//! and η E_g. This covers the coupled form above and the decoupled p (1 − η λ) − η g.

use std::sync::Arc;

use ndarray::ArrayD;

use super::tensor::TensorUpdate;
use crate::bound::constants::SGD;
use crate::bound::{Bound, Part, Roundings, Underflow, bound, sum};
use crate::error::Result;
use crate::ops::output::Output;

/// The updated parameter.
pub(super) fn sgd(tensor: &TensorUpdate<'_>, suffix: &str) -> Result<Output> {
    let group = tensor.before.group(tensor.name)?;
    let (lr, decay) = (group.lr, group.weight_decay);
    let p = tensor.get(tensor.before, "").mapv(f64::abs);
    let value = tensor.get(tensor.after, "");
    let part = |gauge: ArrayD<f64>, store| Part {
        gauge,
        roundings: Roundings { accumulate: 0, store, inputs: 1 },
        underflow: Underflow {
            accumulated: 0.0,
            stored: 8.0,
            amplification: lr.max(1.0) * decay.max(1.0),
        },
    };
    let l = tensor.rate_roundings();
    let [alone, decayed, of_decay, of_g] = SGD;
    let parts = vec![
        part(p.clone(), if decay == 0.0 { alone } else { decayed }),
        part(&p * (lr * decay), of_decay + l),
        part(&tensor.gradient.gauge * lr, of_g + l),
    ];
    let all = &p * (1.0 + lr * decay) + &tensor.gradient.gauge * lr;
    let error = tensor.gradient.error.clone();
    let from_gradient: Bound =
        Arc::new(move |units| error(units) * (lr * (1.0 + units.stored(of_g + l))));
    Ok(Output {
        name: format!("{}{suffix}", tensor.name),
        value,
        gauges: vec![("all", all)],
        bound: sum(bound(parts), from_gradient),
        residual: None,
    })
}
