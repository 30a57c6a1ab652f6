//! Where two runs part.

use ndarray::ArrayD;
use serde_json::Value;

use super::judge::read_split;
use super::run::{Run, StepId};
use crate::bound::Profile;
use crate::error::{Result, at, wrong};
use crate::judge::{Bench, Options, same};
use crate::tensors::{Tensor, TensorFile};

/// The first step in which two runs differ by more than rounding explains.
#[derive(Clone, Debug, PartialEq)]
pub struct Parting {
    /// Which it is.
    pub id: StepId,
    /// The first output that differs, and its largest difference in units of what rounding explains in this one step; none
    /// if only parameters differ.
    pub output: Option<(String, f64)>,
    /// Parameters that differ: the name, and the two values.
    pub params: Vec<(String, Value, Value)>,
    /// Inputs that differ: the name, and the largest difference by the largest entry.
    pub inputs: Vec<(String, f64)>,
}

/// The first step that both runs have recorded and in which they differ, in a parameter or in an output by more than the
/// bounds of both, as these options have them; `None` if there is none.
///
/// # Errors
/// A step cannot be read, its case is wrong, or it has no `out.*`; no step is in both.
pub fn part(first: &Run, second: &Run, options: Options) -> Result<Option<Parting>> {
    let mut common = 0;
    for (id, path) in &first.steps {
        let Some((_, other)) = second.steps.iter().find(|(other, _)| other == id) else { continue };
        common += 1;
        let (case, expected, answer) = read_split(id, path)?;
        let (other_case, other_expected, other_answer) = read_split(id, other)?;
        // A default that one of them spells out is no difference.
        let params = if case.params()? == other_case.params()? {
            Vec::new()
        } else {
            differing(&params_of(&case.text)?, &params_of(&other_case.text)?, "")
        };
        let bench = Bench::read(&case, &expected, options).map_err(at(path))?;
        let output = farthest(&bench, &answer, &other_answer).map_err(at(other))?;
        if params.is_empty() && output.is_none() {
            continue;
        }
        let inputs = inputs(&expected, &other_expected).map_err(at(other))?;
        return Ok(Some(Parting { id: id.clone(), output, params, inputs }));
    }
    if common == 0 {
        return Err(wrong("no step is recorded in both runs"));
    }
    Ok(None)
}

/// The first output in which the second answer is farther from the first than the bounds of both.
fn farthest(
    bench: &Bench,
    first: &TensorFile,
    second: &TensorFile,
) -> Result<Option<(String, f64)>> {
    for (output, _) in &bench.expected {
        let name = format!("out.{}", output.name);
        let both = first.tensors.get(&name).zip(second.tensors.get(&name));
        let Some((a, b)) = both else { continue };
        let bound_of = |tensor: &Tensor| {
            let (_, units) = bench.judge.units(tensor.dtype).unwrap_or_else(|| {
                let profile = Profile::F64;
                (profile, profile.units(false))
            });
            bench.judge.bound(output, &units)
        };
        let allowed = bound_of(a) + bound_of(b);
        let (a, b) = (numbers(&name, a)?, numbers(&name, b)?);
        if a.shape() != b.shape() || allowed.shape() != a.shape() {
            return Ok(Some((output.name.clone(), f64::INFINITY)));
        }
        let ratio = |((a, b), bound): ((&f64, &f64), &f64)| match same(*a, *b) {
            true => 0.0,
            false => (a - b).abs() / bound,
        };
        let ratios = a.iter().zip(&b).zip(&allowed).map(ratio);
        // NaN is the farthest.
        let most = ratios.fold(0.0, |most, ratio| if ratio <= most { most } else { ratio });
        if !(most <= 1.0) {
            return Ok(Some((output.name.clone(), most)));
        }
    }
    Ok(None)
}

fn numbers(name: &str, tensor: &Tensor) -> Result<ArrayD<f64>> {
    tensor.to_f64().map_err(|error| wrong(format!("{name} {error}")))
}

/// The inputs that are not the same in both.
fn inputs(first: &TensorFile, second: &TensorFile) -> Result<Vec<(String, f64)>> {
    let mut differing = Vec::new();
    let of_both =
        first.tensors.iter().filter_map(|(name, a)| Some((name, a, second.tensors.get(name)?)));
    for (name, a, b) in of_both.filter(|(name, a, b)| name.starts_with("in.") && a.data != b.data) {
        if name.contains("dropout_mask") {
            differing.push((name.clone(), 1.0));
            continue;
        }
        let (a, b) = (numbers(name, a)?, numbers(name, b)?);
        let largest = a.iter().chain(&b).fold(0.0_f64, |most, number| most.max(number.abs()));
        let far = |(a, b): (&f64, &f64)| if same(*a, *b) { 0.0 } else { (a - b).abs() / largest };
        let far = a.iter().zip(&b).map(far);
        let far = far.fold(0.0, |most, far| if far <= most { most } else { far });
        if a.shape() != b.shape() || far != 0.0 {
            differing
                .push((name.clone(), if a.shape() == b.shape() { far } else { f64::INFINITY }));
        }
    }
    Ok(differing)
}

fn params_of(text: &str) -> Result<Value> {
    let mut case: Value = serde_json::from_str(text).map_err(wrong)?;
    Ok(case["params"].take())
}

/// Where two objects differ, by the path of the key.
fn differing(first: &Value, second: &Value, path: &str) -> Vec<(String, Value, Value)> {
    let (Value::Object(a), Value::Object(b)) = (first, second) else {
        let same = first == second || first.as_f64().is_some() && first.as_f64() == second.as_f64();
        return if same {
            Vec::new()
        } else {
            vec![(path.to_owned(), first.clone(), second.clone())]
        };
    };
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    let of = |key: &&String| {
        let dot = if path.is_empty() { "" } else { "." };
        let value =
            |object: &serde_json::Map<String, Value>| object.get(*key).cloned().unwrap_or_default();
        differing(&value(a), &value(b), &format!("{path}{dot}{key}"))
    };
    keys.iter().flat_map(of).collect()
}
