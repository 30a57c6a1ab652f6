//! Softmax cross-entropy.

use ndarray::Array2;

use crate::{Error, Real, Result, check_shape};

/// −Σ ln softmax(logits)\[target\] over the rows that have a target, and the gradient of that sum divided by
/// `denominator`.
///
/// `logits` is \[tokens, vocabulary\]; its memory becomes the gradient, softmax(logits) − onehot(target), since the
/// logits are the largest array of a training step. A row without a target (a prompt, padding) has gradient 0.
/// `denominator` is the number of targets in the whole batch, so that accumulated pieces of unequal size add up to
/// the mean over the batch. A logit of −∞ (a token ruled out) is allowed where it is not the target. Without any target
/// the loss is 0, whatever the denominator.
///
/// # Errors
/// The number of targets is not the number of rows, a target is not in the vocabulary, the denominator is not a
/// positive number, or the loss is not finite: a logit is NaN or +∞, or the target's is −∞.
pub fn cross_entropy<T: Real>(
    mut logits: Array2<T>,
    targets: &[Option<u32>],
    denominator: f64,
) -> Result<(T, Array2<T>)> {
    let vocabulary = logits.ncols();
    check_shape("targets", &[targets.len()], &[logits.nrows()], "a target, or none, for each row")?;
    if let Some(target) = targets.iter().flatten().find(|&&t| t as usize >= vocabulary) {
        let hint = format!("the vocabulary has {vocabulary} tokens");
        return Err(Error::value("target", target, hint));
    }
    if targets.iter().any(Option::is_some) && !(denominator > 0.0 && denominator.is_finite()) {
        return Err(Error::value("denominator", denominator, "the number of targets, at least 1"));
    }
    let scale = T::from_f64(1.0 / denominator);
    let mut loss = T::zero();
    for (mut row, target) in logits.outer_iter_mut().zip(targets) {
        let Some(target) = target else {
            row.fill(T::zero());
            continue;
        };
        let at_target = row[*target as usize];
        // Softmax does not change when all logits move together; with the largest at 0 nothing overflows.
        let largest = row.iter().fold(at_target, |max, &l| if l > max { l } else { max });
        row.mapv_inplace(|logit| (logit - largest).exp());
        let total = row.sum();
        // The difference first: its rounding is relative to itself and not to the logits' common offset.
        loss += total.ln() + (largest - at_target);
        let normalise = scale / total;
        row.mapv_inplace(|p| p * normalise);
        row[*target as usize] -= scale;
    }
    if !loss.is_finite() {
        return Err(Error::NotFinite {
            name: "the loss".into(),
            hint: "a logit is NaN or infinite; lower the learning rate, or check the model".into(),
        });
    }
    Ok((loss, logits))
}
