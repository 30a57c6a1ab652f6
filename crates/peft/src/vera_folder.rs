//! A folder with a VeRA adapter: b and d of each module, and the A and B that modules share. Checked and written here;
//! `vera_read.rs` reads it.

use std::collections::btree_map::{BTreeMap, Entry};
use std::path::Path;
use std::sync::Arc;

use adapter::{Real, Tensors, check_shape};
use tensor_file::Staging;
use vera::{Projections, Sharing, Vera};

use crate::config::{check_target, fill_targets};
use crate::error::{at, wrong};
use crate::folder::{stage_files, write_at_once};
use crate::keys::PREFIX;
use crate::tensors::check_finite;
use crate::{Result, VeraConfig};

/// A VeRA adapter: its configuration, and b, d, A and B of each module.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
///
/// use peft::{VeraConfig, VeraFolder, read_vera, write_vera};
/// use vera::{Projections, Vera};
///
/// let (shape, config) = ([6, 4], VeraConfig { r: 2, save_projection: false, ..VeraConfig::default() });
/// let projections = Arc::new(Projections::peft(config.projection_prng_key, config.r, shape)?);
/// let q_proj = Vera::<f32>::init(shape, config.d_initial, projections)?;
/// let adapter = VeraFolder { config, modules: BTreeMap::from([("layers.0.q_proj".to_owned(), q_proj)]) };
///
/// let folder = tempfile::tempdir()?;
/// write_vera(folder.path(), &adapter)?; // b and d: 6 + 2 numbers, and a key
/// let again = read_vera::<f32>(folder.path(), |module| (module == "layers.0.q_proj").then_some(shape))?;
/// assert_eq!(again.modules, adapter.modules);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VeraFolder<T> {
    /// `adapter_config.json`.
    pub config: VeraConfig,
    /// By the module's name, `model.layers.0.self_attn.q_proj` for example.
    pub modules: BTreeMap<String, Vera<T>>,
}

/// \[out, in\].
pub(crate) type Shape = [usize; 2];

impl<T: Real> VeraFolder<T> {
    /// Its files among others of the same folder: those of [`write_vera`].
    ///
    /// # Errors
    /// As [`write_vera`].
    pub fn stage(&self, files: &mut Staging) -> Result<()> {
        let Self { config, modules } = self;
        let shared = self.check().map_err(at(files.folder()))?;
        let mut tensors = BTreeMap::new();
        for (module, vera) in modules {
            for (name, vector) in vera.tensors() {
                tensors.insert(format!("{PREFIX}{module}.{name}"), vector);
            }
        }
        if config.save_projection {
            for (shape, pair) in shared {
                let [key_a, key_b] = projection_keys(config.sharing, shape);
                tensors.insert(key_a, pair.a().into_dyn());
                tensors.insert(key_b, pair.b().into_dyn());
            }
        }
        let mut config = config.clone();
        fill_targets(&mut config.target_modules, modules);
        stage_files(files, &config.to_json(), &tensors)
    }

    /// Do the modules have the configuration's rank, do they share what they should, and are all numbers finite?
    /// Returns each A and B once, by the shape that they serve.
    fn check(&self) -> Result<BTreeMap<Shape, &Arc<Projections<T>>>> {
        self.config.check()?;
        if self.modules.is_empty() {
            return Err(wrong("the adapter is empty: it has no modules"));
        }
        let shapes = self.modules.values().map(|vera| [vera.lambda_b.len(), vera.a().ncols()]);
        let served = served(self.config.sharing, shapes.clone());
        let mut shared = BTreeMap::new();
        for ((module, vera), shape) in self.modules.iter().zip(shapes) {
            if module.is_empty() {
                return Err(wrong("a module has no name"));
            }
            check_target(&self.config.target_modules, module)?;
            self.check_vectors(module, vera)?;
            let (shape, pair) = (served(shape), vera.projections());
            let (first, known) = match shared.entry(shape) {
                Entry::Occupied(entry) => *entry.into_mut(),
                Entry::Vacant(entry) => {
                    self.check_projections(module, pair, shape)?;
                    *entry.insert((module, pair))
                }
            };
            if !Arc::ptr_eq(known, pair) && known != pair {
                let reason = "different projections, and must share them: give both the same Arc";
                return Err(wrong(format!("{first} and {module} have {reason}")));
            }
        }
        Ok(shared.into_iter().map(|(shape, (_, pair))| (shape, pair)).collect())
    }

