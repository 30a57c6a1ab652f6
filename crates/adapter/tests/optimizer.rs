//! SGD, AdamW, schedules, clipping.

use std::collections::BTreeMap;

use adapter::tensors::clip_factor;
use adapter::{AdamVariant, AdamW, Decay, Group, Optimizer, Real, Schedule, Scope, Sgd};
use ndarray::{Array1, ArrayD, array};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden.json")).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Ten steps with a fresh gradient each, from the formulas in 50 digits (golden.py): both variants, with decay, with
/// gradients from 1e-9 (where ε decides) to 1e3.
#[test]
fn adamw_against_fifty_digits() {
    for case in golden()["adamw"].as_array().unwrap() {
        let variant = match case["variant"].as_str().unwrap() {
            "torch" => AdamVariant::Torch,
            _ => AdamVariant::Hf,
        };
        let group = Group {
            lr: case["lr"].as_f64().unwrap(),
            weight_decay: case["weight_decay"].as_f64().unwrap(),
        };
        let mut adamw = AdamW::new(group, variant);
        adamw.betas = serde_json::from_value(case["betas"].clone()).unwrap();
        adamw.eps = case["eps"].as_f64().unwrap();
        let mut p = Array1::from(list(&case["start"])).into_dyn();
        let gradients = case["gradients"].as_array().unwrap();
        let wanted = case["parameters"].as_array().unwrap();
        assert_eq!(gradients.len(), 10);
        for (step, (g, want)) in gradients.iter().zip(wanted).enumerate() {
            let g = Array1::from(list(g)).into_dyn();
            adamw.update("p", p.view_mut(), g.view(), group).unwrap();
            for (got, want) in p.iter().zip(list(want)) {
                // A step moves by at most 8η here. √(1 − β₂ᵗ) magnifies the rounding of β₂ᵗ up to 1/(2 − 2β₂) times.
                let moved = 8.0 * group.lr * (0.5 / (1.0 - adamw.betas.1) + 16.0);
                let roundings = (step + 1) as f64 * (4.0 * want.abs().max(1.0) + moved);
                let tolerance = roundings * f64::UNIT_ROUNDOFF;
                assert!((got - want).abs() <= tolerance, "{case:?} step {step}: {got} {want}");
            }
        }
    }
}

#[test]
fn moments_are_all_there_is_to_save() {
    let group = Group { lr: 0.1, weight_decay: 0.01 };
    let gradient = |step: i32| array![f64::from(step).sin(), 0.3].into_dyn();
    let run = |adamw: &mut AdamW<f64>, p: &mut ArrayD<f64>, steps: std::ops::Range<i32>| {
        for step in steps {
            adamw.update("p", p.view_mut(), gradient(step).view(), group).unwrap();
        }
    };
    let mut whole = AdamW::new(group, AdamVariant::Hf);
    let mut p = array![1.0, -2.0].into_dyn();
    run(&mut whole, &mut p, 0..6);

    let mut first = AdamW::new(group, AdamVariant::Hf);
    let mut q = array![1.0, -2.0].into_dyn();
    run(&mut first, &mut q, 0..3);
    let mut second = AdamW::new(group, AdamVariant::Hf);
    second.moments = first.moments;
    run(&mut second, &mut q, 3..6);
    assert_eq!(p, q);
}

/// f32 stays within its own rounding of f64: what cancels (1 − β, 1 − βᵗ) is formed in f64 and costs it nothing.
#[test]
fn adamw_in_f32() {
    let group = Group { lr: 0.01, weight_decay: 0.1 };
    for variant in [AdamVariant::Torch, AdamVariant::Hf] {
        let (mut wide, mut narrow) =
            (AdamW::<f64>::new(group, variant), AdamW::<f32>::new(group, variant));
        let mut p = array![0.5, -1.25, 2.0].into_dyn();
        let mut q = p.mapv(|p: f64| p as f32);
        for step in 0..10 {
            let g = array![f64::from(step % 5 - 2) / 4.0, 0.5, 0.75].into_dyn();
            wide.update("p", p.view_mut(), g.view(), group).unwrap();
            narrow.update("p", q.view_mut(), g.mapv(|g| g as f32).view(), group).unwrap();
            for (p, q) in p.iter().zip(&q) {
                // Four roundings of p a step, and two dozen of a move of at most 8η.
                let roundings =
                    f64::from(step + 1) * (4.0 * p.abs().max(1.0) + 24.0 * 8.0 * group.lr);
                let error = (f64::from(*q) - p).abs();
                assert!(error <= roundings * f32::UNIT_ROUNDOFF, "{variant:?} {step}: {p} {q}");
            }
            // Sums of squares: five roundings a step. 1 − 0.999 in f32 would be off by 216.
            for (v, w) in wide.moments["p"].exp_avg_sq.iter().zip(&narrow.moments["p"].exp_avg_sq) {
                let error = (f64::from(*w) - v).abs();
                let bound = 5.0 * f64::from(step + 1) * f32::UNIT_ROUNDOFF * v;
                assert!(error <= bound, "{variant:?} {step}: {v} {w}");
            }
        }
    }
}

