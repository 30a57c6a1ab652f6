//! What a decoder layer has besides its seven matrices: the gains of its norms, and biases.

use ndarray::Array1;

use crate::config::{Norms, QkNorm};
use crate::{Config, Projection};

/// The vectors of a decoder layer, or their gradients.
#[derive(Clone, Debug)]
pub struct Vectors<T> {
    /// Weights of the RMSNorms before attention and before the MLP, \[hidden\], where a model has them.
    pub before: Option<[Array1<T>; 2]>,
    /// Weights of those after attention and after the MLP.
    pub after: Option<[Array1<T>; 2]>,
    /// Weights of the RMSNorms of queries and keys, where a model has them: of each head \[head_dim\], or of all
    /// \[heads·head_dim\].
    pub qk_norms: Option<[Array1<T>; 2]>,
    /// What each projection adds, \[out\], where it does, by its number.
    pub biases: [Option<Array1<T>>; Projection::EVERY.len()],
}

impl<T> Vectors<T> {
    /// Those that a layer of this model has. `make` gets each one's name within the layer, and its length.
    pub(crate) fn build<E>(
        config: &Config,
        mut make: impl FnMut(&'static str, usize) -> Result<Array1<T>, E>,
    ) -> Result<Self, E> {
        let [before, after] = norms(config.variant.norms);
        let mut both = |names: Option<[&'static str; 2]>, lengths: [usize; 2]| match names {
            Some([first, second]) => {
                Ok::<_, E>(Some([make(first, lengths[0])?, make(second, lengths[1])?]))
            }
            None => Ok(None),
        };
        let hidden = [config.hidden_size; 2];
        let (before, after) = (both(before, hidden)?, both(after, hidden)?);
        let qk_norms = match config.variant.qk_norm {
            None => None,
            Some(QkNorm::Head) => both(Some(QK_NORMS), [config.head_dim; 2])?,
            Some(QkNorm::Whole) => {
                let rows = [Projection::Q, Projection::K].map(|p| p.shape(config)[0]);
                both(Some(QK_NORMS), rows)?
            }
        };
        let mut biases = [const { None }; Projection::EVERY.len()];
        for &projection in config.projections() {
            if projection.has_bias(config) {
                let [out, _] = projection.shape(config);
                let number = projection as usize;
                biases[number] = Some(make(BIASES[number], out)?);
            }
        }
        Ok(Self { before, after, qk_norms, biases })
    }

    /// All of them by their names within the layer, norms first.
    pub fn named(&self) -> Vec<(&'static str, &Array1<T>)> {
        let [before, after] = norms(self.norms());
        let mut all = Vec::new();
        for (names, norms) in
            [(before, &self.before), (after, &self.after), (Some(QK_NORMS), &self.qk_norms)]
        {
            all.extend(names.into_iter().flatten().zip(norms.iter().flatten()));
        }
        let biases = BIASES.into_iter().zip(&self.biases);
        all.extend(biases.filter_map(|(name, bias)| Some((name, bias.as_ref()?))));
        all
    }

    /// All of them, to be changed.
    pub fn named_mut(&mut self) -> Vec<(&'static str, &mut Array1<T>)> {
        let [before, after] = norms(self.norms());
        let mut all = Vec::new();
        for (names, norms) in [
            (before, &mut self.before),
            (after, &mut self.after),
            (Some(QK_NORMS), &mut self.qk_norms),
        ] {
            all.extend(names.into_iter().flatten().zip(norms.iter_mut().flatten()));
        }
        let biases = BIASES.into_iter().zip(&mut self.biases);
        all.extend(biases.filter_map(|(name, bias)| Some((name, bias.as_mut()?))));
        all
    }

    /// Where the norms are.
    fn norms(&self) -> Norms {
        match (&self.before, &self.after) {
            (_, None) => Norms::Before,
            (None, Some(_)) => Norms::After,
            (Some(_), Some(_)) => Norms::Both,
        }
    }

    /// The bias of one projection, if it has one.
    pub fn bias(&self, projection: Projection) -> Option<&Array1<T>> {
        self.biases[projection as usize].as_ref()
    }
}

/// The names of the norms before and after attention and the MLP. With norms before alone, the one before the MLP goes by the
/// name that others have for the one after attention.
fn norms(norms: Norms) -> [Option<[&'static str; 2]>; 2] {
    const INPUT: &str = "input_layernorm.weight";
    const AFTER: [&str; 2] =
        ["post_attention_layernorm.weight", "post_feedforward_layernorm.weight"];
    match norms {
        Norms::Before => [Some([INPUT, AFTER[0]]), None],
        Norms::After => [None, Some(AFTER)],
        Norms::Both => [Some([INPUT, "pre_feedforward_layernorm.weight"]), Some(AFTER)],
    }
}

const QK_NORMS: [&str; 2] = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];
const BIASES: [&str; Projection::EVERY.len()] = [
    "self_attn.qkv_proj.bias",
    "self_attn.q_proj.bias",
    "self_attn.k_proj.bias",
    "self_attn.v_proj.bias",
    "self_attn.o_proj.bias",
    "mlp.gate_up_proj.bias",
    "mlp.gate_proj.bias",
    "mlp.up_proj.bias",
    "mlp.down_proj.bias",
];
