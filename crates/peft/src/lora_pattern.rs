//! Which rank, α and scale a module has, by PEFT's rules.

use adapter::Real;
use lora::Scaling;
use regex::Regex;

use crate::config::check_rank;
use crate::error::{refused, wrong};
use crate::{LoraConfig, Result};

/// Rank, α and scale of one module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolved {
    /// r.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// s: α/r, or α/√r with `use_rslora`.
    pub scale: f64,
}

/// A configuration whose numbers are checked and whose patterns are compiled.
pub(crate) struct Resolver<'a> {
    config: &'a LoraConfig,
    ranks: Vec<Pattern<'a, usize>>,
    alphas: Vec<Pattern<'a, f64>>,
}

struct Pattern<'a, N> {
    text: &'a str,
    regex: Regex,
    number: N,
}

impl<'a> Resolver<'a> {
    pub fn new(config: &'a LoraConfig) -> Result<Self> {
        let LoraConfig { r, lora_alpha, rank_pattern, alpha_pattern, .. } = config;
        let named = |field: &str, pattern: &str| format!("{field} of {pattern:?}");
        check_rank("r", *r)?;
        check_alpha("lora_alpha", *lora_alpha)?;
        for (pattern, rank) in rank_pattern {
            check_rank(&named("rank_pattern", pattern), *rank)?;
        }
        for (pattern, alpha) in alpha_pattern {
            check_alpha(&named("alpha_pattern", pattern), *alpha)?;
        }
        Ok(Self {
            config,
            ranks: compile("rank_pattern", rank_pattern)?,
            alphas: compile("alpha_pattern", alpha_pattern)?,
        })
    }

    pub fn resolve(&self, module: &str) -> Result<Resolved> {
        let rank = find(&self.ranks, module).unwrap_or(self.config.r);
        let alpha = find(&self.alphas, module).unwrap_or(self.config.lora_alpha);
        let scale = self.config.scaling().scale(alpha, rank);
        let scale = scale.map_err(refused(module))?;
        Ok(Resolved { rank, alpha, scale })
    }
}

fn check_alpha(name: &str, alpha: f64) -> Result<()> {
    if !alpha.is_finite() {
        return Err(wrong(format!("{name} is {alpha}: it must be finite")));
    }
    Ok(())
}

/// `re.match(rf"(.*\.)?({pattern})$", module)`, as `get_pattern_key` in PEFT's `utils/other.py` has it: the end of the
/// module's name, from a dot on.
fn compile<'a, N: Copy>(field: &str, patterns: &'a [(String, N)]) -> Result<Vec<Pattern<'a, N>>> {
    let compile = |(text, number): &'a (String, N)| {
        let regex = Regex::new(&format!(r"^(?:(.*\.)?({text})$)")).map_err(|error| {
            // The last line says what; the ones above draw where.
            let text_of_error = error.to_string();
            let what = text_of_error.lines().last().unwrap_or_default();
            wrong(format!("{field} of {text:?}: no regular expression that is supported: {what}"))
        })?;
        Ok(Pattern { text, regex, number: *number })
    };
    patterns.iter().map(compile).collect()
}

/// The first that matches decides. PEFT then looks the module up by its literal name.
fn find<N: Copy>(patterns: &[Pattern<'_, N>], module: &str) -> Option<N> {
    let matches = patterns.iter().find(|pattern| pattern.regex.is_match(module));
    let found = matches.or_else(|| patterns.iter().find(|pattern| pattern.text == module));
    found.map(|pattern| pattern.number)
}

/// A pattern that only this module matches: `^` leaves no room for PEFT's `(.*\.)?`.
pub(crate) fn exactly(module: &str) -> String {
    format!("^{}", regex::escape(module))
}

/// An α that gives this scale, bit for bit; a whole number where there is one.
pub(crate) fn alpha_for<T: Real>(scale: T, rank: usize, scaling: Scaling) -> Option<f64> {
    let divisor = 1.0 / scaling.scale(1.0, rank).ok()?; // r, or √r
    let near = scale.to_f64() * divisor;
    // α → s → α is four roundings.
    let below = [near.next_down(), near.next_down().next_down()];
    let above = [near.next_up(), near.next_up().next_up()];
    let candidates = [near.round(), near].into_iter().chain(below).chain(above);
    let gives = |alpha| scaling.scale(alpha, rank).is_ok_and(|s| T::from_f64(s) == scale);
    candidates.into_iter().find(|&alpha| gives(alpha))
}
