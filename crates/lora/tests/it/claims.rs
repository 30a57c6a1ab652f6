//! The paper's first step and its section 7 (arXiv 2106.09685), as tests; `examples/anatomy.rs` prints the same numbers.

use adapter::{Adapter, Group, Sgd};
use lora::Lora;
use ndarray::{Array2, array, s};
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::StandardNormal;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rank::subspace::{principal_angles, similarity};

fn orthonormal(m: usize, n: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let gaussian = Array2::<f64>::random_using((m, n), StandardNormal, rng);
    rank::svd(gaussian.view()).unwrap().u
}

/// While B = 0 only B has a gradient, s g Aᵀ with g = (∂L/∂y)ᵀ x, and a step of SGD makes ΔW = −η s² g AᵀA. Integers and
/// powers of two: `==`.
#[test]
fn the_first_step() {
    let a = array![[1.0, -2.0, 3.0, 0.0], [2.0, 1.0, -1.0, 4.0]];
    let mut weight = array![[5.0, 1.0, 0.0, -2.0], [3.0, 3.0, 1.0, 2.0], [-1.0, 0.0, 4.0, 1.0]];
    let kept = weight.clone();
    let x = array![[1.0, 2.0, 0.0, -1.0], [3.0, -1.0, 2.0, 1.0]].into_shared();
    let grad_y = array![[2.0, -1.0, 3.0], [0.0, 4.0, 1.0]];
    let (s, lr) = (1.5, 0.25);
    let mut lora = Lora::new(a.clone(), Array2::zeros((3, 2)), s).unwrap();

    let (y, saved) = lora.forward(weight.view(), &x, None).unwrap();
    assert_eq!(y, x.dot(&weight.t()));
    let (_, grads) = lora.backward(weight.view(), &saved, grad_y.view()).unwrap();
    let g = grad_y.t().dot(&x);
    assert_eq!(grads.a, Array2::<f64>::zeros((2, 4)));
    assert_eq!(grads.b, g.dot(&a.t()) * s);

    lora.step(&mut weight, &grads, &mut Sgd { group: Group { lr, weight_decay: 0.0 } }).unwrap();
    let delta = lora.delta_weight(weight.view()).unwrap();
    assert_eq!(delta, g.dot(&a.t()).dot(&a) * (-lr * s * s));
    assert_eq!(lora.a, a);
    assert_eq!(weight, kept);
}

/// φ = 1 − d²/p with the projection distance d² = p − Σcos². The appendix prints (1 − d²)/p, which is negative here, and
/// φ cannot be.
#[test]
fn the_appendix_has_a_misplaced_bracket() {
    let p = 4;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (u, v) = (orthonormal(16, p, &mut rng), orthonormal(16, p, &mut rng));
    let phi = similarity(u.view(), v.view()).unwrap();
    let cosines = principal_angles(u.view(), v.view()).unwrap().mapv(f64::cos);
    let distance_squared = p as f64 - cosines.mapv(|cos| cos * cos).sum();
    // Two decompositions of 16 × 4 matrices, some hundreds of roundings deep.
    assert!((phi - (1.0 - distance_squared / p as f64)).abs() <= 1e-13);
    assert!((1.0 - distance_squared) / (p as f64) < 0.0 && (0.0..=1.0).contains(&phi));
}

/// E φ = max(i, j)/D for random subspaces: the mean of 300 within five standard errors, one chance in two million.
#[test]
fn random_subspaces_overlap() {
    let (dimension, runs) = (32, 300);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for (i, j) in [(1, 1), (2, 6), (6, 2), (5, 5)] {
        let phi = ndarray::Array1::from_shape_simple_fn(runs, || {
            let (u, v) = (orthonormal(dimension, i, &mut rng), orthonormal(dimension, j, &mut rng));
            similarity(u.view(), v.view()).unwrap()
        });
        let expected = i.max(j) as f64 / dimension as f64;
        let error = phi.std(1.0) / (runs as f64).sqrt();
        let mean = phi.mean().unwrap();
        assert!(
            (mean - expected).abs() <= 5.0 * error,
            "{i}, {j}: {mean} ± {error}, not {expected}"
        );
    }
}

/// ‖ΔW‖_F/‖UᵀWV‖_F, where U and V are ΔW's singular vectors. When they are also W's, the factor is ‖ΔW‖_F over the norm of
/// W's own singular values there. Table 7's numbers give 21.6, where the text has 21.5.
#[test]
fn amplification() {
    let (size, rank) = (12, 3);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (u, v) = (orthonormal(size, size, &mut rng), orthonormal(size, size, &mut rng));
    let sigma = ndarray::Array1::from_iter((0..size).map(|i| 2f64.powi(-(i as i32))));
    let weight = (&u * &sigma).dot(&v.t());
    for from in [0, size - rank] {
        let range = s![.., from..from + rank];
        let delta = u.slice(range).dot(&v.slice(range).t());
        let found = rank::svd(delta.view()).unwrap();
        let (left, right) = (found.u.slice(s![.., ..rank]), found.vt.slice(s![..rank, ..]));
        let norm = |matrix: &Array2<f64>| matrix.iter().map(|x| x * x).sum::<f64>().sqrt();
        let factor = norm(&delta) / norm(&left.t().dot(&weight).dot(&right.t()));
        let there = sigma.slice(s![from..from + rank]);
        let expected = 3f64.sqrt() / there.mapv(|x| x * x).sum().sqrt();
        // Orthonormal up to about 1e-15, and W's smallest singular values are 2⁻¹¹ of its largest.
        assert!((factor / expected - 1.0).abs() <= 1e-11, "{factor} {expected}");
    }
    assert_eq!(format!("{:.1} {:.2}", 6.91 / 0.32, 3.57 / 1.90), "21.6 1.88");
}
