//! A linear layer and its gradient: are the answers right?

use adapter::{Dual, Real};
use exercises::looks::{right, right_number};
use exercises::work::linear::{backward, central, cross_entropy, two_layers};
use ndarray::{Array1, Array2, Axis, array};

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
    // Each is a product that has these shapes. The differences below do not know them.
    let forward = x.dot(&weight.t());
    right(
        "∂L/∂x",
        &grad_x,
        &grad_y.dot(&weight),
        &[("it is y multiplied by W, and not ∂L/∂y", forward.dot(&weight))],
    );
    right(
        "∂L/∂W",
        &grad_weight,
        &grad_y.t().dot(&x),
        &[
            ("it is transposed", x.t().dot(&grad_y)),
            ("y is in the place of ∂L/∂y", forward.t().dot(&x)),
        ],
    );
    right(
        "∂L/∂bias",
        &grad_bias,
        &grad_y.sum_axis(Axis(0)),
        &[
            ("it is a mean over the tokens", grad_y.mean_axis(Axis(0)).unwrap()),
            ("it is summed over the outputs", grad_y.sum_axis(Axis(1))),
        ],
    );
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

#[test]
fn gradients_of_two_layers() {
    let (tokens, inputs, hidden, out) = (4, 3, 5, 2);
    let (first, second) = (integers(hidden, inputs, 2), integers(out, hidden, 6));
    let (x, grad_y) = (integers(tokens, inputs, 4), integers(tokens, out, 9));
    let loss = |first: &Array2<f64>, second: &Array2<f64>| {
        (x.dot(&first.t()).dot(&second.t()) * &grad_y).sum()
    };
    let here = loss(&first, &second);
    // For each number of a matrix, how much the loss grows with it.
    let slopes = |matrix: &Array2<f64>, loss: &dyn Fn(&Array2<f64>) -> f64| {
        Array2::from_shape_fn(matrix.dim(), |place| {
            let mut moved = matrix.clone();
            moved[place] += 1.0;
            loss(&moved) - here
        })
    };
    let want_first = slopes(&first, &|first| loss(first, &second));
    let want_second = slopes(&second, &|second| loss(&first, second));
    let (grad_first, grad_second) =
        two_layers(first.view(), second.view(), x.view(), grad_y.view());
    right("∂L/∂W₁", &grad_first, &want_first, &[("it is transposed", want_first.t().to_owned())]);
    let mistakes = [("it is transposed", want_second.t().to_owned())];
    right("∂L/∂W₂", &grad_second, &want_second, &mistakes);
}

#[test]
fn a_slope_from_two_points() {
    let cube = |p: f64| p * p * p;
    // (p + h)³ − (p − h)³ = 6p²h + 2h³, so that the slope is off by h² exactly.
    let (p, h) = (2.0, 0.5);
    let mistakes = [
        ("it is the forward difference", (cube(p + h) - cube(p)) / h),
        ("it is the backward difference", (cube(p) - cube(p - h)) / h),
        ("it is divided by h and not by 2h", 2.0 * (3.0 * p * p + h * h)),
        ("it is the exact slope", 3.0 * p * p),
    ];
    right_number("the slope", central(&cube, p, h), 3.0 * p * p + h * h, &mistakes);
}

#[test]
fn the_loss_of_a_softmax() {
    let logits = array![0.5, -1.0, 2.0, 0.0];
    let want = |place: usize, right: usize| {
        let dual = |i: usize| Dual::new(logits[i], if i == place { 1.0 } else { 0.0 });
        let sum = (0..4).map(|i| dual(i).exp()).fold(Dual::new(0.0, 0.0), |sum, e| sum + e);
        sum.ln() - dual(right)
    };
    for class in 0..4 {
        let (loss, gradient) = cross_entropy(logits.view(), class);
        right_number(
            "the loss",
            loss,
            want(0, class).value,
            &[
                ("it is p and not −ln p", (-want(0, class).value).exp()),
                ("it is ln p: the sign", -want(0, class).value),
            ],
        );
        let slopes = Array1::from_shape_fn(4, |i| want(i, class).tangent);
        let mut p = slopes.clone();
        p[class] += 1.0;
        let mistakes =
            [("1 is not subtracted for the right class", p), ("the sign is reversed", -&slopes)];
        right("∂L/∂logits", &gradient, &slopes, &mistakes);
    }
    let (loss, gradient) = cross_entropy(array![1000.0, 0.0].view(), 0);
    assert!(loss.is_finite() && gradient.iter().all(|g| g.is_finite()), "large logits overflow");
}
