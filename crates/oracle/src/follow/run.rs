//! Which steps a run has recorded.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::case::{Case, Op, cases_under, read_case};
use crate::error::{Result, at, io, wrong};
use crate::tensors::TensorFile;

/// Which step of which layer: in the order of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId {
    /// How many steps came before it.
    pub number: u64,
    /// The passes come before the update.
    pub op: Op,
    /// The folder within the run's; empty where there is none.
    pub layer: String,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, op, layer } = self;
        let what = if *op == Op::Step { "update" } else { "passes" };
        let of = if layer.is_empty() { String::new() } else { format!(" of {layer}") };
        write!(f, "step {number}, {what}{of}")
    }
}

/// The steps of a run that are recorded.
#[derive(Clone, Debug)]
pub struct Run {
    /// By number, the passes of all layers before their updates.
    pub steps: Vec<(StepId, PathBuf)>,
}

impl Run {
    /// The steps in a folder.
    ///
    /// # Errors
    /// The folder cannot be read, has no step, or has a file with another name than `<number>-<op>.safetensors`.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::read_dir(folder).map_err(io(folder))?;
        let mut steps = Vec::new();
        for path in cases_under(folder)? {
            let layer = path.parent().and_then(|parent| parent.strip_prefix(folder).ok());
            let layer = layer.map(|layer| layer.to_string_lossy().into_owned());
            let id = named(&path, layer.unwrap_or_default()).map_err(at(&path))?;
            steps.push((id, path));
        }
        steps.sort();
        match steps.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some([(id, _), (_, path)]) => Err(at(path)(wrong(format!("{id} is there twice")))),
            _ if steps.is_empty() => Err(at(folder)(wrong(
                "no step is in it: a run is a folder of files <number>-<op>.safetensors",
            ))),
            _ => Ok(Self { steps }),
        }
    }
}

fn named(path: &Path, layer: String) -> Result<StepId> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let parts = stem.split_once('-').and_then(|(number, op)| {
        let op =
            op.parse().ok().filter(|op| matches!(op, Op::Forward | Op::Backward | Op::Step))?;
        Some((number.parse().ok()?, op))
    });
    let (number, op) = parts.ok_or_else(|| {
        wrong("no step has this name: <number>-<op>.safetensors with the op forward, backward or step")
    })?;
    Ok(StepId { number, op, layer })
}

/// A step as it was recorded: its case, with an id that names it; `in.*` and `out.*`.
pub(super) fn read(id: &StepId, path: &Path) -> Result<(Case, TensorFile)> {
    let (case, mut file) = read_case(path)?;
    if case.op != id.op {
        let (op, named) = (case.op, id.op);
        return Err(at(path)(wrong(format!(
            "the op of the case is {op}, of the file name {named}"
        ))));
    }
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let layer: String = id.layer.chars().map(letter).collect();
    let name = format!("{layer}{}{}", if layer.is_empty() { "" } else { "-" }, id.number);
    let mut value: serde_json::Value =
        serde_json::from_str(&case.text).map_err(|error| at(path)(wrong(error)))?;
    value["id"] = format!("{}/{}/{name}", case.method, case.op).into();
    file.metadata.insert("case".into(), value.to_string());
    Ok((Case::of(&file).map_err(at(path))?, file))
}
