//! Parity on a real model, SmolLM2-135M-Instruct: logits with transformers, eight LoRA steps with PEFT, both in f32.
//!
//! The expected numbers are in golden/smollm2_*.json; tests/parity/smollm2.py made them. `cargo xtask parity` runs the
//! other side again.

use adapter::{Full, Tensors};
use llama::load::{Checkpoint, load};
use llama::{Adapters, Batch, Masks, Sampling, Train};
use lora::Lora;
use lowrank_tests::{eight_steps, golden_json, smollm2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

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
    let sampling = Sampling { count: greedy.len(), temperature: 0.0, stop: Vec::new() };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let tokens = model.generate(&none, &prompt, &sampling, &mut rng, |_| {}).unwrap();
    assert_eq!(tokens, greedy);
    assert_eq!(tokenizer.decode(&tokens).unwrap(), golden["greedy"]["text"].as_str().unwrap());
}

#[test]
fn eight_lora_steps_agree_with_peft() {
    let Some(path) = smollm2("eight_lora_steps_agree_with_peft") else { return };
    let golden = golden_json("smollm2_lora.json");
    let (mut trainer, tokens) = eight_steps(&path);
    assert_eq!(tokens, numbers::<Vec<u32>>(&golden["token_ids"]));
    assert_eq!(trainer.trainable(), numbers::<usize>(&golden["trainable"]));

    let want: Vec<f64> = numbers(&golden["losses"]);
    let mut worst = 0.0_f64;
    for (step, want) in want.iter().enumerate() {
        let report = trainer.step(&[Batch::next_token([&tokens[..]]).unwrap()]).unwrap();
        let error = (report.loss - want).abs() / want;
        assert!(error <= 1e-4, "step {step}: loss {}, PEFT {want}", report.loss);
        worst = worst.max(error);
        if step == 0 {
            let norm: f64 = numbers(&golden["first_gradient_norm"]);
            let error = (report.grad_norm - norm).abs() / norm;
            assert!(error <= 1e-4, "gradient norm {}, PEFT {norm}", report.grad_norm);
        }
    }
    println!("largest relative difference of eight losses: {worst:.1e}");
    for (name, norm) in golden["final_norms"].as_object().unwrap() {
        let got = norm_of(&trainer.adapters, name);
        let norm = norm.as_f64().unwrap();
        assert!((got - norm).abs() <= 1e-3 * norm, "{name}: norm {got}, PEFT {norm}");
    }
}

/// `model.layers.0.self_attn.q_proj.lora_A` → its Frobenius norm.
fn norm_of(adapters: &Adapters<Lora<f32>>, name: &str) -> f64 {
    let found = adapters.iter().flat_map(|((layer, projection), adapter)| {
        let tensors = adapter.tensors().into_iter();
        tensors
            .map(move |(tensor, values)| (format!("{}.{tensor}", projection.module(layer)), values))
    });
    let (_, values) = found.into_iter().find(|(found, _)| found == name).expect(name);
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}
