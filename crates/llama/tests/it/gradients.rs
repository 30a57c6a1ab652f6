//! The hand-written backward pass against dual numbers: the same generic forward code, run on a + b·ε, differentiates
//! itself.

use std::hash::{DefaultHasher, Hash, Hasher};

use adapter::{Adapter, Dual, Full, Real, Tensors};
use llama::{
    Activation, Adapters, Architecture, Batch, Config, Llama, Masks, Norms, Projection, QkNorm,
    RopeScaling, Train, Variant, YarnScaling,
};
use lora::Lora;
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn config(tied: bool) -> Config {
    Config {
        vocab_size: 11,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4, // not hidden/heads: the two need not be equal
        rms_norm_eps: 1e-5,
        rope_theta: 100.0,
        rope_scaling: None,
        max_position_embeddings: 16,
        tie_word_embeddings: tied,
        variant: Variant::default(),
    }
}

/// Number `index` of tensor `name`, in (−1, 1): a model without a random generator.
fn number(name: &str, index: usize) -> f64 {
    let mut hasher = DefaultHasher::new();
    (name, index).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn values(name: &str, count: usize) -> Vec<f64> {
    (0..count).map(|index| number(name, index)).collect()
}

/// The direction in which every trained number moves.
fn direction(name: &str, count: usize) -> Vec<f64> {
    values(&format!("direction of {name}"), count)
}

fn model<T: Real>(config: &Config, number: impl Fn(f64, f64) -> T) -> Llama<T> {
    let build = |name: &str, shape: &[usize]| {
        let count = shape.iter().product();
        let pairs = values(name, count).into_iter().zip(direction(name, count));
        Ok(pairs.map(|(value, direction)| number(value, direction)).collect())
    };
    Llama::build(config.clone(), build).unwrap()
}

fn lora<T: Real>(
    site: llama::Site,
    [out, inputs]: [usize; 2],
    number: impl Fn(f64, f64) -> T,
) -> Lora<T> {
    let matrix = |name: &str, rows, columns| {
        let name = format!("{}.{name}", site.1.module(site.0));
        let pairs = values(&name, rows * columns).into_iter().zip(direction(&name, rows * columns));
        let numbers = pairs.map(|(value, direction)| number(value, direction)).collect();
        Array2::from_shape_vec((rows, columns), numbers).unwrap()
    };
    Lora::new(matrix("lora_A", 2, inputs), matrix("lora_B", out, 2), number(1.5, 0.0)).unwrap()
}

/// Two sequences of unequal lengths, the first with a prompt that is not learnt.
fn batch() -> Batch {
    let mut batch = Batch::new();
    batch.push(&[3, 1, 4, 1, 5], 2).unwrap();
    batch.push(&[9, 2, 6], 0).unwrap();
    batch
}

/// ⟨gradient, direction⟩ from the backward pass, and from dual numbers.
fn compare<A: Adapter<f64>, D: Adapter<Dual>>(
    model: &Llama<f64>,
    dual: &Llama<Dual>,
    adapters: &Adapters<A>,
    dual_adapters: &Adapters<D>,
    masks: &Masks,
    train: Train,
) {
    let batch = batch();
    let count = batch.predictions() as f64;
    let outcome = model.loss_and_grads(adapters, &batch, masks, train, count).unwrap();
    let dual = dual.loss_and_grads(dual_adapters, &batch, masks, train, count).unwrap().loss;
    // Matrices of duals are multiplied in another order.
    let rounding = 1000.0 * f64::UNIT_ROUNDOFF;
    assert!((outcome.loss - dual.value).abs() <= rounding * dual.value);

    let (mut sum, mut size) = (0.0, 0.0);
    let mut along = |name: &str, gradient: ndarray::ArrayViewD<'_, f64>| {
        for (g, d) in gradient.iter().zip(direction(name, gradient.len())) {
            sum += g * d;
            size += (g * d).abs();
        }
    };
    for (site, grads) in &outcome.grads.sites {
        for (name, gradient) in grads.tensors() {
            along(&format!("{}.{name}", site.1.module(site.0)), gradient);
        }
    }
    if let Some(rest) = outcome.grads.model {
        along("model.embed_tokens.weight", rest.embedding.view().into_dyn());
        along("model.norm.weight", rest.norm.view().into_dyn());
        if let Some(head) = rest.head {
            along("lm_head.weight", head.view().into_dyn());
        }
        for (i, vectors) in rest.layers.iter().enumerate() {
            for (name, vector) in vectors.named() {
                along(&format!("model.layers.{i}.{name}"), vector.view().into_dyn());
            }
        }
    }
    let want = dual.tangent / count;
    // Each term of the sum carries the rounding of three layers: about a thousand operations.
    let tolerance = rounding * size;
    assert!(size > 0.01, "the gradient is almost zero: this test would prove nothing");
    assert!((sum - want).abs() <= tolerance, "{sum} {want} {tolerance}");
}

#[test]
fn everything_with_full_fine_tuning() {
    for tied in [false, true] {
        let config = config(tied);
        let adapters = Adapters::full(&config);
        let (model, dual) = (model(&config, |v, _| v), model(&config, Dual::new));
        compare(&model, &dual, &adapters, &adapters, &Masks::new(), Train::Everything);
    }
}

