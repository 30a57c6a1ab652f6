//! Trajectories that run freely: the same as backward passes and steps, one after the other, nothing rounded between.

use oracle::{Tensor, TensorFile, check, emit};

use crate::common::{file, layer, matrix, text};

const ADAMW: &str = r#""optimizer":{"name":"adamw","lr":0.125,"betas":[0.75,0.9375],"eps":0.25,"weight_decay":0.25}"#;

/// The case with inputs for so many steps.
fn trajectory(method: &str, own: &str, steps: usize, free: bool) -> TensorFile {
    let rest = format!(r#""params":{{{own}"steps":{steps},"free":{free},{ADAMW}}}"#);
    let mut case = layer(method, "trajectory", &rest);
    for step in 0..steps {
        let seed = 20 + 2 * step as u64;
        case.tensors.insert(format!("in.x.{step}"), Tensor::f64(&matrix(3, 5, seed)));
        case.tensors.insert(format!("in.grad_y.{step}"), Tensor::f64(&matrix(3, 4, seed + 1)));
    }
    case
}

#[test]
fn a_free_run_is_its_steps_one_after_the_other() {
    for (method, own) in
        [("lora", r#""alpha":5,"#), ("delta-lora", r#""alpha":5,"lambda":2,"#), ("vera", "")]
    {
        let steps = 3;
        let case = trajectory(method, own, steps, true);
        let whole = emit(&case).unwrap();
        let start = whole.tensors.iter().filter(|(name, _)| name.starts_with("in."));
        let mut state: Vec<(String, Tensor)> =
            start.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        state.retain(|(name, _)| !name.contains(".x.") && !name.contains(".grad_y."));
        for step in 0..steps {
            let one = |op: &str, rest: &str, more: Vec<(String, Tensor)>| {
                let mut one = file(&text(method, op, rest), &[]);
                one.tensors.extend(state.iter().cloned().chain(more));
                one
            };
            let of = |name: &str| {
                let input = case.tensors[&format!("in.{name}.{step}")].clone();
                (format!("in.{name}"), input)
            };
            let alpha = own.split(',').next().filter(|own| !own.is_empty());
            let alpha = alpha.map_or(String::new(), |alpha| format!(r#""params":{{{alpha}}}"#));
            let mut backward = one("backward", &alpha, vec![of("x"), of("grad_y")]);
            backward.tensors.retain(|name, _| !name.contains("exp_avg"));
            let backward = emit(&backward).unwrap();
            let grads = backward.tensors.iter().filter_map(|(name, tensor)| {
                let name = name.strip_prefix("out.grad_").filter(|name| *name != "x")?;
                Some((format!("in.grad_{name}"), tensor.clone()))
            });
            let rest = format!(r#""params":{{{own}"start":{step},{ADAMW}}}"#);
            let mut update = one("step", &rest, grads.collect());
            if method != "delta-lora" {
                update.tensors.remove("in.weight");
            }
            update
                .tensors
                .retain(|name, _| !name.starts_with("in.vera_A") && !name.starts_with("in.vera_B"));
            let update = emit(&update).unwrap();
            for (name, tensor) in &update.tensors {
                let Some(name) = name.strip_prefix("out.") else { continue };
                assert_eq!(
                    whole.tensors[&format!("out.{name}.{step}")],
                    *tensor,
                    "{method} {name}.{step}"
                );
                let input = format!("in.{name}");
                state.retain(|(known, _)| *known != input);
                state.push((input, tensor.clone()));
            }
        }
        let held = emit(&trajectory(method, own, steps, false)).unwrap();
        let last =
            held.tensors.keys().filter(|name| name.ends_with(".2") && name.starts_with("out."));
        assert!(last.clone().count() > 3);
        assert!(last.into_iter().any(|name| held.tensors[name] != whole.tensors[name]), "{method}");
    }
}

#[test]
fn a_free_run_is_not_judged() {
    let case = trajectory("lora", "", 2, true);
    let made = emit(&case).unwrap();
    let error = check(&made, Some(&made), oracle::Options::default()).unwrap_err().to_string();
    assert!(error.contains("params.free is for emit alone"), "{error}");
    let step = layer("lora", "step", r#""params":{"free":true}"#);
    let error = emit(&step).unwrap_err().to_string();
    assert!(error.contains("free"), "{error}");
}
