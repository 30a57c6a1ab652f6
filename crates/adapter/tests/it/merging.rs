//! What is shared by every method: merge and unmerge, and the layer of integers that checks gradients.

use std::sync::Arc;

use adapter::gradcheck::{Layer, SHAPES, integers};
use adapter::{Adapter, Bytes, Dropout, Ledger, Result, Tensors, linear};
use ndarray::{ArcArray2, Array2, ArrayView2, ArrayViewD, ArrayViewMutD, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The smallest adapter: a fixed ΔW, nothing trained.
struct Fixed(Array2<f64>);

struct Nothing;

impl Tensors<f64> for Fixed {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
        Vec::new()
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
        Vec::new()
    }
}

impl Tensors<f64> for Nothing {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
        Vec::new()
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
        Vec::new()
    }
}

impl Bytes for Fixed {
    fn count(&self, ledger: &mut Ledger) {
        ledger.owned(&self.0);
    }
}

impl Bytes for Nothing {
    fn count(&self, _: &mut Ledger) {}
}

impl Adapter<f64> for Fixed {
    type Saved = Nothing;
    type Grads = Nothing;

    fn forward(
        &self,
        weight: ArrayView2<'_, f64>,
        x: &ArcArray2<f64>,
        _: Option<&Arc<Dropout>>,
    ) -> Result<(Array2<f64>, Nothing)> {
        Ok((linear::forward((&weight + &self.0).view(), x.view())?, Nothing))
    }

    fn backward(
        &self,
        weight: ArrayView2<'_, f64>,
        _: &Nothing,
        grad_y: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Nothing)> {
        Ok((linear::backward((&weight + &self.0).view(), grad_y)?, Nothing))
    }

    fn delta_weight(&self, _: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        Ok(self.0.clone())
    }
}

#[test]
fn merging_adds_delta_weight_and_unmerging_takes_it_away() {
    let adapter = Fixed(array![[1.0, -2.0, 4.0], [0.5, 8.0, -1.0]]);
    let before = array![[3.0, 5.0, 7.0], [9.0, 11.0, 13.0]];
    let mut weight = before.clone();
    adapter.merge(&mut weight).unwrap();
    assert_eq!(weight, array![[4.0, 3.0, 11.0], [9.5, 19.0, 12.0]]);
    // The merged weight alone does what weight and adapter did.
    let x = array![[1.0, 0.0, 2.0]].into_shared();
    let (y, _) = adapter.forward(before.view(), &x, None).unwrap();
    assert_eq!(linear::forward(weight.view(), x.view()).unwrap(), y);
    adapter.unmerge(&mut weight).unwrap();
    assert_eq!(weight, before);
}

#[test]
fn a_weight_of_another_shape_is_refused_and_left_alone() {
    let adapter = Fixed(Array2::ones((2, 3)));
    let mut weight = Array2::<f64>::zeros((3, 2));
    for refused in [adapter.merge(&mut weight), adapter.unmerge(&mut weight)] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("[3, 2]") && error.contains("[2, 3]"), "{error}");
    }
    assert_eq!(weight, Array2::<f64>::zeros((3, 2)));
}

#[test]
fn integers_are_those_from_minus_four_to_four() {
    let numbers = integers(&mut ChaCha8Rng::seed_from_u64(3), 40, 50);
    assert!(numbers.iter().all(|number| number.fract() == 0.0 && number.abs() <= 4.0));
    assert!((-4..=4).all(|whole| numbers.iter().any(|number| *number == f64::from(whole))));
}

#[test]
fn a_layer_passes_the_right_gradient_and_finds_a_wrong_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for shape in SHAPES {
        let [tokens, out, inputs, _] = shape;
        let make = |rng: &mut ChaCha8Rng| Fixed(integers(rng, out, inputs));
        let mut layer = Layer::new(shape, false, &mut rng, make);
        let mut gradients = layer.gradients().unwrap();
        assert_eq!(layer.mismatches(&gradients).unwrap(), []);
        for (_, mut gradient) in gradients.tensors_mut() {
            gradient += 1.0;
        }
        // Every number of x is wrong now, and each is named.
        let found = layer.mismatches(&gradients).unwrap();
        assert_eq!(found.len(), tokens * inputs, "{shape:?}");
    }
}
