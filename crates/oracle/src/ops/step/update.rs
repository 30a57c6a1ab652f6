//! Every trained tensor's update, and W's where the method moves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::ArrayD;

use super::adamw::adamw;
use super::delta_lora::moved_weight;
use super::sgd::sgd;
use super::tensor::{Gradient, TensorUpdate};
use crate::bound::Bound;
use crate::case::Method;
use crate::error::{Result, wrong};
use crate::ops::layer::Named;
use crate::ops::output::Output;
use crate::ops::problem::Problem;
use crate::ops::projected_gradient;

/// The op `step`: the case gives the gradients.
pub(in crate::ops) fn lone(problem: &Problem) -> Result<Vec<Output>> {
    let mut gradients = BTreeMap::new();
    for name in problem.method.trained() {
        let value = problem.inputs.get(&format!("grad_{name}"));
        let value = value.ok_or_else(|| wrong(format!("in.grad_{name} is missing")))?.clone();
        let zeros = ArrayD::zeros(value.shape());
        let gauge = value.mapv(f64::abs);
        let error: Bound = Arc::new(move |_| zeros.clone());
        gradients.insert((*name).to_owned(), Gradient { value, gauge, error });
    }
    Ok(update(problem, gradients, "")?.0)
}

/// The update, and the problem after it.
pub(in crate::ops) fn update(
    before: &Problem,
    mut gradients: BTreeMap<String, Gradient>,
    suffix: &str,
) -> Result<(Vec<Output>, Problem)> {
    let mut after = before.clone();
    if before.slips.coupled {
        couple(before, &mut gradients);
        after.params.optimizer.group.weight_decay = 0.0;
    }
    let values: Named = gradients.iter().map(|(k, g)| (k.clone(), g.value.clone())).collect();
    after.step(&values)?;

    if let (Some(system), Some(raw)) =
        (projected_gradient::system(before), gradients.get_mut("lora_B"))
    {
        let value = before.layer()?.direction(&raw.value)?;
        raw.error = system.error(value.clone(), raw.error.clone());
        raw.gauge = value.mapv(f64::abs);
        raw.value = value;
    }
    let (mut outputs, mut errors) = (Vec::new(), BTreeMap::<String, Bound>::new());
    for (name, gradient) in &gradients {
        let tensor = TensorUpdate { before, after: &after, name, gradient };
        let lr = before.group(name)?.lr;
        let made = match before.slips.constants(&before.params, lr) {
            None => vec![sgd(&tensor, suffix)?],
            Some(constants) => adamw(&tensor, constants, suffix)?,
        };
        // The parameter comes last, after its moments.
        errors.extend(made.last().map(|parameter| (name.clone(), parameter.bound.clone())));
        outputs.extend(made);
    }
    if before.method == Method::DeltaLora {
        outputs.push(moved_weight(before, &after, &errors, suffix)?);
    }
    after.params.optimizer.group = before.params.optimizer.group;
    Ok((outputs, after))
}

/// The decay added to the gradients.
fn couple(before: &Problem, gradients: &mut BTreeMap<String, Gradient>) {
    let decay = before.params.optimizer.group.weight_decay;
    for (name, gradient) in gradients {
        if let Some(p) = before.inputs.get(name) {
            gradient.value.scaled_add(decay, p);
            gradient.gauge.scaled_add(decay, &p.mapv(f64::abs));
            let (gauge, error) = (gradient.gauge.clone(), gradient.error.clone());
            gradient.error = Arc::new(move |units| error(units) + &gauge * units.stored(2));
        }
    }
}
