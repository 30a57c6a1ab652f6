//! Merging and its undoing, on integers with `==` and on any numbers to rounding.

use crate::layers::{dora, lengths};
use adapter::Adapter;
use adapter::gradcheck::SHAPES;
use dora::Dora;
use lora::Lora;
use ndarray::{Array1, Array2};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[test]
fn merged_equals_unmerged() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let mut layer = dora(shape, false, seed as u64);
        // Powers of two, so that dividing by m does not round either.
        layer.adapter.magnitude.mapv_inplace(|m| if m < 0.0 { -2.0 } else { 8.0 });
        let (y, _) = layer.forward().unwrap();
        let norm = layer.adapter.norm(layer.weight.view()).unwrap();
        let mut weight = layer.weight.clone();
        layer.adapter.merge(&mut weight).unwrap();
        assert_ne!(weight, layer.weight, "{shape:?}: an adapter that does nothing proves nothing");
        assert_eq!(layer.x.dot(&weight.t()), y, "{shape:?}");
        assert_eq!(lengths(&weight), layer.adapter.magnitude.mapv(f64::abs), "{shape:?}");
        layer.adapter.unmerge_with(&mut weight, norm.view()).unwrap();
        assert_eq!(weight, layer.weight, "{shape:?}");
    }
}

/// Why `unmerge` needs the norms: weights that differ in ‖V‖ alone merge to the same W′.
#[test]
fn the_merged_weight_does_not_know_the_norms() {
    let mut layer = dora(SHAPES[7], false, 1);
    layer.adapter.magnitude.fill(4.0);
    let mut merged = layer.weight.clone();
    layer.adapter.merge(&mut merged).unwrap();
    let other_norm = layer.adapter.norm(layer.weight.view()).unwrap() * 2.0;
    let mut other = merged.clone();
    layer.adapter.unmerge_with(&mut other, other_norm.view()).unwrap();
    assert_ne!(other, layer.weight);
    layer.adapter.merge(&mut other).unwrap();
    assert_eq!(other, merged);
}

/// W + (c V − W) and ‖V‖/m (c V) − s B A: a rounding or two of each number that takes part, in the row's largest c or 1/c.
#[test]
fn any_numbers_come_back_to_rounding() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (out, inputs, rank) = (24, 40, 4);
    let mut gaussian = |m, n| Array2::<f64>::random_using((m, n), StandardNormal, &mut rng);
    let weight = gaussian(out, inputs);
    let lora = Lora::new(gaussian(rank, inputs), gaussian(out, rank), 0.75).unwrap();
    let magnitude: Array1<f64> = gaussian(1, out).row(0).mapv(|m| m + 5.0 * m.signum());
    let dora = Dora::new(lora, magnitude).unwrap();
    let norm = dora.norm(weight.view()).unwrap();
    let mut back = weight.clone();
    dora.merge(&mut back).unwrap();
    assert_ne!(back, weight);
    dora.unmerge_with(&mut back, norm.view()).unwrap();
    let largest = |matrix: &Array2<f64>| matrix.fold(0.0, |max: f64, value| max.max(value.abs()));
    let stretch = norm.iter().zip(&dora.magnitude).map(|(n, m)| (n / m).abs()).fold(1.0, f64::max);
    let v = dora.lora.delta_weight(weight.view()).unwrap() + &weight;
    let bound = 8.0 * f64::EPSILON * stretch * (largest(&v) + largest(&weight));
    assert!(
        (&back - &weight).iter().all(|error| error.abs() <= bound),
        "not within {bound}: {back}"
    );
}
