//! Cross-entropy: against numbers of 50 digits, dual numbers, and the inputs that break careless code.

use adapter::{Dual, Real, cross_entropy};
use ndarray::{Array2, array};
use proptest::prelude::*;

const U: f64 = f64::UNIT_ROUNDOFF;

/// golden.py: −ln softmax with mpmath.
#[test]
fn values_of_fifty_digits() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    for case in golden["cross_entropy"].as_array().unwrap() {
        let logits: Vec<f64> = serde_json::from_value(case["logits"].clone()).unwrap();
        let target = case["target"].as_u64().unwrap() as u32;
        let (want, probabilities): (f64, Vec<f64>) =
            serde_json::from_value(serde_json::json!([case["loss"], case["softmax"]])).unwrap();
        let row = Array2::from_shape_vec((1, logits.len()), logits.clone()).unwrap();
        let (loss, grad) = cross_entropy(row, &[Some(target)], 1.0).unwrap();
        // The logits' differences are rounded once, and so is each exp, product and sum.
        let spread = logits.iter().fold(1.0, |max: f64, logit| max.max(logit.abs()));
        let tolerance = 16.0 * U * spread;
        assert!((loss - want).abs() <= tolerance, "{logits:?}: {loss} {want}");
        for (i, (got, p)) in grad.iter().zip(probabilities).enumerate() {
            let want = p - f64::from(u8::from(i == target as usize));
            assert!((got - want).abs() <= tolerance, "{logits:?}[{i}]: {got} {want}");
        }
    }
}

#[test]
fn rows_without_a_target_do_not_count() {
    let logits = array![[1.0, 2.0, 3.0], [9.0, -9.0, 0.0], [0.0, 0.0, 0.0]];
    let (loss, grad) = cross_entropy(logits, &[None, None, Some(1)], 4.0).unwrap();
    assert!((loss - 3f64.ln()).abs() <= 4.0 * U);
    assert_eq!(grad.row(0), array![0.0, 0.0, 0.0]);
    assert_eq!(grad.row(1), array![0.0, 0.0, 0.0]);
    // (1/3, 1/3 − 1, 1/3) divided by the denominator
    for (got, want) in grad.row(2).iter().zip([1.0 / 12.0, -1.0 / 6.0, 1.0 / 12.0]) {
        assert!((got - want).abs() <= 4.0 * U, "{got} {want}");
    }
    let (loss, grad) = cross_entropy(array![[5.0, 6.0]], &[None], 1.0).unwrap();
    assert_eq!((loss, grad), (0.0, array![[0.0, 0.0]]));
    assert_eq!(cross_entropy(Array2::<f64>::zeros((0, 3)), &[], 1.0).unwrap().0, 0.0);
}

#[test]
fn bad_inputs_are_errors() {
    let text = |logits: Array2<f64>, targets: &[Option<u32>]| {
        cross_entropy(logits, targets, 1.0).unwrap_err().to_string()
    };
    assert!(text(array![[0.0, 0.0]], &[Some(2)]).contains("target is 2"));
    assert!(text(array![[0.0, 0.0]], &[]).contains("targets has shape [0] where [1]"));
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(text(array![[bad, 0.0]], &[Some(0)]).contains("the loss is not finite"));
        assert!(text(array![[bad, 0.0]], &[Some(1)]).contains("the loss is not finite"));
    }
    // A token that cannot be: fine, unless it is the target.
    let impossible = array![[f64::NEG_INFINITY, 0.0]];
    assert_eq!(cross_entropy(impossible.clone(), &[Some(1)], 1.0).unwrap().0, 0.0);
    assert!(text(impossible, &[Some(0)]).contains("the loss is not finite"));
}

proptest! {
    /// The gradient is the derivative of the loss: dual numbers, one logit at a time.
    #[test]
    fn gradient(logits in prop::collection::vec(-30.0..30.0f64, 6), targets in [0..3u32, 0..3u32]) {
        let targets = targets.map(Some);
        let matrix = |at: usize| {
            let duals = logits.iter().enumerate();
            let duals = duals.map(|(i, &l)| Dual::new(l, f64::from(u8::from(i == at))));
            Array2::from_shape_vec((2, 3), duals.collect()).unwrap()
        };
        let plain = Array2::from_shape_vec((2, 3), logits.clone()).unwrap();
        let (_, grad) = cross_entropy(plain, &targets, 1.0).unwrap();
        for (at, grad) in grad.iter().enumerate() {
            let (loss, _) = cross_entropy(matrix(at), &targets, 1.0).unwrap();
            // Numbers up to 1, a dozen roundings; exp's argument up to 60 adds 60 of them.
            prop_assert!((loss.tangent - grad).abs() <= 100.0 * U, "{} {}", loss.tangent, grad);
        }
    }
}
