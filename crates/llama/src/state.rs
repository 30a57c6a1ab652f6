//! What a run needs to go on: the update count, the optimiser's moments, what the method keeps beside its adapter's
//! folder, the settings the run was started with.
//!
//! The data order and the dropout masks are functions of the seed and the step, so the step is their position too.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Moments, Real};
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor_file::{Staging, StorageDtype, Stored, TensorFile};

use crate::error::{bad, refused};
use crate::{AnyOptimizer, Result};

/// The file's name, beside the adapter or the model.
pub const FILE: &str = "training_state.safetensors";

/// What the file says beside the moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates made.
    pub step: usize,
    /// The settings of the run, by the names of the command line.
    pub settings: BTreeMap<String, Value>,
}

/// Tensors by name.
pub type Arrays<T> = BTreeMap<String, ArrayD<T>>;

/// The key of the metadata that is a [`State`], as JSON.
const STATE: &str = "state";
/// Before the name of a tensor of the method.
const METHOD: &str = "method.";

/// Write the state into `folder`, in the place of an old one. `method` is what the method keeps that its adapter's folder
/// has no place for; most keep nothing.
///
/// # Errors
/// The disk is full or read-only.
pub fn save<T: Real>(
    folder: &Path,
    state: &State,
    optimizer: &AnyOptimizer<T>,
    method: &Arrays<T>,
) -> Result<()> {
    let dtype = StorageDtype::of::<T>()?;
    let method = method.iter().map(|(name, array)| (format!("{METHOD}{name}"), array));
    let arrays = method.chain(moments(optimizer));
    let tensors = arrays.map(|(name, array)| (name, Stored::new(array.view(), dtype)));
    let text = serde_json::to_string(state).expect("plain data");
    let mut staging = Staging::new(folder)?;
    staging.write_tensors(FILE, tensors, &[(STATE.to_owned(), text)].into())?;
    Ok(staging.commit()?)
}

/// Read the state from `folder` and the moments into `optimizer`; also returns what the method kept.
///
/// # Errors
/// There is none, it is damaged, or it belongs to another optimiser or precision.
pub fn load<T: Real>(folder: &Path, optimizer: &mut AnyOptimizer<T>) -> Result<(State, Arrays<T>)> {
    let path = folder.join(FILE);
    let mut file = TensorFile::open(&path)?;
    let text = file.metadata().get(STATE);
    let text = text.ok_or_else(|| bad(&path, format!("it has no `{STATE}`")))?;
    let what = format!("{}: a wrong `{STATE}`", path.display());
    let state: State = serde_json::from_str(text).map_err(refused(what))?;
    let dtype = StorageDtype::of::<T>()?;
    let (mut method, mut others) = (Arrays::new(), Arrays::new());
    for name in file.names() {
        // A run goes on in its own precision: nothing is rounded.
        file.check_dtype(&name, dtype)?;
        let array = file.array(&name)?;
        match name.strip_prefix(METHOD) {
            Some(own) => method.insert(own.to_owned(), array),
            None => others.insert(name, array),
        };
    }
    restore(optimizer, others, state.step).map_err(|reason| bad(&path, reason))?;
    Ok((state, method))
}

/// What the optimiser keeps, by the names it has in the file.
fn moments<T>(optimizer: &AnyOptimizer<T>) -> Vec<(String, &ArrayD<T>)> {
    let mut arrays = Vec::new();
    if let AnyOptimizer::AdamW(adamw) = optimizer {
        for (name, moments) in &adamw.moments {
            arrays.push((format!("exp_avg.{name}"), &moments.exp_avg));
            arrays.push((format!("exp_avg_sq.{name}"), &moments.exp_avg_sq));
        }
    }
    arrays
}

