//! How an adapter starts and moves.

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

/// The whole law, not only its moments. By Dvoretzky–Kiefer–Wolfowitz–Massart a right sample of n numbers strays from its
/// distribution function by more than ε with probability at most 2 exp(−2nε²); ε is set to make that one in a million.
#[test]
fn distribution_functions() {
    let (inputs, rank) = (400, 64);
    let epsilon = |n: usize| (2e6_f64.ln() / (2.0 * n as f64)).sqrt();
    let below = |matrix: &Array2<f64>, value: f64| {
        matrix.iter().filter(|&&number| number <= value).count() as f64 / matrix.len() as f64
    };
    let uniform = init([1, inputs], rank, Init::KaimingUniformA5, 11).a;
    let bound = 1.0 / (inputs as f64).sqrt();
    for i in 1..100 {
        let share = f64::from(i) / 100.0;
        let got = below(&uniform, bound * (2.0 * share - 1.0));
        assert!((got - share).abs() <= epsilon(uniform.len()), "{share}: {got}");
    }
    let gaussian = init([1, inputs], rank, Init::Gaussian, 12).a * rank as f64;
    let embedding = init([400, 1], rank, Init::Embedding, 13).b;
    // The deciles of N(0, 1).
    let deciles = [0.841_621_2, 0.524_400_5, 0.253_347_1, 0.0];
    for sample in [gaussian, embedding] {
        for (i, decile) in deciles.into_iter().enumerate() {
            let share = 0.2 + 0.1 * i as f64;
            for (value, share) in [(-decile, share), (decile, 1.0 - share)] {
                let got = below(&sample, value);
                assert!((got - share).abs() <= epsilon(sample.len()), "{share}: {got}");
            }
        }
        // Tails: a uniform law of the same variance ends at √3 = 1.73.
        assert!(sample.iter().any(|number| number.abs() > 3.0));
    }
}

/// A and B are drawn afresh: another seed, another adapter; the same seed, the same.
#[test]
fn a_seed_decides() {
    for start in [Init::KaimingUniformA5, Init::Gaussian, Init::Embedding] {
        assert_eq!(init([6, 9], 3, start, 5), init([6, 9], 3, start, 5));
        assert_ne!(init([6, 9], 3, start, 5), init([6, 9], 3, start, 6));
    }
}

#[test]
fn nothing_changes_before_the_first_step() {
    let weight = array![[0.1, -0.7, 1e9], [3.3, 0.0, -1e-9]];
    let x = array![[0.3, 1.7, -2.2], [9.1, -0.4, 5.5]].into_shared();
    for start in [Init::KaimingUniformA5, Init::Gaussian, Init::Embedding] {
        let lora = init([2, 3], 2, start, 4);
        for dropout in [None, Some(Dropout::new(Array2::ones((2, 3)), 0.5).unwrap())] {
            let (y, _) = lora.forward(weight.view(), &x, dropout.as_ref()).unwrap();
            let bits = |matrix: &Array2<f64>| matrix.mapv(f64::to_bits);
            assert_eq!(bits(&y), bits(&x.dot(&weight.t())), "{start:?}");
        }
        assert_eq!(lora.delta_weight(weight.view()).unwrap(), Array2::<f64>::zeros((2, 3)));
        let mut merged = weight.clone();
        lora.merge(&mut merged).unwrap();
        assert_eq!(merged, weight);
    }
}

#[test]
fn scales() {
    assert_eq!(Scaling::AlphaOverR.scale(16.0, 8).unwrap(), 2.0);
    assert_eq!(Scaling::RsLora.scale(16.0, 4).unwrap(), 8.0);
    assert_eq!(Scaling::AlphaOverR.scale(0.0, 3).unwrap(), 0.0);
}

/// With β = (½, ¾) and every |g| = ε a power of two, nothing rounds in AdamW's first step. torch's moves by η/2:
/// m/(1 − β₁) = g, √(v/(1 − β₂)) = |g|, and g/(|g| + ε) = ±½. The other's by η/3: its rate is η·½/½, its m/(√v + ε) is
/// (g/2)/(|g|/2 + |g|); with η = ¾ that is ¼. The weight stays.
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

    let group_of_hf = Group { lr: 0.75, weight_decay: 1.0 };
    let mut lora = Lora::new(a.clone(), b.clone(), 1.0).unwrap();
    let mut adamw = AdamW::new(group_of_hf, AdamVariant::Hf);
    (adamw.betas, adamw.eps) = ((0.5, 0.75), 0.25);
    lora.step(&mut weight, &grads, &mut adamw).unwrap();
    // (p ∓ ¼)·(1 − ¾·1): the decay comes last.
    assert_eq!(lora.a, array![[0.1875, -0.1875, 0.4375]]);
    assert_eq!(lora.b, array![[0.8125], [1.1875]]);

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
    assert_eq!(Ledger::of(&lora), 8 * 4 * (30 + 20));
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

/// Gradients are clipped and filled through their names, in the order of the parameters.
#[test]
fn gradients_change_through_their_names() {
    let mut grads = Grads { a: array![[1.0, 2.0]], b: array![[3.0], [4.0]] };
    let names: Vec<_> = grads.tensors_mut().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["lora_A", "lora_B"]);
    grads.tensors_mut().into_iter().for_each(|(_, mut gradient)| gradient *= 10.0);
    assert_eq!(grads, Grads { a: array![[10.0, 20.0]], b: array![[30.0], [40.0]] });
}
