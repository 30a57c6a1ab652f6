//! `adapter_config.json` of VeRA: the fields that mean something mathematically.

use serde_json::json;
use vera::Sharing;

use crate::config::{Fields, Kind, NOTE, check_dropout, check_rank, short, to_text};
use crate::error::wrong;
use crate::{MethodNote, Result};

/// PEFT's `VeraConfig`, as far as it has a meaning here. Names and defaults are PEFT's.
#[derive(Clone, Debug, PartialEq)]
pub struct VeraConfig {
    /// Rank of A and B.
    pub r: usize,
    /// What every entry of d was at the start.
    pub d_initial: f64,
    /// The seed of A and B: see [`vera::Projections::peft`].
    pub projection_prng_key: u64,
    /// A and B are in the folder. If not, they are drawn again from the seed.
    pub save_projection: bool,
    /// Dropout on the adapter's input while training.
    pub vera_dropout: f64,
    /// The adapted modules, by the ends of their names: as [`LoraConfig`](crate::LoraConfig) has them.
    pub target_modules: Vec<String>,
    /// The model it was trained on.
    pub base_model_name_or_path: Option<String>,
    /// Which revision of that model.
    pub revision: Option<String>,
    /// What the model is for, `CAUSAL_LM` for example: PEFT picks a wrapper by it.
    pub task_type: Option<String>,
    /// Which modules share one A and B. PEFT knows `MaxSlice` only: see [`write_vera`](crate::write_vera).
    pub sharing: Sharing,
}

impl Default for VeraConfig {
    fn default() -> Self {
        Self {
            r: 256,
            d_initial: 0.1,
            projection_prng_key: 0,
            save_projection: true,
            vera_dropout: 0.0,
            target_modules: Vec::new(),
            base_model_name_or_path: None,
            revision: None,
            task_type: None,
            sharing: Sharing::MaxSlice,
        }
    }
}

/// Fields that change nothing once the tensors are given, beside those that LoRA has too.
const WITHOUT_EFFECT: [&str; 1] = ["init_weights"];

impl VeraConfig {
    /// The configuration in the text of an `adapter_config.json`.
    ///
    /// # Errors
    /// Names the field that is wrong or asks for something these crates do not compute. A field that is not known
    /// here must be null, false, `"none"` or empty.
    pub fn parse(text: &str) -> Result<Self> {
        let mut fields = Fields::parse(text, Kind::Vera)?;
        let default = Self::default();
        let config = Self {
            r: fields.take("r")?.unwrap_or(default.r),
            d_initial: fields.take("d_initial")?.unwrap_or(default.d_initial),
            projection_prng_key: fields.take("projection_prng_key")?.unwrap_or_default(),
            save_projection: fields.take("save_projection")?.unwrap_or(default.save_projection),
            vera_dropout: fields.take("vera_dropout")?.unwrap_or_default(),
            target_modules: fields.take_targets()?,
            base_model_name_or_path: fields.take("base_model_name_or_path")?,
            revision: fields.take("revision")?,
            task_type: fields.take("task_type")?,
            sharing: sharing(fields.take(NOTE)?)?,
        };
        fields.refuse_the_rest(&WITHOUT_EFFECT)?;
        config.check()?;
        Ok(config)
    }

    /// The text of an `adapter_config.json`: sorted by field, as PEFT does.
    pub fn to_json(&self) -> String {
        let note = (self.sharing == Sharing::PerShape).then(per_shape);
        let fields = [
            ("base_model_name_or_path", json!(self.base_model_name_or_path)),
            ("d_initial", self.d_initial.into()),
            ("init_weights", true.into()),
            (NOTE, json!(note)),
            ("projection_prng_key", self.projection_prng_key.into()),
            ("r", self.r.into()),
            ("revision", json!(self.revision)),
            ("save_projection", self.save_projection.into()),
            ("target_modules", json!(self.target_modules)),
            ("task_type", json!(self.task_type)),
            ("vera_dropout", self.vera_dropout.into()),
        ];
        to_text(Kind::Vera, fields)
    }

    /// Can an adapter with these settings be written? Worth asking before it is trained.
    ///
    /// # Errors
    /// The rank is 0, a number is out of range, or projections that are shared per shape are not saved.
    pub fn check(&self) -> Result<()> {
        check_rank("r", self.r)?;
        check_dropout("vera_dropout", self.vera_dropout)?;
        if !self.d_initial.is_finite() {
            return Err(wrong(format!("d_initial is {}: it must be finite", self.d_initial)));
        }
        if self.sharing == Sharing::PerShape && !self.save_projection {
            let reason = "save_projection is false, and the projections are shared per shape: from the \
                          seed PEFT would draw one pair for all modules; set save_projection, or share \
                          by MaxSlice";
            return Err(wrong(reason));
        }
        Ok(())
    }
}

/// How a folder says that its projections are shared per shape.
fn per_shape() -> MethodNote {
    MethodNote {
        method: "vera".into(),
        settings: [("sharing".to_owned(), "per_shape".into())].into(),
    }
}

fn sharing(note: Option<MethodNote>) -> Result<Sharing> {
    match note {
        None => Ok(Sharing::MaxSlice),
        Some(note) if note == per_shape() => Ok(Sharing::PerShape),
        Some(note) => {
            let [found, known] = [note, per_shape()].map(|note| short(json!(note)));
            Err(wrong(format!("{NOTE} is {found}: of a VERA adapter only {known} is known")))
        }
    }
}
