//! The decoder, forward and backward.
//!
//! ```text
//! x = embedding[tokens]
//! each layer:  x = x + o(attention(q(n), k(n), v(n)))      n = RMSNorm(x)
//!              x = x + down(silu(gate(n)) ⊙ up(n))         n = RMSNorm(x)
//! logits = head(RMSNorm(x))
//! ```
//!
//! Each of the seven projections is y = x Wᵀ, or an [`Adapter`] around it. Backward visits the same lines in reverse
//! order and stops at the lowest layer that has something to train.

use std::array;
use std::collections::BTreeMap;

use adapter::{Adapter, Bytes, Ledger, Real, check_shape, linear, parallel};
use ndarray::{ArcArray2, Array1, Array2, ArrayView2, Axis, s};

use crate::adapters::{Adapters, Grads, Masks, ModelGrads};
use crate::attention::{self, Heads};
use crate::rope::Rotation;
use crate::{Batch, Error, Llama, Projection, Result, mlp, norm};

/// What is trained, and so what a forward pass must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Train {
    /// Nothing: evaluation and generation.
    Nothing,
    /// The adapters.
    Adapters,
    /// The adapters, the embedding, the output matrix and the norms: with [`adapter::Full`] on all seven
    /// projections this is full fine-tuning.
    Everything,
}

/// What a forward pass keeps for the backward pass. `S` is what an adapter keeps.
pub struct Saved<T, S> {
    train: Train,
    batch: Batch,
    rotation: Rotation<T>,
    /// `None` below the lowest layer that has something to train.
    layers: Vec<Option<LayerSaved<T, S>>>,
    /// Input of the last norm, \[tokens, hidden\], and its 1/rms.
    x: Array2<T>,
    inverse: Array1<T>,
}

pub(crate) struct LayerSaved<T, S> {
    /// Input of the layer, \[tokens, hidden\], and its 1/rms.
    x: Array2<T>,
    inverse: Array1<T>,
    /// After RoPE: \[tokens, queries·width\], \[tokens, keys·width\] twice.
    qkv: [Array2<T>; 3],
    /// Of each sequence and head, \[n, n\].
    probabilities: Vec<Vec<Array2<T>>>,
    /// After attention, \[tokens, hidden\], and its 1/rms.
    middle: Array2<T>,
    middle_inverse: Array1<T>,
    /// \[tokens, intermediate\].
    gate: Array2<T>,
    up: Array2<T>,
    /// What each projection's adapter keeps.
    projections: [Option<S>; 7],
}

impl<T, S: Bytes> Bytes for Saved<T, S> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.x);
        ledger.owned(&self.inverse);
        for layer in self.layers.iter().flatten() {
            for array in [&layer.x, &layer.middle, &layer.gate, &layer.up] {
                ledger.owned(array);
            }
            layer.qkv.iter().for_each(|array| ledger.owned(array));
            layer.probabilities.iter().flatten().for_each(|p| ledger.owned(p));
            ledger.owned(&layer.inverse);
            ledger.owned(&layer.middle_inverse);
            layer.projections[..].count(ledger);
        }
    }
}

