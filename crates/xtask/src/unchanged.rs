//! An expensive step need not run again while nothing that it depends on has changed.
//!
//! Its programs, its files and what it finds on the machine are hashed; when the step passes, the hash is kept in `target`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{capture, command};
use crate::tally::Tally;
use crate::workspace::{entries, relative, root, target};

/// What a step depends on, hashed as it is named.
pub struct Inputs {
    step: &'static str,
    hasher: DefaultHasher,
}

impl Inputs {
    /// Every step depends on the processor, by which OpenBLAS picks its kernels, and on the BLAS itself.
    pub fn of(step: &'static str) -> Result<Self> {
        let mut inputs = Self { step, hasher: DefaultHasher::new() };
        let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processor.lines().filter(|line| line.starts_with("model name"));
        model.collect::<Vec<_>>().hash(&mut inputs.hasher);
        inputs.output(&mut command("pkg-config", ["--modversion", "openblas"]));
        std::env::var_os(openblas::CORE).hash(&mut inputs.hasher);
        Ok(inputs)
    }

    /// A file, or all files below a folder, with their names.
    pub fn path(&mut self, path: &Path) -> Result<()> {
        relative(path).hash(&mut self.hasher);
        if path.is_dir() {
            // What Python leaves beside its sources is made by the step itself.
            let own = |path: &PathBuf| !path.ends_with("__pycache__");
            return entries(path)?
                .iter()
                .filter(|path| own(path))
                .try_for_each(|path| self.path(path));
        }
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", relative(path)))?;
        bytes.hash(&mut self.hasher);
        Ok(())
    }

    /// Files and folders of the repository.
    pub fn paths<const N: usize>(&mut self, paths: [&str; N]) -> Result<()> {
        paths.iter().try_for_each(|path| self.path(&root().join(path)))
    }

    /// What a program prints, such as its version; nothing where it is not installed.
    pub fn output(&mut self, command: &mut Command) {
        capture(command).ok().hash(&mut self.hasher);
    }

    /// What the step counted when it last passed, if these were its inputs.
    pub fn passed(&self) -> Option<Tally> {
        let kept = std::fs::read_to_string(self.file()).ok()?;
        let (passed, skipped) = kept.strip_prefix(&self.digest())?.trim().split_once(' ')?;
        Some(Tally { passed: passed.parse().ok()?, failed: 0, skipped: skipped.parse().ok()? })
    }

    /// Keeps that it has passed. What it skipped, it would skip again: what is missing here is among the inputs.
    pub fn keep(&self, counted: Tally) -> Result<()> {
        let file = self.file();
        let folder = file.parent().context("a file lies in a folder")?;
        let line = format!("{} {} {}\n", self.digest(), counted.passed, counted.skipped);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, line))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    fn digest(&self) -> String {
        format!("{:016x}", self.hasher.finish())
    }

    fn file(&self) -> PathBuf {
        target().join("passed").join(self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(folder: &Path) -> String {
        let mut inputs = Inputs::of("test of unchanged").unwrap();
        inputs.path(folder).unwrap();
        inputs.digest()
    }

    #[test]
    fn what_passed_is_kept_for_the_same_inputs_alone() {
        let inputs = Inputs::of("test of what is kept").unwrap();
        let counted = Tally { passed: 410, failed: 0, skipped: 1 };
        inputs.keep(counted).unwrap();
        assert_eq!(inputs.passed(), Some(counted));
        let mut others = Inputs::of("test of what is kept").unwrap();
        others.paths(["Cargo.toml"]).unwrap();
        assert_eq!(others.passed(), None);
        std::fs::remove_file(inputs.file()).unwrap();
    }

    #[test]
    fn a_byte_and_a_name_are_seen() {
        let folder = std::env::temp_dir().join(format!("lowrank-unchanged-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("in")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write("in/a", "1");
        let before = digest(&folder);
        assert_eq!(digest(&folder), before);
        write("in/a", "2");
        let byte = digest(&folder);
        std::fs::rename(folder.join("in/a"), folder.join("in/b")).unwrap();
        let name = digest(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(before != byte && byte != name && before != name);
    }
}
