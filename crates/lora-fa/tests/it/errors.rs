//! What makes no sense is an error that names the tensor and both shapes, or the parameter and its value; never a panic.

use adapter::{Adapter, Dropout, Group, Sgd, Tensors};
use lora::{Init, Scaling};
use lora_fa::{Cholesky, Grads, LoraFa, Variant};
use ndarray::{Array2, Axis, array, concatenate};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn zeros(rows: usize, columns: usize) -> Array2<f64> {
    Array2::zeros((rows, columns))
}

#[test]
fn errors_name_the_tensor_and_both_shapes() {
    let adapter = LoraFa::new(zeros(2, 3), zeros(4, 2), 1.0, Variant::Plain).unwrap();
    let x = zeros(5, 3).into_shared();
    let forward = |weight: Array2<f64>, x: &ndarray::ArcArray2<f64>, dropout| {
        adapter.forward(weight.view(), x, dropout).map(|_| ()).unwrap_err().to_string()
    };
    let text = forward(zeros(4, 6), &x, None);
    assert!(text.contains("A has shape [2, 3] where [2, 6] is needed"), "{text}");
    let text = forward(zeros(7, 3), &x, None);
    assert!(text.contains("B has shape [4, 2] where [7, 2] is needed"), "{text}");
    let text = forward(zeros(4, 3), &zeros(5, 4).into_shared(), None);
    assert!(text.contains("x has shape [5, 4] where [5, 3] is needed"), "{text}");
    let mask = Dropout::new(Array2::ones((5, 2)), 0.5).unwrap();
    let text = forward(zeros(4, 3), &x, Some(&mask));
    assert!(text.contains("x has shape [5, 3] where [5, 2] is needed"), "{text}");

    let weight = zeros(4, 3);
    let (_, saved) = adapter.forward(weight.view(), &x, None).unwrap();
    let text = adapter.backward(weight.view(), &saved, zeros(5, 3).view()).unwrap_err().to_string();
    assert!(text.contains("grad_y has shape [5, 3] where [5, 4] is needed"), "{text}");
    let text = LoraFa::new(zeros(2, 3), zeros(4, 1), 1.0, Variant::Plain).unwrap_err().to_string();
    assert!(text.contains("B has shape [4, 1] where [4, 2] is needed"), "{text}");

    let a = array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    let text = Cholesky::of_gram(a.view()).unwrap().solve(zeros(4, 3)).unwrap_err().to_string();
    assert!(text.contains("G has shape [4, 3] where [4, 2] is needed"), "{text}");
    let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
    for variant in [Variant::Plain, Variant::Projected] {
        let mut adapter = LoraFa::new(a.clone(), zeros(4, 2), 1.0, variant).unwrap();
        let before = adapter.clone();
        let grads = Grads { b: Array2::ones((4, 1)) };
        let text = adapter.step(&mut zeros(4, 3), &grads, &mut sgd).unwrap_err().to_string();
        assert!(text.contains("lora_B has shape [4, 1] where [4, 2] is needed"), "{text}");
        assert_eq!(adapter, before);
    }
}

#[test]
fn errors_name_the_parameter_and_its_value() {
    let new = |scale, variant| {
        let a = array![[1.0, 0.0]];
        LoraFa::new(a, array![[1.0]], scale, variant).unwrap_err().to_string()
    };
    assert!(new(f64::NAN, Variant::Plain).contains("scale is NaN"));
    assert!(new(f64::INFINITY, Variant::Plain).contains("scale is inf"));
    assert!(new(0.0, Variant::Projected).contains("scale is 0"));
    let text = LoraFa::new(zeros(0, 3), zeros(4, 0), 1.0, Variant::Plain).unwrap_err().to_string();
    assert!(text.contains("rank is 0"), "{text}");
}

