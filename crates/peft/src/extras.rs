//! What a LoRA or DoRA folder holds beside A and B of linear layers: whole tensors of the model, and adapters of its
//! embedding and its biases.

use std::collections::BTreeMap;

use adapter::{Real, check_shape};
use lora::Lora;
use ndarray::{Array1, Array2, ArrayD};

use crate::config::check_target;
use crate::error::{refused, wrong};
use crate::folder::{Pairs, pair_up};
use crate::keys::PREFIX;
use crate::lora_config::Bias;
use crate::tensors::Tensors;
use crate::{LoraConfig, Result};

/// What a folder holds beside the adapters of linear layers. It is read; [`write()`](crate::write()) refuses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Extras<T> {
    /// `modules_to_save` and `bias`: tensors that were trained whole and take the place of the model's, by their names in
    /// it, `lm_head.weight` for example.
    pub replaced: BTreeMap<String, ArrayD<T>>,
    /// The embedding or the output matrix as it was beneath an adapter, by name: PEFT saves and loads it again. In a model
    /// that ties the two it is both.
    pub base: BTreeMap<String, ArrayD<T>>,
    /// Adapters of embeddings, by module. PEFT has A \[r, vocabulary\], B \[hidden, r\] and ΔE = s (B A)ᵀ; here it is the
    /// LoRA of E \[vocabulary, hidden\] with Bᵀ and Aᵀ.
    pub embeddings: BTreeMap<String, Lora<T>>,
    /// `lora_bias`: what is added to the bias of a module, \[out\]: the bias of B times s.
    pub biases: BTreeMap<String, Array1<T>>,
}

impl<T> Default for Extras<T> {
    fn default() -> Self {
        Self {
            replaced: BTreeMap::new(),
            base: BTreeMap::new(),
            embeddings: BTreeMap::new(),
            biases: BTreeMap::new(),
        }
    }
}

impl<T> Extras<T> {
    /// What it holds, by name: first the tensors, then the modules.
    pub fn names(&self) -> Vec<&str> {
        let tensors = self.replaced.keys().chain(self.base.keys());
        let modules = self.embeddings.keys().chain(self.biases.keys());
        tensors.chain(modules).map(String::as_str).collect()
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// What only a folder that was read can have.
    pub(crate) fn refuse_to_write(&self, config: &LoraConfig) -> Result<()> {
        let LoraConfig { bias, lora_bias, modules_to_save, .. } = config;
        let reason = match self.names().first() {
            Some(name) => format!("{name} is no adapter of a linear layer"),
            None if *bias != Bias::None => {
                "bias says that the model's biases are trained".to_owned()
            }
            None if *lora_bias => "lora_bias says that B has a bias".to_owned(),
            None if !modules_to_save.is_empty() => {
                format!("modules_to_save names {}", modules_to_save[0])
            }
            None => return Ok(()),
        };
        Err(wrong(format!("{reason}: such a folder is read and not written")))
    }
}

/// Read what is beside the A and B of `modules`. `others` are the keys that are left.
///
/// # Errors
/// A key means nothing here, the configuration says nothing of it, or something that it names is missing.
pub(crate) fn read<T: Real>(
    file: &mut Tensors,
    config: &LoraConfig,
    others: Vec<String>,
    modules: &Pairs,
) -> Result<Extras<T>> {
    let mut extras = Extras::default();
    let (embeddings, others) = pair_up(others, embedding_key)?;
    for key in others {
        let name = key.strip_prefix(PREFIX).unwrap_or(&key).to_owned();
        if let Some(module) = name.strip_suffix(".lora_B.bias").filter(|_| config.lora_bias)
            && modules.contains_key(module)
        {
            let bias: Array1<T> = file.array(&key)?;
            let scale = T::from_f64(config.resolve(module)?.scale);
            extras.biases.insert(module.to_owned(), bias * scale);
        } else if is_saved(&config.modules_to_save, &name) {
            extras.replaced.insert(name, file.any(&key)?);
        } else if let Some(module) = name.strip_suffix(".base_layer.bias")
            && config.bias != Bias::None
        {
            extras.replaced.insert(format!("{module}.bias"), file.any(&key)?);
        } else if name.ends_with(".bias") && !name.contains(".lora_") && config.bias == Bias::All {
            extras.replaced.insert(name, file.any(&key)?);
        } else if let Some(module) = embedding_weight(&name) {
            extras.base.insert(format!("{module}.weight"), file.any(&key)?);
        } else {
            let expected = format!("{PREFIX}<module>.lora_A.weight and .lora_B.weight");
            let key = file.key(&key);
            return Err(wrong(format!("{key} is not supported: only {expected} are")));
        }
    }
    for (module, [key_a, key_b]) in embeddings {
        let lora = embedding(file, config, &module, [&key_a, &key_b])?;
        extras.embeddings.insert(module, lora);
    }
    if config.lora_bias
        && let Some(module) = modules.keys().find(|module| !extras.biases.contains_key(*module))
    {
        return Err(wrong(format!("lora_bias is true, and {module} has no lora_B.bias")));
    }
    let has = |saved: &String| {
        extras.replaced.keys().any(|name| is_saved(std::slice::from_ref(saved), name))
    };
    match config.modules_to_save.iter().find(|saved| !has(saved)) {
        Some(saved) => {
            Err(wrong(format!("modules_to_save has {saved}, and the file no tensor of it")))
        }
        None => Ok(extras),
    }
}

/// `base_model.model.<module>.lora_embedding_A` → the module, and 0 for A or 1 for B.
fn embedding_key(key: &str) -> Option<(&str, usize)> {
    let (module, name) = key.strip_prefix(PREFIX)?.rsplit_once('.')?;
    let which = ["lora_embedding_A", "lora_embedding_B"].iter().position(|known| *known == name)?;
    (!module.is_empty()).then_some((module, which))
}

/// Is it a tensor of a module that `modules_to_save` names, or of one inside it? As PEFT has it, an end of a module's name is
/// enough: `norm` names `input_layernorm` too.
fn is_saved(modules_to_save: &[String], tensor: &str) -> bool {
    let mut modules = tensor.match_indices('.').map(|(dot, _)| &tensor[..dot]);
    let named = |module: &str| modules_to_save.iter().any(|name| module.ends_with(name.as_str()));
    !tensor.contains(".lora_") && modules.any(named)
}

/// The module of a weight of the embedding or the output matrix, with or without an adapter on it.
fn embedding_weight(tensor: &str) -> Option<&str> {
    let module = tensor.strip_suffix(".weight")?;
    let module = module.strip_suffix(".base_layer").unwrap_or(module);
    let last = module.rsplit('.').next();
    matches!(last, Some("embed_tokens" | "lm_head")).then_some(module)
}

fn embedding<T: Real>(
    file: &mut Tensors,
    config: &LoraConfig,
    module: &str,
    [key_a, key_b]: [&str; 2],
) -> Result<Lora<T>> {
    let (a, b): (Array2<T>, Array2<T>) = (file.array(key_a)?, file.array(key_b)?);
    check_target(&config.target_modules, module)?;
    let said = config.resolve(module)?;
    let want = [said.rank, a.ncols()];
    check_shape(file.key(key_a), a.shape(), &want, "[r, vocabulary], with the configuration's r")?;
    let want = [b.nrows(), said.rank];
    check_shape(file.key(key_b), b.shape(), &want, "[hidden, r], with the configuration's r")?;
    let [a, b] = [b, a].map(|factor| factor.reversed_axes().as_standard_layout().into_owned());
    Lora::new(a, b, T::from_f64(said.scale)).map_err(refused(module))
}
