//! What a run needs to go on: the update count, the optimiser's moments, what the method keeps beside its adapter's
//! folder, the settings the run was started with.
//!
//! The data order and the dropout masks are functions of the seed and the step, so the step is their position too.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Optimizer, Real};
use ndarray::{ArrayD, ArrayViewD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor_file::{Staging, StorageDtype, Stored, TensorFile};

use crate::Result;
use crate::error::{bad, refused};

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
/// Before the names of what the method keeps; the other tensors are the optimiser's.
const METHOD: &str = "method.";

/// Write the state into `folder`, in the place of an old one. `method` is what the method keeps that its adapter's folder
/// has no place for; most keep nothing.
///
/// # Errors
/// The disk is full or read-only.
pub fn save<T: Real>(
    folder: &Path,
    state: &State,
    optimizer: &dyn Optimizer<T>,
    method: &Arrays<T>,
) -> Result<()> {
    let dtype = StorageDtype::of::<T>()?;
    let mut arrays: Vec<(String, ArrayViewD<'_, T>)> =
        method.iter().map(|(name, array)| (format!("{METHOD}{name}"), array.view())).collect();
    arrays.extend(optimizer.state());
    let tensors = arrays.into_iter().map(|(name, array)| (name, Stored::new(array, dtype)));
    let text = serde_json::to_string(state).expect("plain data");
    let mut staging = Staging::new(folder)?;
    staging.write_tensors(FILE, tensors, &[(STATE.to_owned(), text)].into())?;
    Ok(staging.commit()?)
}

/// Read the state from `folder` and the optimiser's part of it into `optimizer`; also returns what the method kept.
///
/// # Errors
/// There is none, it is damaged, or it belongs to another optimiser or precision.
pub fn load<T: Real>(
    folder: &Path,
    optimizer: &mut dyn Optimizer<T>,
) -> Result<(State, Arrays<T>)> {
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
    optimizer.restore(state.step as u64, others).map_err(refused(path.display()))?;
    Ok((state, method))
}

#[cfg(test)]
mod tests {
    use adapter::{AdamVariant, AdamW, Group, Optimizer, Sgd};
    use ndarray::array;

    use super::*;

    const GROUP: Group = Group { lr: 0.1, weight_decay: 0.0 };

    fn adamw<T: Real>() -> AdamW<T> {
        AdamW::new(GROUP, AdamVariant::Torch)
    }

    /// The message and those of its causes.
    fn causes(error: &dyn std::error::Error) -> String {
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
        assert_eq!(optimizer.moments, again.moments);

        let error = load(folder.path(), &mut adamw::<f64>()).unwrap_err().to_string();
        assert!(error.contains("is F32: F64 is needed"), "{error}");
        let mut sgd = Sgd { group: GROUP };
        let error = causes(&load::<f32>(folder.path(), &mut sgd).unwrap_err());
        assert!(error.contains("this optimiser keeps no such tensor"), "{error}");

        save(folder.path(), &state, &sgd, &Arrays::<f32>::new()).unwrap();
        load::<f32>(folder.path(), &mut sgd).unwrap();
        let nothing = folder.path().join("nothing");
        let error = load::<f32>(&nothing, &mut sgd).unwrap_err().to_string();
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
            let error = causes(&load(folder.path(), &mut adamw::<f64>()).unwrap_err());
            assert!(error.contains(FILE) && error.contains(expected), "{error}");
        };
        says("exp_avg.x", "{}", "a wrong `state`");
        let state = r#"{"step":1,"settings":{}}"#;
        says("exp_avg.x", state, "x: its exp_avg has no exp_avg_sq");
        says("exp_avg_sq.x", state, "optimizer state is exp_avg_sq.x");
        says("x", state, "optimizer state is x");
    }
}
