//! LoRA: are the answers right?

use adapter::Adapter;
use exercises::looks::right;
use exercises::work::lora::{add, backward, beside, extract};
use lora::Lora;
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

#[test]
fn gradients_of_the_crate_lora() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (tokens, inputs, out, rank) = (5, 7, 4, 2);
    let (a, b) = (gaussian(rank, inputs, &mut rng), gaussian(out, rank, &mut rng));
    let (x, grad_y) = (gaussian(tokens, inputs, &mut rng), gaussian(tokens, out, &mut rng));
    let weight = gaussian(out, inputs, &mut rng);
    let lora = Lora::new(a.clone(), b.clone(), 3.0).unwrap();
    let (_, saved) = lora.forward(weight.view(), &x.clone().into_shared(), None).unwrap();
    let (_, want) = lora.backward(weight.view(), &saved, grad_y.view()).unwrap();
    let (grad_a, grad_b) = backward(a.view(), b.view(), 3.0, x.view(), grad_y.view());
    let mistakes = |want: &Array2<f64>| {
        [
            ("s is missing", want / 3.0),
            ("s is there twice", want * 3.0),
            ("it is transposed", want.t().to_owned()),
            ("it is a mean over the tokens", want / tokens as f64),
        ]
    };
    right("∂L/∂A", &grad_a, &want.a, &mistakes(&want.a));
    right("∂L/∂B", &grad_b, &want.b, &mistakes(&want.b));
}

#[test]
fn two_adapters_as_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (a1, b1) = (gaussian(2, 7, &mut rng), gaussian(5, 2, &mut rng));
    let (a2, b2) = (gaussian(3, 7, &mut rng), gaussian(5, 3, &mut rng));
    let want = b1.dot(&a1) * 2.0 + b2.dot(&a2) * 0.5;
    let (a, b) = add((a1.view(), b1.view(), 2.0), (a2.view(), b2.view(), 0.5));
    assert_eq!((a.dim(), b.dim()), ((5, 7), (5, 5)), "the ranks add up");
    let mistakes = [
        ("the scales are missing", b1.dot(&a1) + b2.dot(&a2)),
        ("the scales are in both factors", b1.dot(&a1) * 4.0 + b2.dot(&a2) * 0.25),
    ];
    right("ΔW", &b.dot(&a), &want, &mistakes);
}

#[test]
fn nearest_adapter_of_a_change() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let delta = gaussian(6, 9, &mut rng);
    for rank in 1..=6 {
        let (a, b) = extract(delta.view(), rank);
        assert_eq!((a.dim(), b.dim()), ((rank, 9), (6, rank)));
        let error = (&delta - &b.dot(&a)).mapv(|d| d * d).sum().sqrt();
        let best = rank::svd(delta.view()).unwrap().truncate(rank).unwrap().frobenius_error;
        assert!((error - best).abs() <= 1e-12 * 8.0, "rank {rank}: {error}, best {best}");
    }
}

#[test]
fn adapters_of_queries_and_values_as_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (a1, b1) = (gaussian(2, 7, &mut rng), gaussian(5, 2, &mut rng));
    let (a2, b2) = (gaussian(3, 7, &mut rng), gaussian(4, 3, &mut rng));
    let (a, b) = beside((a1.view(), b1.view(), 2.0), (a2.view(), b2.view(), 0.5));
    assert_eq!((a.dim(), b.dim()), ((5, 7), (9, 5)));
    let below = |first: Array2<f64>, second: Array2<f64>| {
        ndarray::concatenate(ndarray::Axis(0), &[first.view(), second.view()]).unwrap()
    };
    let want = below(b1.dot(&a1) * 2.0, b2.dot(&a2) * 0.5);
    let mistakes = [
        ("the scales are missing", below(b1.dot(&a1), b2.dot(&a2))),
        ("the scales are exchanged", below(b1.dot(&a1) * 0.5, b2.dot(&a2) * 2.0)),
    ];
    right("ΔW", &b.dot(&a), &want, &mistakes);
}
