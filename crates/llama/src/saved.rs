//! What a forward pass keeps for the backward pass, and how much memory that is.

use adapter::{Bytes, Ledger};
use ndarray::{Array1, Array2};

use crate::branch::BranchSaved;
use crate::rope::Rotations;
use crate::{Batch, Projection, Train};

/// What a forward pass keeps for the backward pass. `S` is what an adapter keeps.
pub struct Saved<T, S> {
    pub(crate) train: Train,
    pub(crate) batch: Batch,
    pub(crate) rotations: Rotations<T>,
    /// `None` below the lowest layer that has something to train.
    pub(crate) layers: Vec<Option<LayerSaved<T, S>>>,
    /// Input of the last norm, \[tokens, hidden\], and its 1/rms.
    pub(crate) x: Array2<T>,
    pub(crate) inverse: Array1<T>,
}

pub(crate) struct LayerSaved<T, S> {
    pub decoder: DecoderSaved<T>,
    /// What each projection's adapter keeps.
    pub projections: [Option<S>; Projection::EVERY.len()],
}

/// The part that is kept with any adapter.
pub(crate) struct DecoderSaved<T> {
    /// Of the two branches.
    pub attention: BranchSaved<T>,
    pub mlp: BranchSaved<T>,
    /// Of models that norm queries and keys: what went into the two norms, \[tokens, queries·width\] and
    /// \[tokens, keys·width\], and 1/rms of each row, or of each head.
    pub qk_norms: Option<[(Array2<T>, Array1<T>); 2]>,
    /// After RoPE: \[tokens, queries·width\], \[tokens, keys·width\] twice.
    pub qkv: [Array2<T>; 3],
    /// Of each sequence and head, \[n, n\].
    pub probabilities: Vec<Vec<Array2<T>>>,
    /// \[tokens, intermediate\].
    pub gate: Array2<T>,
    pub up: Array2<T>,
}

impl<T, S: Bytes> Bytes for Saved<T, S> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.x);
        ledger.owned(&self.inverse);
        for layer in self.layers.iter().flatten() {
            layer.decoder.count(ledger);
            layer.projections[..].count(ledger);
        }
    }
}

impl<T> Bytes for DecoderSaved<T> {
    fn count(&self, ledger: &mut Ledger) {
        for BranchSaved { x, inverse, .. } in [&self.attention, &self.mlp] {
            ledger.owned(x);
            inverse.iter().for_each(|inverse| ledger.owned(inverse));
        }
        for array in [&self.gate, &self.up] {
            ledger.owned(array);
        }
        let after = [&self.attention.after, &self.mlp.after].into_iter().flatten();
        for (x, inverse) in self.qk_norms.iter().flatten().chain(after) {
            ledger.owned(x);
            ledger.owned(inverse);
        }
        self.qkv.iter().for_each(|array| ledger.owned(array));
        self.probabilities.iter().flatten().for_each(|p| ledger.owned(p));
    }
}

impl<T, S: Bytes> Saved<T, S> {
    /// The part that the adapters keep: the rest is kept by any method.
    pub fn adapter_bytes(&self) -> usize {
        struct Held<'a, S>(&'a [Option<S>]);
        impl<S: Bytes> Bytes for Held<'_, S> {
            fn count(&self, ledger: &mut Ledger) {
                self.0.count(ledger);
            }
        }
        let layers = self.layers.iter().flatten();
        layers.map(|layer| Ledger::of(&Held(&layer.projections))).sum()
    }
}
