//! The decoder against transformers in f64: logits, losses and the gradient of every weight.
//!
//! The expected numbers are in golden/tiny_llama*.safetensors; tests/parity/tiny_hf.py made them with autograd.

use std::path::PathBuf;

use adapter::{Full, FullGrads};
use llama::{Adapters, Batch, Grads, Llama, Masks, Train};
use lowrank_tests::golden;
use ndarray::{ArrayD, ArrayViewD};
use serde_json::Value;
use tensor_file::{StorageDtype, TensorFile};

/// Errors relative to a tensor's largest entry. Forward and backward of two layers are sums of at most 64 terms in
/// chains about 60 operations deep: 2·64·60 roundings of 2⁻⁵³ make 8.5e-13.
const TOLERANCE: f64 = 1e-12;

struct Case {
    model: Llama<f64>,
    expected: PathBuf,
    sequences: Vec<Vec<u32>>,
    prompts: Vec<usize>,
}

fn case(name: &str) -> Case {
    let folder: PathBuf = golden(name);
    let expected = folder.with_extension("safetensors");
    let file = TensorFile::open(&expected).unwrap();
    let case: Value = serde_json::from_str(&file.metadata()["case"]).unwrap();
    Case {
        model: llama::load::load::<f64>(&folder).unwrap().model,
        sequences: serde_json::from_value(case["sequences"].clone()).unwrap(),
        prompts: serde_json::from_value(case["completion_prompts"].clone()).unwrap(),
        expected,
    }
}

impl Case {
    fn want(&self, name: &str) -> ArrayD<f64> {
        let mut file = TensorFile::open(&self.expected).unwrap();
        file.check_dtype(name, StorageDtype::F64).unwrap();
        file.array(name).unwrap()
    }

    fn check(&self, name: &str, got: ArrayViewD<'_, f64>) {
        let want = self.want(name);
        assert_eq!(got.shape(), want.shape(), "{name}");
        let largest = want.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        for (got, want) in got.iter().zip(&want) {
            let error = (got - want).abs();
            assert!(error <= TOLERANCE * largest, "{name}: got {got}, want {want}");
        }
    }

    fn check_losses(&self, prefix: &str, prompts: &[usize]) {
        let mut batch = Batch::new();
        for (sequence, &prompt) in self.sequences.iter().zip(prompts) {
            batch.push(sequence, prompt).unwrap();
        }
        let count = batch.predictions() as f64;
        let adapters = Adapters::full(&self.model.config);
        let outcome = self
            .model
            .loss_and_grads(&adapters, &batch, &Masks::new(), Train::Everything, count)
            .unwrap();
        let loss = ndarray::arr1(&[outcome.loss / count]).into_dyn();
        self.check(&format!("{prefix}loss"), loss.view());

        let Grads { sites, model } = outcome.grads;
        assert_eq!(sites.len(), 7 * self.model.config.num_hidden_layers);
        for ((layer, projection), FullGrads { weight }) in sites {
            let name = format!("{prefix}grad.{}.weight", projection.module(layer));
            self.check(&name, weight.view().into_dyn());
        }
        let rest = model.unwrap();
        let name = |tensor: &str| format!("{prefix}grad.{tensor}.weight");
        self.check(&name("model.embed_tokens"), rest.embedding.view().into_dyn());
        self.check(&name("model.norm"), rest.norm.view().into_dyn());
        assert_eq!(rest.head.is_none(), self.model.config.tie_word_embeddings);
        if let Some(head) = &rest.head {
            self.check(&name("lm_head"), head.view().into_dyn());
        }
        for (i, vectors) in rest.layers.iter().enumerate() {
            for (name, vector) in vectors.named() {
                let name = format!("{prefix}grad.model.layers.{i}.{name}");
                self.check(&name, vector.view().into_dyn());
            }
        }
    }
}

fn check(name: &str) {
    let case = case(name);
    let batch = Batch::next_token(case.sequences.iter().map(Vec::as_slice)).unwrap();
    let none = Adapters::<Full>::none();
    let (hidden, _) = case.model.forward(&none, &batch, &Masks::new(), Train::Nothing).unwrap();
    case.check("logits", case.model.logits(hidden.view()).view().into_dyn());
    case.check_losses("", &[0, 0]);
    case.check_losses("completion.", &case.prompts);
}

/// Two shards with an index, grouped queries, an output matrix of its own.
#[test]
fn untied_in_two_shards() {
    check("tiny_llama");
}

/// Tied embeddings, Llama 3's RoPE scaling, heads wider than hidden/heads.
#[test]
fn tied_with_llama3_rope() {
    check("tiny_llama_tied");
}

/// Reading token by token with a cache gives the logits of the whole sequence.
#[test]
fn generation_reads_the_same_logits() {
    for name in ["tiny_llama", "tiny_llama_tied"] {
        let case = case(name);
        let want = case.want("logits");
        let none = Adapters::<Full>::none();
        let mut cache = case.model.cache();
        // The first sequence is rows 0..7: three tokens at once, then one by one.
        for (tokens, row) in [(0..3, 2), (3..4, 3), (4..5, 4), (5..6, 5), (6..7, 6)] {
            let got = case.model.read(&none, &mut cache, &case.sequences[0][tokens]).unwrap();
            for (got, want) in got.iter().zip(want.index_axis(ndarray::Axis(0), row)) {
                assert!((got - want).abs() <= TOLERANCE, "{name} row {row}: {got} {want}");
            }
        }
    }
}
