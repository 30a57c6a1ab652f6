//! How the frequencies of RoPE are scaled.

use super::Gguf;
use super::problem::{Outcome, wrong};
use crate::{Config, Llama3Scaling};

/// The tensor with what each frequency is divided by.
pub const FACTORS: &str = "rope_freqs.weight";

impl Gguf {
    /// llama.cpp scales linearly if a file has a factor and does not say how; older files name the factor otherwise.
    pub fn check_scaling(&self, prefix: &str) -> Outcome<()> {
        let key = format!("{prefix}.rope.scaling.type");
        let kind = self.metadata.text(&key)?;
        let mut factor = None;
        for name in ["rope.scale_linear", "rope.scaling.factor"] {
            let key = format!("{prefix}.{name}");
            factor = self.metadata.float(&key)?.map(|factor| (key, factor)).or(factor);
        }
        match (kind.as_deref(), factor) {
            (Some("none"), _) | (None | Some("linear"), None | Some((_, 0.0 | 1.0))) => Ok(()),
            (None | Some("linear"), Some((key, factor))) => {
                wrong(format!("{key} is {factor}: linear scaling of RoPE is not computed"))
            }
            (Some(kind), _) => wrong(format!("{key} {kind:?} is not computed")),
        }
    }
}

/// The Llama 3 scaling whose divisors of the frequencies are `factors`.
///
/// A GGUF file holds the divisors, not the four numbers they come from. Every published model has the same three of
/// them, and the largest divisor is the fourth.
pub fn llama3_scaling(config: &Config, factors: &[f64]) -> Outcome<Option<Llama3Scaling>> {
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
    let scaled = Config { rope_scaling: Some(scaling), ..config.clone() }.frequencies();
    let same = |((plain, scaled), factor): ((&f64, &f64), &f64)| {
        // The file's f32 were computed in f32, so several roundings apart.
        (plain / scaled / factor - 1.0).abs() <= 1e-5
    };
    match plain.iter().zip(&scaled).zip(factors).all(same) {
        true => Ok(Some(scaling)),
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
        let scaled = Config { rope_scaling: Some(scaling), ..plain.clone() }.frequencies();
        let mut factors: Vec<f64> =
            plain.frequencies().iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect();
        assert_eq!(llama3_scaling(&plain, &factors).unwrap(), Some(scaling));
        factors[16] *= 1.01;
        assert!(llama3_scaling(&plain, &factors).is_err());
        assert_eq!(llama3_scaling(&plain, &[1.0; 32]).unwrap(), None);
    }
}
