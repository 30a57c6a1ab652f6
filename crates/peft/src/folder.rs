//! The folder: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use adapter::{Real, check_shape};
use lora::Lora;
use ndarray::Array2;
use tempfile::NamedTempFile;

use crate::error::{at, io, wrong};
use crate::pattern::{alpha_for, exactly};
use crate::tensors::{TensorFile, check_finite, serialize};
use crate::{LoraConfig, Result};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

/// A LoRA adapter: its configuration, and A, B and the scale of each module.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFolder<T> {
    /// `adapter_config.json`.
    pub config: LoraConfig,
    /// By the module's name, `model.layers.0.self_attn.q_proj` for example.
    pub modules: BTreeMap<String, Lora<T>>,
}

impl<T: Real> LoraFolder<T> {
    /// A folder for these modules, whatever their ranks and scales: `config`'s `r`, `lora_alpha`, `rank_pattern` and
    /// `alpha_pattern` are replaced. The commonest rank and α are the rule, a module that differs gets a pattern that
    /// only it matches.
    ///
    /// # Errors
    /// No α gives a module's scale at its rank, to the last bit: make scales with [`lora::Scaling::scale`].
    pub fn new(mut config: LoraConfig, modules: BTreeMap<String, Lora<T>>) -> Result<Self> {
        let mut numbers = Vec::new();
        for (module, lora) in &modules {
            let rank = lora.a.nrows();
            let alpha = alpha_for(lora.scale, rank, config.scaling()).ok_or_else(|| {
                wrong(format!("{module}: no α gives the scale {} at rank {rank}", lora.scale))
            })?;
            numbers.push((module, rank, alpha));
        }
        let default = LoraConfig::default();
        config.r = commonest(numbers.iter().map(|(_, rank, _)| *rank)).unwrap_or(default.r);
        config.lora_alpha =
            commonest(numbers.iter().map(|(.., alpha)| *alpha)).unwrap_or(default.lora_alpha);
        let ranks = numbers.iter().filter(|(_, rank, _)| *rank != config.r);
        config.rank_pattern = ranks.map(|(module, rank, _)| (exactly(module), *rank)).collect();
        let alphas = numbers.iter().filter(|(.., alpha)| *alpha != config.lora_alpha);
        config.alpha_pattern = alphas.map(|(module, _, alpha)| (exactly(module), *alpha)).collect();
        Ok(Self { config, modules })
    }

    /// Do the modules have the ranks and scales that the configuration gives them, and only finite numbers?
    fn check(&self) -> Result<()> {
        let resolver = self.config.resolver()?;
        if self.modules.is_empty() {
            return Err(wrong("the adapter is empty: it has no modules"));
        }
        for (module, Lora { a, b, scale }) in &self.modules {
            if module.is_empty() {
                return Err(wrong("a module has no name"));
            }
            let said = resolver.resolve(module)?;
            if a.nrows() != said.rank || *scale != T::from_f64(said.scale) {
                return Err(wrong(format!(
                    "{module} has rank {} and scale {scale}, but the configuration says {} and {}: \
                     LoraFolder::new finds the configuration",
                    a.nrows(),
                    said.rank,
                    said.scale
                )));
            }
            check_shape(
                format!("{module}: B"),
                b.shape(),
                &[b.nrows(), said.rank],
                "[out, r], with r from A [r, in]",
            )
            .map_err(wrong)?;
            check_finite(&format!("{module}: A"), a)?;
            check_finite(&format!("{module}: B"), b)?;
            self.config.check_target(module)?;
        }
        Ok(())
    }
}

/// The first of the most frequent values.
fn commonest<N: Copy + PartialEq>(values: impl Iterator<Item = N> + Clone) -> Option<N> {
    let count = |value: &N| values.clone().filter(|other| other == value).count();
    values.clone().reduce(|best, value| if count(&value) > count(&best) { value } else { best })
}

/// Read a folder that PEFT, or [`write()`], wrote. Numbers are rounded to `T`.
///
/// # Errors
/// A file is missing or damaged, a tensor has no partner or another shape than the configuration says, a number is
/// not finite, or the adapter needs something these crates do not compute, which is named.
pub fn read<T: Real>(folder: &Path) -> Result<LoraFolder<T>> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(io(&path))?;
    let config = LoraConfig::parse(&text).map_err(at(&path))?;

    let path = folder.join(TENSORS);
    if !path.exists() && folder.join("adapter_model.bin").exists() {
        let reason = "only adapter_model.bin is there, a pickle, which can run code when it is read: \
                      load it with PEFT and save it again as safetensors";
        return Err(at(folder)(wrong(reason)));
    }
    let mut file = TensorFile::open(&path)?;
    let modules = modules(&mut file, &config).map_err(at(&path))?;
    Ok(LoraFolder { config, modules })
}

