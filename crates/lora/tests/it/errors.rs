//! What makes no sense is an error that names the tensor and both shapes, or the parameter and its value; never a panic.

use adapter::{Adapter, Dropout, Group, Sgd};
use lora::{Grads, Init, Lora, Scaling};
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[test]
fn errors_name_the_tensor_and_both_shapes() {
    let zeros = |rows, columns| Array2::<f64>::zeros((rows, columns));
    let lora = Lora::new(zeros(2, 3), zeros(4, 2), 1.0).unwrap();
    let x = zeros(5, 3).into_shared();
    let weight = zeros(4, 3);
    let forward = |weight: Array2<f64>, x: &ndarray::ArcArray2<f64>, dropout| {
        lora.forward(weight.view(), x, dropout).map(|_| ()).unwrap_err().to_string()
    };
    let text = forward(zeros(4, 6), &x, None);
    assert!(text.contains("A has shape [2, 3] where [2, 6] is needed"), "{text}");
    let text = forward(zeros(7, 3), &x, None);
    assert!(text.contains("B has shape [4, 2] where [7, 2] is needed"), "{text}");
    let text = forward(weight.clone(), &zeros(5, 4).into_shared(), None);
    assert!(text.contains("x has shape [5, 4] where [5, 3] is needed"), "{text}");
    let mask = Dropout::new(Array2::ones((5, 2)), 0.5).unwrap();
    let text = forward(weight.clone(), &x, Some(&mask));
    assert!(text.contains("x has shape [5, 3] where [5, 2] is needed"), "{text}");

    let (_, saved) = lora.forward(weight.view(), &x, None).unwrap();
    let text = lora.backward(weight.view(), &saved, zeros(5, 3).view()).unwrap_err().to_string();
    assert!(text.contains("grad_y has shape [5, 3] where [5, 4] is needed"), "{text}");
    // What another layer kept.
    let wider = Lora::new(zeros(2, 6), zeros(4, 2), 1.0).unwrap();
    let result = wider.backward(zeros(4, 6).view(), &saved, zeros(5, 4).view());
    let text = result.unwrap_err().to_string();
    assert!(text.contains("x has shape [5, 3] where [5, 6] is needed"), "{text}");
    let text = lora.merge(&mut zeros(3, 4)).unwrap_err().to_string();
    assert!(text.contains("weight has shape [3, 4] where [4, 3] is needed"), "{text}");

    let text = Lora::new(zeros(0, 3), zeros(4, 0), 1.0).unwrap_err().to_string();
    assert!(text.contains("rank is 0"), "{text}");
    let text = Lora::new(zeros(2, 3), zeros(4, 1), 1.0).unwrap_err().to_string();
    assert!(text.contains("B has shape [4, 1] where [4, 2] is needed"), "{text}");
    let text = lora.unmerge(&mut zeros(3, 4)).unwrap_err().to_string();
    assert!(text.contains("weight has shape [3, 4] where [4, 3] is needed"), "{text}");

    // Gradients of another adapter: nothing moves, A with its fitting gradient neither.
    let grads = Grads { a: Array2::ones((2, 3)), b: zeros(4, 1) };
    let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
    let mut stepped = lora.clone();
    let text = stepped.step(&mut zeros(4, 3), &grads, &mut sgd).unwrap_err().to_string();
    assert!(text.contains("lora_B has shape [4, 1] where [4, 2] is needed"), "{text}");
    assert_eq!(stepped, lora);
}

#[test]
fn errors_name_the_parameter_and_its_value() {
    let zeros = |rows, columns| Array2::<f64>::zeros((rows, columns));
    for bad in [f64::NAN, f64::INFINITY] {
        let text = Lora::new(zeros(2, 3), zeros(4, 2), bad).unwrap_err().to_string();
        assert!(text.contains("scale is "), "{text}");
        for scaling in [Scaling::AlphaOverR, Scaling::RsLora] {
            let text = scaling.scale(bad, 2).unwrap_err().to_string();
            assert!(text.contains("alpha is "), "{text}");
            let text = scaling.scale(1.0, 0).unwrap_err().to_string();
            assert!(text.contains("rank is 0"), "{text}");
        }
    }
    let fresh = |rank, alpha| {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let scaling = Scaling::AlphaOverR;
        Lora::<f32>::init([4, 3], rank, alpha, scaling, Init::default(), &mut rng)
    };
    assert!(fresh(0, 1.0).unwrap_err().to_string().contains("rank is 0"));
    assert!(fresh(2, f64::NAN).unwrap_err().to_string().contains("alpha is NaN"));
    // Finite as f64, infinite as f32.
    assert!(fresh(2, 1e300).unwrap_err().to_string().contains("scale is inf"));
}

/// No input, no output, no token: shapes that training never needs, and that must not panic.
#[test]
fn empty_layers() {
    for shape @ [outputs, inputs] in [[0, 3], [3, 0], [0, 0]] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (scaling, init) = (Scaling::default(), Init::default());
        let lora = Lora::<f64>::init(shape, 2, 1.0, scaling, init, &mut rng).unwrap();
        let weight = Array2::zeros((outputs, inputs));
        let x = Array2::zeros((0, inputs)).into_shared();
        let (y, saved) = lora.forward(weight.view(), &x, None).unwrap();
        let (grad_x, grads) = lora.backward(weight.view(), &saved, y.view()).unwrap();
        assert_eq!((y.dim(), grad_x.dim()), ((0, outputs), (0, inputs)));
        assert_eq!((grads.a.dim(), grads.b.dim()), ((2, inputs), (outputs, 2)));
        assert_eq!(lora.delta_weight(weight.view()).unwrap().dim(), (outputs, inputs));
    }
}

/// A and B are public, so their rank can be changed after they were checked: an error, and not a panic.
#[test]
fn a_rank_changed_in_a_public_field_is_refused() {
    let weight = Array2::<f64>::zeros((4, 3));
    let x = Array2::ones((5, 3)).into_shared();
    let mut lora = Lora::new(Array2::zeros((2, 3)), Array2::zeros((4, 2)), 1.0).unwrap();
    let (y, saved) = lora.forward(weight.view(), &x, None).unwrap();
    lora.a = Array2::zeros((1, 3));
    let mut merged = weight.clone();
    for refused in [
        lora.forward(weight.view(), &x, None).map(drop),
        lora.backward(weight.view(), &saved, y.view()).map(drop),
        lora.delta_weight(weight.view()).map(drop),
        lora.merge(&mut merged),
        lora.unmerge(&mut merged),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("B has shape [4, 2] where [4, 1] is needed"), "{text}");
    }
    // Of both at once the forward pass of another rank is refused too.
    lora.b = Array2::zeros((4, 1));
    let text = lora.backward(weight.view(), &saved, y.view()).map(drop).unwrap_err().to_string();
    assert!(text.contains("h has shape [5, 2] where [5, 1] is needed"), "{text}");
}
