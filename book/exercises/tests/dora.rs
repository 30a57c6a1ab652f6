//! DoRA: are the answers right?

use adapter::Adapter;
use dora::Dora;
use exercises::looks::right;
use exercises::work::dora::{grad_direction, grad_magnitude, merged, norms};
use lora::Lora;
use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const SCALE: f64 = 1.5;

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

/// A layer of shape \[4, 7\] and rank 2, its W, and V = W + s B A.
fn layer(seed: u64) -> (Dora<f64>, Array2<f64>, Array2<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (a, b) = (gaussian(2, 7, &mut rng), gaussian(4, 2, &mut rng));
    let weight = gaussian(4, 7, &mut rng);
    let magnitude = Array1::from_iter(gaussian(1, 4, &mut rng));
    let v = &weight + &(b.dot(&a) * SCALE);
    (Dora::new(Lora::new(a, b, SCALE).unwrap(), magnitude).unwrap(), weight, v)
}

fn lengths(v: &Array2<f64>) -> Array1<f64> {
    v.map_axis(Axis(1), |row| row.dot(&row).sqrt())
}

fn column(vector: &Array1<f64>) -> Array2<f64> {
    vector.clone().insert_axis(Axis(1))
}

#[test]
fn rows_at_their_lengths() {
    let (dora, weight, v) = layer(0);
    let mut want = weight.clone();
    dora.merge(&mut want).unwrap();
    let (delta, m) = (&v - &weight, &dora.magnitude);
    let columns = v.map_axis(Axis(0), |column| column.dot(&column).sqrt());
    let mistakes = [
        ("V is not divided by its length", &v * &column(m)),
        ("it is divided by the length of W's rows", &v / &column(&lengths(&weight)) * column(m)),
        ("the lengths are those of columns", &v / &columns * column(m)),
        ("m is missing", &v / &column(&lengths(&v))),
    ];
    right("W′", &merged(weight.view(), delta.view(), m.view()), &want, &mistakes);
}

#[test]
fn gradient_of_the_lengths() {
    let (dora, weight, v) = layer(1);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (x, grad_y) = (gaussian(5, 7, &mut rng), gaussian(5, 4, &mut rng));
    let (_, saved) = dora.forward(weight.view(), &x.clone().into_shared(), None).unwrap();
    let (_, want) = dora.backward(weight.view(), &saved, grad_y.view()).unwrap();
    let (grad, m) = (grad_y.t().dot(&x), &dora.magnitude);
    let mistakes = [
        ("it is not divided by the length of V", (&v * &grad).sum_axis(Axis(1))),
        ("it is multiplied by m", &want.magnitude * m),
        ("it is a mean over the tokens", &want.magnitude / 5.0),
    ];
    right("∂L/∂m", &grad_magnitude(v.view(), grad.view()), &want.magnitude, &mistakes);
}

/// Against differences of L = Σ grad ⊙ W′, whose error is some 1e-10 here; a missing term is of order 1.
#[test]
fn gradient_of_the_directions() {
    let (dora, _, v) = layer(3);
    let grad = gaussian(4, 7, &mut ChaCha8Rng::seed_from_u64(4));
    let m = &dora.magnitude;
    let loss = |v: &Array2<f64>| (v / &column(&lengths(v)) * column(m) * &grad).sum();
    let got = grad_direction(v.view(), m.view(), grad.view());
    let c = column(&(m / &lengths(&v)));
    let constant = &grad * &c;
    let unit = &v / &column(&lengths(&v));
    let along = column(&(&unit * &grad).sum_axis(Axis(1)));
    let want = (&grad - &(&unit * &along)) * &c;
    let mistakes = [
        ("the norm is taken for a constant", constant),
        ("it is not divided by the length of V", &want * &column(&lengths(&v))),
        ("m is missing", &want / &column(m)),
    ];
    right("∂L/∂V", &got, &want, &mistakes);
    for (place, slope) in got.indexed_iter() {
        let moved = |h: f64| {
            let mut moved = v.clone();
            moved[place] += h;
            loss(&moved)
        };
        let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!(
            (difference - slope).abs() < 1e-7,
            "{place:?}: {slope}, by differences {difference}"
        );
    }
}

#[test]
fn norms_without_a_large_matrix() {
    let (dora, weight, v) = layer(5);
    let (a, b) = (&dora.lora.a, &dora.lora.b);
    let squares = |v: &Array2<f64>| v.map_axis(Axis(1), |row| row.dot(&row));
    let (own, added) = (squares(&weight), squares(&(&v - &weight)));
    let mixed = (weight.dot(&a.t()) * b).sum_axis(Axis(1)) * SCALE;
    let root = |squares: Array1<f64>| squares.mapv(f64::sqrt);
    let mistakes = [
        ("the mixed term is missing", root(&own + &added)),
        ("the mixed term is there once and not twice", root(&own + &mixed + &added)),
        ("it is W's alone", root(own.clone())),
        ("the root is missing", squares(&v)),
    ];
    right("‖V‖", &norms(weight.view(), a.view(), b.view(), SCALE), &lengths(&v), &mistakes);
}
