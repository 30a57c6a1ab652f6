//! Every architecture that is read, against transformers in f64: logits, loss and the gradient of every weight.
//!
//! The expected numbers are in golden/architectures; tests/parity/architectures.py made them with autograd, and says what the
//! weights are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use adapter::{Decay, Full, FullGrads, Group, Schedule, Sgd};
use llama::load::load;
use llama::save::save;
use llama::{
    Adapters, Architecture, Batch, Config, Grads, Llama, Masks, Projection, Settings, Train,
    Trainer, merge,
};
use lora::Lora;
use ndarray::{Array1, Array2, ArrayD, ArrayViewD, Axis};
use serde_json::{Map, Value};
use tensor_file::{StorageDtype, TensorFile};

/// Errors relative to a tensor's largest entry, which is at least 1e-4 or nothing. Forward and backward of three layers
/// are sums of at most 32 terms in chains about 90 operations deep: 2·32·90 roundings of 2⁻⁵³ make 6.4e-13.
const TOLERANCE: f64 = 1e-12;

struct Case {
    name: String,
    model: Llama<f64>,
    /// As it was given to transformers, and as transformers writes it.
    configs: [Value; 2],
    sequences: Vec<Vec<u32>>,
    expected: BTreeMap<String, ArrayD<f64>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/architectures")
}

fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort_by_key(|path| path.file_stem().map(OsStr::to_owned));
    paths.iter().map(|path| case(path)).collect()
}

fn case(path: &Path) -> Case {
    let mut file = TensorFile::open(path).unwrap();
    let case: Value = serde_json::from_str(&file.metadata()["case"]).unwrap();
    let expected: BTreeMap<_, _> = file
        .names()
        .into_iter()
        .map(|name| {
            file.check_dtype(&name, StorageDtype::F64).unwrap();
            let array = file.array(&name).unwrap();
            (name, array)
        })
        .collect();
    // The names in their order: what a weight's numbers start from.
    let names: Vec<&str> = expected.keys().filter_map(|name| name.strip_prefix("grad.")).collect();
    let config = Config::from_json(&case["config"].to_string()).unwrap();
    let weight = |name: &str, shape: &[usize]| {
        let stream = names.iter().position(|known| *known == name);
        Ok(noise(name, stream.unwrap_or_else(|| panic!("{name} is unknown")) as u32, shape))
    };
    Case {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        model: Llama::build(config, weight).unwrap(),
        configs: [case["config"].clone(), case["written"].clone()],
        sequences: serde_json::from_value(case["sequences"].clone()).unwrap(),
        expected,
    }
}

/// A weight of tests/parity/architectures.py.
fn noise(name: &str, stream: u32, shape: &[usize]) -> Vec<f64> {
    let value = |n: f64| match *shape {
        _ if name.ends_with("bias") || name.contains("embed_tokens") => n / 1000.0,
        [_, inputs] => 2.0 * n / 1000.0 / (inputs as f64).sqrt(),
        _ => 1.0 + n / 2000.0,
    };
    grid(stream).take(shape.iter().product()).map(value).collect()
}

/// n(stream, 0), n(stream, 1), … of tests/parity/golden.py.
fn grid(stream: u32) -> impl Iterator<Item = f64> {
    (0u32..).map(move |j| {
        let mut h = j.wrapping_add(0x9e37_79b9_u32.wrapping_mul(stream.wrapping_add(1)));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        f64::from(h % 2001) - 1000.0
    })
}

impl Case {
    fn batch(&self) -> Batch {
        Batch::next_token(self.sequences.iter().map(Vec::as_slice)).unwrap()
    }

    fn check(&self, name: &str, got: ArrayViewD<'_, f64>) {
        let want = &self.expected[name];
        assert_eq!(got.shape(), want.shape(), "{}: {name}", self.name);
        let largest = want.iter().fold(1e-4, |max: f64, value| max.max(value.abs()));
        for (got, want) in got.iter().zip(want) {
            let error = (got - want).abs();
            assert!(error <= TOLERANCE * largest, "{}: {name}: {got} and not {want}", self.name);
        }
    }
}

