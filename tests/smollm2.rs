//! Parity on a real model, SmolLM2-135M-Instruct: logits with transformers, and eight steps of LoRA, LoRA-FA, LoRA+,
//! DoRA and VeRA with PEFT, in f32 as people train and in f64 where rounding hides nothing.
//!
//! The expected numbers are in golden/smollm2_*.json; tests/parity/smollm2.py made them. `cargo xtask parity` runs the
//! other side again.

use std::collections::BTreeMap;

use adapter::{Adapter, Full, Real};
use llama::load::load;
use llama::{Adapters, Batch, Checkpoint, Masks, Sampling, Train};
use lowrank_tests::eight_steps::{self, EightSteps};
use lowrank_tests::quantise::{FileType, quantise};
use lowrank_tests::{golden_json, smollm2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How far ours and PEFT's may be apart, relatively.
#[derive(Clone, Copy)]
struct Bounds {
    losses: f64,
    norms: f64,
}

/// Losses as the issue asks. Norms ten times that: where a gradient is smaller than its own rounding, Adam's first steps go
/// either way by a whole learning rate. 9e-5 was measured; without its decay LoRA+ would be off by 1.6e-3.
const F32: Bounds = Bounds { losses: 1e-4, norms: 1e-3 };

/// f64 rounds 2²⁹ times finer.
const F64: Bounds = Bounds { losses: 1e-4 / FINER, norms: 1e-3 / FINER };
const FINER: f64 = (1 << 29) as f64;

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the golden file's layout")
}

#[test]
fn tokens_logits_and_text_agree_with_transformers() {
    let Some(path) = smollm2("tokens_logits_and_text_agree_with_transformers") else { return };
    let golden = golden_json("smollm2_logits.json");
    let Checkpoint { model, tokenizer, .. } = load::<f32>(&path).unwrap();
    let tokenizer = tokenizer.expect("a GGUF has its tokenizer");
    for case in golden["tokenizer_cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let want: Vec<u32> = numbers(&case["token_ids"]);
        assert_eq!(tokenizer.encode(text).unwrap(), want, "{text:?}");
    }
    let prompt: Vec<u32> = numbers(&golden["prompt"]["token_ids"]);
    let text = golden["prompt"]["text"].as_str().unwrap();
    assert_eq!(tokenizer.encode(text).unwrap(), prompt);

    let none = Adapters::<Full>::none();
    let batch = Batch::next_token([&prompt[..]]).unwrap();
    let (hidden, _) = model.forward(&none, &batch, &Masks::new(), Train::Nothing).unwrap();
    let logits = model.logits(hidden.view());
    let positions: Vec<usize> = numbers(&golden["logits"]["positions"]);
    let want: Vec<Vec<f32>> = numbers(&golden["logits"]["values"]);
    let largest: Vec<f32> = numbers(&golden["each_position"]["max_abs"]);
    let mut worst = 0.0_f32;
    for (&position, want) in positions.iter().zip(&want) {
        for (i, want) in want.iter().enumerate() {
            let error = (logits[[position, 97 * i]] - want).abs() / largest[position];
            // f32 through 30 layers, two libraries: the bound.
            assert!(error <= 1e-4, "position {position}, token {}: {error}", 97 * i);
            worst = worst.max(error);
        }
    }
    println!("largest |Δ logit| / max |logit|: {worst:.1e}");
    let best: Vec<usize> = numbers(&golden["each_position"]["argmax"]);
    for ((row, best), largest) in logits.outer_iter().zip(best).zip(largest) {
        let top = row.iter().fold(f32::NEG_INFINITY, |max, &value| max.max(value));
        assert!(top - row[best] <= 1e-4 * largest, "the likeliest token differs");
    }

    let greedy: Vec<u32> = numbers(&golden["greedy"]["token_ids"]);
    let sampling = Sampling::greedy(greedy.len(), Vec::new());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let tokens = model.generate(&none, &prompt, &sampling, &mut rng, |_| {}).unwrap();
    assert_eq!(tokens, greedy);
    assert_eq!(tokenizer.decode(&tokens).unwrap(), golden["greedy"]["text"].as_str().unwrap());
}

#[test]
fn eight_lora_steps_agree_with_peft() {
    let Some(path) = smollm2("eight_lora_steps_agree_with_peft") else { return };
    let run = eight_steps::lora(&path).unwrap();
    assert_eq!(sha256_of_trained(&run), run.golden["initial_sha256"]);
    in_f32(run, "LoRA");
    in_f64(eight_steps::lora(&path).unwrap(), "lora", F64);
}

