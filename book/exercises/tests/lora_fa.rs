//! LoRA-FA: are the answers right?

use adapter::{Adapter, Ledger};
use exercises::looks::{right, right_counts};
use exercises::work::lora_fa::{backward, kept, project, reachable};
use lora::Lora;
use lora_fa::{LoraFa, Variant};
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

#[test]
fn gradients_of_the_crate_lora_fa() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (tokens, inputs, out, rank) = (5, 7, 4, 2);
    let (a, b) = (gaussian(rank, inputs, &mut rng), gaussian(out, rank, &mut rng));
    let (x, grad_y) = (gaussian(tokens, inputs, &mut rng), gaussian(tokens, out, &mut rng));
    // With W = 0 the adapter's part of ∂L/∂x is all of it.
    let weight = Array2::zeros((out, inputs));
    let lora_fa = LoraFa::new(a.clone(), b.clone(), 3.0, Variant::Plain).unwrap();
    let (_, saved) = lora_fa.forward(weight.view(), &x.clone().into_shared(), None).unwrap();
    let (want_x, want) = lora_fa.backward(weight.view(), &saved, grad_y.view()).unwrap();
    let h = x.dot(&a.t());
    let (grad_b, grad_x) = backward(a.view(), b.view(), 3.0, h.view(), grad_y.view());
    let mistakes = |want: &Array2<f64>| {
        [
            ("s is missing", want / 3.0),
            ("s is there twice", want * 3.0),
            ("it is transposed", want.t().to_owned()),
        ]
    };
    right("∂L/∂B", &grad_b, &want.b, &mistakes(&want.b));
    right("∂L/∂x", &grad_x, &want_x, &mistakes(&want_x));
}

/// The rows of A are orthogonal here, so that the projection of g is known without solving: Σᵢ g aᵢᵀ aᵢ/‖aᵢ‖².
#[test]
fn the_nearest_step() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let basis = rank::svd(gaussian(3, 8, &mut rng).view()).unwrap().vt; // [3, 8], orthonormal rows
    let lengths = ndarray::array![[0.5], [2.0], [3.0]];
    let (a, g, s) = (&basis * &lengths, gaussian(5, 8, &mut rng), 0.7);
    let grad_b = g.dot(&a.t()) * s;
    let step = project(a.view(), s, grad_b.view()).dot(&a) * s;
    let want = g.dot(&basis.t()).dot(&basis);
    let mistakes = [
        ("1/s is there once and not twice", &want * s),
        ("1/s² is missing", &want * (s * s)),
        ("it is the plain gradient: (A Aᵀ)⁻¹ is missing", g.dot(&a.t()).dot(&a)),
    ];
    right("s ĝ A", &step, &want, &mistakes);
}

#[test]
fn numbers_kept() {
    for (tokens, inputs, rank, layers) in [(10, 64, 8, 1), (10, 64, 8, 3), (3, 5, 2, 2)] {
        let x = Array2::<f64>::zeros((tokens, inputs)).into_shared();
        let (weight, a) = (Array2::zeros((4, inputs)), Array2::zeros((rank, inputs)));
        let b = Array2::zeros((4, rank));
        let lora = Lora::new(a.clone(), b.clone(), 1.0).unwrap();
        let lora_fa = LoraFa::new(a, b, 1.0, Variant::Plain).unwrap();
        let loras: Vec<_> =
            (0..layers).map(|_| lora.forward(weight.view(), &x, None).unwrap().1).collect();
        let own: Vec<_> =
            (0..layers).map(|_| lora_fa.forward(weight.view(), &x, None).unwrap().1).collect();
        let want = [Ledger::of(&loras[..]) / 8, Ledger::of(&own[..]) / 8];
        let (x, h) = (tokens * inputs, tokens * rank);
        let mistakes = [
            ("x is counted for each adapter", [layers * (x + h), layers * h]),
            ("h is counted once for all adapters", [x + h, h]),
            ("h is missing", [x, 0]),
        ];
        right_counts("[LoRA, LoRA-FA]", kept(tokens, inputs, rank, layers), want, &mistakes);
    }
}

/// An A with orthogonal rows again, so that the projection is known without solving.
#[test]
fn what_a_frozen_a_can_learn() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let basis = rank::svd(gaussian(3, 8, &mut rng).view()).unwrap().vt; // [3, 8], orthonormal rows
    let a = &basis * &ndarray::array![[0.5], [2.0], [3.0]];
    let change = gaussian(5, 8, &mut rng);
    let want = change.dot(&basis.t()).dot(&basis);
    let mistakes = [
        ("(A Aᵀ)⁻¹ is missing", change.dot(&a.t()).dot(&a)),
        ("it is the part that cannot be learned", &change - &want),
    ];
    right("C P", &reachable(change.view(), a.view()), &want, &mistakes);
    // What lies in the rows of A already is all learned.
    let inside = gaussian(5, 3, &mut rng).dot(&a);
    right("C P", &reachable(inside.view(), a.view()), &inside, &[]);
}
