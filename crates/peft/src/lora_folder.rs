//! A folder with a LoRA adapter, and the adapter of each of its modules.

use std::collections::BTreeMap;
use std::path::Path;

use adapter::{Real, check_shape};
use lora::Lora;
use ndarray::{Array2, ArrayViewD};
use tensor_file::{Staging, StorageDtype};

use crate::config::{Kind, check_target, fill_targets};
use crate::error::{at, refused, wrong};
use crate::folder::{Pairs, pair_up, read_config, read_tensors, stage_files_as, write_at_once};
use crate::keys::PREFIX;
use crate::lora_config::check_beside;
use crate::lora_pattern::{alpha_for, exactly};
use crate::start::Start;
use crate::tensors::{Tensors, check_finite};
use crate::{Extras, LoraConfig, Result, extras};

/// A LoRA adapter: its configuration, and A, B and the scale of each module.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFolder<T> {
    /// `adapter_config.json`.
    pub config: LoraConfig,
    /// By the module's name, `model.layers.0.self_attn.q_proj` for example.
    pub modules: BTreeMap<String, Lora<T>>,
    /// What else it holds.
    pub extras: Extras<T>,
}

impl<T: Real> LoraFolder<T> {
    /// A folder for these modules, whatever their ranks and scales: `config`'s `r`, `lora_alpha`, `rank_pattern` and
    /// `alpha_pattern` are replaced. The commonest rank and α are the rule, a module that differs gets a pattern that
    /// only it matches.
    ///
    /// # Errors
    /// No α gives a module's scale at its rank, to the last bit: make scales with [`lora::Scaling::scale`].
    pub fn new(config: LoraConfig, modules: BTreeMap<String, Lora<T>>) -> Result<Self> {
        Ok(Self { config: fitted(config, modules.iter())?, modules, extras: Extras::default() })
    }

    /// Its files among others of the same folder: those of [`write()`].
    ///
    /// # Errors
    /// As [`write()`].
    pub fn stage(&self, files: &mut Staging) -> Result<()> {
        self.stage_as(files, StorageDtype::of::<T>()?)
    }

    fn stage_as(&self, files: &mut Staging, dtype: StorageDtype) -> Result<()> {
        self.extras.refuse_to_write(&self.config).map_err(at(files.folder()))?;
        check(&self.config, self.modules.iter()).map_err(at(files.folder()))?;
        let tensors = self.modules.iter().flat_map(|(module, lora)| keyed(module, lora)).collect();
        let mut config = self.config.clone();
        fill_targets(&mut config.target_modules, &self.modules);
        stage_files_as(files, &config.to_json(), &tensors, dtype)
    }
}