/// A file as most people have it, Q4_K, Q5_0, Q6_K and Q8_0 in one. PEFT trains what transformers reads from it.
#[test]
fn lora_steps_beside_a_q4_k_m_file_agree_with_peft() {
    let Some(source) = smollm2("lora_steps_beside_a_q4_k_m_file_agree_with_peft") else { return };
    let peft = golden_json("smollm2_q4_k_m.json");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("SmolLM2-135M-Instruct.Q4_K_M.gguf");
    quantise(&source, FileType::Q4_K_M, &path).unwrap();
    let file = std::fs::read(&path).unwrap();
    assert_eq!(hexadecimal(Sha256::digest(file)), peft["model"]["sha256"]);

    let mut run = eight_steps::lora::<f32>(&path).unwrap();
    assert_eq!(sha256_of_trained(&run), peft["initial_sha256"]);
    assert_eq!(run.tokens, numbers::<Vec<u32>>(&peft["token_ids"]));
    let mut losses = Agreement::within(F32.losses);
    for step in 0..4 {
        let report = run.step().unwrap();
        losses.check(&format!("loss of step {step}"), report.loss, &peft["losses"][step]);
        if step == 0 {
            losses.check("norm of the gradient", report.grad_norm, &peft["first_gradient_norm"]);
        }
    }
    println!("LoRA beside Q4_K_M: losses and gradient {:.1e}", losses.worst);
}

#[test]
fn eight_lora_plus_steps_agree_with_peft() {
    let Some(path) = smollm2("eight_lora_plus_steps_agree_with_peft") else { return };
    let run = eight_steps::lora_plus(&path).unwrap();
    assert_eq!(sha256_of_trained(&run), run.golden["initial_sha256"]);
    in_f32(run, "LoRA+");
    in_f64(eight_steps::lora_plus(&path).unwrap(), "lora_plus", F64);
}

#[test]
fn eight_dora_steps_agree_with_peft() {
    let Some(path) = smollm2("eight_dora_steps_agree_with_peft") else { return };
    let run = eight_steps::dora(&path).unwrap();
    assert_eq!(sha256_of_trained(&run), run.golden["initial_sha256"]);
    in_f32(run, "DoRA");
    in_f64(eight_steps::dora(&path).unwrap(), "dora", F64);
}

#[test]
fn eight_vera_steps_agree_with_peft() {
    let Some(path) = smollm2("eight_vera_steps_agree_with_peft") else { return };
    let run = eight_steps::vera(&path).unwrap();
    assert_eq!(sha256_of_trained(&run), run.golden["initial_sha256"]);
    let (_, first) = run.trainer.adapters.iter().next().unwrap();
    let (a, b) = (first.projections().a(), first.projections().b());
    let peft = &run.golden["projections"];
    assert_eq!(numbers::<[Vec<usize>; 2]>(&peft["shapes"]), [a.shape(), b.shape()]);
    assert_eq!(sha256(a.into_iter().chain(b)), peft["sha256"]);
    in_f32(run, "VeRA");
    in_f64(eight_steps::vera(&path).unwrap(), "vera", F64);
}

/// PEFT adds δ = 1e-8 to the diagonal of A Aᵀ. f32 does not see it; in f64 it moves the projected gradient by up to δ/λ of
/// itself, λ being the smallest eigenvalue of A Aᵀ, and what follows from the gradient by no larger part.
#[test]
fn eight_projected_lora_fa_steps_agree_with_peft() {
    let Some(path) = smollm2("eight_projected_lora_fa_steps_agree_with_peft") else { return };
    let run = eight_steps::lora_fa(&path).unwrap();
    let both =
        run.trainer.adapters.iter().flat_map(|(_, fa)| fa.lora().a.iter().chain(&fa.lora().b));
    assert_eq!(sha256(both), run.golden["initial_sha256"]);
    in_f32(run, "LoRA-FA");

    let golden = golden_json("smollm2_f64.json");
    let ridge = 1e-8 / numbers::<f64>(&golden["lora_fa"]["smallest_eigenvalue"]);
    in_f64(eight_steps::lora_fa(&path).unwrap(), "lora_fa", Bounds { losses: ridge, norms: ridge });

    // A constant factor of Adam's gradient, such as 1/s², shows in losses only through ε; in the first moment, wholly.
    let mut run = on_fewer_tokens(eight_steps::lora_fa(&path).unwrap(), &golden);
    run.step().unwrap();
    let state: BTreeMap<_, _> = run.trainer.optimizer.state().into_iter().collect();
    let mut norms = Agreement::within(ridge + F64.norms);
    for (tensor, peft) in golden["lora_fa"]["projected_norms"].as_object().unwrap() {
        norms.check(tensor, norm(&state[&format!("exp_avg.{tensor}")]) / (1.0 - 0.9), peft);
    }
    println!("LoRA-FA in f64: projected gradients {:.1e}, of {ridge:.1e} expected", norms.worst);
}

