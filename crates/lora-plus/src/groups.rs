//! Learning rate and weight decay by tensor.

use adapter::{Error, Group, Result};

/// Which tensors get B's rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// B only.
    LoraBOnly,
    /// B, and every trained tensor with one dimension (biases, norms): the authors' code and PEFT's
    /// `create_loraplus_optimizer`.
    #[default]
    Peft,
}

/// Where a tensor belongs, as far as the rates depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A linear layer.
    Linear,
    /// An embedding.
    Embedding,
    /// A norm.
    Norm,
}

/// λ and the rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups {
    /// λ = η_B/η_A.
    pub ratio: f64,
    /// What gets B's rate.
    pub rule: Rule,
    /// The rate of an embedding's two factors. Absolute: neither λ nor a schedule changes it.
    pub embedding_lr: f64,
}

impl Groups {
    /// PEFT's rule and its rate for embeddings, 10⁻⁶.
    ///
    /// # Errors
    /// λ is not finite, or not above 0. Below 1 it is allowed, though the paper's argument asks for more than 1.
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
    /// Rate and decay of a tensor, from those of A.
    ///
    /// Biases and norms get no weight decay, whichever rule; the decay of everything else is really applied.
    pub fn of(&self, name: &str, dimensions: usize, kind: Kind, base: Group) -> Group {
        let bias = name == "bias" || name.ends_with(".bias");
        let fast = name.contains("lora_B") || (self.rule == Rule::Peft && dimensions == 1);
        let lr = match kind {
            Kind::Embedding => self.embedding_lr,
            _ if fast => self.ratio * base.lr,
            _ => base.lr,
        };
        let decays = !bias && kind != Kind::Norm;
        Group { lr, weight_decay: if decays { base.weight_decay } else { 0.0 } }
    }
    // ANCHOR_END: of
}
