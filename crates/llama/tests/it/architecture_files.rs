//! Configurations and folders of every architecture that is read.

use std::fs;
use std::path::Path;

use llama::load::load;
use llama::save::save;
use llama::{Architecture, Config};
use serde_json::{Map, Value};

use crate::architecture_cases::{cases, folder};

/// A model that is saved is loaded again: the tensors of its architecture, by transformers' names.
#[test]
fn each_is_saved_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        let path = folder.path().join(&case.name);
        save(&case.model, &path).unwrap();
        let loaded = load::<f64>(&path).unwrap().model;
        assert_eq!(loaded.config, case.model.config);
        for ((name, a), (other, b)) in loaded.tensors().iter().zip(case.model.tensors()) {
            assert!(*name == other && a == b, "{}: {name}", case.name);
        }
    }
}

/// A configuration is read from what people have and from what transformers writes, and what we write says the same.
#[test]
fn configurations_are_read_and_written() {
    for case in cases() {
        let config = &case.model.config;
        for given in &case.configs {
            let read = Config::from_json(&given.to_string()).unwrap();
            assert_eq!(read, *config, "{}", case.name);
        }
        let written = config.to_json();
        let text = Value::Object(written.clone()).to_string();
        assert_eq!(Config::from_json(&text).unwrap(), *config, "{}", case.name);
        let stored = serde_json::to_string(config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&stored).unwrap(), *config, "{}", case.name);

        let theirs = case.configs[1].as_object().unwrap();
        for (name, ours) in &written {
            let rope =
                ["rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor"];
            if rope.contains(&name.as_str()) {
                continue; // they write these in rope_parameters
            }
            same(&case.name, name, ours, theirs);
        }
    }
}

/// What a configuration leaves out is what transformers takes it to be.
#[test]
fn what_is_left_out_is_what_transformers_takes_it_to_be() {
    let text = fs::read_to_string(folder().join("defaults.json")).unwrap();
    let defaults: Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(defaults.len(), 2 * Architecture::ALL.len());
    for (name, case) in defaults {
        let [sizes, written] = ["config", "written"].map(|which| {
            Config::from_json(&case[which].to_string()).unwrap_or_else(|e| panic!("{name}: {e}"))
        });
        assert_eq!(sizes, written, "{name}");
    }
}

fn same(case: &str, name: &str, ours: &Value, theirs: &Map<String, Value>) {
    let value = theirs.get(name).unwrap_or(&Value::Null);
    // One function has several names.
    if name == "hidden_act" && value == "swish" {
        return assert_eq!(ours, "silu", "{case}");
    }
    // The width of a head is hidden_size / num_attention_heads where they write none.
    if name == "head_dim" && value.is_null() {
        return;
    }
    assert_eq!(ours.as_f64(), value.as_f64(), "{case}: {name}");
    assert!(ours.is_number() || ours == value, "{case}: {name} is {ours}, theirs {value}");
}

/// Each architecture has a case, and the table of the README lists just these.
#[test]
fn the_readme_lists_what_is_tested() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for architecture in Architecture::ALL {
        let tested: Vec<String> = cases()
            .iter()
            .filter(|case| case.model.config.variant.architecture == architecture)
            .map(|case| format!("`{}`", case.name))
            .collect();
        assert!(!tested.is_empty(), "{architecture:?} has no case");
        let row =
            text.lines().find(|row| row.starts_with(&format!("| `{}` ", architecture.name())));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for {architecture:?}"));
        assert!(row.ends_with(&format!(" {} |", tested.join(" "))), "{row}\n{tested:?}");
    }
    let rows = text.lines().filter(|row| row.contains("ForCausalLM` |")).count();
    assert_eq!(rows, Architecture::ALL.len(), "a row too many");
}
