//! What fine-tuning changed, as an adapter: the best approximation of the difference of two models.

use std::collections::BTreeMap;

use llama::load::Opened;
use llama::{Config, Projection};
use ndarray::{Array1, Array2};
use peft::StorageDtype;
use serde_json::Value;

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
/// module that did not change is left out. Each difference is decomposed densely, one after the other, and no more than one
/// tensor of each model is in memory; `seen` is told after each.
///
/// # Errors
/// The models' configurations differ in more than their vocabulary and their longest text, the budget makes no sense, a
/// number is not finite or does not fit `dtype`, or a file cannot be read.
pub fn extract(
    base: &mut Opened,
    tuned: &mut Opened,
    targets: &[Projection],
    budget: Budget,
    dtype: StorageDtype,
    mut seen: impl FnMut(&str),
) -> Result<(Fitted, Vec<Outside>)> {
    budget.check()?;
    check_configs(&base.config, &tuned.config)?;
    let mut fitted = Fitted::new(dtype);
    for layer in 0..base.config.num_hidden_layers {
        for &target in targets {
            let module = target.module(layer);
            let name = format!("{module}.weight");
            let delta = tuned.matrix(&name)? - base.matrix(&name)?;
            let svd = rank::svd(delta.view()).map_err(of(&module))?;
            fitted.truncate(&module, &svd, budget, |stored| Ok(distance(&delta, stored)))?;
            seen(&module);
        }
    }
    Ok((fitted, outside(base, tuned, targets)?))
}

/// ‖ΔW − B A‖_F.
fn distance(delta: &Array2<f64>, stored: &Factors) -> f64 {
    rank::frobenius(&(delta - &stored.b.dot(&stored.a)))
}

/// Of two architectures no difference makes sense, and with another RoPE or ε the same weights compute something else. The
/// vocabulary is no projection's.
fn check_configs(base: &Config, tuned: &Config) -> Result<()> {
    const MAY_DIFFER: [&str; 3] = ["vocab_size", "max_position_embeddings", "tie_word_embeddings"];
    let (base, tuned) = (base.to_json(), tuned.to_json());
    // Some fields are written only where they say something: each of the two may have one that the other lacks.
    let fields = base.keys().chain(tuned.keys());
    for field in fields.filter(|field| !MAY_DIFFER.contains(&field.as_str())) {
        let [value, other] = [&base, &tuned].map(|json| json.get(field).unwrap_or(&Value::Null));
        if !same(value, other) {
            return Err(wrong(format!(
                "{field} is {value} in the base and {other} in the tuned model: only models of one architecture can \
                 be subtracted"
            )));
        }
    }
    Ok(())
}

/// A GGUF file has its numbers in f32, where 1e-5 is another f64 than in JSON.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let [a, b] = [one, other].map(|number| number.as_f64().map(|number| number as f32));
            one == other || a.is_some() && a == b
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same_in = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| same(value, other))
            };
            one.len() == other.len() && one.iter().all(same_in)
        }
        _ => one == other,
    }
}

/// What differs beside the targets.
fn outside(base: &mut Opened, tuned: &mut Opened, targets: &[Projection]) -> Result<Vec<Outside>> {
    let held = |name: &str| targets.iter().any(|t| name.ends_with(&format!(".{t}.weight")));
    let mut pairs = BTreeMap::<String, [Option<Vec<usize>>; 2]>::new();
    for (which, model) in [&*base, tuned].into_iter().enumerate() {
        for (name, shape) in model.config.tensors() {
            if !held(&name) {
                pairs.entry(name).or_default()[which] = Some(shape);
            }
        }
    }
    let mut found = Vec::new();
    for (name, pair) in pairs {
        let relative = match pair {
            [Some(shape), Some(other)] if shape == other => {
                let [from, to] =
                    [&mut *base, tuned].map(|model| model.numbers::<f64>(&name, &shape));
                let (from, to) = (Array1::from(from?), Array1::from(to?));
                if from == to {
                    continue;
                }
                let size = rank::frobenius(&from).max(f64::MIN_POSITIVE);
                Some(rank::frobenius(&(to - from)) / size)
            }
            _ => None,
        };
        found.push(Outside { name, relative });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use llama::Variant;
    use serde_json::json;

    use super::*;

    /// One model from a GGUF file and from its folder.
    #[test]
    fn a_number_of_f32_is_that_of_json() {
        let [base, tuned] = [f64::from(1e-5_f32), 1e-5].map(
            |eps| json!({"rms_norm_eps": eps, "rope_scaling": {"factors": [eps, 8]}, "bias": null}),
        );
        assert!(base != tuned && same(&base, &tuned));
        for other in [json!(2e-5), json!("1e-5"), json!(null), json!([1e-5])] {
            assert!(!same(&json!(1e-5), &other), "{other}");
        }
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
    }

    /// `partial_rotary_factor` is written only where RoPE turns a part of each head.
    #[test]
    fn a_field_that_one_of_the_two_lacks_is_compared() {
        let whole = llama::tiny::config();
        let variant = Variant { rotary_dim: Some(whole.head_dim / 2), ..whole.variant.clone() };
        let part = Config { variant, ..whole.clone() };
        for (base, tuned, says) in [
            (&part, &whole, "partial_rotary_factor is 0.5 in the base and null in the tuned model"),
            (&whole, &part, "partial_rotary_factor is null in the base and 0.5 in the tuned model"),
        ] {
            let text = check_configs(base, tuned).unwrap_err().to_string();
            assert!(text.contains(says), "{text}");
        }
        for config in [&part, &whole] {
            check_configs(config, config).unwrap();
        }
        let vocabulary = Config { vocab_size: 2 * whole.vocab_size, ..whole.clone() };
        check_configs(&whole, &vocabulary).unwrap();
    }
}