/// Two layers share an optimiser but not their moments.
#[test]
fn a_scope_keeps_layers_apart() {
    let group = Group { lr: 1.0, weight_decay: 0.0 };
    let mut adamw = AdamW::<f64>::new(group, AdamVariant::Torch);
    for prefix in ["one", "two"] {
        let mut scope = Scope { prefix, optimizer: &mut adamw };
        assert_eq!(scope.group(), group);
        let mut p = array![0.0].into_dyn();
        scope.update("w", p.view_mut(), array![1.0].into_dyn().view(), group).unwrap();
    }
    let names: Vec<_> = adamw.moments.keys().cloned().collect();
    assert_eq!(names, ["one.w", "two.w"]);
    assert!(adamw.moments.values().all(|moments| moments.steps == 1));
}

#[test]
fn sgd_is_exact_on_integers() {
    let group = Group { lr: 0.5, weight_decay: 2.0 };
    let mut p = array![3.0, -1.0].into_dyn();
    let g = array![4.0, 8.0].into_dyn();
    Sgd { group }.update("p", p.view_mut(), g.view(), group).unwrap();
    assert_eq!(p, array![3.0 - 0.5 * 10.0, -1.0 - 0.5 * 6.0].into_dyn());
}

#[test]
fn shapes_and_settings_are_checked() {
    let group = Group { lr: 0.1, weight_decay: 0.0 };
    let mut adamw = AdamW::<f64>::new(group, AdamVariant::Torch);
    let (mut two, three) = (Array1::zeros(2).into_dyn(), Array1::zeros(3).into_dyn());
    let text = |result: adapter::Result<()>| result.unwrap_err().to_string();
    let error = text(adamw.update("p", two.view_mut(), three.view(), group));
    assert!(error.contains("the gradient of p has shape [3] where [2] is needed"), "{error}");
    adamw.update("p", two.view_mut(), Array1::zeros(2).into_dyn().view(), group).unwrap();
    let mut grown = three.clone();
    let error = text(adamw.update("p", grown.view_mut(), three.view(), group));
    assert!(error.contains("the shape its moments have"), "{error}");

    let moments = adamw.moments.get_mut("p").unwrap();
    moments.exp_avg_sq = three; // a damaged checkpoint
    let error = text(adamw.update("p", two.view_mut(), Array1::zeros(2).into_dyn().view(), group));
    assert!(error.contains("p has shape [2] where [3] is needed"), "{error}");

    adamw.validate().unwrap();
    assert_eq!((adamw.betas, adamw.eps), ((0.9, 0.999), 1e-8));
    assert_eq!(AdamW::<f64>::new(group, AdamVariant::Hf).eps, 1e-6);
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(Group { lr: bad, ..group }.validate().is_err());
        assert!(Group { weight_decay: bad, ..group }.validate().is_err());
        assert!(AdamW::<f64> { eps: bad, ..adamw.clone() }.validate().is_err());
        assert!(AdamW::<f64> { betas: (bad, 0.9), ..adamw.clone() }.validate().is_err());
        assert!(clip_factor(1.0, bad).is_err() || bad == f64::INFINITY);
    }
    assert!(AdamW::<f64> { betas: (0.9, 1.0), ..adamw }.validate().is_err());
}

