//! A linear layer and its gradient: are the answers right?

use exercises::work::linear::backward;
use ndarray::{Array1, Array2};

/// Small integers, so that a difference of two losses is exact.
fn integers(rows: usize, columns: usize, seed: i64) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        ((seed + 7 * i as i64 + 5 * j as i64 + (i * j) as i64) % 11 - 5) as f64
    })
}

#[test]
fn gradients_are_differences() {
    let (tokens, inputs, out) = (4, 3, 2);
    let (weight, x) = (integers(out, inputs, 1), integers(tokens, inputs, 4));
    let (bias, grad_y) = (Array1::from(vec![2.0, -3.0]), integers(tokens, out, 9));
    let loss = |weight: &Array2<f64>, x: &Array2<f64>, bias: &Array1<f64>| {
        ((x.dot(&weight.t()) + bias) * &grad_y).sum()
    };
    let here = loss(&weight, &x, &bias);
    let (grad_x, grad_weight, grad_bias) = backward(weight.view(), x.view(), grad_y.view());
    assert_eq!(grad_x.dim(), x.dim());
    assert_eq!(grad_weight.dim(), weight.dim());
    assert_eq!(grad_bias.dim(), bias.dim());
    for (place, gradient) in grad_x.indexed_iter() {
        let mut moved = x.clone();
        moved[place] += 1.0;
        assert_eq!(*gradient, loss(&weight, &moved, &bias) - here, "x at {place:?}");
    }
    for (place, gradient) in grad_weight.indexed_iter() {
        let mut moved = weight.clone();
        moved[place] += 1.0;
        assert_eq!(*gradient, loss(&moved, &x, &bias) - here, "weight at {place:?}");
    }
    for (place, gradient) in grad_bias.indexed_iter() {
        let mut moved = bias.clone();
        moved[place] += 1.0;
        assert_eq!(*gradient, loss(&weight, &x, &moved) - here, "bias at {place:?}");
    }
}
