//! The weight files of a model, and which of them holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use adapter::Real;
use tensor_file::TensorFile;

use crate::Result;
use crate::checkpoint::read_text;
use crate::error::{bad, refused};

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

pub(in crate::load) struct Shards {
    source: PathBuf,
    files: Vec<TensorFile>,
    /// By a tensor's name: its file, and its name there.
    of: BTreeMap<String, (usize, String)>,
}

impl Shards {
    /// One file that has all.
    pub fn open_file(path: &Path) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let of = file.names().into_iter().map(|name| (name, 0)).collect();
        Ok(Self::new(path, vec![file], of))
    }

    /// `model.safetensors`, or the shards of an index.
    pub fn open_folder(folder: &Path) -> Result<Self> {
        let single = folder.join(SINGLE);
        if single.exists() {
            return Self::open_file(&single);
        }
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let path = folder.join(INDEX);
        let what = format!("{}: not an index of shards", path.display());
        let index: Index = serde_json::from_str(&read_text(&path)?).map_err(refused(what))?;
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        let mut files = Vec::new();
        let mut numbers = BTreeMap::new();
        for name in names {
            if !is_plain_file_name(name) {
                return Err(bad(
                    &path,
                    format!(
                        "the shard {name:?} is not a file of this folder: only plain names are followed"
                    ),
                ));
            }
            numbers.insert(name.clone(), files.len());
            files.push(TensorFile::open(&folder.join(name))?);
        }
        let mut of = BTreeMap::new();
        for (tensor, file) in &index.weight_map {
            let number = numbers[file];
            if !files[number].contains(tensor) {
                return Err(bad(&path, format!("{tensor} is said to be in {file} and is not")));
            }
            of.insert(tensor.clone(), number);
        }
        Ok(Self::new(folder, files, of))
    }

    /// What transformers saves of a model without its output matrix has the names without `model.`.
    fn new(source: &Path, files: Vec<TensorFile>, of: BTreeMap<String, usize>) -> Self {
        let bare = !of.keys().any(|name| name.starts_with("model."));
        let of = of.into_iter().map(|(stored, file)| {
            let name = match bare && !stored.starts_with("lm_head.") {
                true => format!("model.{stored}"),
                false => stored.clone(),
            };
            (name, (file, stored))
        });
        Self { source: source.to_owned(), files, of: of.collect() }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.of.contains_key(name)
    }

    pub fn rename(&mut self, name: &str, other: &str) {
        if let Some(place) = self.of.remove(name) {
            self.of.insert(other.to_owned(), place);
        }
    }

    /// The numbers of a tensor.
    pub fn numbers<T: Real>(&mut self, name: &str) -> Result<Vec<T>> {
        let (file, stored) = self.find(name)?;
        Ok(file.numbers(stored)?)
    }

    /// The file that holds a tensor, and what it is called there.
    pub(super) fn find(&mut self, name: &str) -> Result<(&mut TensorFile, &str)> {
        let place = self.of.get(name);
        let (file, stored) =
            place.ok_or_else(|| bad(&self.source, format!("the tensor {name} is missing")))?;
        Ok((&mut self.files[*file], stored))
    }
}

/// Is it one of several files, whose index is beside it?
pub(super) fn is_shard(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.contains("-of-") && file.with_file_name(INDEX).exists()
}

fn is_plain_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    // Also on systems where a backslash is no separator: the index may have been made for another.
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\'])
}
