//! The decoder's backward pass: the lines of [`decoder`](crate::decoder) in reverse order. It stops at the lowest layer
//! that has something to train.

use std::collections::BTreeMap;

use adapter::{Adapter, Real, check_shape, linear};
use ndarray::{Array2, ArrayView2, Axis, s};

use crate::adapters::{Adapters, Grads};
use crate::branch::Block;
use crate::rope::Rotations;
use crate::saved::{DecoderSaved, LayerSaved, Saved};
use crate::vectors::Vectors;
use crate::{Batch, Llama, ModelGrads, Projection, Result, Train, attention, fused, mlp, norm};

impl<T: Real> Llama<T> {
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
        let gain = self.gain(&self.norm);
        let grad_norm = norm::backward(x, gain.view(), inverse, grad_hidden, &mut grad_x);
        let mut layers = Vec::new();
        for (layer, layer_saved) in saved.layers.iter().enumerate().rev() {
            let Some(layer_saved) = layer_saved else { break };
            let vectors =
                self.layer_backward(adapters, layer, saved, layer_saved, &mut grad_x, &mut grads)?;
            layers.push(vectors);
        }
        if saved.train == Train::Everything {
            layers.reverse();
            let mut model = ModelGrads::new(self, grad_norm, layers);
            if let Some(multiplier) = self.config.variant.embedding_multiplier.map(T::from_f64) {
                grad_x.mapv_inplace(|grad| multiplier * grad);
            }
            for (&token, grad) in saved.batch.tokens().iter().zip(grad_x.outer_iter()) {
                let mut row = model.embedding.row_mut(token as usize);
                row += &grad;
            }
            grads.model = Some(model);
        }
        Ok(grads)
    }

    /// One layer with its adapters, whose gradients go into `grads`. Turns `grad_x` from the gradient of the layer's output into
    /// that of its input; returns those of its norms and biases. Those of the biases are computed only if everything is trained.
    fn layer_backward<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        layer: usize,
        saved: &Saved<T, A::Saved>,
        LayerSaved { decoder, projections }: &LayerSaved<T, A::Saved>,
        grad_x: &mut Array2<T>,
        grads: &mut Grads<T, A::Grads>,
    ) -> Result<Vectors<T>> {
        let weights = &self.layers[layer];
        let mut biases = [const { None }; Projection::EVERY.len()];
        let mut back = |projection: Projection, grad_y: &Array2<T>| -> Result<Array2<T>> {
            let everything = saved.train == Train::Everything;
            if everything && weights.vectors.bias(projection).is_some() {
                biases[projection as usize] = Some(grad_y.sum_axis(Axis(0))); // y = … + bias, in every row
            }
            let weight = weights.weight(projection).view();
            let site = (layer, projection);
            let (Some(adapter), Some(saved)) =
                (adapters.get(site), &projections[projection as usize])
            else {
                return Ok(linear::backward(weight, grad_y.view())?);
            };
            let (grad_x, grad) = adapter.backward(weight, saved, grad_y.view())?;
            grads.sites.insert(site, grad);
            Ok(grad_x)
        };
        let (batch, rotations) = (&saved.batch, &saved.rotations);
        let norms = self.decode_backward(layer, batch, rotations, decoder, grad_x, &mut back)?;
        Ok(Vectors { biases, ..norms })
    }

    /// One layer, whatever is around its projections; `back` takes ∂L/∂y of a projection and returns its ∂L/∂x.
    fn decode_backward(
        &self,
        layer: usize,
        batch: &Batch,
        rotations: &Rotations<T>,
        saved: &DecoderSaved<T>,
        grad_x: &mut Array2<T>,
        back: &mut dyn FnMut(Projection, &Array2<T>) -> Result<Array2<T>>,
    ) -> Result<Vectors<T>> {
        let fused = self.config.variant.fused;

        // next = middle + down(f(gate(n)) ⊙ up(n)),  n = RMSNorm(middle)
        let branch = self.branch(layer, Block::Mlp);
        let (grad_y, mlp_after) = branch.leave_backward(&saved.mlp, grad_x);
        let grad_y = back(Projection::Down, &grad_y)?;
        let activation = self.config.variant.activation;
        let [grad_gate, grad_up] =
            mlp::backward(activation, saved.gate.view(), saved.up.view(), grad_y);
        let grad_n = match fused {
            false => {
                let mut grad_n = back(Projection::Gate, &grad_gate)?;
                grad_n += &back(Projection::Up, &grad_up)?;
                grad_n
            }
            true => back(Projection::GateUp, &fused::join([&grad_gate, &grad_up]))?,
        };
        let mlp_before = branch.enter_backward(&saved.mlp, &grad_n, grad_x);

        // middle = x + o(attention(q(n), k(n), v(n))),  n = RMSNorm(x)
        let branch = self.branch(layer, Block::Attention);
        let (grad_y, attention_after) = branch.leave_backward(&saved.attention, grad_x);
        let grad_y = back(Projection::O, &grad_y)?;
        let [q, k, v] = &saved.qkv;
        let [mut grad_q, mut grad_k, mut grad_v] = [q, k, v].map(|m| Array2::zeros(m.dim()));
        for (rows, probabilities) in batch.spans().zip(&saved.probabilities) {
            let rows = s![rows, ..];
            let grads = [&mut grad_q, &mut grad_k, &mut grad_v];
            attention::backward(
                self.heads(layer),
                [q, k, v].map(|m| m.slice(rows)),
                probabilities,
                grad_y.slice(rows),
                grads.map(|m| m.slice_mut(rows)),
            );
        }
        if let Some(rotation) = rotations.of(layer, &self.config) {
            rotation.backward(&mut grad_q);
            rotation.backward(&mut grad_k);
        }
        let vectors = &self.layers[layer].vectors;
        let qk_norms = vectors.qk_norms.as_ref().zip(saved.qk_norms.as_ref()).map(
            |([q_gain, k_gain], [q, k])| {
                [
                    norm::rows_backward(q, &self.gain(q_gain), &mut grad_q),
                    norm::rows_backward(k, &self.gain(k_gain), &mut grad_k),
                ]
            },
        );
        let grad_n = match fused {
            false => {
                let mut grad_n = back(Projection::Q, &grad_q)?;
                grad_n += &back(Projection::K, &grad_k)?;
                grad_n += &back(Projection::V, &grad_v)?;
                grad_n
            }
            true => back(Projection::Qkv, &fused::join([&grad_q, &grad_k, &grad_v]))?,
        };
        let attention_before = branch.enter_backward(&saved.attention, &grad_n, grad_x);
        let both = |attention: Option<_>, mlp| attention.zip(mlp).map(<[_; 2]>::from);
        Ok(Vectors {
            before: both(attention_before, mlp_before),
            after: both(attention_after, mlp_after),
            qk_norms,
            biases: [const { None }; Projection::EVERY.len()],
        })
    }
}