#[test]
fn a_of_deficient_rank_is_refused() {
    let error = |a: Array2<f64>| {
        let b = zeros(2, a.nrows());
        LoraFa::new(a, b, 1.0, Variant::Projected).unwrap_err().to_string()
    };
    // The third row is the sum of the others, to rounding; more rows than columns; a zero row.
    let sum = error(array![[1.0, 2.0, 3.0, 4.0], [0.1, 0.7, 0.2, 0.9], [1.1, 2.7, 3.2, 4.9]]);
    assert!(sum.contains("A is [3, 4]"), "{sum}");
    assert!(sum.contains("row 2 is zero or a combination of those before it"), "{sum}");
    let tall = error(array![[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]);
    assert!(tall.contains("A is [3, 2]") && tall.contains("3 rows of length 2"), "{tall}");
    assert!(error(zeros(1, 3)).contains("row 0 is zero, so"));
    for bad in [f64::NAN, f64::INFINITY, 1e200] {
        let text = error(array![[1.0, 0.0], [0.0, bad]]);
        assert!(text.contains("A Aᵀ is not finite"), "{text}");
    }
    // A pivot is a square: a row 1e-4 away from a multiple of another leaves about 1e-8, which is rounding in f32.
    let row = array![0.3_f32, 1.7, -2.9, 0.11, 5.3];
    let mut a = ndarray::stack![Axis(0), row, &row / 3.0];
    a[[1, 0]] += 1e-4;
    let b = Array2::<f32>::zeros((2, 2));
    let narrow = LoraFa::new(a.clone(), b.clone(), 1.0, Variant::Projected);
    assert!(narrow.unwrap_err().to_string().contains("row 1"));
    // The same numbers in f64 are independent; and the plain variant needs no independence.
    assert!(Cholesky::of_gram(a.mapv(f64::from).view()).is_ok());
    assert!(LoraFa::new(a, b, 1.0, Variant::Plain).is_ok());
}

/// Where a pivot stops being told from rounding: 2 (in + r) u of the row's square, 18 · 2⁻⁵² for r = 2 and in = 16. With
/// rows e₁ and e₁ + δ e₂ the pivot is δ², and nothing rounds: the square is 1 + δ².
#[test]
fn a_pivot_at_the_noise() {
    let accepted = |pivot: f64| {
        let mut a = zeros(2, 16);
        (a[[0, 0]], a[[1, 0]], a[[1, 1]]) = (1.0, 1.0, (pivot * f64::EPSILON).sqrt());
        Cholesky::of_gram(a.view()).is_ok()
    };
    assert_eq!([4.0, 9.0, 16.0, 25.0, 36.0].map(accepted), [false, false, false, true, true]);
}

/// Each entry of L is rounded once from its sum. Of A = \[1 1\] it is √2, and z = (1/√2)/√2.
#[test]
fn the_root_of_a_pivot_is_rounded_once() {
    let root = 2_f64.sqrt();
    let solved = Cholesky::of_gram(array![[1.0, 1.0]].view()).unwrap().solve(array![[1.0]]);
    assert_eq!(solved.unwrap(), array![[1.0 / root / root]]);
    // What a second division would leave is another number.
    assert_ne!(2.0 / root, root);
}

#[test]
fn gradients_change_through_their_names() {
    let mut grads = Grads { b: array![[1.0], [2.0]] };
    assert_eq!(
        grads.tensors_mut().into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["lora_B"]
    );
    grads.tensors_mut().into_iter().for_each(|(_, mut gradient)| gradient *= 10.0);
    assert_eq!(grads, Grads { b: array![[10.0], [20.0]] });
}

/// Of a row that is a combination of others, rounding leaves a pivot that is as often above zero as below.
#[test]
fn rounding_does_not_hide_a_dependent_row() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut above, runs) = (0, 100);
    for run in 0..runs {
        let inputs = 4 + run % 40;
        let rows = Array2::<f64>::random_using((2, inputs), StandardNormal, &mut rng);
        let mix = Array2::<f64>::random_using((1, 2), StandardNormal, &mut rng);
        let a = concatenate![Axis(0), rows, mix.dot(&rows)];
        assert!(Cholesky::of_gram(a.view()).is_err(), "in {inputs}");
        assert!(Cholesky::of_gram(a.mapv(|v| v as f32).view()).is_err(), "in {inputs}, f32");
        // The last pivot, by elimination.
        let gram = a.dot(&a.t());
        let factor = gram[[1, 0]] / gram[[0, 0]];
        let eliminated = &gram.row(1) - &(&gram.row(0) * factor);
        let pivot = gram[[2, 2]]
            - gram[[2, 0]] * gram[[2, 0]] / gram[[0, 0]]
            - eliminated[2] * eliminated[2] / eliminated[1];
        above += usize::from(pivot > 0.0);
    }
    assert!(above > runs / 4, "{above}: this proves little");
}

/// Frozen at 0, A would keep ΔW at 0 for ever.
#[test]
fn an_init_without_a_is_refused() {
    let fresh = |rank, init, variant| {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        LoraFa::<f64>::init([4, 3], rank, 6.0, Scaling::AlphaOverR, init, variant, &mut rng)
    };
    for variant in [Variant::Plain, Variant::Projected] {
        for init in [Init::KaimingUniformB, Init::Embedding] {
            let text = fresh(2, init, variant).unwrap_err().to_string();
            assert!(text.contains(&format!("init is {init:?}")), "{text}");
        }
        for init in [Init::KaimingUniformA5, Init::Gaussian] {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let scaling = Scaling::AlphaOverR;
            let lora = lora::Lora::<f64>::init([4, 3], 2, 6.0, scaling, init, &mut rng).unwrap();
            let adapter = fresh(2, init, variant).unwrap();
            assert_eq!((adapter.lora(), lora.scale), (&lora, 3.0));
        }
        assert!(fresh(0, Init::default(), variant).unwrap_err().to_string().contains("rank is 0"));
    }
    let text = fresh(4, Init::default(), Variant::Projected).unwrap_err().to_string();
    assert!(text.contains("4 rows of length 3"), "{text}");
}

/// No input, no output, no token: shapes that training never needs, and that must not panic.
#[test]
fn empty_layers() {
    for [outputs, inputs] in [[0, 3], [3, 0], [0, 0]] {
        let (a, b) = (zeros(2, inputs), zeros(outputs, 2));
        let adapter = LoraFa::new(a, b, 1.0, Variant::Plain).unwrap();
        let (weight, x) = (zeros(outputs, inputs), zeros(0, inputs).into_shared());
        let (y, saved) = adapter.forward(weight.view(), &x, None).unwrap();
        let (grad_x, grads) = adapter.backward(weight.view(), &saved, y.view()).unwrap();
        assert_eq!((y.dim(), grad_x.dim()), ((0, outputs), (0, inputs)));
        assert_eq!(grads.b.dim(), (outputs, 2));
        assert_eq!(adapter.delta_weight(weight.view()).unwrap().dim(), (outputs, inputs));
    }
    let a = array![[1.0, 2.0]];
    assert!(LoraFa::new(a, zeros(0, 1), 1.0, Variant::Projected).is_ok());
}