/// Each difference between the architectures, in the middle of three layers where it is not in all of them.
fn variants() -> [Config; 8] {
    let yarn = RopeScaling::Yarn(YarnScaling {
        factor: 4.0,
        beta_fast: 0.5,
        beta_slow: 0.05,
        attention_factor: 1.3,
        truncate: true,
        original_max_position_embeddings: 3,
    });
    [
        Variant {
            architecture: Architecture::SmolLM3,
            activation: Activation::Gelu,
            qkv_bias: true,
            o_bias: true,
            mlp_bias: true,
            sliding_window: Some(2),
            full_attention_layers: [0, 2].into(),
            no_rope_layers: [1].into(),
            ..Variant::default()
        },
        Variant {
            architecture: Architecture::Qwen3,
            activation: Activation::GeluTanh,
            qk_norm: Some(QkNorm::Head),
            ..Variant::default()
        },
        Variant { activation: Activation::Relu, rotary_dim: Some(2), ..Variant::default() },
        Variant {
            architecture: Architecture::Granite,
            embedding_multiplier: Some(3.0),
            attention_multiplier: Some(0.3),
            residual_multiplier: Some(0.7),
            logits_divisor: Some(1.5),
            ..Variant::default()
        },
        Variant {
            architecture: Architecture::Olmo2,
            norms: Norms::After,
            qk_norm: Some(QkNorm::Whole),
            ..Variant::default()
        },
        Variant {
            architecture: Architecture::Gemma2,
            norms: Norms::Both,
            gains_from_one: true,
            embedding_multiplier: Some(2.0),
            attention_multiplier: Some(0.5),
            attention_cap: Some(0.8),
            logits_cap: Some(0.6),
            ..Variant::default()
        },
        Variant {
            architecture: Architecture::Gemma3,
            norms: Norms::Both,
            qk_norm: Some(QkNorm::Head),
            gains_from_one: true,
            sliding_window: Some(2),
            full_attention_layers: [1].into(),
            sliding_rope_theta: Some(3.0),
            embedding_multiplier: Some(2.0),
            attention_multiplier: Some(0.5),
            ..Variant::default()
        },
        Variant { architecture: Architecture::Phi3, fused: true, ..Variant::default() },
    ]
    .map(|variant| {
        // transformers has no YaRN of a Phi-3.
        let rope_scaling = Some(yarn.clone()).filter(|_| !variant.fused);
        Config { rope_scaling, variant, ..config(true) }
    })
}

#[test]
fn what_the_architectures_differ_in() {
    for config in variants() {
        let full = Adapters::full(&config);
        let (whole, dual) = (model(&config, |v, _| v), model(&config, Dual::new));
        compare(&whole, &dual, &full, &full, &Masks::new(), Train::Everything);

        let make = |site, shape| Ok::<_, llama::Error>(lora(site, shape, |v, _| v));
        let make_dual = |site, shape| Ok::<_, llama::Error>(lora(site, shape, Dual::new));
        let adapters = Adapters::on(&config, &Projection::ALL, make).unwrap();
        let duals = Adapters::on(&config, &Projection::ALL, make_dual).unwrap();
        let still = model(&config, |v, _| Dual::new(v, 0.0));
        compare(&whole, &still, &adapters, &duals, &Masks::new(), Train::Adapters);
    }
}

/// The model stands still; only the adapters move.
#[test]
fn lora_on_every_projection_with_dropout() {
    let config = config(true);
    let make = |site, shape| Ok::<_, llama::Error>(lora(site, shape, |v, _| v));
    let make_dual = |site, shape| Ok::<_, llama::Error>(lora(site, shape, Dual::new));
    let adapters = Adapters::on(&config, &Projection::ALL, make).unwrap();
    let dual_adapters = Adapters::on(&config, &Projection::ALL, make_dual).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let masks = adapters.draw_masks(&config, batch().tokens().len(), 0.25, &mut rng).unwrap();
    let (model, dual) = (model(&config, |v, _| v), model(&config, |v, _| Dual::new(v, 0.0)));
    for masks in [Masks::new(), masks] {
        compare(&model, &dual, &adapters, &dual_adapters, &masks, Train::Adapters);
    }
}

/// Only the top layer is adapted: the backward pass stops there and must still be right.
#[test]
fn lora_on_the_last_layer_only() {
    let config = config(false);
    let site = (2, Projection::V);
    let shape = Projection::V.shape(&config);
    let adapters = Adapters::at(&config, [(site, lora(site, shape, |v, _| v))].into()).unwrap();
    let duals = Adapters::at(&config, [(site, lora(site, shape, Dual::new))].into()).unwrap();
    let (model, dual) = (model(&config, |v, _| v), model(&config, |v, _| Dual::new(v, 0.0)));
    compare(&model, &dual, &adapters, &duals, &Masks::new(), Train::Adapters);
}

/// Sequences laid end to end must not see each other.
#[test]
fn a_batch_equals_its_sequences_one_by_one() {
    let model = model(&config(false), |v, _| v);
    let none = Adapters::<Full>::none();
    let hidden =
        |batch: &Batch| model.forward(&none, batch, &Masks::new(), Train::Nothing).unwrap().0;
    let sequences: [&[u32]; 3] = [&[1, 2, 3, 4], &[5], &[6, 7]];
    let together = hidden(&Batch::next_token(sequences).unwrap());
    let mut row = 0;
    for sequence in sequences {
        let alone = hidden(&Batch::next_token([sequence]).unwrap());
        for (a, b) in alone.outer_iter().zip(together.outer_iter().skip(row)) {
            // The same sums in another blocking: a few roundings of numbers near 1.
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12), "{a} {b}");
        }
        row += sequence.len();
    }
}
