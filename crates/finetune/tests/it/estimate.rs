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
