//! RoPE's part of a `config.json`, which has been in three places over the years.

use serde_json::Map;

use super::fields::Fields;
use super::read::fail;
use super::{Architecture, Config, Llama3Scaling, LongRopeScaling, RopeScaling, YarnScaling};
use crate::{Error, Result};

impl Config {
    /// θ and the scaling: at the top level, in `rope_scaling` (which goes before), or in the newer `rope_parameters`.
    pub(super) fn read_rope(&mut self, fields: Fields<'_>) -> Result<()> {
        let none = Map::new();
        let mut inner = (Fields(&none), "rope_scaling");
        for name in ["rope_parameters", "rope_scaling"] {
            if let Some(map) = fields.object(name)?.filter(|map| !map.is_empty()) {
                inner = (Fields(map), name);
            }
        }
        if self.variant.architecture == Architecture::Gemma3 {
            inner = self.read_sliding_rope(fields, inner)?;
        }
        let (inner, place) = inner;
        if let Some((name, _)) = inner.0.iter().find(|(_, value)| value.is_object()) {
            return fail(format!(
                "{place} differs by layer ({name:?}): only one for all layers is computed"
            ));
        }
        for fields in [fields, inner] {
            if let Some(theta) = fields.number("rope_theta")? {
                self.rope_theta = theta;
            }
            if let Some(part) = fields.number("partial_rotary_factor")? {
                // Cut off, but not where only rounding keeps it from a whole number.
                let dim = (self.head_dim as f64 * part + 1e-6) as usize;
                self.variant.rotary_dim = Some(dim).filter(|dim| *dim != self.head_dim);
            }
        }
        let mut kind = kind(inner)?;
        if self.variant.architecture == Architecture::Phi3 && ["su", "yarn"].contains(&kind) {
            kind = "longrope"; // as the first of its files call it
        }
        let rope = Rope { fields, inner, place, kind, context: self.max_position_embeddings };
        self.rope_scaling = match kind {
            "default" => None,
            "linear" => Some(RopeScaling::Linear { factor: rope.number("factor")? }),
            "llama3" => Some(RopeScaling::Llama3(rope.llama3()?)),
            "yarn" => Some(RopeScaling::Yarn(rope.yarn()?)),
            "longrope" if self.variant.architecture == Architecture::Phi3 => {
                Some(RopeScaling::LongRope(rope.long_rope()?))
            }
            _ => {
                return fail(format!(
                    "{place} {kind:?} is unknown: only \"default\", \"linear\", \"llama3\" and \"yarn\" are computed, \
                     and of a Phi-3 \"longrope\""
                ));
            }
        };
        Ok(())
    }

    /// RoPE of a Gemma 3's layers with a window. In `rope_parameters` each type of layer has its own, and that of the layers
    /// that see all tokens is returned.
    fn read_sliding_rope<'a>(
        &mut self,
        fields: Fields<'a>,
        given: (Fields<'a>, &'static str),
    ) -> Result<(Fields<'a>, &'static str)> {
        let theta = fields.number("rope_local_base_freq")?.unwrap_or(1e4);
        self.variant.sliding_rope_theta = Some(theta);
        let parameters = fields.object("rope_parameters")?.filter(|map| !map.is_empty());
        let Some(parameters) = parameters else { return Ok(given) };
        if given.1 == "rope_scaling" {
            return fail(
                "rope_parameters and rope_scaling: of a Gemma 3 one of them is read".into(),
            );
        }
        let of = |layers: &str| -> Result<Fields<'a>> {
            let missing = || {
                let why = "a Gemma 3 has one set for each type of layer";
                Error::Config(format!("rope_parameters has no {layers}: {why}"))
            };
            Fields(parameters).object(layers)?.map(Fields).ok_or_else(missing)
        };
        let sliding = of("sliding_attention")?;
        match kind(sliding)? {
            "default" => {}
            kind => {
                return fail(format!(
                    "sliding_attention of rope_parameters is {kind:?}: only \"default\" is computed there"
                ));
            }
        }
        self.variant.sliding_rope_theta = Some(sliding.number("rope_theta")?.unwrap_or(theta));
        Ok((of("full_attention")?, "full_attention of rope_parameters"))
    }
}

/// How the frequencies are scaled.
fn kind(rope: Fields<'_>) -> Result<&str> {
    match rope.text("rope_type")? {
        Some(kind) => Ok(kind),
        None => Ok(rope.text("type")?.unwrap_or("default")),
    }
}

struct Rope<'a> {
    /// The whole configuration.
    fields: Fields<'a>,
    /// `rope_scaling` or `rope_parameters`, or a part of it, whichever `place` says.
    inner: Fields<'a>,
    place: &'a str,
    kind: &'a str,
    /// max_position_embeddings.
    context: usize,
}

impl Rope<'_> {
    fn number(&self, name: &str) -> Result<f64> {
        self.inner.number(name)?.ok_or_else(|| self.missing(name))
    }

    /// transformers takes 0 here to be nothing.
    fn positive(&self, name: &str) -> Result<Option<f64>> {
        Ok(self.inner.number(name)?.filter(|&number| number != 0.0))
    }

    fn missing(&self, name: &str) -> Error {
        Error::Config(format!("{} is {:?} and has no {name}", self.place, self.kind))
    }

    /// The context before it was made longer.
    fn original(&self) -> Result<Option<usize>> {
        let name = "original_max_position_embeddings";
        match self.fields.optional_size(name)? {
            Some(original) => Ok(Some(original)),
            None => self.inner.optional_size(name),
        }
    }

    fn llama3(&self) -> Result<Llama3Scaling> {
        Ok(Llama3Scaling {
            factor: self.number("factor")?,
            low_freq_factor: self.number("low_freq_factor")?,
            high_freq_factor: self.number("high_freq_factor")?,
            original_max_position_embeddings: self.original()?.unwrap_or(self.context),
        })
    }

    /// transformers looks for the original context at the top level alone.
    fn long_rope(&self) -> Result<LongRopeScaling> {
        let original = self.fields.optional_size("original_max_position_embeddings")?;
        let original = original.unwrap_or(4096);
        let factor = self.inner.number("factor")?;
        let factor = factor.unwrap_or(self.context as f64 / original as f64);
        let advised = LongRopeScaling::magnitude(factor, original);
        let factors = |name| self.inner.numbers(name)?.ok_or_else(|| self.missing(name));
        Ok(LongRopeScaling {
            short_factor: factors("short_factor")?,
            long_factor: factors("long_factor")?,
            attention_factor: self.inner.number("attention_factor")?.unwrap_or(advised),
            original_max_position_embeddings: original,
        })
    }

    fn yarn(&self) -> Result<YarnScaling> {
        let original = self.original()?;
        let factor = match (self.inner.number("factor")?, original) {
            (Some(factor), _) => factor,
            (None, Some(original)) => self.context as f64 / original as f64,
            (None, None) => return Err(self.missing("factor")),
        };
        let advised = match (self.positive("mscale")?, self.positive("mscale_all_dim")?) {
            (Some(one), Some(all)) => {
                YarnScaling::magnitude(factor, one) / YarnScaling::magnitude(factor, all)
            }
            _ => YarnScaling::magnitude(factor, 1.0),
        };
        Ok(YarnScaling {
            factor,
            beta_fast: self.positive("beta_fast")?.unwrap_or(32.0),
            beta_slow: self.positive("beta_slow")?.unwrap_or(1.0),
            attention_factor: self.inner.number("attention_factor")?.unwrap_or(advised),
            truncate: self.inner.flag("truncate", true)?,
            original_max_position_embeddings: original.unwrap_or(self.context),
        })
    }
}
