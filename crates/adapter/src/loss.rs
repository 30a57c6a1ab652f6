//! Softmax cross-entropy.

use ndarray::{Array2, ArrayViewMut1};

use crate::{Error, Real, Result, check_shape, exponentials, parallel};

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
    if targets.iter().any(Option::is_some) && !(denominator > 0.0 && denominator.is_finite()) {
        return Err(Error::value("denominator", denominator, "the number of targets, at least 1"));
    }
    let loss = rows(&mut logits, targets, Some(T::from_f64(1.0 / denominator)))?;
    Ok((loss, logits))
}

/// The loss of [`cross_entropy`] without its gradient: what evaluation needs.
///
/// # Errors
/// Those of [`cross_entropy`].
pub fn cross_entropy_loss<T: Real>(mut logits: Array2<T>, targets: &[Option<u32>]) -> Result<T> {
    rows(&mut logits, targets, None)
}

/// The loss. `logits` become its gradient times `scale`, or nothing of use where no gradient is wanted.
fn rows<T: Real>(logits: &mut Array2<T>, targets: &[Option<u32>], scale: Option<T>) -> Result<T> {
    let vocabulary = logits.ncols();
    check_shape("targets", &[targets.len()], &[logits.nrows()], "a target, or none, for each row")?;
    if let Some(target) = targets.iter().flatten().find(|&&t| t as usize >= vocabulary) {
        let hint = format!("the vocabulary has {vocabulary} tokens");
        return Err(Error::value("target", target, hint));
    }
    let (numbers, rows) = (logits.len(), logits.outer_iter_mut().zip(targets));
    let losses = parallel::map(numbers, rows, |(row, target)| row_loss(row, *target, scale));
    let loss: T = losses.into_iter().sum();
    if !loss.is_finite() {
        return Err(Error::NotFinite {
            name: "the loss".into(),
            hint: "a logit is NaN or infinite; lower the learning rate, or check the model".into(),
        });
    }
    Ok(loss)
}

fn row_loss<T: Real>(mut row: ArrayViewMut1<'_, T>, target: Option<u32>, scale: Option<T>) -> T {
    let Some(target) = target else {
        row.fill(T::zero());
        return T::zero();
    };
    let at_target = row[target as usize];
    let (largest, total) = exponentials(row.view_mut(), T::one());
    if let Some(scale) = scale {
        let normalise = scale / total;
        row.mapv_inplace(|p| p * normalise);
        row[target as usize] -= scale;
    }
    // The difference first: its rounding is relative to itself and not to the logits' common offset.
    total.ln() + (largest - at_target)
}