fn in_f32<A: Adapter<f32>>(run: EightSteps<f32, A>, method: &str) {
    let peft = run.golden.clone();
    agrees(run, &peft, F32, method);
}

fn in_f64<A: Adapter<f64>>(run: EightSteps<f64, A>, method: &str, bounds: Bounds) {
    let golden = golden_json("smollm2_f64.json");
    let run = on_fewer_tokens(run, &golden);
    agrees(run, &golden[method], bounds, &format!("{method} in f64"));
}

/// PEFT's runs in f64 are on the first of the tokens.
fn on_fewer_tokens<A>(run: EightSteps<f64, A>, golden: &Value) -> EightSteps<f64, A> {
    let tokens = run.tokens[..numbers(&golden["tokens"])].to_vec();
    EightSteps { tokens, ..run }
}

/// Losses, the first gradient, and what training made of some of the tensors.
fn agrees<T: Real, A: Adapter<T>>(
    mut run: EightSteps<T, A>,
    peft: &Value,
    bounds: Bounds,
    what: &str,
) {
    assert_eq!(run.betas, numbers(&run.golden["settings"]["betas"]));
    assert_eq!(run.eps, numbers::<f64>(&run.golden["settings"]["eps"]));
    let tokens: Vec<u32> = numbers(&run.golden["token_ids"]);
    assert_eq!(run.tokens, tokens[..run.tokens.len()]);
    assert_eq!(run.trainer.trainable(), numbers::<usize>(&run.golden["trainable"]));

    let (mut losses, mut norms) =
        (Agreement::within(bounds.losses), Agreement::within(bounds.norms));
    for step in 0..8 {
        let report = run.step().unwrap();
        losses.check(&format!("loss of step {step}"), report.loss, &peft["losses"][step]);
        if step == 0 {
            losses.check("norm of the gradient", report.grad_norm, &peft["first_gradient_norm"]);
        }
    }
    for (tensor, peft) in peft["final_norms"].as_object().unwrap() {
        norms.check(tensor, norm(&values(&run, tensor)), peft);
    }
    // Last, because the loss comes with one more step.
    losses.check("loss at the end", run.step().unwrap().loss, &peft["loss_after_last_step"]);
    println!("{what}: losses and gradient {:.1e}, trained norms {:.1e}", losses.worst, norms.worst);
}

/// The largest relative difference of some numbers; none may exceed the bound.
struct Agreement {
    bound: f64,
    worst: f64,
}

impl Agreement {
    fn within(bound: f64) -> Self {
        Self { bound, worst: 0.0 }
    }

    fn check(&mut self, which: &str, ours: f64, peft: &Value) {
        let peft: f64 = numbers(peft);
        let error = (ours - peft).abs() / peft;
        assert!(error <= self.bound, "{which}: ours {ours}, PEFT {peft}, apart by {error:.1e}");
        self.worst = self.worst.max(error);
    }
}

/// By a name of the golden file, `model.layers.0.self_attn.q_proj.lora_A`.
fn values<T: Real, A: Adapter<T>>(run: &EightSteps<T, A>, tensor: &str) -> Vec<f64> {
    let (module, name) = tensor.rsplit_once('.').expect("a module and a name");
    let mut adapters = run.trainer.adapters.iter();
    let (_, adapter) = adapters
        .find(|((layer, projection), _)| projection.module(*layer) == module)
        .unwrap_or_else(|| panic!("no adapter on {module}"));
    let tensors = adapter.tensors();
    let (_, values) = tensors.iter().find(|(found, _)| *found == name).expect(name);
    values.iter().map(|value| value.to_f64()).collect()
}

fn norm<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values.into_iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn sha256_of_trained<A: Adapter<f32>>(run: &EightSteps<f32, A>) -> String {
    let tensors: Vec<_> = run.trainer.adapters.iter().flat_map(|(_, a)| a.tensors()).collect();
    sha256(tensors.iter().flat_map(|(_, values)| values))
}

/// As `sha256sum` prints it, over the numbers' bytes, little endian.
fn sha256<'a>(values: impl IntoIterator<Item = &'a f32>) -> String {
    let bytes: Vec<u8> = values.into_iter().flat_map(|value| value.to_le_bytes()).collect();
    hexadecimal(Sha256::digest(bytes))
}

fn hexadecimal(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
