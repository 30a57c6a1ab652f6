//! What is told before a run is what is counted after its first step, byte for byte.

use finetune::{Data, OptimizerKind, Plan, Session};
use llama::data::Example;
use llama::tiny;
use methods::{Method, Tunable, Visitor};

struct Held {
    plan: Plan,
    data: Data,
}

impl Visitor<f32> for Held {
    type Output = ();

    fn visit<M: Tunable<f32>>(self) {
        let model = tiny::model().unwrap();
        let mut session = Session::<f32, M>::start(self.plan, model, self.data).unwrap();
        let estimate = session.estimate().unwrap();
        let _ = session.train::<finetune::Error>(&mut |_, _| Ok(std::ops::ControlFlow::Break(())));
        assert_eq!(session.steps.len(), 1);
        assert_eq!(estimate.held, session.bytes(), "{}", M::METHOD);
    }
}

/// Sequences of these lengths, whose first tokens are given.
fn data(lengths: &[usize]) -> Data {
    let example = |&length: &usize| Example::new((0..length as u32).map(|i| i % 10).collect(), 2);
    Data::new(lengths.iter().map(example).collect(), Vec::new(), None).unwrap()
}

#[test]
fn a_step_holds_what_was_told_of_it() {
    let data = data(&[5, 17, 9]);
    for method in Method::ALL {
        let plan = Plan { batch: 3, ..Plan::new(*method) };
        method.visit(Held { plan, data: data.clone() });
    }
}

#[test]
fn dropout_and_the_optimizer_count() {
    let data = data(&[12, 12]);
    let mut plan = Plan { batch: 2, ..Plan::new(Method::Lora) };
    plan.options.push(("dropout".into(), "0.1".into()));
    plan.method.visit(Held { plan: plan.clone(), data: data.clone() });
    plan.optimizer = OptimizerKind::Sgd;
    plan.method.visit(Held { plan, data });
}

/// The longest examples together, which need not meet.
#[test]
fn unequal_batches_are_bounded() {
    let data = data(&[40, 3, 3, 40]);
    let plan = Plan { batch: 2, ..Plan::new(Method::Lora) };
    let model = tiny::model::<f32>().unwrap();
    let mut session = Session::<f32, lora::Lora<f32>>::start(plan, model, data).unwrap();
    let estimate = session.estimate().unwrap();
    let _ = session.train::<finetune::Error>(&mut |_, _| Ok(std::ops::ControlFlow::Continue(())));
    assert!(estimate.held.saved > session.bytes().saved);
    assert_eq!(estimate.logits, 4 * 2 * 38 * 16);
    assert!(estimate.total() > estimate.held.saved + estimate.logits);
}

/// The frequencies that LongRoPE has for longer texts are not computed.
#[test]
fn a_row_that_is_too_long_for_longrope_is_refused_before_the_run() {
    let config = serde_json::json!({
        "model_type": "phi3", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64,
        "original_max_position_embeddings": 16,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 8.0]},
    });
    let config = llama::Config::from_json(&config.to_string()).unwrap();
    let start = |lengths: &[usize]| {
        let constant = |_: &str, shape: &[usize]| Ok(vec![0.1; shape.iter().product()]);
        let model = llama::Llama::<f32>::build(config.clone(), constant).unwrap();
        Session::<f32, lora::Lora<f32>>::start(Plan::new(Method::Lora), model, data(lengths))
    };
    // q and v, which LoRA adapts where nothing is said, are there one matrix with k.
    let warnings = start(&[5, 16]).unwrap().warnings().unwrap();
    assert!(warnings[0].contains("q_proj, v_proj: this model has them in one matrix with k_proj"));
    let error = start(&[5, 17]).err().expect("17 tokens are too many").to_string();
    assert!(error.contains("a text has 17 tokens"), "{error}");
}