/// The configuration with the ranks and scales of these modules.
pub(crate) fn fitted<'a, T: Real>(
    mut config: LoraConfig,
    modules: impl Iterator<Item = (&'a String, &'a Lora<T>)>,
) -> Result<LoraConfig> {
    let mut numbers = Vec::new();
    for (module, lora) in modules {
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
    Ok(config)
}

/// Do the modules have the ranks and scales that the configuration gives them, and only finite numbers?
pub(crate) fn check<'a, T: Real>(
    config: &LoraConfig,
    modules: impl Iterator<Item = (&'a String, &'a Lora<T>)>,
) -> Result<()> {
    let resolver = config.resolver()?;
    let mut modules = modules.peekable();
    if modules.peek().is_none() {
        return Err(wrong("the adapter is empty: it has no modules"));
    }
    for (module, Lora { a, b, scale }) in modules {
        if module.is_empty() {
            return Err(wrong("a module has no name"));
        }
        let said = resolver.resolve(module)?;
        if a.nrows() != said.rank || *scale != T::from_f64(said.scale) {
            return Err(wrong(format!(
                "{module} has rank {} and scale {scale}, but the configuration says {} and {}: \
                 the folder's `new` finds the configuration",
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
        )?;
        check_finite(&format!("{module}: A"), a.view())?;
        check_finite(&format!("{module}: B"), b.view())?;
        check_target(&config.target_modules, module)?;
    }
    Ok(())
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
/// not finite, or the adapter needs something these crates do not compute, which is named. PiSSA and OLoRA need the model:
/// see [`read_on`].
pub fn read<T: Real>(folder: &Path) -> Result<LoraFolder<T>> {
    let (read, start) = read_started(folder)?;
    check_beside(start).map_err(at(folder))?;
    Ok(read)
}

/// The same with the model at hand: `weight` gives W \[out, in\] of a module. It is asked for the modules of an adapter whose
/// start was taken out of W (PiSSA, OLoRA). Such an adapter comes back as the LoRA of twice the rank that it is on W itself.
///
/// # Errors
/// As [`read`]; those of `weight`; or W does not say what the start was.
pub fn read_on<T: Real, E: From<crate::Error>>(
    folder: &Path,
    mut weight: impl FnMut(&str) -> Result<Array2<f64>, E>,
) -> Result<LoraFolder<T>, E> {
    let (LoraFolder { config, mut modules, extras }, start) = read_started(folder)?;
    if start == Start::Beside {
        return Ok(LoraFolder { config, modules, extras });
    }
    for (module, lora) in &mut modules {
        // What is left of W is in the folder.
        if extras.base.contains_key(&format!("{module}.weight")) {
            continue;
        }
        let undone = start.undone(lora.clone(), weight(module)?.view());
        *lora = undone.map_err(|error| at(folder)(refused(module)(error)))?;
    }
    let LoraFolder { config, modules, .. } = LoraFolder::new(config, modules)?;
    Ok(LoraFolder { config, modules, extras })
}

/// As the folder has it, and what W the adapters stand beside.
fn read_started<T: Real>(folder: &Path) -> Result<(LoraFolder<T>, Start)> {
    let (config, start) = read_config(folder, |text| LoraConfig::parse_as(Kind::Lora, text))?;
    let (modules, extras) = read_tensors(folder, |file| {
        // What is not supported is refused before the numbers of the modules are read.
        let (pairs, others) = pair_up(file.names(), parse_key)?;
        let extras = extras::read(file, &config, others, &pairs)?;
        if pairs.is_empty() && extras.embeddings.is_empty() {
            return Err(wrong("the adapter is empty: it has no tensors of LoRA"));
        }
        Ok((factors(file, &config, pairs)?, extras))
    })?;
    Ok((LoraFolder { config, modules, extras }, start))
}

/// A, B and the scale of each module.
pub(crate) fn factors<T: Real>(
    file: &mut Tensors,
    config: &LoraConfig,
    pairs: Pairs,
) -> Result<BTreeMap<String, Lora<T>>> {
    let resolver = config.resolver()?;
    let mut modules = BTreeMap::new();
    for (module, [key_a, key_b]) in pairs {
        let (a, b): (Array2<T>, Array2<T>) = (file.array(&key_a)?, file.array(&key_b)?);
        check_target(&config.target_modules, &module)?;
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
        let lora = lora.map_err(refused(&module))?;
        modules.insert(module, lora);
    }
    Ok(modules)
}

/// `base_model.model.<module>.lora_A.weight` → the module, and 0 for A or 1 for B.
pub(crate) fn parse_key(key: &str) -> Option<(&str, usize)> {
    let key = key.strip_prefix(PREFIX)?.strip_suffix(".weight")?;
    let (module, name) = key.rsplit_once('.')?;
    let which = ["lora_A", "lora_B"].iter().position(|known| *known == name)?;
    (!module.is_empty()).then_some((module, which))
}

/// A and B under their keys.
pub(crate) fn keyed<'a, T: Real>(
    module: &str,
    lora: &'a Lora<T>,
) -> [(String, ArrayViewD<'a, T>); 2] {
    [("lora_A", &lora.a), ("lora_B", &lora.b)]
        .map(|(name, matrix)| (format!("{PREFIX}{module}.{name}.weight"), matrix.view().into_dyn()))
}

/// Write a folder that PEFT 0.21 loads, the same bytes for the same adapter. Tensors are F32, or F64 when `T` is, so
/// nothing is rounded.
///
/// Both files are written in full under temporary names, then take their places, the configuration last: if the disk is
/// full, what was there is still there. Other files in the folder stay. With a [`MethodNote`](crate::MethodNote), PEFT
/// warns that it does not know the field, and computes the same.
///
/// # Errors
/// An adapter's rank or scale is not what the configuration resolves to, a number is not finite, `target_modules` does
/// not cover a module, or the disk is full or read-only.
pub fn write<T: Real>(folder: &Path, adapter: &LoraFolder<T>) -> Result<()> {
    write_at_once(folder, |files| adapter.stage(files))
}

/// [`write()`], with each number rounded to `dtype`: as large as the folder that the adapter came from, see
/// [`storage_dtype`](crate::storage_dtype).
///
/// # Errors
/// As there, or a number is too large for `dtype`.
pub fn write_as<T: Real>(
    folder: &Path,
    adapter: &LoraFolder<T>,
    dtype: StorageDtype,
) -> Result<()> {
    write_at_once(folder, |files| adapter.stage_as(files, dtype))
}
