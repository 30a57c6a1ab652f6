//! The decoder. `backward.rs` visits the same lines in reverse order.
//!
//! ```text
//! x = embedding[tokens]
//! each layer:  x = x + o(attention(q(n), k(n), v(n)))      n = RMSNorm(x)
//!              x = x + down(silu(gate(n)) ⊙ up(n))         n = RMSNorm(x)
//! logits = head(RMSNorm(x))
//! ```
//!
//! Each of the seven projections is y = x Wᵀ, or an [`Adapter`] around it. What the other architectures do otherwise is
//! in [`Variant`], and each difference is a line or two below: y = x Wᵀ + bias; an RMSNorm of q and k; no RoPE in some layers,
//! or another base of it (`rope.rs`); q, k and v by one matrix, gate and up by another (`fused.rs`); a window that attention
//! looks through; another function than silu; norms after attention
//! and the MLP, and a multiplier (`branch.rs`); a multiplier of the embedding; logits that are divided or capped.

use std::array;

use adapter::{Adapter, Real, linear, parallel};
use ndarray::{ArcArray2, Array2, ArrayView2, Axis, s};

use crate::activation::{soft_cap, soft_cap_slope};
use crate::adapters::{Adapters, Masks};
use crate::attention::{self, Heads};
use crate::branch::{Block, BranchSaved};
use crate::rope::Rotations;
use crate::saved::{DecoderSaved, LayerSaved, Saved};
use crate::{Batch, Error, Llama, Projection, Result, Variant, fused, mlp, norm};

/// What is trained, and so what a forward pass must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Train {
    /// Nothing: evaluation and generation.
    Nothing,
    /// The adapters.
    Adapters,
    /// The adapters, the embedding, the output matrix, the norms and the biases: with [`adapter::Full`] on all
    /// projections this is full fine-tuning.
    Everything,
}

/// Gets q, k (both rotated) and v; returns attention's output, \[tokens, queries·width\], and the probabilities of each sequence
/// and head.
pub(crate) type Attend<'a, T> = dyn FnMut(&[Array2<T>; 3]) -> (Array2<T>, Vec<Vec<Array2<T>>>) + 'a;

