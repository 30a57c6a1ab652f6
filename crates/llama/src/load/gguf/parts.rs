//! A model in several files: `name-00001-of-00003.gguf`, `name-00002-of-00003.gguf`, …
//!
//! Each says which one it is and has its own tensors; the first has the metadata of the model.

use std::path::Path;

use super::Gguf;
use super::file::{Part, Tensors};
use super::metadata::Metadata;
use super::problem::{Outcome, wrong};
use crate::Result;
use crate::error::bad;

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

impl Gguf {
    /// Open a file, and if it is one of several, all of them.
    ///
    /// # Errors
    /// As those of [`Part::open`]; or a part is missing or belongs to another model.
    pub fn open(path: &Path) -> Result<Self> {
        let (part, metadata, tensors) = Part::open(path)?;
        let count = metadata.optional_size(COUNT).map_err(|problem| problem.at(path))?.unwrap_or(1);
        if count <= 1 {
            return Ok(Self { path: path.to_owned(), parts: vec![part], metadata, tensors });
        }
        let this = metadata.optional_size(NUMBER).map_err(|problem| problem.at(path))?.unwrap_or(0);
        if this >= count {
            let reason =
                format!("{NUMBER} is {this} and {COUNT} {count}: parts are counted from 0");
            return Err(bad(path, reason));
        }
        let name_of = names(path, this, count)?;
        let mut whole = Self {
            path: path.to_owned(),
            parts: Vec::new(),
            metadata: Metadata::default(),
            tensors: Tensors::new(),
        };
        for i in 0..count {
            let name = name_of(i);
            let part = path.with_file_name(&name);
            if !part.is_file() {
                let reason =
                    format!("{name} is not beside it: all {count} parts must be in one folder");
                return Err(bad(path, reason));
            }
            let (opened, metadata, tensors) = Part::open(&part)?;
            let added = whole.add(opened, metadata, tensors, i, count);
            added.map_err(|problem| problem.at(&part))?;
        }
        whole.check_count().map_err(|problem| problem.at(path))?;
        Ok(whole)
    }

    fn add(
        &mut self,
        part: Part,
        metadata: Metadata,
        tensors: Tensors,
        i: usize,
        count: usize,
    ) -> Outcome<()> {
        if (metadata.optional_size(NUMBER)?, metadata.optional_size(COUNT)?)
            != (Some(i), Some(count))
        {
            return wrong(format!(
                "{NUMBER} and {COUNT} do not say that it is part {} of {count}, as its name does",
                i + 1
            ));
        }
        for (name, mut tensor) in tensors {
            tensor.part = i;
            if self.tensors.contains_key(&name) {
                return wrong(format!("tensor {name:?} is in an earlier part too"));
            }
            self.tensors.insert(name, tensor);
        }
        if i == 0 {
            self.metadata = metadata;
        }
        self.parts.push(part);
        Ok(())
    }

    fn check_count(&self) -> Outcome<()> {
        let found = self.tensors.len();
        match self.metadata.optional_size(TENSORS)? {
            Some(count) if count != found => {
                wrong(format!("{TENSORS} is {count} and the parts hold {found} tensors"))
            }
            _ => Ok(()),
        }
    }
}

/// The names of the parts of the model of which `path` is part `this`, counted from 0.
fn names(path: &Path, this: usize, count: usize) -> Result<impl Fn(usize) -> String> {
    let ending = move |i: usize| format!("-{:05}-of-{count:05}.gguf", i + 1);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(&ending(this)).map(str::to_owned) else {
        let reason = format!(
            "it is part {} of {count} and its name does not end in {:?}, by which the others are found: give the parts \
             back the names that they had",
            this + 1,
            ending(this)
        );
        return Err(bad(path, reason));
    };
    Ok(move |i| format!("{stem}{}", ending(i)))
}