/// The reverse, after `step` updates. The reason if these are not what the optimiser keeps.
fn restore<T>(
    optimizer: &mut AnyOptimizer<T>,
    mut arrays: Arrays<T>,
    step: usize,
) -> Result<(), String> {
    let AnyOptimizer::AdamW(adamw) = optimizer else {
        let other = "it holds AdamW's moments, and this run uses SGD";
        return if arrays.is_empty() { Ok(()) } else { Err(other.into()) };
    };
    adamw.moments.clear();
    // In the order of the names, exp_avg comes before exp_avg_sq.
    while let Some((name, exp_avg)) = arrays.pop_first() {
        let alone = || format!("{name} is alone: AdamW keeps an exp_avg and an exp_avg_sq");
        let parameter = name.strip_prefix("exp_avg.").ok_or_else(alone)?;
        let exp_avg_sq = arrays.remove(&format!("exp_avg_sq.{parameter}")).ok_or_else(alone)?;
        let moments = Moments { steps: step as u64, exp_avg, exp_avg_sq };
        adamw.moments.insert(parameter.to_owned(), moments);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use adapter::{AdamVariant, AdamW, Group, Optimizer, Sgd};
    use ndarray::array;

    use super::*;

    const GROUP: Group = Group { lr: 0.1, weight_decay: 0.0 };

    fn adamw<T: Real>() -> AnyOptimizer<T> {
        AnyOptimizer::AdamW(AdamW::new(GROUP, AdamVariant::Torch))
    }

    #[test]
    fn a_run_goes_on_in_its_own_precision_and_with_its_own_optimizer() {
        let folder = tempfile::tempdir().unwrap();
        let mut optimizer = adamw::<f32>();
        let (mut x, gradient) = (array![[1.0_f32, 2.0]].into_dyn(), array![[0.1, -3.0]].into_dyn());
        for name in ["layers.0.a", "exp_avg_sq"] {
            optimizer.update(name, x.view_mut(), gradient.view(), GROUP).unwrap();
        }
        let state = State { step: 1, settings: [("seed".to_owned(), 7.into())].into() };
        let method: Arrays<f32> = [("w0".to_owned(), x)].into();
        // Twice: the second takes the first one's place.
        save(folder.path(), &State { step: 0, ..state.clone() }, &optimizer, &method).unwrap();
        save(folder.path(), &state, &optimizer, &method).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        let mut again = adamw::<f32>();
        assert_eq!(load(folder.path(), &mut again).unwrap(), (state.clone(), method));
        let (AnyOptimizer::AdamW(want), AnyOptimizer::AdamW(got)) = (&optimizer, &again) else {
            panic!("another optimiser");
        };
        assert_eq!(want.moments, got.moments);

        let error = load(folder.path(), &mut adamw::<f64>()).unwrap_err().to_string();
        assert!(error.contains("is F32: F64 is needed"), "{error}");
        let mut sgd = AnyOptimizer::<f32>::Sgd(Sgd { group: GROUP });
        let error = load(folder.path(), &mut sgd).unwrap_err().to_string();
        assert!(error.contains("this run uses SGD"), "{error}");

        save(folder.path(), &state, &sgd, &Arrays::new()).unwrap();
        load(folder.path(), &mut sgd).unwrap();
        let nothing = folder.path().join("nothing");
        let error = load(&nothing, &mut sgd).unwrap_err().to_string();
        assert!(error.contains("nothing/training_state.safetensors"), "{error}");
    }

    #[test]
    fn a_file_without_a_state_or_with_half_the_moments_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let x = array![1.0_f64];
        let says = |tensor: &str, metadata: &str, expected: &str| {
            let mut staging = Staging::new(folder.path()).unwrap();
            let tensors = [(tensor, Stored::new(x.view(), StorageDtype::F64))];
            let metadata = [(STATE.to_owned(), metadata.to_owned())].into();
            staging.write_tensors(FILE, tensors, &metadata).unwrap();
            staging.commit().unwrap();
            let error = load(folder.path(), &mut adamw::<f64>()).unwrap_err().to_string();
            assert!(error.contains(FILE) && error.contains(expected), "{error}");
        };
        says("exp_avg.x", "{}", "a wrong `state`");
        let state = r#"{"step":1,"settings":{}}"#;
        says("exp_avg.x", state, "exp_avg.x is alone");
        says("exp_avg_sq.x", state, "exp_avg_sq.x is alone");
        says("x", state, "x is alone");
    }
}