impl<T: Real> Llama<T> {
    /// From tokens to the last norm's output, \[tokens, hidden\], and what [`backward`](Self::backward) needs.
    ///
    /// `masks` is empty unless there is dropout.
    ///
    /// # Errors
    /// A token is not in the vocabulary, or an adapter or a mask does not fit its layer.
    pub fn forward<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        batch: &Batch,
        masks: &Masks,
        train: Train,
    ) -> Result<(Array2<T>, Saved<T, A::Saved>)> {
        let first = match train {
            Train::Nothing => None,
            Train::Adapters => adapters.first_layer(),
            Train::Everything => Some(0),
        };
        let rotations = Rotations::new(&batch.positions(), &self.config)?;
        let mut x = self.embed(batch.tokens())?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in 0..self.layers.len() {
            let keep = first.is_some_and(|first| layer >= first);
            let mut attend = |[q, k, v]: &[Array2<T>; 3]| {
                let mut y = Array2::zeros(q.dim());
                let probabilities = batch.spans().map(|rows| {
                    let rows = s![rows, ..];
                    let [q, k, v] = [q.slice(rows), k.slice(rows), v.slice(rows)];
                    attention::forward(self.heads(layer), q, k, v, y.slice_mut(rows), keep)
                });
                let probabilities = probabilities.collect();
                (y, probabilities)
            };
            let (next, saved) = self.layer(adapters, layer, x, masks, &rotations, &mut attend)?;
            x = next;
            layers.push(keep.then_some(saved));
        }
        let gain = self.gain(&self.norm);
        let (hidden, inverse) = norm::forward(x.view(), gain.view(), self.config.rms_norm_eps);
        Ok((hidden, Saved { train, batch: batch.clone(), rotations, layers, x, inverse }))
    }

    /// Scores for the next token: \[tokens, hidden\]·\[hidden, vocabulary\] → \[tokens, vocabulary\].
    /// Then divided or capped, as the architecture has it.
    pub fn logits(&self, hidden: ArrayView2<'_, T>) -> Array2<T> {
        let mut logits = parallel::multiply(hidden, self.head().t());
        let Variant { logits_divisor, logits_cap, .. } = self.config.variant;
        if let Some(divisor) = logits_divisor.map(T::from_f64) {
            logits.mapv_inplace(|logit| logit / divisor);
        }
        if let Some(cap) = logits_cap.map(T::from_f64) {
            logits.mapv_inplace(|logit| soft_cap(cap, logit));
        }
        logits
    }

    /// Turns ∂L/∂logits into the gradient of the products before they are divided and capped. `logits` is needed where they
    /// are capped.
    pub(crate) fn logits_backward(&self, logits: Option<&Array2<T>>, grad: &mut Array2<T>) {
        let Variant { logits_divisor, logits_cap, .. } = self.config.variant;
        if let Some((cap, logits)) = logits_cap.map(T::from_f64).zip(logits) {
            grad.zip_mut_with(logits, |grad, &logit| *grad *= soft_cap_slope(cap, logit));
        }
        if let Some(divisor) = logits_divisor.map(T::from_f64) {
            grad.mapv_inplace(|grad| grad / divisor);
        }
    }

    pub(crate) fn heads(&self, layer: usize) -> Heads {
        Heads {
            queries: self.config.num_attention_heads,
            keys: self.config.num_key_value_heads,
            width: self.config.head_dim,
            window: self.config.window(layer),
            scale: self.config.attention_scale(),
            cap: self.config.variant.attention_cap,
        }
    }

    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Array2<T>> {
        let vocabulary = self.config.vocab_size;
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(Error::Data(format!(
                "token {token} is not in the model's vocabulary of {vocabulary}: \
                 use the tokenizer that belongs to the model"
            )));
        }
        let rows: Vec<usize> = tokens.iter().map(|&token| token as usize).collect();
        let mut x = self.embedding.select(Axis(0), &rows);
        if let Some(multiplier) = self.config.variant.embedding_multiplier.map(T::from_f64) {
            x.mapv_inplace(|x| multiplier * x);
        }
        Ok(x)
    }

    /// One decoder layer with its adapters, and what they keep.
    pub(crate) fn layer<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        layer: usize,
        x: Array2<T>,
        masks: &Masks,
        rotations: &Rotations<T>,
        attend: &mut Attend<'_, T>,
    ) -> Result<(Array2<T>, LayerSaved<T, A::Saved>)> {
        let weights = &self.layers[layer];
        let mut projections: [Option<A::Saved>; Projection::EVERY.len()] = array::from_fn(|_| None);
        let mut project = |projection: Projection, x: &ArcArray2<T>| -> Result<Array2<T>> {
            let weight = weights.weight(projection).view();
            let site = (layer, projection);
            let mut y = match adapters.get(site) {
                None => linear::forward(weight, x.view())?,
                Some(adapter) => {
                    let (y, saved) = adapter.forward(weight, x, masks.get(&site))?;
                    projections[projection as usize] = Some(saved);
                    y
                }
            };
            weights.vectors.bias(projection).into_iter().for_each(|bias| y += bias);
            Ok(y)
        };
        let (next, decoder) = self.decode(layer, x, rotations, &mut project, attend)?;
        Ok((next, LayerSaved { decoder, projections }))
    }

    /// One decoder layer, whatever is around its projections: compiled once, not once for every method.
    fn decode(
        &self,
        layer: usize,
        x: Array2<T>,
        rotations: &Rotations<T>,
        project: &mut dyn FnMut(Projection, &ArcArray2<T>) -> Result<Array2<T>>,
        attend: &mut Attend<'_, T>,
    ) -> Result<(Array2<T>, DecoderSaved<T>)> {
        let vectors = &self.layers[layer].vectors;
        let eps = self.config.rms_norm_eps;
        let attention = self.branch(layer, Block::Attention);
        let mlp = self.branch(layer, Block::Mlp);
        let fused = self.config.variant.fused;
        let rows = |projection: Projection| projection.shape(&self.config)[0];

        let (n, inverse) = attention.enter(&x);
        let n = n.into_shared(); // q, k and v keep the same n
        // [tokens, hidden] → [tokens, queries·width], [tokens, keys·width] twice
        let [mut q, mut k, v] = match fused {
            false => [
                project(Projection::Q, &n)?,
                project(Projection::K, &n)?,
                project(Projection::V, &n)?,
            ],
            true => fused::split(
                &project(Projection::Qkv, &n)?,
                [Projection::Q, Projection::K, Projection::V].map(rows),
            ),
        };
        let qk_norms = vectors.qk_norms.as_ref().map(|[q_gain, k_gain]| {
            [
                norm::rows(&mut q, &self.gain(q_gain), eps),
                norm::rows(&mut k, &self.gain(k_gain), eps),
            ]
        });
        if let Some(rotation) = rotations.of(layer, &self.config) {
            rotation.apply(&mut q);
            rotation.apply(&mut k);
        }
        let qkv = [q, k, v];
        let (y, probabilities) = attend(&qkv); // [tokens, queries·width]
        let y = project(Projection::O, &y.into_shared())?; // → [tokens, hidden]
        let (middle, after) = attention.leave(y, &x);
        let attention = BranchSaved { x, inverse, after };

        let (n, inverse) = mlp.enter(&middle);
        let n = n.into_shared();
        // [tokens, hidden] → [tokens, intermediate] twice
        let [gate, up] = match fused {
            false => [project(Projection::Gate, &n)?, project(Projection::Up, &n)?],
            true => fused::split(
                &project(Projection::GateUp, &n)?,
                [Projection::Gate, Projection::Up].map(rows),
            ),
        };
        let y = mlp::forward(self.config.variant.activation, gate.view(), up.view());
        let y = project(Projection::Down, &y.into_shared())?; // → [tokens, hidden]
        let (next, after) = mlp.leave(y, &middle);
        let mlp = BranchSaved { x: middle, inverse, after };

        Ok((next, DecoderSaved { attention, mlp, qk_norms, qkv, probabilities, gate, up }))
    }
}
