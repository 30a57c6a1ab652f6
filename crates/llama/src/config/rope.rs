//! RoPE's frequencies, and the ways in which models are made to read longer texts than they were trained on.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::Config;
use crate::{Error, Result};

/// `rope_scaling`, by its `rope_type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All frequencies are divided by the same factor.
    Linear {
        /// What they are divided by.
        factor: f64,
    },
    /// Llama 3.1's.
    Llama3(Llama3Scaling),
    /// YaRN (Peng et al. 2023, arXiv 2309.00071).
    Yarn(YarnScaling),
    /// LongRoPE (Ding et al. 2024, arXiv 2402.13753), of texts that fit the original context.
    LongRope(LongRopeScaling),
}

/// Low frequencies are slowed down so that longer texts fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Llama3Scaling {
    /// How much the lowest frequencies are divided by.
    pub factor: f64,
    /// Wavelengths above original_max_position_embeddings / this are divided by `factor`.
    pub low_freq_factor: f64,
    /// Wavelengths below original_max_position_embeddings / this stay.
    pub high_freq_factor: f64,
    /// The context the model was first trained on.
    pub original_max_position_embeddings: usize,
}

/// Low frequencies are slowed down, and queries and keys grow a little, which sharpens attention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct YarnScaling {
    /// How much the lowest frequencies are divided by.
    pub factor: f64,
    /// Pairs that turn more often than this in the original context stay.
    pub beta_fast: f64,
    /// Pairs that turn less often than this are divided by `factor`.
    pub beta_slow: f64,
    /// What q and k are multiplied with.
    pub attention_factor: f64,
    /// Are the two ends of the ramp between rounded to whole pairs?
    pub truncate: bool,
    /// The context the model was first trained on.
    pub original_max_position_embeddings: usize,
}

/// Each frequency is divided by a factor of its own, which a search found; for texts beyond the original context by another.
/// These are not computed: see [`Config::check_length`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LongRopeScaling {
    /// What each frequency is divided by in a text that fits the original context, \[rotary_dim / 2\].
    pub short_factor: Vec<f64>,
    /// What it is divided by in a longer one.
    pub long_factor: Vec<f64>,
    /// What q and k are multiplied with.
    pub attention_factor: f64,
    /// The context the model was first trained on.
    pub original_max_position_embeddings: usize,
}

impl Config {
    /// Is a text of so many tokens computed?
    ///
    /// # Errors
    /// With LongRoPE it is longer than the original context.
    pub fn check_length(&self, tokens: usize) -> Result<()> {
        match &self.rope_scaling {
            Some(RopeScaling::LongRope(scaling))
                if tokens > scaling.original_max_position_embeddings =>
            {
                Err(Error::Data(format!(
                    "a text has {tokens} tokens: with the RoPE scaling \"longrope\" the model is computed up to its \
                     original_max_position_embeddings, {} tokens",
                    scaling.original_max_position_embeddings
                )))
            }
            _ => Ok(()),
        }
    }

    /// RoPE's frequencies in radians a token, \[rotary_dim / 2\]: θ^(−2i/rotary_dim), slowed down as
    /// [`RopeScaling`] says. Layers with a window may have [others](Self::sliding_frequencies).
    pub fn frequencies(&self) -> Vec<f64> {
        let dim = self.rotary_dim();
        let plain = self.plain_frequencies(self.rope_theta);
        match &self.rope_scaling {
            None => plain.collect(),
            Some(RopeScaling::Linear { factor }) => plain.map(|f| f / factor).collect(),
            Some(RopeScaling::Llama3(scaling)) => plain.map(|f| scaling.slow_down(f)).collect(),
            Some(RopeScaling::LongRope(scaling)) => {
                plain.zip(&scaling.short_factor).map(|(f, factor)| f / factor).collect()
            }
            Some(RopeScaling::Yarn(scaling)) => {
                let [first, last] = scaling.ramp(dim as f64, self.rope_theta);
                let between = |i: usize| ((i as f64 - first) / (last - first)).clamp(0.0, 1.0);
                let slowed = plain.enumerate().map(|(i, f)| {
                    let slow = between(i);
                    f / scaling.factor * slow + f * (1.0 - slow)
                });
                slowed.collect()
            }
        }
    }

    /// The frequencies in the layers with a window, where θ is another there: nothing slows them down.
    pub fn sliding_frequencies(&self) -> Option<Vec<f64>> {
        let theta = self.variant.sliding_rope_theta?;
        Some(self.plain_frequencies(theta).collect())
    }

    fn plain_frequencies(&self, theta: f64) -> impl Iterator<Item = f64> {
        let dim = self.rotary_dim();
        (0..dim / 2).map(move |i| theta.powf(-2.0 * i as f64 / dim as f64))
    }

    /// What RoPE multiplies q and k with besides turning them: 1, except with YaRN and LongRoPE. With
    /// [frequencies of their own](Self::sliding_frequencies) layers with a window have 1.
    pub fn attention_factor(&self) -> f64 {
        match &self.rope_scaling {
            Some(RopeScaling::Yarn(scaling)) => scaling.attention_factor,
            Some(RopeScaling::LongRope(scaling)) => scaling.attention_factor,
            _ => 1.0,
        }
    }
}

impl Llama3Scaling {
    fn slow_down(&self, frequency: f64) -> f64 {
        let turns = self.original_max_position_embeddings as f64 * frequency / TAU;
        // 0 where the wavelength is long (divide by the factor), 1 where it is short (leave alone).
        let keep = ((turns - self.low_freq_factor)
            / (self.high_freq_factor - self.low_freq_factor))
            .clamp(0.0, 1.0);
        frequency * (keep + (1.0 - keep) / self.factor)
    }
}

impl LongRopeScaling {
    /// √(1 + ln(factor)/ln(original context)): the attention factor that the paper advises.
    pub fn magnitude(factor: f64, original: usize) -> f64 {
        if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() }
    }
}

impl YarnScaling {
    /// 0.1 m ln(factor) + 1: with m = 1 the attention factor that the paper advises.
    pub fn magnitude(factor: f64, m: f64) -> f64 {
        if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 }
    }

    /// The pairs between which the frequencies go from kept to divided: those that turn `beta_fast` and `beta_slow`
    /// times in the original context.
    fn ramp(&self, dim: f64, theta: f64) -> [f64; 2] {
        let original = self.original_max_position_embeddings as f64;
        let pair = |turns: f64| dim * (original / (turns * TAU)).ln() / (2.0 * theta.ln());
        let (mut first, mut last) = (pair(self.beta_fast), pair(self.beta_slow));
        if self.truncate {
            (first, last) = (first.floor(), last.ceil());
        }
        (first, last) = (first.max(0.0), last.min(dim - 1.0));
        // Never a ramp of no length.
        [first, if first == last { last + 0.001 } else { last }]
    }
}
