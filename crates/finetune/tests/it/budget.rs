//! What is counted from shapes is what a step holds, byte for byte.

use std::ops::ControlFlow;

use finetune::{Budget, Data, OptimizerKind, Plan, Precision, Session};
use llama::data::Example;
use llama::{Architecture, Config, Llama, Norms, QkNorm, Variant, tiny};
use methods::{Method, Tunable, Visitor};

/// No two sizes are equal, and none divides another's place.
fn config() -> Config {
    Config {
        vocab_size: 23,
        hidden_size: 20,
        intermediate_size: 28,
        num_hidden_layers: 2,
        num_attention_heads: 6,
        num_key_value_heads: 3,
        head_dim: 4,
        tie_word_embeddings: false,
        ..tiny::config()
    }
}

fn model(config: Config) -> Llama<f32> {
    let ramp = |_: &str, shape: &[usize]| {
        Ok((0..shape.iter().product()).map(|i| 0.01 * (i % 7) as f32 + 0.01).collect())
    };
    Llama::build(config, ramp).unwrap()
}

/// A step on sequences of these lengths.
struct Step {
    plan: Plan,
    config: Config,
    lengths: Vec<usize>,
}

impl Visitor<f32> for Step {
    type Output = ();

    fn visit<M: Tunable<f32>>(self) {
        let Self { plan, config, lengths } = self;
        let what = format!("{} {:?}", plan.method, plan.options);
        let budget = Budget::of(&plan, &config, &lengths, Precision::F32).unwrap();
        let example = |&length: &usize| Example::new((0..length as u32).collect(), 1);
        let data = Data::new(lengths.iter().map(example).collect(), Vec::new(), None).unwrap();
        let mut session = Session::<f32, M>::start(plan, model(config), data).unwrap();
        let estimate = session.estimate().unwrap();
        let _ = session.train::<finetune::Error>(&mut |_, _| Ok(ControlFlow::Break(())));
        let held = session.bytes().values().map(|bytes| bytes as u64);
        let counted = [budget.weights, budget.gradients, budget.optimizer, budget.saved()];
        assert_eq!(counted, held, "{what}");
        assert_eq!(budget.adapters, session.adapter_saved_bytes() as u64, "{what}");
        assert_eq!(budget.logits, estimate.logits as u64, "{what}");
        assert_eq!(budget.trained, session.trainer.trainable() as u64, "{what}");
        assert_eq!(budget.parameters, session.trainer.model.parameters() as u64, "{what}");
        assert_eq!(budget.total(), estimate.total() as u64, "{what}");
    }
}

fn step(method: Method, options: &[(&str, &str)], config: Config) {
    let options = options.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let plan = Plan { batch: 3, options: options.collect(), ..Plan::new(method) };
    method.visit(Step { plan, config, lengths: vec![5, 17, 9] });
}

#[test]
fn every_method() {
    for &method in Method::ALL {
        step(method, &[], config());
        if method != Method::Full {
            step(method, &[("rank", "3"), ("targets", "all-linear")], config());
            step(method, &[("rank", "2"), ("targets", "o_proj,up_proj,down_proj")], config());
        }
    }
}

#[test]
fn what_a_method_can_be_told() {
    step(Method::LoraFa, &[("variant", "projected"), ("rank", "5")], config());
    for sharing in ["max_slice", "per_shape"] {
        let options = [("sharing", sharing), ("rank", "7"), ("targets", "all-linear")];
        step(Method::Vera, &options, config());
    }
    for method in [Method::Lora, Method::LoraFa, Method::Vera, Method::Dora] {
        step(method, &[("dropout", "0.5"), ("targets", "all-linear")], config());
    }
}

#[test]
fn biases_more_norms_a_cap_and_a_tied_output() {
    let biases = Variant { qkv_bias: true, o_bias: true, ..Variant::default() };
    let llama = Variant { mlp_bias: true, ..biases.clone() };
    let qwen3 =
        Variant { architecture: Architecture::Qwen3, qk_norm: Some(QkNorm::Head), ..biases };
    let olmo2 = Variant {
        architecture: Architecture::Olmo2,
        norms: Norms::After,
        qk_norm: Some(QkNorm::Whole),
        ..Variant::default()
    };
    let gemma2 = Variant {
        architecture: Architecture::Gemma2,
        norms: Norms::Both,
        gains_from_one: true,
        embedding_multiplier: Some(4.0),
        attention_multiplier: Some(0.5),
        attention_cap: Some(50.0),
        logits_cap: Some(30.0),
        ..Variant::default()
    };
    for variant in [llama, qwen3, olmo2, gemma2] {
        for method in [Method::Full, Method::Lora] {
            let variant = variant.clone();
            step(method, &[], Config { variant, tie_word_embeddings: true, ..config() });
        }
    }
}

#[test]
fn an_optimizer_without_averages() {
    let plan = Plan { batch: 1, optimizer: OptimizerKind::Sgd, ..Plan::new(Method::Lora) };
    plan.method.visit(Step { plan, config: config(), lengths: vec![4] });
}

/// 16 bytes for a trained number and 2 for a frozen one, as the book's first table has it.
#[test]
fn a_mixture_of_precisions() {
    let of = |method, precision| Budget::of(&Plan::new(method), &config(), &[], precision).unwrap();
    let full = of(Method::Full, Precision::MIXED);
    assert_eq!(full.total(), 16 * full.parameters);
    let lora = of(Method::Lora, Precision::MIXED);
    assert_eq!(lora.total(), 16 * lora.trained + 2 * lora.parameters);

    // Embedding, output matrix and norms stay in 16 bits.
    let projections = 2 * (2 * 20 * 24 + 2 * 20 * 12 + 3 * 20 * 28);
    let less = |precision| lora.weights - of(Method::Lora, precision).weights;
    assert_eq!(less(Precision::BITS_8), projections * (64 - 34) / 32);
    assert_eq!(less(Precision::BITS_4), projections * (64 - 18) / 32);
    for method in [Method::Full, Method::DeltaLora] {
        let refused = Budget::of(&Plan::new(method), &config(), &[], Precision::BITS_4);
        assert!(refused.unwrap_err().to_string().contains("changes the base weights"));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut plan = Plan::new(Method::Lora);
    plan.options.push(("rank".into(), "many".into()));
    assert!(Budget::of(&plan, &config(), &[1], Precision::F32).is_err());
}