#[test]
fn clipping() {
    assert_eq!(clip_factor(0.5, 1.0).unwrap(), 1.0);
    // torch.nn.utils.clip_grad_norm_ adds 1e-6 to the norm.
    assert_eq!(clip_factor(4.0, 1.0).unwrap(), 1.0 / (4.0 + 1e-6));
    assert_eq!(clip_factor(4.0, f64::INFINITY).unwrap(), 1.0);
    assert!(clip_factor(0.0, 0.0).is_err());
    for diverged in [f64::NAN, f64::INFINITY] {
        let error = clip_factor(diverged, 1.0).unwrap_err().to_string();
        assert!(error.contains("training diverged"), "{error}");
    }
}

/// golden.py: what transformers multiplies the rate with.
#[test]
fn schedules_of_transformers() {
    let golden = golden();
    let cases = golden["schedules"].as_array().unwrap();
    assert_eq!(cases.len(), 21);
    for case in cases {
        let decay = match case["decay"].as_str().unwrap() {
            "constant" => Decay::Constant,
            "linear" => Decay::Linear,
            _ => Decay::Cosine,
        };
        let number = |name: &str| case[name].as_u64().unwrap() as usize;
        let schedule = Schedule::new(decay, number("warmup"), number("steps")).unwrap();
        for (step, want) in list(&case["factors"]).into_iter().enumerate() {
            let got = schedule.factor(step);
            // A few roundings of numbers up to π.
            assert!((got - want).abs() <= 8.0 * f64::UNIT_ROUNDOFF, "{schedule:?} {step}: {got}");
        }
    }
}

#[test]
fn schedules_have_no_edge_to_fall_off() {
    for decay in [Decay::Constant, Decay::Linear, Decay::Cosine] {
        for (warmup, steps) in [(0, 0), (0, 1), (1, 1), (5, 5)] {
            let schedule = Schedule::new(decay, warmup, steps).unwrap();
            for step in 0..steps + 3 {
                let factor = schedule.factor(step);
                assert!((0.0..=1.0).contains(&factor), "{schedule:?} {step} {factor}");
            }
        }
        assert_eq!(Schedule::new(decay, 0, 10).unwrap().factor(0), 1.0);
        let error = Schedule::new(decay, 7, 6).unwrap_err().to_string();
        assert!(error.contains("warmup is 7") && error.contains("6 steps"), "{error}");
        // Written out, without `new`'s check: still a number.
        let longer = Schedule { decay, warmup: 7, steps: 6 };
        assert!((0..20).all(|step| (0.0..=1.0).contains(&longer.factor(step))));
    }
}

/// What a checkpoint holds brings the optimiser back, and what is not its own is refused by name.
#[test]
fn state_is_restored_and_a_stranger_refused() {
    let group = Group { lr: 0.1, weight_decay: 0.0 };
    let update = |adamw: &mut AdamW<f64>, p: &mut Array1<f64>| {
        let gradient = array![1.0, -2.0].into_dyn();
        adamw.update("p", p.view_mut().into_dyn(), gradient.view(), group).unwrap();
    };
    let (mut whole, mut p) = (AdamW::new(group, AdamVariant::Torch), array![3.0, 4.0]);
    update(&mut whole, &mut p);
    let owned = |optimizer: &AdamW<f64>| -> BTreeMap<String, ArrayD<f64>> {
        optimizer.state().into_iter().map(|(name, array)| (name, array.to_owned())).collect()
    };
    let kept = owned(&whole);
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["exp_avg.p", "exp_avg_sq.p"]);

    let (mut resumed, mut q) = (AdamW::new(group, AdamVariant::Torch), p.clone());
    resumed.restore(1, kept.clone()).unwrap();
    update(&mut whole, &mut p);
    update(&mut resumed, &mut q);
    assert_eq!(p, q);

    let mut half = kept.clone();
    half.remove("exp_avg_sq.p");
    let mut strange = kept.clone();
    strange.insert("momentum.p".into(), ArrayD::zeros(vec![2]));
    let mut sgd = Sgd { group };
    let before = owned(&resumed);
    for (error, name) in [
        (resumed.restore(1, half), "optimizer state is p: its exp_avg has no exp_avg_sq"),
        (resumed.restore(1, strange), "optimizer state is momentum.p"),
        (sgd.restore(1, kept), "optimizer state is exp_avg.p"),
    ] {
        let text = error.unwrap_err().to_string();
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(owned(&resumed), before, "a refused state must change nothing");
    assert!(Optimizer::<f64>::state(&sgd).is_empty());
    sgd.restore(1, BTreeMap::<String, ArrayD<f64>>::new()).unwrap();
}
