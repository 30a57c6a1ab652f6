//! Which token comes next: the likeliest, or one drawn at random.

use adapter::Real;
use ndarray::ArrayView1;
use rand::Rng;
use rand::distr::{Distribution, weighted::WeightedIndex};

use crate::Result;

/// How to go on from a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// At most this many new tokens.
    pub count: usize,
    /// 0 takes the likeliest token every time; above, tokens are drawn from softmax(logits/temperature).
    pub temperature: f64,
    /// Tokens are drawn from the nucleus only: the fewest likeliest ones whose probabilities together exceed this. 1 leaves
    /// all (Holtzman et al. 2020, <https://arxiv.org/abs/1904.09751>).
    pub top_p: f64,
    /// Stop before the first of these.
    pub stop: Vec<u32>,
}

impl Sampling {
    /// At most `count` tokens, the likeliest every time, up to one of `stop`.
    pub fn greedy(count: usize, stop: Vec<u32>) -> Self {
        Self { count, temperature: 0.0, top_p: 1.0, stop }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Self { temperature, top_p, .. } = *self;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            let hint = "0 for the likeliest token, or a positive number";
            return Err(adapter::Error::value("temperature", temperature, hint).into());
        }
        if !(0.0..=1.0).contains(&top_p) {
            let hint = "from 0, for the likeliest token, to 1, for all of them";
            return Err(adapter::Error::value("top_p", top_p, hint).into());
        }
        Ok(())
    }

    /// The next token by these scores, \[vocabulary\].
    ///
    /// # Errors
    /// A score is not finite.
    pub(crate) fn choose<T: Real>(
        &self,
        logits: ArrayView1<'_, T>,
        rng: &mut impl Rng,
    ) -> Result<u32> {
        let not_finite = || adapter::Error::NotFinite {
            name: "a logit".into(),
            hint: "the model or the adapter is broken".into(),
        };
        let best = likeliest(logits).ok_or_else(not_finite)?;
        if self.temperature == 0.0 {
            return Ok(best);
        }
        let largest = logits[best as usize].to_f64();
        let weight = |logit: &T| ((logit.to_f64() - largest) / self.temperature).exp();
        let mut weights: Vec<f64> = logits.iter().map(weight).collect();
        if self.top_p < 1.0 {
            keep_nucleus(&mut weights, self.top_p);
        }
        let law = WeightedIndex::new(weights).map_err(|_| not_finite())?;
        Ok(law.sample(rng) as u32)
    }
}

/// The first of the largest scores; `None` if one is not finite.
pub(crate) fn likeliest<T: Real>(logits: ArrayView1<'_, T>) -> Option<u32> {
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if !logit.is_finite() {
            return None;
        }
        if *logit > logits[best] {
            best = i;
        }
    }
    u32::try_from(best).ok()
}

/// Set the weights outside the nucleus to 0: from the lightest upwards, as long as all that are set to 0 hold together at
/// most 1 − p of the whole. The heaviest stays whatever p is.
fn keep_nucleus(weights: &mut [f64], p: f64) {
    let total: f64 = weights.iter().sum();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    // Of equal weights the first stays longest, since it is also the one that `likeliest` takes.
    order.sort_by(|&a, &b| weights[a].total_cmp(&weights[b]).then(b.cmp(&a)));
    let mut below = 0.0;
    for &i in order.iter().take(weights.len().saturating_sub(1)) {
        below += weights[i];
        if !(below <= (1.0 - p) * total) {
            return;
        }
        weights[i] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_first_of_equals_is_the_likeliest() {
        assert_eq!(likeliest(array![0.0, 0.0, 0.0].view()), Some(0));
        assert_eq!(likeliest(array![-3.0_f32, 2.0, 2.0, 1.0].view()), Some(1));
        assert_eq!(likeliest(array![1.0, f64::NAN].view()), None);
        assert_eq!(likeliest(array![f64::INFINITY, 1.0].view()), None);
    }

    /// What stays, and how likely, is what transformers' `TopPLogitsWarper` leaves (`tests/golden/nucleus.py`).
    #[test]
    fn the_nucleus_is_that_of_transformers() {
        #[derive(serde::Deserialize)]
        struct Case {
            logits: Vec<f64>,
            temperature: f64,
            top_p: f64,
            probabilities: Vec<f64>,
        }
        let text = include_str!("../tests/golden/nucleus.json");
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases: Vec<Case> = serde_json::from_value(document["cases"].clone()).unwrap();
        assert!(cases.len() >= 20);
        for Case { logits, temperature, top_p, probabilities } in cases {
            let mut weights: Vec<f64> = logits.iter().map(|z| (z / temperature).exp()).collect();
            keep_nucleus(&mut weights, top_p);
            let total: f64 = weights.iter().sum();
            for (weight, expected) in weights.iter().zip(&probabilities) {
                let difference = (weight / total - expected).abs();
                assert!(
                    difference <= 1e-12,
                    "{logits:?} at {top_p}: {weights:?}, {probabilities:?}"
                );
            }
        }
    }
}
