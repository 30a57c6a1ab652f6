//! What fine-tuning changed, as an adapter: the best approximation of the difference of two models.

use std::collections::BTreeMap;

use llama::{Config, Llama, Projection};
use ndarray::{Array2, ArrayViewD};
use peft::StorageDtype;

use crate::error::{of, wrong};
use crate::{Budget, Factors, Fitted, Result};

/// A part of the models that differs and that no adapter on a projection can hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Outside {
    /// The tensor.
    pub name: String,
    /// ‖difference‖_F / ‖base‖_F; `None` where the shapes differ, or only one model has it.
    pub relative: Option<f64>,
}

/// The best approximation that `budget` allows of W′ − W for each of `targets` in each layer, and what else differs. A
/// module that did not change is left out. Each difference is decomposed densely, one after the other; `seen` is told after
/// each.
///
/// # Errors
/// The models' configurations differ in more than their vocabulary and their longest text, the budget makes no sense, or a
/// number is not finite or does not fit `dtype`.
pub fn extract(
    base: &Llama<f64>,
    tuned: &Llama<f64>,
    targets: &[Projection],
    budget: Budget,
    dtype: StorageDtype,
    mut seen: impl FnMut(&str),
) -> Result<(Fitted, Vec<Outside>)> {
    budget.check()?;
    check_configs(&base.config, &tuned.config)?;
    let mut fitted = Fitted::new(dtype);
    for (layer, (from, to)) in base.layers.iter().zip(&tuned.layers).enumerate() {
        for &target in targets {
            let module = target.module(layer);
            let delta = to.weight(target) - from.weight(target);
            let svd = rank::svd(delta.view()).map_err(of(&module))?;
            fitted.truncate(&module, &svd, budget, |stored| Ok(distance(&delta, stored)))?;
            seen(&module);
        }
    }
    Ok((fitted, outside(base, tuned, targets)))
}

/// ‖ΔW − B A‖_F.
fn distance(delta: &Array2<f64>, stored: &Factors) -> f64 {
    norm((delta - &stored.b.dot(&stored.a)).view().into_dyn())
}

fn norm(numbers: ArrayViewD<'_, f64>) -> f64 {
    numbers.iter().fold(0.0, |norm: f64, number| norm.hypot(*number))
}

/// Of two architectures no difference makes sense, and with another RoPE or ε the same weights compute something else. The
/// vocabulary is no projection's.
fn check_configs(base: &Config, tuned: &Config) -> Result<()> {
    const MAY_DIFFER: [&str; 3] = ["vocab_size", "max_position_embeddings", "tie_word_embeddings"];
    let (base, tuned) = (base.to_json(), tuned.to_json());
    let fields = base.iter().filter(|(field, _)| !MAY_DIFFER.contains(&field.as_str()));
    for (field, value) in fields {
        let other = &tuned[field];
        if other != value {
            return Err(wrong(format!(
                "{field} is {value} in the base and {other} in the tuned model: only models of one architecture can \
                 be subtracted"
            )));
        }
    }
    Ok(())
}

/// A tensor of the base, and the one of its name in the tuned model.
type Pair<'a> = [Option<ArrayViewD<'a, f64>>; 2];

/// What differs beside the targets.
fn outside(base: &Llama<f64>, tuned: &Llama<f64>, targets: &[Projection]) -> Vec<Outside> {
    let held = |name: &str| targets.iter().any(|t| name.ends_with(&format!(".{t}.weight")));
    let mut pairs = BTreeMap::<String, Pair<'_>>::new();
    for (which, model) in [base, tuned].into_iter().enumerate() {
        for (name, tensor) in model.tensors().into_iter().filter(|(name, _)| !held(name)) {
            pairs.entry(name).or_default()[which] = Some(tensor);
        }
    }
    let differs = |(name, pair): (String, Pair<'_>)| match pair {
        [Some(from), Some(to)] if from == to => None,
        [Some(from), Some(to)] if from.shape() == to.shape() => {
            let relative = norm((&to - &from).view()) / norm(from).max(f64::MIN_POSITIVE);
            Some(Outside { name, relative: Some(relative) })
        }
        _ => Some(Outside { name, relative: None }),
    };
    pairs.into_iter().filter_map(differs).collect()
}
