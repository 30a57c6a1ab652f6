//! The keys of a file, in one spelling. PEFT writes `base_model.model.<module>.lora_A.weight`; a training script that saved
//! the state of its model itself leaves in what PEFT takes out: the adapter's name, and the wrappers around the model.

use std::collections::BTreeMap;

use crate::Result;
use crate::error::wrong;

/// With this the key of a module's tensor begins.
pub(crate) const PREFIX: &str = "base_model.model.";
/// What stands in a key where a module was wrapped: by torch.compile, FSDP, activation checkpointing.
const WRAPPERS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];
/// A linear layer of PEFT's: its key ends with `weight` or `bias`.
const LAYERS: [&str; 2] = ["lora_A", "lora_B"];
/// A parameter of PEFT's own.
const PARAMETERS: [&str; 5] = [
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "vera_lambda_b",
    "vera_lambda_d",
];

/// The usual spelling of a file's keys, and the keys, in the file's order.
///
/// # Errors
/// Two keys mean the same tensor, or they are of several adapters.
pub(crate) fn usual_spelling(keys: Vec<String>) -> Result<Vec<(String, String)>> {
    let (mut usual, mut seen) = (Vec::new(), BTreeMap::new());
    let mut adapter: Option<(String, Option<String>)> = None;
    for key in keys {
        let (spelling, name) = spell(&key);
        if let Some(name) = name {
            match &adapter {
                Some((first, other)) if *other != name => {
                    return Err(wrong(format!("{first} and {key} are of two adapters: keep one")));
                }
                _ => adapter = Some((key.clone(), name)),
            }
        }
        if let Some(first) = seen.insert(spelling.clone(), key.clone()) {
            return Err(wrong(format!("both {first} and {key} are there")));
        }
        usual.push((spelling, key));
    }
    Ok(usual)
}

/// A key as PEFT writes it; and, of an adapter's tensor, the adapter's name if that is in the key.
fn spell(key: &str) -> (String, Option<Option<String>>) {
    // VeRA's projections belong to no module.
    if key.starts_with("base_model.vera_") {
        return (key.to_owned(), None);
    }
    let parts: Vec<&str> = key.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    let whole = parts.join(".");
    // DistributedDataParallel has the model as its `module`.
    let bare = whole.strip_prefix("module.").unwrap_or(&whole);
    let bare = bare.strip_prefix(PREFIX).unwrap_or(bare);
    let parts: Vec<&str> = bare.split('.').collect();
    let saved = "modules_to_save";
    let known = |part: &&str| LAYERS.contains(part) || PARAMETERS.contains(part) || *part == saved;
    let Some(place) = parts.iter().position(known) else {
        return (format!("{PREFIX}{bare}"), None);
    };
    let (module, what) = (parts[..place].join("."), parts[place]);
    let tensor = |name: &str| format!("{PREFIX}{module}.{name}");
    let name = |name: &str| Some(Some(name.to_owned()));
    match parts[place + 1..] {
        [kind @ ("weight" | "bias")] if LAYERS.contains(&what) => {
            (tensor(&format!("{what}.{kind}")), Some(None))
        }
        [adapter, kind @ ("weight" | "bias")] if LAYERS.contains(&what) => {
            (tensor(&format!("{what}.{kind}")), name(adapter))
        }
        [] | ["weight"] if PARAMETERS.contains(&what) => (tensor(what), Some(None)),
        [adapter] | [adapter, "weight"] if PARAMETERS.contains(&what) => {
            (tensor(what), name(adapter))
        }
        [adapter, kind @ ("weight" | "bias")] if what == saved => (tensor(kind), name(adapter)),
        _ => (format!("{PREFIX}{bare}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(keys: &[&str]) -> Result<Vec<String>> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Ok(usual_spelling(keys)?.into_iter().map(|(usual, _)| usual).collect())
    }

    #[test]
    fn a_tensor_has_one_spelling() {
        for (key, want) in [
            ("base_model.model.a.q.lora_A.weight", "a.q.lora_A.weight"),
            ("a.q.lora_A.weight", "a.q.lora_A.weight"),
            ("base_model.model.a.q.lora_A.default.weight", "a.q.lora_A.weight"),
            ("base_model.model.a.q.lora_B.my_adapter.bias", "a.q.lora_B.bias"),
            ("module.base_model.model.a.q.lora_B.weight", "a.q.lora_B.weight"),
            ("_orig_mod.base_model.model.a.q.lora_B.weight", "a.q.lora_B.weight"),
            ("module._orig_mod.base_model.model.a.q.lora_B.x.weight", "a.q.lora_B.weight"),
            ("base_model.model._orig_mod.a.q.lora_B.weight", "a.q.lora_B.weight"),
            ("a._fsdp_wrapped_module.q.lora_A.weight", "a.q.lora_A.weight"),
            ("base_model.model.q.lora_magnitude_vector", "q.lora_magnitude_vector"),
            ("base_model.model.q.lora_magnitude_vector.x.weight", "q.lora_magnitude_vector"),
            ("base_model.model.e.lora_embedding_A.x", "e.lora_embedding_A"),
            ("base_model.model.q.vera_lambda_d.x", "q.vera_lambda_d"),
            ("base_model.model.lm_head.modules_to_save.x.weight", "lm_head.weight"),
            ("base_model.model.lm_head.weight", "lm_head.weight"),
            ("base_model.model.lm_head.original_module.weight", "lm_head.original_module.weight"),
        ] {
            assert_eq!(usual(&[key]).unwrap(), [format!("{PREFIX}{want}")], "{key}");
        }
        assert_eq!(usual(&["base_model.vera_A.6x4"]).unwrap(), ["base_model.vera_A.6x4"]);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_named() {
        let (a, b) = ("base_model.model.q.lora_A.one.weight", "base_model.model.q.lora_B.weight");
        for (second, expected) in [
            (b, format!("{a} and {b} are of two adapters: keep one")),
            (
                "v.lora_A.two.weight",
                format!("{a} and v.lora_A.two.weight are of two adapters: keep one"),
            ),
            ("q.lora_A.one.weight", format!("both {a} and q.lora_A.one.weight are there")),
        ] {
            assert_eq!(usual(&[a, second]).unwrap_err().to_string(), expected);
        }
    }
}
