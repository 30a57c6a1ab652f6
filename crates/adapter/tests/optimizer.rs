//! SGD, AdamW, schedules, clipping, accumulation.

use adapter::tensors::{accumulate, clip_factor, scale, squared_norm};
use adapter::{
    AdamVariant, AdamW, Decay, Dual, Full, FullGrads, Group, Optimizer, Real, Schedule, Scope, Sgd,
};
use adapter::{Adapter, gradcheck};
use ndarray::{Array1, Array2, array};
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
                // A dozen roundings a step, of numbers near 1.
                let tolerance = 16.0 * (step + 1) as f64 * f64::UNIT_ROUNDOFF * want.abs().max(1.0);
                assert!((got - want).abs() <= tolerance, "{case:?} step {step}: {got} {want}");
            }
        }
    }
}

#[test]
fn moments_are_all_there_is_to_save() {
    let group = Group { lr: 0.1, weight_decay: 0.01 };
    let gradient = |step: i32| array![f64::from(step).sin(), 0.3].into_dyn();
    let run =
        |adamw: &mut AdamW<f64>, p: &mut ndarray::ArrayD<f64>, steps: std::ops::Range<i32>| {
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

#[test]
fn gradients_add_up_and_scale() {
    let mut sum = FullGrads { weight: array![[1.0, 2.0]] };
    accumulate(&mut sum, &FullGrads { weight: array![[10.0, 20.0]] }).unwrap();
    assert_eq!(sum.weight, array![[11.0, 22.0]]);
    assert_eq!(squared_norm(&sum), 121.0 + 484.0);
    scale(&mut sum, 0.5);
    assert_eq!(sum.weight, array![[5.5, 11.0]]);
    assert!(accumulate(&mut sum, &FullGrads { weight: array![[1.0], [2.0]] }).is_err());
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
    }
}

/// The baseline's gradients, exactly, and its step.
#[test]
fn full_fine_tuning() {
    let weight = array![[1.0, -2.0, 3.0], [0.0, 4.0, -1.0]];
    let x = array![[2.0, 1.0, 0.0], [-1.0, 3.0, 5.0]].into_shared();
    let grad_y = array![[1.0, -2.0], [3.0, 2.0]];
    let full = Full { shape: (2, 3) };
    let (y, saved) = full.forward(weight.view(), &x, None).unwrap();
    assert_eq!(y, x.dot(&weight.t()));
    let (grad_x, grads) = full.backward(weight.view(), &saved, grad_y.view()).unwrap();
    assert_eq!(grad_x, grad_y.dot(&weight));
    let mut parameter = FullGrads { weight: weight.clone() };
    let loss = |w: &FullGrads<f64>| Ok((x.dot(&w.weight.t()) * &grad_y).sum());
    assert_eq!(gradcheck::exact(&mut parameter, &grads, loss).unwrap(), []);
    assert_eq!(gradcheck::central(&mut parameter, &grads, 100.0, loss).unwrap(), []);
    let wrong = FullGrads { weight: &grads.weight * 1.001 };
    assert_eq!(gradcheck::exact(&mut parameter, &wrong, loss).unwrap().len(), 6);
    assert_eq!(gradcheck::central(&mut parameter, &wrong, 100.0, loss).unwrap().len(), 6);

    let mut moved = weight.clone();
    let mut full = full;
    let group = Group { lr: 1.0, weight_decay: 0.0 };
    full.step(&mut moved, &grads, &mut Sgd { group }).unwrap();
    assert_eq!(moved, &weight - &grads.weight);
    let delta: Array2<f64> = Adapter::<f64>::delta_weight(&full);
    assert_eq!(delta, Array2::<f64>::zeros((2, 3)));
}

/// Each rule of dual numbers against its derivative at random points.
#[test]
fn dual_numbers() {
    for i in 1..50 {
        let x = 0.1 * f64::from(i);
        let d = |f: fn(Dual) -> Dual| f(Dual::new(x, 1.0)).tangent;
        for (got, want) in [
            (d(|x| x * x * x), 3.0 * x * x),
            (d(|x| Dual::from_f64(1.0) / x), -1.0 / (x * x)),
            (d(Real::exp), x.exp()),
            (d(Real::ln), 1.0 / x),
            (d(Real::sqrt), 0.5 / x.sqrt()),
            (d(|x| -x + x * x - x / x), -1.0 + 2.0 * x),
        ] {
            assert!((got - want).abs() <= 8.0 * f64::UNIT_ROUNDOFF * want.abs().max(2.0), "{x}");
        }
    }
}
