//! Reading a folder with a VeRA adapter.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::path::Path;
use std::sync::Arc;

use adapter::{Real, check_shape};
use ndarray::{Array1, Array2};
use vera::{Projections, Vera};

use crate::config::{check_target, short};
use crate::error::{refused, wrong};
use crate::folder::{pair_up, read_config, read_tensors};
use crate::keys::PREFIX;
use crate::tensors::Tensors;
use crate::vera_folder::{OF_D, Shape, check_shapes, projection_keys, served};
use crate::{Result, VeraConfig, VeraFolder};

/// Read a folder that PEFT, or [`write_vera`](crate::write_vera), wrote. Numbers are rounded to `T`. Modules that share A and B share one
/// [`Arc`].
///
/// `shape` gives \[out, in\] of a module of the model: a folder does not hold in, nor A and B if `save_projection` is
/// false. They are then drawn from `projection_prng_key`, for the largest out and in of the folder's modules:
/// r (out + in) numbers, where r is the length of every d in the file.
///
/// # Errors
/// A file is missing or damaged, the model lacks a module, a tensor has no partner or another shape than the model and
/// the configuration say, a number is not finite, or the adapter needs something these crates do not compute, which is
/// named.
pub fn read_vera<T: Real>(
    folder: &Path,
    shape: impl Fn(&str) -> Option<[usize; 2]>,
) -> Result<VeraFolder<T>> {
    let config = read_config(folder, VeraConfig::parse)?;
    let modules = read_tensors(folder, |file| modules(file, &config, shape))?;
    Ok(VeraFolder { config, modules })
}

fn modules<T: Real>(
    file: &mut Tensors,
    config: &VeraConfig,
    shape: impl Fn(&str) -> Option<Shape>,
) -> Result<BTreeMap<String, Vera<T>>> {
    // The names first: a file with something that is not supported is refused before its numbers are read.
    let (pairs, others) = pair_up(file.names(), parse_key)?;
    let mut shapes = Vec::new();
    for module in pairs.keys() {
        check_target(&config.target_modules, module)?;
        let missing =
            || wrong(format!("the model has no linear layer {module}: is it another one?"));
        shapes.push(shape(module).ok_or_else(missing)?);
    }
    let served = served(config.sharing, shapes.iter().copied());
    check_others(&others, config, shapes.iter().map(|shape| served(*shape)))?;
    if pairs.is_empty() {
        return Err(wrong("the adapter is empty: it has no vectors"));
    }

    let (mut shared, mut modules) = (BTreeMap::new(), BTreeMap::new());
    for ((module, [key_b, key_d]), &[out, inputs]) in pairs.into_iter().zip(&shapes) {
        let (lambda_b, lambda_d): (Array1<T>, Array1<T>) =
            (file.array(&key_b)?, file.array(&key_d)?);
        let of_b = "[out], with out from the model's weight";
        check_shape(key_b, lambda_b.shape(), &[out], of_b)?;
        check_shape(key_d, lambda_d.shape(), &[config.r], OF_D)?;
        // Only now: r is a length that the file has, so no number in the configuration alone fills the memory.
        let shape = served([out, inputs]);
        let pair = match shared.entry(shape) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Arc::new(projections(file, config, shape)?)),
        };
        let vera = Vera::new(lambda_b, lambda_d, inputs, Arc::clone(pair));
        let vera = vera.map_err(refused(&module))?;
        modules.insert(module, vera);
    }
    Ok(modules)
}

/// `base_model.model.<module>.vera_lambda_b` → the module, and 0 for b or 1 for d.
fn parse_key(key: &str) -> Option<(&str, usize)> {
    let (module, name) = key.strip_prefix(PREFIX)?.rsplit_once('.')?;
    let which = ["vera_lambda_b", "vera_lambda_d"].iter().position(|known| *known == name)?;
    (!module.is_empty()).then_some((module, which))
}

/// Beside the vectors, only the projections that are needed.
fn check_others(
    others: &[String],
    config: &VeraConfig,
    served: impl Iterator<Item = Shape>,
) -> Result<()> {
    let keys = |shape| projection_keys(config.sharing, shape);
    let saved = served.filter(|_| config.save_projection);
    let needed: BTreeSet<String> = saved.flat_map(keys).collect();
    let Some(key) = others.iter().find(|key| !needed.contains(*key)) else {
        return Ok(());
    };
    let mut known = format!("{PREFIX}<module>.vera_lambda_b, .vera_lambda_d");
    needed.iter().for_each(|key| known.extend([", ", key]));
    let save_projection = config.save_projection;
    Err(wrong(format!(
        "{key} is not supported: with save_projection {save_projection} only {} are",
        short(known)
    )))
}

/// The A and B that serve this shape.
fn projections<T: Real>(
    file: &mut Tensors,
    config: &VeraConfig,
    shape: Shape,
) -> Result<Projections<T>> {
    if !config.save_projection {
        return Ok(Projections::peft(config.projection_prng_key, config.r, shape)?);
    }
    let keys = projection_keys(config.sharing, shape);
    let (a, b): (Array2<T>, Array2<T>) = (file.array(&keys[0])?, file.array(&keys[1])?);
    let pair = Projections::new(a, b)?;
    check_shapes(keys, &pair, config.r, shape)?;
    Ok(pair)
}
