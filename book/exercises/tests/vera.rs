//! VeRA: are the answers right?

use std::sync::Arc;

use adapter::{Adapter, Ledger, tensors};
use approx::assert_relative_eq;
use exercises::looks::{right, right_counts};
use exercises::work::vera::{as_lora, backward, delta, numbers};
use lora::Lora;
use ndarray::{Array1, Array2, ArrayView1, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use vera::{Init, Pool, Projections, Sharing, Vera};

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

/// A layer of shape \[4, 7\] and rank 3 that uses part of its projections.
fn layer(rng: &mut ChaCha8Rng) -> Vera<f64> {
    let projections = Projections::init(3, [6, 9], Init::default(), rng).unwrap();
    let mut vector = |length| Array1::from_iter(gaussian(1, length, rng));
    Vera::new(vector(4), vector(3), 7, Arc::new(projections)).unwrap()
}

#[test]
fn gradients_of_the_crate_vera() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let vera = layer(&mut rng);
    let (x, grad_y) = (gaussian(5, 7, &mut rng), gaussian(5, 4, &mut rng));
    let weight = gaussian(4, 7, &mut rng);
    let (_, saved) = vera.forward(weight.view(), &x.clone().into_shared(), None).unwrap();
    let (_, want) = vera.backward(weight.view(), &saved, grad_y.view()).unwrap();
    let u = x.dot(&vera.a().t());
    let (lambda_b, lambda_d) = (vera.lambda_b.view(), vera.lambda_d.view());
    let (grad_b, grad_d) = backward(vera.b(), lambda_b, lambda_d, u.view(), grad_y.view());
    let mistakes = |want: &Array1<f64>, own: ArrayView1<'_, f64>| {
        [
            ("it is multiplied by the vector whose gradient it is", want * &own),
            ("it is a mean over the tokens", want / 5.0),
        ]
    };
    right("∂L/∂b", &grad_b, &want.lambda_b, &mistakes(&want.lambda_b, lambda_b));
    right("∂L/∂d", &grad_d, &want.lambda_d, &mistakes(&want.lambda_d, lambda_d));
}

#[test]
fn a_vera_layer_as_lora() {
    let vera = layer(&mut ChaCha8Rng::seed_from_u64(1));
    let (a, b) = as_lora(vera.a(), vera.b(), vera.lambda_b.view(), vera.lambda_d.view());
    assert_eq!((a.dim(), b.dim()), ((3, 7), (4, 3)));
    let lora = Lora::new(a, b, 1.0).unwrap();
    let weight = Array2::zeros((4, 7));
    let [by_lora, by_vera] = [lora.delta_weight(weight.view()), vera.delta_weight(weight.view())];
    assert_relative_eq!(by_lora.unwrap(), by_vera.unwrap(), epsilon = 1e-12);
}

#[test]
fn trained_and_frozen() {
    for shapes in [vec![[6, 5]], vec![[6, 5], [3, 9], [6, 5]]] {
        let make = |shape| Projections::<f64>::peft(0, 4, shape);
        let pool = Pool::new(shapes.clone(), Sharing::MaxSlice, make).unwrap();
        let layer = |&shape: &[usize; 2]| Vera::init(shape, 0.1, pool.get(shape).unwrap()).unwrap();
        let layers: Vec<_> = shapes.iter().map(layer).collect();
        let trained: usize = layers.iter().map(tensors::count).sum();
        let frozen = Ledger::of(&layers[..]) / 8 - trained;
        let each = |of: fn(&[usize; 2]) -> usize| shapes.iter().map(of).sum::<usize>();
        let mistakes = [
            (
                "A and B are counted for each layer",
                [trained, each(|[out, inputs]| 4 * (out + inputs))],
            ),
            ("b has the length of the input", [each(|[_, inputs]| inputs + 4), frozen]),
            ("d is shared by the layers", [each(|[out, _]| *out) + 4, frozen]),
        ];
        right_counts("[trained, frozen]", numbers(&shapes, 4), [trained, frozen], &mistakes);
    }
}

#[test]
fn a_layer_takes_its_part_of_what_is_shared() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let vera = layer(&mut rng);
    let projections = vera.projections();
    let (a, b) = (projections.a(), projections.b());
    assert_eq!((a.dim(), b.dim()), ((3, 9), (6, 3)), "larger than the layer");
    let (lambda_b, lambda_d) = (vera.lambda_b.view(), vera.lambda_d.view());
    let want = vera.delta_weight(Array2::zeros((4, 7)).view()).unwrap();
    let last = b.slice(s![2.., ..]);
    let (last_a, last_b) = as_lora(a.slice(s![.., 2..]), last, lambda_b, lambda_d);
    let mistakes = [
        ("the vectors are missing", b.slice(s![..4, ..]).dot(&a.slice(s![.., ..7]))),
        ("it takes the last rows and columns", last_b.dot(&last_a)),
        ("it is transposed", want.t().to_owned()),
    ];
    right("ΔW", &delta([4, 7], a, b, lambda_b, lambda_d), &want, &mistakes);
}