impl<T, S: Bytes> Saved<T, S> {
    /// The part that the adapters keep: the rest is kept by any method.
    pub fn adapter_bytes(&self) -> usize {
        struct Held<'a, S>(&'a [Option<S>; 7]);
        impl<S: Bytes> Bytes for Held<'_, S> {
            fn count(&self, ledger: &mut Ledger) {
                self.0[..].count(ledger);
            }
        }
        let layers = self.layers.iter().flatten();
        layers.map(|layer| Ledger::of(&Held(&layer.projections))).sum()
    }
}

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
        let rotation = Rotation::new(&batch.positions(), &self.config.frequencies());
        let mut x = self.embed(batch.tokens())?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in 0..self.layers.len() {
            let attend = |[q, k, v]: &[Array2<T>; 3]| {
                let mut y = Array2::zeros(q.dim());
                let probabilities = batch.spans().map(|rows| {
                    let rows = s![rows, ..];
                    let [q, k, v] = [q.slice(rows), k.slice(rows), v.slice(rows)];
                    attention::forward(self.heads(), q, k, v, y.slice_mut(rows))
                });
                let probabilities = probabilities.collect();
                (y, probabilities)
            };
            let (next, saved) = self.layer(adapters, layer, x, masks, &rotation, attend)?;
            x = next;
            layers.push(first.is_some_and(|first| layer >= first).then_some(saved));
        }
        let (hidden, inverse) = norm::forward(x.view(), self.norm.view(), self.config.rms_norm_eps);
        Ok((hidden, Saved { train, batch: batch.clone(), rotation, layers, x, inverse }))
    }

    /// Scores for the next token: \[tokens, hidden\]·\[hidden, vocabulary\] → \[tokens, vocabulary\].
    pub fn logits(&self, hidden: ArrayView2<'_, T>) -> Array2<T> {
        parallel::multiply(hidden, self.head().t())
    }

    pub(crate) fn heads(&self) -> Heads {
        Heads {
            queries: self.config.num_attention_heads,
            keys: self.config.num_key_value_heads,
            width: self.config.head_dim,
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
        Ok(self.embedding.select(Axis(0), &rows))
    }

    /// One decoder layer. `attend` gets q, k (both rotated) and v, and returns attention's output and probabilities.
    pub(crate) fn layer<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        layer: usize,
        x: Array2<T>,
        masks: &Masks,
        rotation: &Rotation<T>,
        attend: impl FnOnce(&[Array2<T>; 3]) -> (Array2<T>, Vec<Vec<Array2<T>>>),
    ) -> Result<(Array2<T>, LayerSaved<T, A::Saved>)> {
        let weights = &self.layers[layer];
        let eps = self.config.rms_norm_eps;
        let mut projections: [Option<A::Saved>; 7] = array::from_fn(|_| None);
        let mut project = |projection: Projection, x: &ArcArray2<T>| -> Result<Array2<T>> {
            let weight = weights.weight(projection).view();
            let site = (layer, projection);
            let Some(adapter) = adapters.get(site) else {
                return Ok(linear::forward(weight, x.view())?);
            };
            let (y, saved) = adapter.forward(weight, x, masks.get(&site))?;
            projections[projection as usize] = Some(saved);
            Ok(y)
        };

        let (n, inverse) = norm::forward(x.view(), weights.attention_norm.view(), eps);
        let n = n.into_shared(); // q, k and v keep the same n
        let mut q = project(Projection::Q, &n)?; // [tokens, hidden] → [tokens, queries·width]
        let mut k = project(Projection::K, &n)?; // [tokens, hidden] → [tokens, keys·width]
        let v = project(Projection::V, &n)?;
        rotation.apply(&mut q);
        rotation.apply(&mut k);
        let qkv = [q, k, v];
        let (y, probabilities) = attend(&qkv); // [tokens, queries·width]
        let mut middle = project(Projection::O, &y.into_shared())?; // → [tokens, hidden]
        middle += &x;

        let (n, middle_inverse) = norm::forward(middle.view(), weights.mlp_norm.view(), eps);
        let n = n.into_shared();
        let gate = project(Projection::Gate, &n)?; // [tokens, hidden] → [tokens, intermediate]
        let up = project(Projection::Up, &n)?;
        let y = mlp::forward(gate.view(), up.view());
        let mut next = project(Projection::Down, &y.into_shared())?; // → [tokens, hidden]
        next += &middle;

        let saved = LayerSaved {
            x,
            inverse,
            qkv,
            probabilities,
            middle,
            middle_inverse,
            gate,
            up,
            projections,
        };
        Ok((next, saved))
    }

    /// From ∂L/∂hidden, the gradient of [`forward`](Self::forward)'s output \[tokens, hidden\], to the gradients of
    /// what is trained. Those of the output matrix are not in it: see [`loss_and_grads`](Self::loss_and_grads).
    ///
    /// # Errors
    /// `grad_hidden` has another shape, or `adapters` is not what `saved` was made with.
    pub fn backward<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        saved: &Saved<T, A::Saved>,
        grad_hidden: ArrayView2<'_, T>,
    ) -> Result<Grads<T, A::Grads>> {
        check_shape("grad_hidden", grad_hidden.shape(), saved.x.shape(), "[tokens, hidden]")?;
        let mut grads = Grads { sites: BTreeMap::new(), model: None };
        let mut grad_x = Array2::zeros(saved.x.dim());
        let (x, inverse) = (saved.x.view(), saved.inverse.view());
        let grad_norm = norm::backward(x, self.norm.view(), inverse, grad_hidden, &mut grad_x);
        let mut layer_norms = Vec::new();
        for (layer, layer_saved) in saved.layers.iter().enumerate().rev() {
            let Some(layer_saved) = layer_saved else { break };
            let norms =
                self.layer_backward(adapters, layer, saved, layer_saved, &mut grad_x, &mut grads)?;
            layer_norms.push(norms);
        }
        if saved.train == Train::Everything {
            let mut model = ModelGrads::zeros(self);
            model.norm = grad_norm;
            model.layers = layer_norms.into_iter().rev().collect();
            for (&token, grad) in saved.batch.tokens().iter().zip(grad_x.outer_iter()) {
                let mut row = model.embedding.row_mut(token as usize);
                row += &grad;
            }
            grads.model = Some(model);
        }
        Ok(grads)
    }

    /// Turns `grad_x` from the gradient of a layer's output into that of its input; returns those of its two norms.
    fn layer_backward<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        layer: usize,
        Saved { batch, rotation, .. }: &Saved<T, A::Saved>,
        saved: &LayerSaved<T, A::Saved>,
        grad_x: &mut Array2<T>,
        grads: &mut Grads<T, A::Grads>,
    ) -> Result<[Array1<T>; 2]> {
        let weights = &self.layers[layer];
        let mut back = |projection: Projection, grad_y: &Array2<T>| -> Result<Array2<T>> {
            let weight = weights.weight(projection).view();
            let site = (layer, projection);
            let (Some(adapter), Some(saved)) =
                (adapters.get(site), &saved.projections[projection as usize])
            else {
                return Ok(linear::backward(weight, grad_y.view())?);
            };
            let (grad_x, grad) = adapter.backward(weight, saved, grad_y.view())?;
            grads.sites.insert(site, grad);
            Ok(grad_x)
        };

        // next = middle + down(silu(gate(n)) ⊙ up(n)),  n = RMSNorm(middle)
        let grad_y = back(Projection::Down, grad_x)?;
        let [grad_gate, grad_up] = mlp::backward(saved.gate.view(), saved.up.view(), grad_y);
        let mut grad_n = back(Projection::Gate, &grad_gate)?;
        grad_n += &back(Projection::Up, &grad_up)?;
        let (middle, inverse) = (saved.middle.view(), saved.middle_inverse.view());
        let grad_mlp_norm =
            norm::backward(middle, weights.mlp_norm.view(), inverse, grad_n.view(), grad_x);

        // middle = x + o(attention(q(n), k(n), v(n))),  n = RMSNorm(x)
        let grad_y = back(Projection::O, grad_x)?;
        let [q, k, v] = &saved.qkv;
        let [mut grad_q, mut grad_k, mut grad_v] = [q, k, v].map(|m| Array2::zeros(m.dim()));
        for (rows, probabilities) in batch.spans().zip(&saved.probabilities) {
            let rows = s![rows, ..];
            let grads = [&mut grad_q, &mut grad_k, &mut grad_v];
            attention::backward(
                self.heads(),
                [q, k, v].map(|m| m.slice(rows)),
                probabilities,
                grad_y.slice(rows),
                grads.map(|m| m.slice_mut(rows)),
            );
        }
        rotation.undo(&mut grad_q);
        rotation.undo(&mut grad_k);
        let mut grad_n = back(Projection::Q, &grad_q)?;
        grad_n += &back(Projection::K, &grad_k)?;
        grad_n += &back(Projection::V, &grad_v)?;
        let (x, inverse) = (saved.x.view(), saved.inverse.view());
        let grad_attention_norm =
            norm::backward(x, weights.attention_norm.view(), inverse, grad_n.view(), grad_x);
        Ok([grad_attention_norm, grad_mlp_norm])
    }
}
