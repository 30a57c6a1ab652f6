//! An adapter's folder of any kind, opened to be looked into.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter::{Adapter, check_shape};
use dora::Dora;
use lora::Lora;
use ndarray::{Array, Array2, ArrayView2, Dimension};
use peft::{Extras, Kind, LoraConfig, StorageDtype};
use vera::{Projections, Vera};

use crate::error::{folder as at, of};
use crate::{Factors, Result, Weights};

/// What a folder holds.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// LoRA, DoRA or VeRA.
    pub kind: Kind,
    /// What it is for; of VeRA, what LoRA's configuration has too.
    pub config: LoraConfig,
    /// The smallest type that holds all its tensors.
    pub dtype: StorageDtype,
    /// By the module's name, `model.layers.0.self_attn.q_proj` for example.
    pub modules: BTreeMap<String, Module>,
    /// What it changes that is no weight of a linear layer, or whole and not by an adapter: `modules_to_save`, biases, the
    /// embedding. By name.
    pub beside: Vec<String>,
}

/// What changes one weight.
#[derive(Clone, Debug)]
pub enum Module {
    /// ΔW = s B A, and α where the folder has one.
    Lora(Lora<f64>),
    /// ΔW = m/‖W + s B A‖ ⊙ (W + s B A) − W.
    Dora(Dora<f64>),
    /// ΔW = Λ_b B Λ_d A.
    Vera(Vera<f64>),
}

impl Folder {
    /// Read a folder that PEFT or this workspace wrote.
    ///
    /// Of VeRA a folder does not say how wide its weights are, so the model's `weights` are needed. With them, every module is
    /// compared with the weight that it is for.
    ///
    /// # Errors
    /// The folder is damaged, asks for what these crates do not compute, or does not fit the model; or it is VeRA's, and
    /// there is no model.
    pub fn open(path: &Path, weights: Option<&Weights>) -> Result<Self> {
        let kind = peft::kind(path)?;
        let mut beside = Vec::new();
        let mut names = |extras: &Extras<f64>| {
            beside.extend(extras.names().into_iter().map(str::to_owned));
        };
        let (config, modules): (LoraConfig, BTreeMap<String, Module>) = match kind {
            Kind::Lora => {
                let mut folder = match weights {
                    None => peft::read::<f64>(path)?,
                    Some(weights) => peft::read_on(path, |module| matrix(weights, module, path))?,
                };
                names(&folder.extras);
                folder.modules.append(&mut folder.extras.embeddings);
                (folder.config, wrap(folder.modules, Module::Lora))
            }
            Kind::Dora => {
                let folder = peft::read_dora::<f64>(path)?;
                names(&folder.extras);
                (folder.config, wrap(folder.modules, Module::Dora))
            }
            Kind::Vera => {
                let Some(weights) = weights else {
                    let reason =
                        "a VeRA adapter does not say how wide its weights are: give --model";
                    return Err(at(path, reason));
                };
                let folder = peft::read_vera::<f64>(path, |module| weights.shape(module))?;
                let config = LoraConfig {
                    r: folder.config.r,
                    lora_dropout: folder.config.vera_dropout,
                    target_modules: folder.config.target_modules,
                    base_model_name_or_path: folder.config.base_model_name_or_path,
                    revision: folder.config.revision,
                    task_type: folder.config.task_type,
                    ..LoraConfig::default()
                };
                (config, wrap(folder.modules, Module::Vera))
            }
        };
        let dtype = peft::storage_dtype(path)?;
        let folder = Self { path: path.to_owned(), kind, config, dtype, modules, beside };
        if let Some(weights) = weights {
            folder.check(weights)?;
        }
        Ok(folder)
    }

    /// Is there a weight of each module's shape?
    fn check(&self, weights: &Weights) -> Result<()> {
        for (name, module) in &self.modules {
            let Some(shape) = weights.shape(name) else {
                let reason =
                    format!("the model has no {name}: was the adapter made for another one?");
                return Err(at(&self.path, reason));
            };
            let hint = "[out, in] of the model's weight";
            check_shape("ΔW", &module.shape(), &shape, hint).map_err(of(name))?;
        }
        Ok(())
    }

    /// Another adapter that is made of this one has adapters of linear layers alone.
    ///
    /// # Errors
    /// This one has more, which would be lost.
    pub(crate) fn refuse_what_is_beside(&self) -> Result<()> {
        let Some(name) = self.beside.first() else { return Ok(()) };
        let reason = format!(
            "it changes {name} too, which would be lost: merge it into its model, and extract a LoRA from the result"
        );
        Err(at(&self.path, reason))
    }

