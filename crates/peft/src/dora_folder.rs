//! A folder with a DoRA adapter: LoRA's, and m of each module.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Real, check_shape};
use dora::Dora;
use tensor_file::Staging;

use crate::config::{Kind, fill_targets};
use crate::error::{at, refused, wrong};
use crate::folder::{pair_up, read_config, read_tensors, stage_files, write_at_once};
use crate::keys::PREFIX;
use crate::lora_folder::{check, factors, fitted, keyed, parse_key};
use crate::start::Start;
use crate::tensors::{Tensors, check_finite};
use crate::{Extras, LoraConfig, Result, extras};

/// A DoRA adapter: LoRA's configuration, and A, B, the scale and m of each module.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use dora::Dora;
/// use lora::Lora;
/// use ndarray::array;
/// use peft::{DoraFolder, LoraConfig, read_dora, write_dora};
///
/// let lora = Lora::new(array![[1.0, 0.0, 2.0]], array![[3.0], [4.0]], 0.5)?;
/// let q_proj = Dora::new(lora, array![5.0, 6.0])?;
/// let modules = BTreeMap::from([("layers.0.q_proj".to_owned(), q_proj)]);
/// let adapter = DoraFolder::new(LoraConfig::default(), modules)?;
///
/// let folder = tempfile::tempdir()?;
/// write_dora(folder.path(), &adapter)?;
/// assert_eq!(read_dora::<f64>(folder.path())?.modules, adapter.modules);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DoraFolder<T> {
    /// `adapter_config.json`, whose `use_dora` is true.
    pub config: LoraConfig,
    /// By the module's name, `model.layers.0.self_attn.q_proj` for example.
    pub modules: BTreeMap<String, Dora<T>>,
    /// What else it holds; no embeddings.
    pub extras: Extras<T>,
}

impl<T: Real> DoraFolder<T> {
    /// A folder for these modules, whatever their ranks and scales, as [`LoraFolder::new`](crate::LoraFolder::new).
    ///
    /// # Errors
    /// No α gives a module's scale at its rank, to the last bit.
    pub fn new(config: LoraConfig, modules: BTreeMap<String, Dora<T>>) -> Result<Self> {
        let loras = modules.iter().map(|(module, dora)| (module, &dora.lora));
        Ok(Self { config: fitted(config, loras)?, modules, extras: Extras::default() })
    }

    /// Its files among others of the same folder: those of [`write_dora`].
    ///
    /// # Errors
    /// As [`write_dora`].
    pub fn stage(&self, files: &mut Staging) -> Result<()> {
        self.extras.refuse_to_write(&self.config).map_err(at(files.folder()))?;
        self.check().map_err(at(files.folder()))?;
        let mut tensors = BTreeMap::new();
        for (module, Dora { lora, magnitude }) in &self.modules {
            tensors.extend(keyed(module, lora));
            tensors.insert(key_of_m(module), magnitude.view().into_dyn());
        }
        let mut config = self.config.clone();
        fill_targets(&mut config.target_modules, &self.modules);
        stage_files(files, &config.to_json_as(Kind::Dora), &tensors)
    }

    /// LoRA's checks, and of each m its length and that it is finite.
    fn check(&self) -> Result<()> {
        check(&self.config, self.modules.iter().map(|(module, dora)| (module, &dora.lora)))?;
        for (module, Dora { lora, magnitude }) in &self.modules {
            let name = format!("{module}: m");
            check_finite(&name, magnitude.view())?;
            let out = lora.b.nrows();
            check_shape(name, magnitude.shape(), &[out], "[out], with out from B [out, r]")?;
        }
        Ok(())
    }
}

/// Read a folder that PEFT, or [`write_dora`], wrote. Numbers are rounded to `T`.
///
/// # Errors
/// As [`read()`](crate::read()), or a module has no m, or one of another length; or the folder is LoRA's, without
/// `use_dora`.
pub fn read_dora<T: Real>(folder: &Path) -> Result<DoraFolder<T>> {
    let config = read_config(folder, |text| {
        let (config, start) = LoraConfig::parse_as(Kind::Dora, text)?;
        match start {
            Start::Beside => Ok(config),
            _ => Err(wrong(format!(
                "use_dora and init_lora_weights {:?}: merge this adapter with PEFT",
                start.name()
            ))),
        }
    })?;
    let (modules, extras) = read_tensors(folder, |file| modules(file, &config))?;
    Ok(DoraFolder { config, modules, extras })
}

fn modules<T: Real>(
    file: &mut Tensors,
    config: &LoraConfig,
) -> Result<(BTreeMap<String, Dora<T>>, Extras<T>)> {
    // The names first: a file with something that is not supported is refused before its numbers are read.
    let (pairs, others) = pair_up(file.names(), parse_key)?;
    let is_m = |key: &String| pairs.keys().any(|module| *key == key_of_m(module));
    let (magnitudes, others): (Vec<_>, Vec<_>) = others.into_iter().partition(is_m);
    let mut wanted = pairs.keys().map(|module| key_of_m(module));
    if let Some(missing) = wanted.find(|key| !magnitudes.contains(key)) {
        return Err(wrong(format!("{missing} is missing")));
    }
    let extras = extras::read(file, config, others, &pairs)?;
    if pairs.is_empty() {
        return Err(wrong("the adapter is empty: it has no tensors of DoRA"));
    }
    if let Some(module) = extras.embeddings.keys().next() {
        return Err(wrong(format!("{module}: DoRA of an embedding is not supported")));
    }
    let mut modules = BTreeMap::new();
    for (module, lora) in factors(file, config, pairs)? {
        let magnitude = file.array(&key_of_m(&module))?;
        let dora = Dora::new(lora, magnitude).map_err(refused(&module))?;
        modules.insert(module, dora);
    }
    Ok((modules, extras))
}

/// Where a module's m is.
fn key_of_m(module: &str) -> String {
    format!("{PREFIX}{module}.lora_magnitude_vector")
}

/// Write a folder that PEFT 0.21 loads, the same bytes for the same adapter: as [`write()`](crate::write()), with
/// `use_dora` and each m.
///
/// # Errors
/// As [`write()`](crate::write()), or an m has another length than its module's out.
pub fn write_dora<T: Real>(folder: &Path, adapter: &DoraFolder<T>) -> Result<()> {
    write_at_once(folder, |files| adapter.stage(files))
}
