//! What a run needs to go on: the update count, the optimiser's moments, what the method keeps beside its adapter's
//! folder, the settings the run was started with.
//!
//! The data order and the dropout masks are functions of the seed and the step, so the step is their position too.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Optimizer, Real};
use ndarray::{ArrayD, ArrayViewD};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tensor_file::{Digest, Staging, StorageDtype, Stored, TensorFile};

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
    /// Of the weights that the run started with.
    pub model: Digest,
    /// Of the examples that it is trained on.
    pub data: Digest,
    /// The loss on held-out examples at this step, if it was measured.
    pub held_out: Option<f64>,
}

/// Tensors by name.
pub type Arrays<T> = BTreeMap<String, ArrayD<T>>;

/// The key of the metadata that is a [`State`], as JSON.
const STATE: &str = "state";
/// The key of the metadata that has the digests of the files beside this one, by name.
const BESIDE: &str = "beside";
/// Before the names of what the method keeps; the other tensors are the optimiser's.
const METHOD: &str = "method.";

/// The state's file among others of the same folder, the last of them: it has the digests of all before it, so that a
/// state is never taken for that of other weights. `method` is what the method keeps that its adapter's folder has no
/// place for; most keep nothing.
///
/// # Errors
/// The disk is full or read-only.
pub fn stage<T: Real>(
    files: &mut Staging,
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
    let beside = serde_json::to_string(files.digests()).expect("plain data");
    let metadata = [(STATE.to_owned(), text), (BESIDE.to_owned(), beside)].into();
    Ok(files.write_tensors(FILE, tensors, &metadata)?)
}

/// What the state in `folder` says, without its tensors.
///
/// # Errors
/// There is none, or it is damaged.
pub fn peek(folder: &Path) -> Result<State> {
    let path = folder.join(FILE);
    read(&path, &TensorFile::open(&path)?, STATE)
}

/// A metadata key that is JSON.
fn read<V: DeserializeOwned>(path: &Path, file: &TensorFile, key: &str) -> Result<V> {
    let text = file.metadata().get(key);
    let text = text.ok_or_else(|| bad(path, format!("it has no `{key}`")))?;
    serde_json::from_str(text).map_err(refused(format!("{}: a wrong `{key}`", path.display())))
}

/// Read the state from `folder` and the optimiser's part of it into `optimizer`; also returns what the method kept.
///
/// # Errors
/// There is none, it is damaged, it belongs to another optimiser or precision, or a file that was written with it is not
/// the same any more.
pub fn load<T: Real>(
    folder: &Path,
    optimizer: &mut dyn Optimizer<T>,
) -> Result<(State, Arrays<T>)> {
    let path = folder.join(FILE);
    let mut file = TensorFile::open(&path)?;
    let state: State = read(&path, &file, STATE)?;
    let beside: BTreeMap<String, Digest> = read(&path, &file, BESIDE)?;
    for (name, digest) in &beside {
        if Digest::of_file(&folder.join(name))? != *digest {
            let reason = format!(
                "{name} is not the one that this state was written with: it was changed or replaced"
            );
            return Err(bad(&path, reason));
        }
    }
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
    use tensor_file::DigestWriter;

    use super::*;

    const GROUP: Group = Group { lr: 0.1, weight_decay: 0.0 };

    fn adamw<T: Real>() -> AdamW<T> {
        AdamW::new(GROUP, AdamVariant::Torch)
    }

    fn state(step: usize) -> State {
        let settings = [("seed".to_owned(), 7.into())].into();
        let digest = DigestWriter::new(std::io::sink()).digest();
        State { step, settings, model: digest.clone(), data: digest, held_out: Some(0.5) }
    }

    /// Beside a file that stands for the adapter.
    fn save<T: Real>(
        folder: &Path,
        state: &State,
        optimizer: &dyn Optimizer<T>,
        method: &Arrays<T>,
    ) {
        let mut files = Staging::new(folder).unwrap();
        files.write("adapter", format!("of step {}", state.step).as_bytes()).unwrap();
        stage(&mut files, state, optimizer, method).unwrap();
        files.commit().unwrap();
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
        let state = state(1);
        let method: Arrays<f32> = [("w0".to_owned(), x)].into();
        // Twice: the second takes the first one's place.
        save(folder.path(), &State { step: 0, ..state.clone() }, &optimizer, &method);
        save(folder.path(), &state, &optimizer, &method);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(peek(folder.path()).unwrap(), state);

        let mut again = adamw::<f32>();
        assert_eq!(load(folder.path(), &mut again).unwrap(), (state.clone(), method));
        assert_eq!(optimizer.moments, again.moments);

        let error = load(folder.path(), &mut adamw::<f64>()).unwrap_err().to_string();
        assert!(error.contains("is F32: F64 is needed"), "{error}");
        let mut sgd = Sgd { group: GROUP };
        let error = causes(&load::<f32>(folder.path(), &mut sgd).unwrap_err());
        assert!(error.contains("this optimiser keeps no such tensor"), "{error}");

        save(folder.path(), &state, &sgd, &Arrays::<f32>::new());
        load::<f32>(folder.path(), &mut sgd).unwrap();
        let nothing = folder.path().join("nothing");
        let error = load::<f32>(&nothing, &mut sgd).unwrap_err().to_string();
        assert!(error.contains("nothing/training_state.safetensors"), "{error}");
    }

    /// The adapter of one save and the state of another are no pair.
    #[test]
    fn a_state_belongs_to_the_files_it_was_written_with() {
        let folder = tempfile::tempdir().unwrap();
        let mut optimizer = adamw::<f32>();
        save(folder.path(), &state(1), &optimizer, &Arrays::new());
        std::fs::write(folder.path().join("adapter"), "of step 2").unwrap();
        let error = load(folder.path(), &mut optimizer).unwrap_err().to_string();
        assert!(
            error.contains("adapter is not the one that this state was written with"),
            "{error}"
        );
        std::fs::remove_file(folder.path().join("adapter")).unwrap();
        let error = load(folder.path(), &mut optimizer).unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains("adapter"), "{error}");
    }

    #[test]
    fn a_file_without_a_state_or_with_half_the_moments_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let x = array![1.0_f64];
        let says = |tensor: &str, metadata: &str, expected: &str| {
            let mut staging = Staging::new(folder.path()).unwrap();
            let tensors = [(tensor, Stored::new(x.view(), StorageDtype::F64))];
            let metadata = [(STATE, metadata), (BESIDE, "{}")];
            let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
            staging.write_tensors(FILE, tensors, &metadata).unwrap();
            staging.commit().unwrap();
            let error = causes(&load(folder.path(), &mut adamw::<f64>()).unwrap_err());
            assert!(error.contains(FILE) && error.contains(expected), "{error}");
        };
        says("exp_avg.x", "{}", "a wrong `state`");
        let state = &serde_json::to_string(&state(1)).unwrap();
        says("exp_avg.x", state, "x: its exp_avg has no exp_avg_sq");
        says("exp_avg_sq.x", state, "optimizer state is exp_avg_sq.x");
        says("x", state, "optimizer state is x");
    }
}
