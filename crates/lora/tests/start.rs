//! How an adapter starts, moves, and refuses what makes no sense.

use adapter::{AdamVariant, AdamW, Adapter, Dropout, Group, Ledger, Sgd, Tensors, tensors};
use lora::{Grads, Init, Lora, Scaling};
use ndarray::{Array2, array};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

fn init(shape: [usize; 2], rank: usize, init: Init, seed: u64) -> Lora<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Lora::init(shape, rank, 16.0, Scaling::AlphaOverR, init, &mut rng).unwrap()
}

/// Mean, variance and largest value of many numbers; the sample mean of n squares of variance v scatters by
/// √(κ/n)·v, κ = 4/5 for a uniform law and 2 for a normal one. Five of those is one chance in two million.
#[test]
fn distributions() {
    let (outputs, inputs, rank) = (300, 400, 64);
    let n = |matrix: &Array2<f64>| matrix.len() as f64;
    let moments = |matrix: &Array2<f64>| {
        let mean = matrix.mean().unwrap();
        (mean, matrix.mapv(|value| value * value).mean().unwrap())
    };
    let check = |matrix: &Array2<f64>, variance: f64, kappa: f64| {
        let (mean, square) = moments(matrix);
        assert!(mean.abs() <= 5.0 * (variance / n(matrix)).sqrt(), "mean {mean}");
        let scatter = 5.0 * (kappa / n(matrix)).sqrt() * variance;
        assert!((square - variance).abs() <= scatter, "variance {square}, want {variance}");
    };
    let uniform = init([outputs, inputs], rank, Init::KaimingUniformA5, 1);
    // fan-in is `in`, not r: 1/√r would be 2.5 times too large here.
    check(&uniform.a, 1.0 / (3.0 * inputs as f64), 0.8);
    let bound = 1.0 / (inputs as f64).sqrt();
    assert!(uniform.a.iter().all(|value| value.abs() <= bound));
    assert!(uniform.a.iter().any(|value| value.abs() > 0.999 * bound));
    assert_eq!(uniform.b, Array2::<f64>::zeros((outputs, rank)));

    let gaussian = init([outputs, inputs], rank, Init::Gaussian, 2);
    check(&gaussian.a, 1.0 / (rank * rank) as f64, 2.0);
    assert_eq!(gaussian.b, Array2::<f64>::zeros((outputs, rank)));

    let embedding = init([outputs, inputs], rank, Init::Embedding, 3);
    assert_eq!(embedding.a, Array2::<f64>::zeros((rank, inputs)));
    check(&embedding.b, 1.0, 2.0);
}

#[test]
fn nothing_changes_before_the_first_step() {
    let weight = array![[0.1, -0.7, 1e9], [3.3, 0.0, -1e-9]];
    let x = array![[0.3, 1.7, -2.2], [9.1, -0.4, 5.5]].into_shared();
    for start in [Init::KaimingUniformA5, Init::Gaussian, Init::Embedding] {
        let lora = init([2, 3], 2, start, 4);
        let (y, _) = lora.forward(weight.view(), &x, None).unwrap();
        assert_eq!(y, x.dot(&weight.t()), "{start:?}");
        assert_eq!(lora.delta_weight(), Array2::<f64>::zeros((2, 3)));
    }
}

#[test]
fn scales() {
    assert_eq!(Scaling::AlphaOverR.scale(16.0, 8).unwrap(), 2.0);
    assert_eq!(Scaling::RsLora.scale(16.0, 4).unwrap(), 8.0);
    assert_eq!(Scaling::AlphaOverR.scale(0.0, 3).unwrap(), 0.0);
}

/// With β = (½, ¾) and every |g| = ε a power of two, the first step of torch's AdamW is η/2 in each number, without
/// rounding: m/(1 − β₁) = g, √(v/(1 − β₂)) = |g|, and g/(|g| + ε) = ±½. The weight stays.
#[test]
fn steps_move_a_and_b_and_leave_the_weight() {
    let mut weight = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let a = array![[1.0, -1.0, 2.0]];
    let b = array![[3.0], [5.0]];
    let grads = Grads { a: array![[0.25, -0.25, 0.25]], b: array![[-0.25], [0.25]] };
    let group = Group { lr: 0.5, weight_decay: 0.0 };

    let mut lora = Lora::new(a.clone(), b.clone(), 1.0).unwrap();
    let mut adamw = AdamW::new(group, AdamVariant::Torch);
    (adamw.betas, adamw.eps) = ((0.5, 0.75), 0.25);
    lora.step(&mut weight, &grads, &mut adamw).unwrap();
    assert_eq!(lora.a, array![[0.75, -0.75, 1.75]]);
    assert_eq!(lora.b, array![[3.25], [4.75]]);

    let mut lora = Lora::new(a, b, 1.0).unwrap();
    lora.step(&mut weight, &grads, &mut Sgd { group: Group { weight_decay: 0.5, ..group } })
        .unwrap();
    // p − ½(g + p/2)
    assert_eq!(lora.a, array![[0.625, -0.625, 1.375]]);
    assert_eq!(lora.b, array![[2.375], [3.625]]);
    assert_eq!(weight, array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
}

#[test]
fn counts_and_bytes() {
    let lora = init([30, 20], 4, Init::default(), 1);
    assert_eq!(tensors::count(&lora), 4 * (30 + 20));
    let names: Vec<_> = lora.tensors().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["lora_A", "lora_B"]);
    let x = Array2::<f64>::ones((7, 20)).into_shared();
    let weight = Array2::zeros((30, 20));
    let (_, saved) = lora.forward(weight.view(), &x, None).unwrap();
    assert_eq!(Ledger::of(&saved), 8 * (7 * 20 + 7 * 4));
    let dropout = Dropout::new(Array2::ones((7, 20)), 0.5).unwrap();
    let (_, saved) = lora.forward(weight.view(), &x, Some(&dropout)).unwrap();
    assert_eq!(Ledger::of(&saved), 8 * (7 * 20 + 7 * 4) + 7 * 20);
}

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
    let text = lora.merge(&mut zeros(3, 4)).unwrap_err().to_string();
    assert!(text.contains("weight has shape [3, 4] where [4, 3] is needed"), "{text}");

    let text = Lora::new(zeros(0, 3), zeros(4, 0), 1.0).unwrap_err().to_string();
    assert!(text.contains("rank is 0"), "{text}");
    let text = Lora::new(zeros(2, 3), zeros(4, 1), 1.0).unwrap_err().to_string();
    assert!(text.contains("B has shape [4, 1] where [4, 2] is needed"), "{text}");
    assert!(Lora::new(zeros(2, 3), zeros(4, 2), f64::NAN).is_err());
    assert!(Scaling::AlphaOverR.scale(f64::NAN, 2).is_err());
    assert!(Scaling::RsLora.scale(1.0, 0).is_err());
    assert!(Dropout::new(Array2::ones((1, 1)), 1.0).is_err());
    assert!(Dropout::new(Array2::from_elem((1, 1), 2), 0.5).is_err());
}