fn modules<T: Real>(
    file: &mut TensorFile,
    config: &LoraConfig,
) -> Result<BTreeMap<String, Lora<T>>> {
    // The names first: a file with something that is not supported is refused before its numbers are read.
    let mut keys: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    for key in file.names() {
        let (module, which) = parse_key(&key).ok_or_else(|| {
            let expected = format!("{PREFIX}<module>.lora_A.weight and .lora_B.weight");
            wrong(format!("{key} is not supported: only {expected} are"))
        })?;
        let slot = &mut keys.entry(module.to_owned()).or_default()[which];
        if let Some(first) = slot.replace(key.clone()) {
            return Err(wrong(format!("both {first} and {key} are there")));
        }
    }
    if keys.is_empty() {
        return Err(wrong("the adapter is empty: it has no tensors"));
    }
    let resolver = config.resolver()?;
    let mut modules = BTreeMap::new();
    for (module, pair) in keys {
        let (key_a, key_b) = match &pair {
            [Some(a), Some(b)] => (a, b),
            [Some(one), _] | [_, Some(one)] => return Err(wrong(format!("{one} has no partner"))),
            [None, None] => unreachable!("an entry is made for a key"),
        };
        let (a, b): (Array2<T>, Array2<T>) = (file.matrix(key_a)?, file.matrix(key_b)?);
        config.check_target(&module)?;
        let said = resolver.resolve(&module)?;
        if a.nrows() != said.rank || b.ncols() != said.rank {
            return Err(wrong(format!(
                "{module}: lora_A is {:?} and lora_B {:?}, but the configuration says rank {}",
                a.shape(),
                b.shape(),
                said.rank
            )));
        }
        let lora = Lora::new(a, b, T::from_f64(said.scale));
        let lora = lora.map_err(|error| wrong(format!("{module}: {error}")))?;
        modules.insert(module, lora);
    }
    Ok(modules)
}

/// `base_model.model.<module>.lora_A.weight` → the module, and 0 for A or 1 for B.
fn parse_key(key: &str) -> Option<(&str, usize)> {
    let key = key.strip_prefix(PREFIX)?.strip_suffix(".weight")?;
    // peft-rs leaves the adapter's name in.
    let key = key.strip_suffix(".default").unwrap_or(key);
    let (module, name) = key.rsplit_once('.')?;
    let which = ["lora_A", "lora_B"].iter().position(|known| *known == name)?;
    (!module.is_empty()).then_some((module, which))
}

/// Write a folder that PEFT 0.21 loads, the same bytes for the same adapter. Tensors are F32, or F64 when `T` is, so
/// nothing is rounded.
///
/// Both files are written in full under temporary names, then take their places, the configuration last: if the disk is
/// full, what was there is still there. Other files in the folder stay.
///
/// # Errors
/// An adapter's rank or scale is not what the configuration resolves to, a number is not finite, `target_modules` does
/// not cover a module, or the disk is full or read-only.
pub fn write<T: Real>(folder: &Path, adapter: &LoraFolder<T>) -> Result<()> {
    adapter.check().map_err(at(folder))?;
    let mut matrices = BTreeMap::new();
    for (module, lora) in &adapter.modules {
        matrices.insert(format!("{PREFIX}{module}.lora_A.weight"), &lora.a);
        matrices.insert(format!("{PREFIX}{module}.lora_B.weight"), &lora.b);
    }
    let tensors = serialize(&matrices).map_err(at(folder))?;
    let mut config = adapter.config.clone();
    if config.target_modules.is_empty() {
        config.target_modules = adapter.modules.keys().cloned().collect();
    }
    replace(folder, &[(TENSORS, &tensors), (CONFIG, config.to_json().as_bytes())])
}

/// Put all of the files into the folder, or none.
fn replace(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let fresh = !folder.exists();
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let staged: Result<Vec<(NamedTempFile, PathBuf)>> =
        files.iter().map(|(name, bytes)| stage(folder.join(name), bytes)).collect();
    if staged.is_err() && fresh {
        let _ = std::fs::remove_dir(folder); // the first error is the one to report
    }
    for (file, path) in staged? {
        file.persist(&path).map_err(|error| io(&path)(error.error))?;
    }
    Ok(())
}

fn stage(path: PathBuf, bytes: &[u8]) -> Result<(NamedTempFile, PathBuf)> {
    let mut builder = tempfile::Builder::new();
    // Like any other new file: readable by whom the umask allows. A temporary file is its owner's alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(path.with_file_name("")).map_err(io(&path))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io(&path))?;
    Ok((file, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second file cannot be made: the first one does not take its place either.
    #[test]
    fn all_files_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 2] = [("first", b"new"), ("missing/second", b"new")];
        std::fs::write(directory.path().join("first"), "old").unwrap();
        let error = replace(directory.path(), &files).unwrap_err();
        assert!(error.to_string().contains("second: "), "{error}");
        assert_eq!(std::fs::read_to_string(directory.path().join("first")).unwrap(), "old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

        let fresh = directory.path().join("fresh");
        assert!(replace(&fresh, &files).is_err());
        assert!(!fresh.exists());
    }
}
