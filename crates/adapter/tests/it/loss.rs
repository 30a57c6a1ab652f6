//! Cross-entropy: against numbers of 50 digits, dual numbers, central differences, and the inputs that break careless
//! code.

use adapter::{Dual, Real, Tensors, cross_entropy, gradcheck};
use ndarray::{Array2, ArrayViewD, ArrayViewMutD, array};
use proptest::prelude::*;

const U: f64 = f64::UNIT_ROUNDOFF;

/// golden.py: −ln softmax with mpmath, on logits that every precision here holds exactly.
fn fifty_digits<T: Real>() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden.json")).unwrap();
    for case in golden["cross_entropy"].as_array().unwrap() {
        let logits: Vec<f64> = serde_json::from_value(case["logits"].clone()).unwrap();
        let target = case["target"].as_u64().unwrap() as u32;
        let (want, probabilities): (f64, Vec<f64>) =
            serde_json::from_value(serde_json::json!([case["loss"], case["softmax"]])).unwrap();
        let narrow = logits.iter().map(|&logit| T::from_f64(logit)).collect();
        let row = Array2::from_shape_vec((1, logits.len()), narrow).unwrap();
        let (loss, grad) = cross_entropy(row, &[Some(target)], 1.0).unwrap();
        // d = logit − max is rounded once, which moves exp by a factor 1 ± du, and d eᵈ < 1 for d < 0: with exp, ln,
        // product and sum no more than 3 roundings a term. A common offset of 10⁴ must not matter.
        let roundings = 3.0 * logits.len() as f64 + 4.0;
        let error = (loss.to_f64() - want).abs();
        let bound = T::UNIT_ROUNDOFF * (roundings + 3.0 * want);
        assert!(error <= bound, "{} {logits:?}: {loss} {want}", T::NAME);
        for (i, (got, p)) in grad.iter().zip(probabilities).enumerate() {
            let want = p - f64::from(u8::from(i == target as usize));
            let error = (got.to_f64() - want).abs();
            assert!(error <= T::UNIT_ROUNDOFF * roundings, "{logits:?}[{i}]: {got} {want}");
        }
    }
}

#[test]
fn values_of_fifty_digits() {
    fifty_digits::<f64>();
}

#[test]
fn values_of_fifty_digits_in_f32() {
    fifty_digits::<f32>();
}

#[test]
fn rows_without_a_target_do_not_count() {
    let logits = array![[1.0, 2.0, 3.0], [9.0, -9.0, f64::NAN], [0.0, 0.0, 0.0]];
    let (loss, grad) = cross_entropy(logits, &[None, None, Some(1)], 4.0).unwrap();
    assert!((loss - 3f64.ln()).abs() <= 4.0 * U);
    assert_eq!(grad.row(0), array![0.0, 0.0, 0.0]);
    assert_eq!(grad.row(1), array![0.0, 0.0, 0.0]);
    // (1/3, 1/3 − 1, 1/3) divided by the denominator
    for (got, want) in grad.row(2).iter().zip([1.0 / 12.0, -1.0 / 6.0, 1.0 / 12.0]) {
        assert!((got - want).abs() <= 4.0 * U, "{got} {want}");
    }
    // No target at all: loss 0, gradient 0, and no division by the number of targets.
    let (loss, grad) = cross_entropy(array![[5.0, 6.0], [7.0, 8.0]], &[None, None], 0.0).unwrap();
    assert_eq!((loss, grad), (0.0, array![[0.0, 0.0], [0.0, 0.0]]));
    assert_eq!(cross_entropy(Array2::<f64>::zeros((0, 3)), &[], 0.0).unwrap().0, 0.0);
}

/// Two halves with the denominator of the whole give the loss and the gradient of the whole.
#[test]
fn pieces_of_a_batch_add_up() {
    let logits = array![[0.5, 2.0, -1.0], [3.0, 0.0, 0.25], [-2.0, 1.0, 1.0], [0.0, 4.0, 2.0]];
    let targets = [Some(0), None, Some(2), Some(1)];
    let (whole, grad) = cross_entropy(logits.clone(), &targets, 3.0).unwrap();
    let mut sum: f64 = 0.0;
    for rows in [0..1, 1..4] {
        let part = logits.slice(ndarray::s![rows.clone(), ..]).to_owned();
        let (loss, part) = cross_entropy(part, &targets[rows.clone()], 3.0).unwrap();
        sum += loss;
        assert_eq!(part, grad.slice(ndarray::s![rows, ..]));
    }
    // Three numbers, added in another order.
    assert!((sum - whole).abs() <= 4.0 * U * whole, "{sum} {whole}");
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
    let (loss, grad) = cross_entropy(impossible.clone(), &[Some(1)], 1.0).unwrap();
    assert_eq!((loss, grad), (0.0, array![[0.0, 0.0]]));
    assert!(text(impossible, &[Some(0)]).contains("the loss is not finite"));

    for denominator in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = cross_entropy(array![[0.0, 0.0]], &[Some(0)], denominator).unwrap_err();
        assert!(error.to_string().contains("denominator is "), "{error}");
    }
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
            // Both are made of the same p ≤ 1, rounded a dozen times.
            prop_assert!((loss.tangent - grad).abs() <= 24.0 * U, "{} {}", loss.tangent, grad);
        }
    }

    /// The same by central differences, which share nothing with the code but the loss.
    #[test]
    fn gradient_by_differences(
        logits in prop::collection::vec(-4.0..4.0f64, 8), targets in [0..4u32, 0..4u32],
    ) {
        let targets = targets.map(Some);
        let mut logits = Matrix(Array2::from_shape_vec((2, 4), logits).unwrap());
        let (_, grad) = cross_entropy(logits.0.clone(), &targets, 1.0).unwrap();
        // The loss is at most 2·(8 + ln 4) and its third derivatives at most 1.
        let found = gradcheck::central(&mut logits, &Matrix(grad), 20.0, |logits| {
            Ok(cross_entropy(logits.0.clone(), &targets, 1.0)?.0)
        });
        prop_assert_eq!(found.unwrap(), []);
    }
}

struct Matrix(Array2<f64>);

impl Tensors<f64> for Matrix {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
        vec![("logits", self.0.view().into_dyn())]
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
        vec![("logits", self.0.view_mut().into_dyn())]
    }
}
