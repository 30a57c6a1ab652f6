//! What can be named: a mistake of the catalogue, one that is made in a single tensor or in one kind of update, or two at
//! once.

use std::fmt;

use crate::case::Rule;
use crate::mutants::{Mutant, mutants};

/// The results of a backward pass in which a mistake may be made alone, and their symbols.
pub(crate) const ALONE: [(&str, &str); 8] = [
    ("y", "y"),
    ("grad_x", "∂L/∂x"),
    ("grad_lora_A", "∂L/∂A"),
    ("grad_lora_B", "∂L/∂B"),
    ("grad_vera_lambda_b", "∂L/∂λ_b"),
    ("grad_vera_lambda_d", "∂L/∂λ_d"),
    ("grad_lora_magnitude_vector", "∂L/∂m"),
    ("projected_grad_lora_B", "the projected ∂L/∂B"),
];

/// A mistake as an implementation makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mistake {
    /// Of the catalogue.
    pub first: &'static Mutant,
    /// Another one at the same time.
    pub second: Option<&'static Mutant>,
    /// The one tensor in which it is made; all if `None`.
    pub only: Option<&'static str>,
    /// The one kind of update in which it is made; all if `None`.
    pub rule: Option<Rule>,
}

impl Mistake {
    pub fn of(first: &'static Mutant) -> Self {
        Self { first, second: None, only: None, rule: None }
    }

    /// Two in their order in the catalogue.
    pub fn two(one: &'static Mutant, other: &'static Mutant) -> Self {
        let place = |mutant: &Mutant| mutants().position(|listed| listed.name == mutant.name);
        let (first, second) = if place(one) <= place(other) { (one, other) } else { (other, one) };
        Self { second: Some(second), ..Self::of(first) }
    }

    /// What tells it from others.
    pub fn key(&self) -> (&'static str, &'static str, &'static str, Option<Rule>) {
        (self.first.name, self.second.map_or("", |m| m.name), self.only.unwrap_or(""), self.rule)
    }

    /// Is it made in all tensors and in all updates?
    pub fn is_everywhere(&self) -> bool {
        self.only.is_none() && self.rule.is_none()
    }

    /// How many mistakes it is.
    pub fn count(&self) -> usize {
        1 + usize::from(self.second.is_some())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only.and_then(|name| ALONE.iter().find(|(alone, _)| *alone == name)) {
            // Where it was seen, it was not in one tensor alone.
            Some((_, symbol)) => write!(f, "{}, only in {symbol}", self.first.what),
            None => self.first.fmt(f),
        }?;
        if let Some(rule) = self.rule {
            write!(f, ", only in {rule}")?;
        }
        match self.second {
            Some(second) => write!(f, "; {second}"),
            None => Ok(()),
        }
    }
}
