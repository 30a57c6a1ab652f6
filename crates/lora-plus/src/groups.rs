//! Learning rate and weight decay by tensor.

use adapter::{Error, Group, Result};

/// Which tensors get B's rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// B only.
    LoraBOnly,
    /// B, and every trained tensor with one dimension (biases, norms): the authors' code and PEFT's
    /// `create_loraplus_optimizer`.
    #[default]
    Peft,
}

/// What module a tensor belongs to, as far as rate and decay depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A linear layer.
    Linear,
    /// An embedding.
    Embedding,
    /// A norm, of whatever formula.
    Norm,
}

/// λ and the rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups {
    /// λ = η_B/η_A.
    pub ratio: f64,
    /// What gets B's rate.
    pub rule: Rule,
    /// The rate of A and B where they adapt an embedding. λ does not enter, and neither does the schedule that A's rate
    /// follows (a torch scheduler would multiply this rate as well).
    pub embedding_lr: f64,
}

impl Groups {
    /// PEFT's rule and its rate for embeddings, 10⁻⁶.
    ///
    /// # Errors
    /// λ is not finite, or not above 0. Below 1 it is allowed, though the paper argues for more than 1.
    pub fn new(ratio: f64) -> Result<Self> {
        if !(ratio > 0.0 && ratio.is_finite()) {
            return Err(Error::value(
                "ratio",
                ratio,
                "η_B/η_A is finite and above 0; PEFT suggests 16",
            ));
        }
        Ok(Self { ratio, rule: Rule::default(), embedding_lr: 1e-6 })
    }

    // ANCHOR: of
    /// Rate and decay of a tensor with this name and number of dimensions, in a module of this kind; `base` is A's.
    ///
    /// Whichever the rule, biases and norms do not decay and all else does. Two differences from PEFT, both measured in
    /// `tests/peft_lora_plus.rs`: there RMSNorms decay, and AdamW's keyword `weight_decay` is ignored.
    pub fn of(&self, name: &str, dimensions: usize, kind: Kind, base: Group) -> Group {
        let embedding = kind == Kind::Embedding && name.contains("lora_");
        let fast = name.contains("lora_B") || (self.rule == Rule::Peft && dimensions == 1);
        let lr = match (embedding, fast) {
            (true, _) => self.embedding_lr,
            (false, true) => self.ratio * base.lr,
            (false, false) => base.lr,
        };
        let bias = name == "bias" || name.ends_with(".bias");
        let decays = !bias && kind != Kind::Norm;
        Group { lr, weight_decay: if decays { base.weight_decay } else { 0.0 } }
    }
    // ANCHOR_END: of
}
