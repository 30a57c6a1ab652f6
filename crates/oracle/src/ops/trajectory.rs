//! Several updates. Each starts from the case's own state after the one before, so that errors do not pile up: from
//! `out.<p>.<t − 1>` where the case has it, otherwise from what was computed here, rounded to the grid of 8 significant
//! bits that every format holds. A trajectory that is `free` is not held so: its state goes on as it is, as that of an
//! implementation in f64 does.

use std::collections::BTreeMap;

use super::forward_backward::backward;
use super::output::Output;
use super::pass::Pass;
use super::problem::Problem;
use super::step::{Gradient, update};
use crate::error::Result;

/// At step t: y and the gradients before the update, the state after it.
pub(super) fn all(start: &Problem) -> Result<Vec<Output>> {
    let (mut outputs, mut problem) = (Vec::new(), start.clone());
    for step in 0..start.params.steps {
        let suffix = format!(".{step}");
        let passed = backward(&Pass { problem: &problem, suffix: suffix.clone() })?;
        let passed: Vec<Output> = passed.into_iter().map(Output::remembered).collect();
        let mut gradients = BTreeMap::new();
        for output in &passed {
            for name in problem.method.trained() {
                if output.name == format!("grad_{name}{suffix}") {
                    let gradient = Gradient {
                        value: output.value.clone(),
                        gauge: output.gauge(),
                        error: output.bound.clone(),
                    };
                    gradients.insert((*name).to_owned(), gradient);
                }
            }
        }
        let listed = |output: &Output| {
            output.name.starts_with("y.")
                || output.name.starts_with("grad_") && !output.name.starts_with("grad_x.")
        };
        outputs.extend(passed.into_iter().filter(listed));
        let (updated, mut after) = update(&problem, gradients, &suffix)?;
        outputs.extend(updated);

        for name in problem.method.state() {
            for kind in ["", "exp_avg.", "exp_avg_sq."] {
                let name = format!("{kind}{name}");
                let given = after.inputs.states.get(&format!("{name}{suffix}")).cloned();
                if let Some(state) = given.or_else(|| after.inputs.get(&name).cloned()) {
                    let rounding = problem.slips.rounding;
                    let state = if problem.params.free { state } else { state.mapv(rounding) };
                    after.inputs.set(&name, state);
                }
            }
        }
        problem = after;
    }
    Ok(outputs)
}