#[test]
fn logits_losses_and_gradients_are_those_of_transformers() {
    for case in cases() {
        let batch = case.batch();
        let none = Adapters::<Full>::none();
        let (hidden, _) = case.model.forward(&none, &batch, &Masks::new(), Train::Nothing).unwrap();
        case.check("logits", case.model.logits(hidden.view()).view().into_dyn());

        let (count, full) = (batch.predictions() as f64, Adapters::full(&case.model.config));
        let outcome =
            case.model.loss_and_grads(&full, &batch, &Masks::new(), Train::Everything, count);
        let outcome = outcome.unwrap();
        case.check("loss", Array1::from_elem(1, outcome.loss / count).view().into_dyn());
        let Grads { sites, model } = outcome.grads;
        let rest = model.unwrap();
        let mut checked = 2;
        let mut check = |name: &str, gradient: ArrayViewD<'_, f64>| {
            case.check(&format!("grad.{name}"), gradient);
            checked += 1;
        };
        for ((layer, projection), FullGrads { weight }) in sites {
            let name = format!("{}.weight", projection.module(layer));
            check(&name, weight.view().into_dyn());
        }
        check("model.embed_tokens.weight", rest.embedding.view().into_dyn());
        check("model.norm.weight", rest.norm.view().into_dyn());
        rest.head.iter().for_each(|head| check("lm_head.weight", head.view().into_dyn()));
        for (i, vectors) in rest.layers.iter().enumerate() {
            for (name, vector) in vectors.named() {
                check(&format!("model.layers.{i}.{name}"), vector.view().into_dyn());
            }
        }
        assert_eq!(checked, case.expected.len(), "{}: some gradients are missing", case.name);
        let numbers = case.expected.iter().filter(|(name, _)| name.starts_with("grad."));
        let numbers: usize = numbers.map(|(_, gradient)| gradient.len()).sum();
        assert_eq!(case.model.parameters(), numbers, "{}", case.name);
    }
}

/// Reading token by token with a cache gives the logits of the whole sequence, windows and all.
#[test]
fn generation_reads_the_same_logits() {
    for case in cases() {
        let none = Adapters::<Full>::none();
        let mut cache = case.model.cache();
        let sequence = &case.sequences[0];
        // Four tokens at once, then one by one.
        for end in 4..=sequence.len() {
            let tokens = if end == 4 { &sequence[..4] } else { &sequence[end - 1..end] };
            let got = case.model.read(&none, &mut cache, tokens).unwrap();
            let want = case.expected["logits"].index_axis(Axis(0), end - 1);
            for (got, want) in got.iter().zip(want) {
                assert!(
                    (got - want).abs() <= TOLERANCE,
                    "{}, {end} tokens: {got} {want}",
                    case.name
                );
            }
        }
    }
}

/// One step of full fine-tuning moves every tensor against its gradient, biases and norms too, and decays matrices only.
#[test]
fn full_fine_tuning_moves_everything() {
    const GROUP: Group = Group { lr: 0.1, weight_decay: 0.5 };
    let settings = Settings {
        train: Train::Everything,
        schedule: Schedule::new(Decay::Constant, 0, 1).unwrap(),
        clip: None,
        dropout: 0.0,
        seed: 0,
    };
    for case in cases() {
        let (before, full) = (case.model.clone(), Adapters::full(&case.model.config));
        let sgd = Box::new(Sgd { group: GROUP });
        let mut trainer = Trainer::new(before.clone(), full, sgd, settings.clone()).unwrap();
        assert_eq!(trainer.trainable(), before.parameters(), "{}", case.name);
        trainer.step(&[case.batch()]).unwrap();
        for ((name, after), (_, before)) in trainer.model.tensors().iter().zip(before.tensors()) {
            let decay = if after.ndim() == 2 { 1.0 - GROUP.lr * GROUP.weight_decay } else { 1.0 };
            let want = &before * decay - &case.expected[&format!("grad.{name}")] * GROUP.lr;
            for (got, want) in after.iter().zip(&want) {
                assert!((got - want).abs() <= TOLERANCE, "{}: {name}: {got} {want}", case.name);
            }
        }
    }
}

/// An adapter beside a bias: the model computes the same once it is merged.
#[test]
fn adapters_are_merged_into_each() {
    for Case { name, mut model, sequences, .. } in cases() {
        let mut stream = 100;
        let mut matrix = |rows, columns| {
            stream += 1;
            let values = grid(stream).take(rows * columns).map(|n| n / 2000.0).collect();
            Array2::from_shape_vec((rows, columns), values).unwrap()
        };
        let adapters = Adapters::on(&model.config, &Projection::ALL, |_, [out, inputs]| {
            Lora::new(matrix(2, inputs), matrix(out, 2), 0.5)
        });
        let adapters = adapters.unwrap();
        let batch = Batch::next_token([sequences[0].as_slice()]).unwrap();
        let adapted = model.loss(&adapters, &batch).unwrap();
        let plain = model.loss(&Adapters::<Full>::none(), &batch).unwrap();
        merge(&mut model, &adapters, StorageDtype::F64).unwrap();
        let merged = model.loss(&Adapters::<Full>::none(), &batch).unwrap();
        assert!((adapted - merged).abs() <= TOLERANCE * merged, "{name}: {adapted} {merged}");
        assert!((adapted - plain).abs() > 1e-3, "{name}: the adapters do nothing");
    }
}

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
            if let "rope_theta" | "rope_scaling" | "partial_rotary_factor" = name.as_str() {
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
