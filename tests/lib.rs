//! What the tests share: golden files and the numbers in them.

use std::path::{Path, PathBuf};

use adapter::{AdamVariant, AdamW, Decay, Group, Schedule};
use llama::load::{Checkpoint, load};
use llama::{Adapters, AnyOptimizer, Projection, Settings, Train, Trainer};
use lora::Lora;
use ndarray::{Array2, ArrayD};
use safetensors::SafeTensors;
use serde_json::Value;

/// A file of tests/golden; its README says what each is and what made it.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// A JSON file of tests/golden.
///
/// # Panics
/// It is missing or damaged.
pub fn golden_json(name: &str) -> Value {
    let text = std::fs::read_to_string(golden(name)).expect("it is committed");
    serde_json::from_str(&text).expect("it is JSON")
}

/// An F64 tensor of a safetensors file.
///
/// # Panics
/// It is missing or not F64.
pub fn read_f64(file: &SafeTensors<'_>, name: &str) -> ArrayD<f64> {
    let view = file.tensor(name).expect("a tensor of this name");
    assert_eq!(view.dtype(), safetensors::Dtype::F64, "{name}");
    let numbers = view.data().chunks_exact(8);
    let numbers = numbers.map(|b| f64::from_le_bytes(b.try_into().expect("eight bytes")));
    ArrayD::from_shape_vec(view.shape(), numbers.collect()).expect("as many as the shape says")
}

/// n(stream, 0), n(stream, 1), …: the made-up integers from −1000 to 1000 of tests/parity/golden.py.
pub fn grid(stream: u32) -> impl Iterator<Item = f64> {
    (0u32..).map(move |j| {
        let mut h = j.wrapping_add(0x9e37_79b9_u32.wrapping_mul(stream.wrapping_add(1)));
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^= h >> 16;
        f64::from(h % 2001) - 1000.0
    })
}

/// SmolLM2-135M-Instruct's GGUF file, from the environment variable `LOWRANK_SMOLLM2`, which `cargo xtask test` sets.
///
/// Without it the caller prints SKIPPED and returns, unless `LOWRANK_REQUIRE_SMOLLM2` is set.
///
/// # Panics
/// The model is required and not there.
pub fn smollm2(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("LOWRANK_SMOLLM2").map(PathBuf::from).filter(|path| path.is_file());
    if path.is_none() {
        assert!(
            std::env::var_os("LOWRANK_REQUIRE_SMOLLM2").is_none(),
            "LOWRANK_SMOLLM2 names no file"
        );
        println!(
            "SKIPPED {test}: LOWRANK_SMOLLM2 names no file (`cargo xtask test` fetches the model)"
        );
    }
    path
}

/// What `eight_lora_steps_agree_with_peft` trains: SmolLM2 in f32 with LoRA as tests/parity/smollm2.py sets it up, and the
/// one block of 192 tokens.
///
/// # Panics
/// The model or the text cannot be read.
pub fn eight_steps(path: &Path) -> (Trainer<f32, Lora<f32>>, Vec<u32>) {
    let Checkpoint { model, tokenizer, .. } = load::<f32>(path).expect("the model");
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/text.txt");
    let text = std::fs::read_to_string(text).expect("it is committed");
    let mut tokens =
        tokenizer.expect("a GGUF has its tokenizer").encode(&text).expect("plain text");
    tokens.truncate(192);

    let adapters = initial_adapters(&model.config);
    let group = Group { lr: 1e-3, weight_decay: 0.0 };
    let settings = Settings {
        train: Train::Adapters,
        lr: group.lr,
        schedule: Schedule::new(Decay::Constant, 0, 8).expect("no warm-up"),
        clip: None,
        dropout: 0.0,
        seed: 0,
    };
    let optimizer = AnyOptimizer::AdamW(AdamW::new(group, AdamVariant::Torch));
    let trainer = Trainer::new(model, adapters, optimizer, settings).expect("valid settings");
    (trainer, tokens)
}

/// The recipe at the top of tests/parity/smollm2.py.
fn initial_adapters(config: &llama::Config) -> Adapters<Lora<f32>> {
    let mut module = 0;
    Adapters::on(config, &[Projection::Q, Projection::V], |_, [out, inputs]| {
        let root = (inputs as f64).sqrt();
        let a = grid(2 * module).take(8 * inputs).map(|n| (n / 1000.0 / root) as f32);
        let b = grid(2 * module + 1).take(out * 8).map(|n| (n / 100_000.0) as f32);
        module += 1;
        let a = Array2::from_shape_vec((8, inputs), a.collect()).expect("as many as asked for");
        let b = Array2::from_shape_vec((out, 8), b.collect()).expect("as many as asked for");
        Lora::new(a, b, 2.0)
    })
    .expect("two targets")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_grid_is_that_of_python() {
        let first = |stream| super::grid(stream).take(4).collect::<Vec<_>>();
        assert_eq!(first(0), [108.0, 77.0, 996.0, -981.0]);
        assert_eq!(first(7), [177.0, -113.0, 407.0, -800.0]);
    }
}