    /// ΔW of every module as two factors.
    ///
    /// # Errors
    /// The adapter is DoRA's.
    pub fn factors(&self) -> Result<BTreeMap<String, Factors>> {
        let factors = |(name, module): (&String, &Module)| {
            let factors = module.factors().ok_or_else(|| {
                at(
                    &self.path,
                    "a DoRA adapter's ΔW depends on W and is not of low rank: merge it into its model, and \
                     extract a LoRA from the result",
                )
            })?;
            Ok((name.clone(), factors))
        };
        self.modules.iter().map(factors).collect()
    }
}

fn matrix(weights: &Weights, module: &str, path: &Path) -> Result<Array2<f64>> {
    weights.read(module)?.ok_or_else(|| {
        let reason = format!("the model has no {module}: was the adapter made for another one?");
        at(path, reason)
    })
}

fn wrap<A>(modules: BTreeMap<String, A>, kind: impl Fn(A) -> Module) -> BTreeMap<String, Module> {
    modules.into_iter().map(|(name, module)| (name, kind(module))).collect()
}

impl Module {
    /// \[out, in\] of the weight that it is for.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::Lora(lora) => lora.shape(),
            Self::Dora(dora) => dora.lora.shape(),
            Self::Vera(vera) => [vera.lambda_b.len(), vera.a().ncols()],
        }
    }

    /// r.
    pub fn rank(&self) -> usize {
        match self {
            Self::Lora(lora) => lora.a.nrows(),
            Self::Dora(dora) => dora.lora.a.nrows(),
            Self::Vera(vera) => vera.lambda_d.len(),
        }
    }

    /// s. VeRA has none.
    pub fn scale(&self) -> Option<f64> {
        match self {
            Self::Lora(lora) => Some(lora.scale),
            Self::Dora(dora) => Some(dora.lora.scale),
            Self::Vera(_) => None,
        }
    }

    /// ΔW as two factors; `None` for DoRA, whose ΔW is no product of thin matrices.
    pub fn factors(&self) -> Option<Factors> {
        match self {
            Self::Lora(lora) => Some(Factors::of_lora(lora)),
            Self::Vera(vera) => Some(Factors::of_vera(vera)),
            Self::Dora(_) => None,
        }
    }

    /// ΔW \[out, in\] itself.
    ///
    /// # Errors
    /// It does not fit the weight.
    pub fn delta_weight(&self, weight: ArrayView2<'_, f64>) -> adapter::Result<Array2<f64>> {
        match self {
            Self::Lora(lora) => lora.delta_weight(weight),
            Self::Dora(dora) => dora.delta_weight(weight),
            Self::Vera(vera) => vera.delta_weight(weight),
        }
    }

    /// The same with all its tensors rounded to `dtype`, as PEFT saves and loads them. `None` where a number is too large
    /// for it.
    pub fn rounded(&self, dtype: StorageDtype) -> Option<Self> {
        Some(match self {
            Self::Lora(lora) => Self::Lora(round_lora(lora, dtype)?),
            Self::Dora(Dora { lora, magnitude }) => {
                let lora = round_lora(lora, dtype)?;
                Self::Dora(Dora { lora, magnitude: round(magnitude, dtype)? })
            }
            Self::Vera(vera) => {
                let [a, b] = [vera.a(), vera.b()].map(|part| round(&part.to_owned(), dtype));
                let projections = Arc::new(Projections::new(a?, b?).ok()?);
                let (lambda_b, lambda_d) =
                    (round(&vera.lambda_b, dtype)?, round(&vera.lambda_d, dtype)?);
                Self::Vera(Vera::new(lambda_b, lambda_d, vera.a().ncols(), projections).ok()?)
            }
        })
    }
}

fn round_lora(lora: &Lora<f64>, dtype: StorageDtype) -> Option<Lora<f64>> {
    Some(Lora { a: round(&lora.a, dtype)?, b: round(&lora.b, dtype)?, scale: lora.scale })
}

/// `None` where a number is too large.
pub(crate) fn round<D: Dimension>(
    numbers: &Array<f64, D>,
    dtype: StorageDtype,
) -> Option<Array<f64, D>> {
    let rounded = numbers.mapv(|number| dtype.round(number));
    rounded.iter().all(|number| number.is_finite()).then_some(rounded)
}
