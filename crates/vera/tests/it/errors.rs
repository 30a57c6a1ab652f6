//! What makes no sense is an error that names the tensor and both shapes, or the parameter and its value; never a panic.

use std::sync::Arc;

use adapter::{Adapter, Dropout, Group, Sgd};
use ndarray::{Array1, Array2, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use vera::{Grads, Init, Pool, Projections, Sharing, Vera};

fn make(shape: [usize; 2]) -> adapter::Result<Projections<f64>> {
    Projections::init(2, shape, Init::default(), &mut ChaCha8Rng::seed_from_u64(4))
}

fn zeros(rows: usize, columns: usize) -> Array2<f64> {
    Array2::zeros((rows, columns))
}

#[test]
fn projections_too_small_for_a_layer_are_refused() {
    let small = Arc::new(make([4, 5]).unwrap());
    for shape @ [out, inputs] in [[4, 6], [5, 5]] {
        let text = Vera::init(shape, 0.1, small.clone()).unwrap_err().to_string();
        let wanted = ["A [2, 5]", "B [4, 2]", &format!("[{out}, {inputs}]")];
        assert!(wanted.iter().all(|part| text.contains(part)), "{text}");
    }
    // A vector that grew after the adapter was made.
    let mut vera = Vera::init([4, 5], 0.1, small).unwrap();
    vera.lambda_b = Array1::zeros(6);
    let x = zeros(1, 5).into_shared();
    let text = vera.forward(zeros(6, 5).view(), &x, None).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("B [4, 2]") && text.contains("[6, 5]"), "{text}");
    vera.lambda_b = Array1::zeros(4);
    vera.lambda_d = Array1::zeros(3);
    let text = vera.forward(zeros(4, 5).view(), &x, None).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("lambda_d has shape [3] where [2] is needed"), "{text}");
    let text = vera.merge(&mut zeros(4, 5)).unwrap_err().to_string();
    assert!(text.contains("lambda_d has shape [3] where [2] is needed"), "{text}");
    vera.lambda_d = Array1::zeros(2);
    let text = vera.merge(&mut zeros(5, 4)).unwrap_err().to_string();
    assert!(text.contains("weight has shape [5, 4] where [4, 5] is needed"), "{text}");
}

#[test]
fn errors_name_the_tensor_and_both_shapes() {
    let projections = Arc::new(make([6, 7]).unwrap());
    let vera = Vera::init([4, 5], 0.1, projections.clone()).unwrap();
    let forward = |weight: Array2<f64>, x: Array2<f64>, dropout| {
        let x = x.into_shared();
        vera.forward(weight.view(), &x, dropout).map(|_| ()).unwrap_err().to_string()
    };
    for shape @ [out, inputs] in [[4, 6], [3, 5]] {
        let text = forward(zeros(out, inputs), zeros(1, 5), None);
        assert!(text.contains(&format!("weight has shape {shape:?} where [4, 5]")), "{text}");
    }
    let text = forward(zeros(4, 5), zeros(1, 7), None);
    assert!(text.contains("x has shape [1, 7] where [1, 5] is needed"), "{text}");
    let mask = Dropout::new(Array2::ones((2, 5)), 0.5).unwrap();
    let text = forward(zeros(4, 5), zeros(1, 5), Some(&mask));
    assert!(text.contains("x has shape [1, 5] where [2, 5] is needed"), "{text}");

    let (_, saved) = vera.forward(zeros(4, 5).view(), &zeros(1, 5).into_shared(), None).unwrap();
    let text = vera.backward(zeros(4, 5).view(), &saved, zeros(1, 6).view());
    let text = text.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("grad_y has shape [1, 6] where [1, 4] is needed"), "{text}");
    let text = Vera::new(Array1::zeros(4), array![1.0], 5, projections).unwrap_err().to_string();
    assert!(text.contains("lambda_d has shape [1] where [2] is needed"), "{text}");
    let text = Projections::new(zeros(2, 5), zeros(4, 3)).unwrap_err().to_string();
    assert!(text.contains("B has shape [4, 3] where [4, 2] is needed"), "{text}");

    // Gradients of another adapter: nothing moves, the vector with its fitting gradient neither.
    let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
    for (b, d, says) in [
        (3, 2, "vera_lambda_b has shape [3] where [4] is needed"),
        (4, 1, "vera_lambda_d has shape [1] where [2] is needed"),
    ] {
        let grads = Grads { lambda_b: Array1::ones(b), lambda_d: Array1::ones(d) };
        let mut stepped = vera.clone();
        let text = stepped.step(&mut zeros(4, 5), &grads, &mut sgd).unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
        assert_eq!(stepped, vera);
    }
}

#[test]
fn errors_name_the_parameter_and_its_value() {
    let projections = Arc::new(make([4, 5]).unwrap());
    for bad in [f64::NAN, f64::INFINITY] {
        let text = Vera::init([4, 5], bad, projections.clone()).unwrap_err().to_string();
        assert!(text.contains("d_init is "), "{text}");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for text in [
        Projections::<f64>::init(0, [4, 5], Init::default(), &mut rng).unwrap_err().to_string(),
        Projections::<f64>::peft(0, 0, [4, 5]).unwrap_err().to_string(),
        Projections::new(zeros(0, 5), zeros(4, 0)).unwrap_err().to_string(),
    ] {
        assert!(text.contains("rank is 0"), "{text}");
    }
    for (low, high) in [(1.0, f64::INFINITY), (1.0, 0.0), (f64::NAN, 1.0)] {
        let law = Init::Uniform { low, high };
        let text = Projections::<f64>::init(2, [4, 5], law, &mut rng).unwrap_err().to_string();
        assert!(text.contains(&format!("uniform is [{low}, {high}]")), "{text}");
    }
    let text = Pool::<f64>::new([], Sharing::MaxSlice, make).unwrap_err().to_string();
    assert!(text.contains("layers is none"), "{text}");
    let pool = Pool::new([[4, 5]], Sharing::PerShape, make).unwrap();
    let text = pool.get([5, 5]).unwrap_err().to_string();
    assert!(text.contains("[5, 5]") && text.contains("[4, 5]"), "{text}");
}

/// No input, no output, no token: shapes that training never needs, and that must not panic.
#[test]
fn empty_layers() {
    for shape @ [outputs, inputs] in [[0, 3], [3, 0], [0, 0]] {
        for projections in [make(shape).unwrap(), Projections::peft(0, 2, shape).unwrap()] {
            let vera = Vera::init(shape, 0.1, Arc::new(projections)).unwrap();
            let (weight, x) = (zeros(outputs, inputs), zeros(0, inputs).into_shared());
            let (y, saved) = vera.forward(weight.view(), &x, None).unwrap();
            let (grad_x, grads) = vera.backward(weight.view(), &saved, y.view()).unwrap();
            assert_eq!((y.dim(), grad_x.dim()), ((0, outputs), (0, inputs)));
            assert_eq!((grads.lambda_b.len(), grads.lambda_d.len()), (outputs, 2));
            assert_eq!(vera.delta_weight(weight.view()).unwrap().dim(), (outputs, inputs));
        }
    }
}
