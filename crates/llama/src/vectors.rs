//! What a decoder layer has besides its seven matrices: the gains of its norms, and biases.

use ndarray::Array1;

use crate::{Config, Projection};

/// The vectors of a decoder layer, or their gradients.
#[derive(Clone, Debug)]
pub struct Vectors<T> {
    /// Gain of the RMSNorm before attention, \[hidden\].
    pub attention_norm: Array1<T>,
    /// Gain of the RMSNorm before the MLP, \[hidden\].
    pub mlp_norm: Array1<T>,
    /// Gains of the RMSNorms of query and key heads, \[head_dim\], where a model has them.
    pub qk_norms: Option<[Array1<T>; 2]>,
    /// What each projection adds, \[out\], where it does, in the order of [`Projection::ALL`].
    pub biases: [Option<Array1<T>>; 7],
}

impl<T> Vectors<T> {
    /// Those that a layer of this model has. `make` gets each one's name within the layer, and its length.
    pub(crate) fn build<E>(
        config: &Config,
        mut make: impl FnMut(&'static str, usize) -> Result<Array1<T>, E>,
    ) -> Result<Self, E> {
        let [attention, mlp] = NORMS;
        let attention_norm = make(attention, config.hidden_size)?;
        let mlp_norm = make(mlp, config.hidden_size)?;
        let qk_norms = match config.variant.qk_norm {
            true => {
                let [q, k] = QK_NORMS;
                Some([make(q, config.head_dim)?, make(k, config.head_dim)?])
            }
            false => None,
        };
        let mut biases = [const { None }; 7];
        for (projection, name) in Projection::ALL.into_iter().zip(BIASES) {
            if projection.has_bias(config) {
                let [out, _] = projection.shape(config);
                biases[projection as usize] = Some(make(name, out)?);
            }
        }
        Ok(Self { attention_norm, mlp_norm, qk_norms, biases })
    }

    /// All of them by their names within the layer, norms first.
    pub fn named(&self) -> Vec<(&'static str, &Array1<T>)> {
        let mut all: Vec<_> =
            NORMS.into_iter().zip([&self.attention_norm, &self.mlp_norm]).collect();
        all.extend(self.qk_norms.iter().flat_map(|norms| QK_NORMS.into_iter().zip(norms)));
        let biases = BIASES.into_iter().zip(&self.biases);
        all.extend(biases.filter_map(|(name, bias)| Some((name, bias.as_ref()?))));
        all
    }

    /// All of them, to be changed.
    pub fn named_mut(&mut self) -> Vec<(&'static str, &mut Array1<T>)> {
        let norms = [&mut self.attention_norm, &mut self.mlp_norm];
        let mut all: Vec<_> = NORMS.into_iter().zip(norms).collect();
        all.extend(self.qk_norms.iter_mut().flat_map(|norms| QK_NORMS.into_iter().zip(norms)));
        let biases = BIASES.into_iter().zip(&mut self.biases);
        all.extend(biases.filter_map(|(name, bias)| Some((name, bias.as_mut()?))));
        all
    }

    /// The bias of one projection, if it has one.
    pub fn bias(&self, projection: Projection) -> Option<&Array1<T>> {
        self.biases[projection as usize].as_ref()
    }
}

const NORMS: [&str; 2] = ["input_layernorm.weight", "post_attention_layernorm.weight"];
const QK_NORMS: [&str; 2] = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];
const BIASES: [&str; 7] = [
    "self_attn.q_proj.bias",
    "self_attn.k_proj.bias",
    "self_attn.v_proj.bias",
    "self_attn.o_proj.bias",
    "mlp.gate_proj.bias",
    "mlp.up_proj.bias",
    "mlp.down_proj.bias",
];
