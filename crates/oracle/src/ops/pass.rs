//! One pass through a layer: which of the problem's inputs it reads, and how an output's roundings become a part of its bound.

use std::sync::Arc;

use adapter::Dropout;
use ndarray::{Array2, ArrayD};

use super::problem::Problem;
use crate::bound::constants;
use crate::bound::{Part, Roundings, Sizes, Underflow, largest};
use crate::error::{Result, wrong};

/// A pass: on the only x, or on that of one step of a trajectory.
pub(super) struct Pass<'a> {
    pub problem: &'a Problem,
    /// `.3` at step 3.
    pub suffix: String,
}

/// A term of an output: the counts of the tables in `forward_backward.rs`, and what underflow needs.
#[derive(Clone, Copy, Default)]
pub(super) struct Term {
    pub accumulate: usize,
    pub store: usize,
    /// What a mask adds to what is stored; 0 where it has none.
    pub mask: usize,
    /// How many of its factors are inputs.
    pub inputs: usize,
    /// The length of the last sum of results.
    pub terms: usize,
    /// What an underflow may be multiplied by.
    pub factors: &'static [&'static str],
}

impl<'a> Pass<'a> {
    pub fn only(problem: &'a Problem) -> Self {
        Self { problem, suffix: String::new() }
    }

    pub fn matrix(&self, name: &str) -> Result<Array2<f64>> {
        let name = format!("{name}{}", self.suffix);
        self.problem.inputs.matrix(&name).ok_or_else(|| wrong(format!("in.{name} is missing")))
    }

    pub fn dropout(&self) -> Result<Option<Arc<Dropout>>> {
        self.problem.inputs.dropout(self.problem.params.dropout_p, &self.suffix)
    }

    /// A term with the row of `bound/constants.rs`, in this layer.
    pub fn term(&self, name: &str, x: &Array2<f64>) -> Term {
        let (problem, dims) = (self.problem, self.problem.inputs.dims);
        let row = constants::layer(problem.method, name);
        let sizes = Sizes {
            inputs: dims.inputs,
            outputs: dims.outputs,
            rank: dims.rank,
            tokens: x.nrows(),
            bias: problem.inputs.get("bias").is_some(),
        };
        Term {
            accumulate: row.accumulate.of(sizes),
            store: row.store.of(sizes),
            mask: row.store.dropout,
            ..Term::default()
        }
    }

    /// The term as a part of an output.
    pub fn part(&self, gauge: ArrayD<f64>, term: Term) -> Result<Part> {
        let masked = term.mask > 0 && self.dropout()?.is_some();
        let Term { accumulate, store, mask, inputs, terms, .. } = term;
        let roundings = Roundings { accumulate, store: store + mask * usize::from(masked), inputs };
        let inputs = &self.problem.inputs;
        let named = |factor: &&str| match *factor {
            "A" => ["lora_A", "vera_A", "vera_lambda_d"].map(|name| inputs.get(name)),
            "m" => [inputs.get("lora_magnitude_vector"), None, None],
            "B" => ["lora_B", "vera_B", "vera_lambda_b"].map(|name| inputs.get(name)),
            "W" => [inputs.get("weight"), None, None],
            passing => [inputs.get(&format!("{passing}{}", self.suffix)), None, None],
        };
        let factors = term.factors.iter().flat_map(named).flatten();
        let scale = self.problem.scale()?.abs().max(1.0);
        let keep = 1.0 - self.problem.params.dropout_p;
        // Every sum and every store feeds each of the `terms` of the last sum, and is multiplied by other factors there.
        let underflow = Underflow {
            accumulated: (2 * (accumulate + 1) * (terms + 1)) as f64,
            stored: ((store + 2 + if masked { accumulate } else { 0 }) * (terms + 1)) as f64,
            amplification: largest(factors) * scale / keep,
        };
        Ok(Part { gauge, roundings, underflow })
    }
}