    fn check_vectors(&self, module: &str, Vera { lambda_b, lambda_d, .. }: &Vera<T>) -> Result<()> {
        let [name_b, name_d] = ["lambda_b", "lambda_d"].map(|name| format!("{module}: {name}"));
        check_finite(&name_b, lambda_b.view())?;
        check_finite(&name_d, lambda_d.view())?;
        Ok(check_shape(name_d, lambda_d.shape(), &[self.config.r], OF_D)?)
    }

    fn check_projections(&self, module: &str, pair: &Projections<T>, shape: Shape) -> Result<()> {
        let VeraConfig { r, projection_prng_key: key, save_projection, .. } = self.config;
        let names = ["A", "B"].map(|name| format!("{module}: {name}"));
        check_finite(&names[0], pair.a())?;
        check_finite(&names[1], pair.b())?;
        check_shapes(names, pair, r, shape)?;
        // Whoever reads the folder draws A and B from the key: will they be the same?
        if !save_projection && *pair != Projections::peft(key, r, shape)? {
            return Err(wrong(format!(
                "{module}: A and B are not what projection_prng_key {key} gives for [out, in] = {shape:?}: \
                 set save_projection, so that they are written"
            )));
        }
        Ok(())
    }
}

pub(crate) const OF_D: &str = "[r], with r from the configuration";

/// Are A and B \[r, in\] and \[out, r\], not larger? PEFT loads no others.
pub(crate) fn check_shapes<T: Real>(
    names: [String; 2],
    pair: &Projections<T>,
    rank: usize,
    [out, inputs]: Shape,
) -> Result<()> {
    let [name_a, name_b] = names;
    let hint =
        "r from the configuration, and the largest in and out of the modules that share them";
    check_shape(name_a, pair.a().shape(), &[rank, inputs], hint)?;
    Ok(check_shape(name_b, pair.b().shape(), &[out, rank], hint)?)
}

/// Which shape the A and B of a module of this shape must serve: PEFT's one pair that of the largest out and in.
pub(crate) fn served(
    sharing: Sharing,
    shapes: impl Iterator<Item = Shape>,
) -> impl Fn(Shape) -> Shape {
    let largest = shapes.fold([0, 0], |[a, b], [c, d]| [a.max(c), b.max(d)]);
    move |shape| match sharing {
        Sharing::MaxSlice => largest,
        Sharing::PerShape => shape,
    }
}

/// The keys of A and B. With a shape in them PEFT does not find them, and says so.
pub(crate) fn projection_keys(sharing: Sharing, [out, inputs]: Shape) -> [String; 2] {
    ["base_model.vera_A", "base_model.vera_B"].map(|key| match sharing {
        Sharing::MaxSlice => key.to_owned(),
        Sharing::PerShape => format!("{key}.{out}x{inputs}"),
    })
}

/// Write a folder that PEFT 0.21 loads, the same bytes for the same adapter. Tensors are F32, or F64 when `T` is, so
/// nothing is rounded. Files are replaced as [`write()`](crate::write()) does.
///
/// With `save_projection` A and B are in the folder. Without, only b, d and the key are, and A and B must be what
/// [`Projections::peft`] draws from `projection_prng_key` for the largest out and in of the modules. PEFT takes the
/// largest over all modules that `target_modules` matches, so let it match no others, or leave it empty.
///
/// [`Sharing::PerShape`] has no place in PEFT. It is written with `save_projection` only, each A and B under a key with
/// its shape, `base_model.vera_A.<out>x<in>`, and a note, `"lowrank_method": {"method": "vera", "sharing":
/// "per_shape"}`. PEFT 0.21 refuses such a folder: it finds no `base_model.vera_A`.
///
/// # Errors
/// The rank of a module is not the configuration's, modules that should share A and B do not, A and B are larger than
/// needed or not the key's, a number is not finite, `target_modules` does not cover a module, or the disk is full or
/// read-only.
pub fn write_vera<T: Real>(folder: &Path, adapter: &VeraFolder<T>) -> Result<()> {
    write_at_once(folder, |files| adapter.stage(files))
}
