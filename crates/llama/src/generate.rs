//! Text generation, one token at a time, with the keys and values of earlier tokens kept.

use adapter::{Adapter, Real};
use ndarray::{Array1, Array2, Axis, s};
use rand::Rng;

use crate::adapters::{Adapters, Masks};
use crate::rope::Rotations;
use crate::{Error, Llama, Result, Sampling, attention, norm};

/// The keys and values of the tokens so far, of every layer.
pub struct Cache<T> {
    layers: Vec<[Array2<T>; 2]>,
    tokens: usize,
}

impl<T: Real> Llama<T> {
    /// No tokens yet.
    pub fn cache(&self) -> Cache<T> {
        let width = self.config.num_key_value_heads * self.config.head_dim;
        let empty = || [Array2::zeros((0, width)), Array2::zeros((0, width))];
        Cache { layers: self.layers.iter().map(|_| empty()).collect(), tokens: 0 }
    }

    /// Read more tokens; returns the scores for the one that comes next, \[vocabulary\].
    ///
    /// Gives the same scores as [`forward`](Self::forward) on all tokens together, but reads each token once.
    ///
    /// # Errors
    /// `tokens` is empty, or holds one that is not in the vocabulary, or an adapter does not fit.
    pub fn read<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        cache: &mut Cache<T>,
        tokens: &[u32],
    ) -> Result<Array1<T>> {
        if tokens.is_empty() {
            return Err(Error::Data("nothing to read: the prompt is empty".into()));
        }
        let positions: Vec<usize> = (cache.tokens..cache.tokens + tokens.len()).collect();
        let rotations = Rotations::new(&positions, &self.config)?;
        let mut x = self.embed(tokens)?;
        for (layer, past) in cache.layers.iter_mut().enumerate() {
            let mut attend = |[q, k, v]: &[Array2<T>; 3]| {
                for (past, new) in past.iter_mut().zip([k, v]) {
                    past.append(Axis(0), new.view()).expect("the width of this model's keys");
                }
                let mut y = Array2::zeros(q.dim());
                let [k, v] = past;
                let heads = self.heads(layer);
                attention::forward(heads, q.view(), k.view(), v.view(), y.view_mut(), false);
                (y, Vec::new())
            };
            (x, _) = self.layer(adapters, layer, x, &Masks::new(), &rotations, &mut attend)?;
        }
        cache.tokens += tokens.len();
        let last = x.slice(s![-1.., ..]);
        let (hidden, _) =
            norm::forward(last, self.gain(&self.norm).view(), self.config.rms_norm_eps);
        Ok(self.logits(hidden.view()).row(0).to_owned())
    }

    /// Continue `prompt` as `sampling` says. `seen` is called with each new token.
    ///
    /// # Errors
    /// The temperature or `top_p` makes no sense, the prompt is empty, or the model's scores are not finite.
    pub fn generate<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        prompt: &[u32],
        sampling: &Sampling,
        rng: &mut impl Rng,
        mut seen: impl FnMut(u32),
    ) -> Result<Vec<u32>> {
        sampling.check()?;
        let mut cache = self.cache();
        let mut tokens = Vec::new();
        let mut logits = self.read(adapters, &mut cache, prompt)?;
        while tokens.len() < sampling.count {
            let next = sampling.choose(logits.view(), rng)?;
            if sampling.stop.contains(&next) {
                break;
            }
            tokens.push(next);
            seen(next);
            if tokens.len() < sampling.count {
                logits = self.read(adapters, &mut cache, &[next])?;
            }
        }
        Ok(tokens)
    }
}
