//! Text generation, one token at a time, with the keys and values of earlier tokens kept.

use adapter::{Adapter, Real};
use ndarray::{Array1, Array2, Axis, s};
use rand::Rng;
use rand::distr::{Distribution, weighted::WeightedIndex};

use crate::adapters::{Adapters, Masks};
use crate::rope::Rotation;
use crate::{Error, Llama, Result, attention, norm};

/// The keys and values of the tokens so far, of every layer.
pub struct Cache<T> {
    layers: Vec<[Array2<T>; 2]>,
    tokens: usize,
}

/// How to go on from a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// At most this many new tokens.
    pub count: usize,
    /// 0 takes the likeliest token every time; above, tokens are drawn from softmax(logits/temperature).
    pub temperature: f64,
    /// Stop before the first of these.
    pub stop: Vec<u32>,
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
        let rotation = Rotation::new(&positions, &self.config);
        let mut x = self.embed(tokens)?;
        for (layer, past) in cache.layers.iter_mut().enumerate() {
            let attend = |[q, k, v]: &[Array2<T>; 3]| {
                for (past, new) in past.iter_mut().zip([k, v]) {
                    past.append(Axis(0), new.view()).expect("the width of this model's keys");
                }
                let mut y = Array2::zeros(q.dim());
                let [k, v] = past;
                let heads = self.heads(layer);
                attention::forward(heads, q.view(), k.view(), v.view(), y.view_mut());
                (y, Vec::new())
            };
            (x, _) = self.layer(adapters, layer, x, &Masks::new(), &rotation, attend)?;
        }
        cache.tokens += tokens.len();
        let last = x.slice(s![-1.., ..]);
        let (hidden, _) = norm::forward(last, self.norm.view(), self.config.rms_norm_eps);
        Ok(self.logits(hidden.view()).row(0).to_owned())
    }

    /// Continue `prompt` as `sampling` says. `seen` is called with each new token.
    ///
    /// # Errors
    /// The temperature is negative or NaN, the prompt is empty, or the model's scores are not finite.
    pub fn generate<A: Adapter<T>>(
        &self,
        adapters: &Adapters<A>,
        prompt: &[u32],
        sampling: &Sampling,
        rng: &mut impl Rng,
        mut seen: impl FnMut(u32),
    ) -> Result<Vec<u32>> {
        let &Sampling { count, temperature, ref stop } = sampling;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            let hint = "0 for the likeliest token, or a positive number";
            return Err(adapter::Error::value("temperature", temperature, hint).into());
        }
        let mut cache = self.cache();
        let mut tokens = Vec::new();
        let mut logits = self.read(adapters, &mut cache, prompt)?;
        while tokens.len() < count {
            let next = choose(&logits, temperature, rng)?;
            if stop.contains(&next) {
                break;
            }
            tokens.push(next);
            seen(next);
            if tokens.len() < count {
                logits = self.read(adapters, &mut cache, &[next])?;
            }
        }
        Ok(tokens)
    }
}

fn choose<T: Real>(logits: &Array1<T>, temperature: f64, rng: &mut impl Rng) -> Result<u32> {
    let not_finite = || adapter::Error::NotFinite {
        name: "a logit".into(),
        hint: "the model or the adapter is broken".into(),
    };
    if logits.iter().any(|logit| !logit.is_finite()) {
        return Err(not_finite().into());
    }
    let logits = logits.mapv(T::to_f64);
    let (best, largest) = argmax(&logits);
    if temperature == 0.0 {
        return Ok(best as u32);
    }
    let weights = logits.iter().map(|logit| ((logit - largest) / temperature).exp());
    let law = WeightedIndex::new(weights).map_err(|_| not_finite())?;
    Ok(law.sample(rng) as u32)
}

/// The first largest entry and where it is.
fn argmax(values: &Array1<f64>) -> (usize, f64) {
    let first = (0, values[0]);
    values
        .iter()
        .copied()
        .enumerate()
        .skip(1)
        .fold(first, |best, (i, value)| if value > best.1 { (i, value) } else { best })
}
