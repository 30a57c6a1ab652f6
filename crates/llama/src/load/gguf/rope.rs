//! How the frequencies of RoPE are scaled.

use super::Gguf;
use super::problem::{Outcome, wrong};
use crate::{
    Architecture, Config, Llama3Scaling, LongRopeScaling, Result, RopeScaling, YarnScaling,
};

/// The tensor with what each frequency is divided by.
pub const FACTORS: &str = "rope_freqs.weight";
/// The same for texts that fit LongRoPE's original context, and for longer ones.
const LONG_ROPE: [&str; 2] = ["rope_factors_short.weight", "rope_factors_long.weight"];

/// The tensors that RoPE may have in this architecture.
pub fn factors(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        Architecture::Phi3 => &LONG_ROPE,
        _ => &[FACTORS],
    }
}

impl Gguf {
    /// The scaling that the metadata says. llama.cpp scales linearly if a file has a factor and does not say how; older
    /// files name the factor otherwise.
    pub fn scaling(&self, prefix: &str, context: usize) -> Outcome<Option<RopeScaling>> {
        let float = |name: &str| self.metadata.float(&format!("{prefix}.rope.{name}"));
        let factor = match float("scaling.factor")? {
            Some(factor) => Some(factor),
            None => float("scale_linear")?,
        };
        // 0 is no factor to llama.cpp, as 1 is to all.
        let factor = factor.filter(|&factor| factor != 0.0 && factor != 1.0);
        let key = format!("{prefix}.rope.scaling.type");
        let kind = self.metadata.text(&key)?;
        match (kind.as_deref(), factor) {
            (Some("none"), _) | (None | Some("linear" | "yarn"), None) => Ok(None),
            (None | Some("linear"), Some(factor)) => Ok(Some(RopeScaling::Linear { factor })),
            (Some("yarn"), Some(factor)) => self.yarn(prefix, factor, context).map(Some),
            (Some(kind), _) => {
                wrong(format!("{key} {kind:?} is not computed: only \"linear\" and \"yarn\" are"))
            }
        }
    }

    /// LongRoPE, if the file has its factors.
    pub fn long_rope(&mut self, config: &Config) -> Result<Option<RopeScaling>> {
        if !LONG_ROPE.iter().any(|name| self.tensors.contains_key(*name)) {
            return Ok(None);
        }
        let key = |name: &str| format!("phi3.rope.scaling.{name}");
        let context = config.max_position_embeddings;
        let said = |file: &Self| -> Outcome<(usize, f64)> {
            let original = file.metadata.optional_size(&key("original_context_length"))?;
            let original = original.unwrap_or(context);
            let advised = LongRopeScaling::magnitude(context as f64 / original as f64, original);
            Ok((original, file.metadata.float(&key("attn_factor"))?.unwrap_or(advised)))
        };
        let (original, attention_factor) = said(self).map_err(|problem| problem.at(&self.path))?;
        let [short_factor, long_factor] =
            LONG_ROPE.map(|name| self.read::<f64>(name, &[config.rotary_dim() / 2]));
        Ok(Some(RopeScaling::LongRope(LongRopeScaling {
            short_factor: short_factor?,
            long_factor: long_factor?,
            attention_factor,
            original_max_position_embeddings: original,
        })))
    }

    fn yarn(&self, prefix: &str, factor: f64, context: usize) -> Outcome<RopeScaling> {
        let key = |name: &str| format!("{prefix}.rope.scaling.{name}");
        for name in ["yarn_ext_factor", "yarn_attn_factor", "attn_factor", "yarn_log_multiplier"] {
            let plain = if name == "yarn_log_multiplier" { 0.0 } else { 1.0 };
            if let Some(value) = self.metadata.float(&key(name))?.filter(|&value| value != plain) {
                return wrong(format!("{} is {value}: only {plain} is computed", key(name)));
            }
        }
        let original = self.metadata.optional_size(&key("original_context_length"))?;
        Ok(RopeScaling::Yarn(YarnScaling {
            factor,
            beta_fast: self.metadata.float(&key("yarn_beta_fast"))?.unwrap_or(32.0),
            beta_slow: self.metadata.float(&key("yarn_beta_slow"))?.unwrap_or(1.0),
            attention_factor: YarnScaling::magnitude(factor, 1.0),
            truncate: true,
            original_max_position_embeddings: original.unwrap_or(context),
        }))
    }
}

/// The Llama 3 scaling whose divisors of the frequencies are `factors`.
///
/// A GGUF file holds the divisors, not the four numbers they come from. Every published model has the same three of
/// them, and the largest divisor is the fourth.
pub fn llama3_scaling(config: &Config, factors: &[f64]) -> Outcome<Option<RopeScaling>> {
    let factor = factors.iter().copied().fold(1.0, f64::max);
    if factors.iter().all(|&factor| factor == 1.0) {
        return Ok(None);
    }
    let scaling = Llama3Scaling {
        factor,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let plain = config.frequencies();
    let rope_scaling = Some(RopeScaling::Llama3(scaling));
    let scaled = Config { rope_scaling: rope_scaling.clone(), ..config.clone() }.frequencies();
    let same = |((plain, scaled), factor): ((&f64, &f64), &f64)| {
        // The file's f32 were computed in f32, so several roundings apart.
        (plain / scaled / factor - 1.0).abs() <= 1e-5
    };
    match plain.iter().zip(&scaled).zip(factors).all(same) {
        true => Ok(rope_scaling),
        false => wrong(format!(
            "{FACTORS} is not the RoPE scaling of Llama 3: give the Hugging Face folder"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divisors_of_llama_3_are_recognised() {
        let scaling = Llama3Scaling {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let plain =
            Config { head_dim: 64, rope_theta: 5e5, rope_scaling: None, ..crate::tiny::config() };
        let rope_scaling = Some(RopeScaling::Llama3(scaling));
        let scaled = Config { rope_scaling: rope_scaling.clone(), ..plain.clone() }.frequencies();
        let mut factors: Vec<f64> =
            plain.frequencies().iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect();
        assert_eq!(llama3_scaling(&plain, &factors).unwrap(), rope_scaling);
        factors[16] *= 1.01;
        assert!(llama3_scaling(&plain, &factors).is_err());
        assert_eq!(llama3_scaling(&plain, &[1.0; 32]).unwrap(), None);
    }
}
