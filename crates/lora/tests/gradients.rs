//! Gradients, merging and dropout on small integers, where `f64` does not round: compared with `==`.
//!
//! y is affine in each single number of x, A and B, so f(p + 1) − f(p) is the derivative itself.

use std::sync::Arc;

use adapter::gradcheck::{Mismatch, exact};
use adapter::{Adapter, Dropout, Tensors};
use lora::Lora;
use ndarray::{ArcArray2, Array2, ArrayViewD, ArrayViewMutD};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// [tokens, out, in, r]: rank 1, rank above both sides, one token, none, one output, one input.
const SHAPES: [[usize; 4]; 8] = [
    [3, 4, 5, 2],
    [3, 5, 4, 1],
    [2, 3, 2, 4],
    [1, 4, 3, 2],
    [0, 4, 3, 2],
    [4, 1, 3, 1],
    [4, 3, 1, 1],
    [7, 6, 9, 3],
];

/// An adapter with its layer's weight, input and output gradient, all small integers. s = 3/2: α ≠ r.
struct Layer {
    weight: Array2<f64>,
    lora: Lora<f64>,
    x: ArcArray2<f64>,
    grad_y: Array2<f64>,
    dropout: Option<Arc<Dropout>>,
}

/// x is checked like a parameter.
struct WithInput<'a>(&'a mut Layer);

impl Layer {
    fn new([tokens, out, inputs, rank]: [usize; 4], drop: bool, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut integers = |rows, columns| {
            Array2::from_shape_simple_fn((rows, columns), || f64::from(rng.next_u32() % 9) - 4.0)
        };
        let (a, b) = (integers(rank, inputs), integers(out, rank));
        let mask = integers(tokens, inputs).mapv(|value| u8::from(value > 0.0));
        Self {
            weight: integers(out, inputs),
            lora: Lora::new(a, b, 1.5).unwrap(),
            x: integers(tokens, inputs).into_shared(),
            grad_y: integers(tokens, out),
            // 1/(1 − p) is a power of two.
            dropout: drop.then(|| Dropout::new(mask, 0.5).unwrap()),
        }
    }

    /// A loss whose gradient by y is `grad_y`.
    fn loss(&self) -> adapter::Result<f64> {
        let (y, _) = self.lora.forward(self.weight.view(), &self.x, self.dropout.as_ref())?;
        Ok((&y * &self.grad_y).sum())
    }

    fn gradients(&self) -> Gradients {
        let (_, saved) =
            self.lora.forward(self.weight.view(), &self.x, self.dropout.as_ref()).unwrap();
        let (x, grads) =
            self.lora.backward(self.weight.view(), &saved, self.grad_y.view()).unwrap();
        Gradients { x, a: grads.a, b: grads.b }
    }
}

struct Gradients {
    x: Array2<f64>,
    a: Array2<f64>,
    b: Array2<f64>,
}

macro_rules! tensors {
    ($type:ty, $self:ident, $x:expr, $a:expr, $b:expr) => {
        impl Tensors<f64> for $type {
            fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
                let $self = self;
                vec![
                    ("x", $x.view().into_dyn()),
                    ("A", $a.view().into_dyn()),
                    ("B", $b.view().into_dyn()),
                ]
            }
            fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
                let $self = self;
                vec![
                    ("x", $x.view_mut().into_dyn()),
                    ("A", $a.view_mut().into_dyn()),
                    ("B", $b.view_mut().into_dyn()),
                ]
            }
        }
    };
}
tensors!(WithInput<'_>, this, this.0.x, this.0.lora.a, this.0.lora.b);
tensors!(Gradients, this, this.x, this.a, this.b);

fn mismatches(layer: &mut Layer, gradients: &Gradients) -> Vec<Mismatch> {
    exact(&mut WithInput(layer), gradients, |layer| layer.0.loss()).unwrap()
}

#[test]
fn gradients_are_exact() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for drop in [false, true] {
            let mut layer = Layer::new(shape, drop, seed as u64);
            let gradients = layer.gradients();
            assert_eq!(mismatches(&mut layer, &gradients), [], "{shape:?}, dropout {drop}");
        }
    }
}

/// The check itself: the bugs it is there to find are found.
#[test]
fn a_wrong_gradient_is_found() {
    let mut layer = Layer::new(SHAPES[0], true, 1);
    let right = layer.gradients();
    let s = layer.lora.scale;
    type Bug = fn(&mut Gradients, f64);
    let bugs: [(&str, Bug); 4] = [
        ("s missing from A's gradient", |wrong, s| wrong.a.mapv_inplace(|g| g / s)),
        ("s twice in B's gradient", |wrong, s| wrong.b.mapv_inplace(|g| g * s)),
        ("one element of x's gradient", |wrong, _| wrong.x[[2, 4]] += 1.0),
        ("NaN", |wrong, _| wrong.a[[0, 0]] = f64::NAN),
    ];
    for (name, bug) in bugs {
        let mut wrong = Gradients { x: right.x.clone(), a: right.a.clone(), b: right.b.clone() };
        bug(&mut wrong, s);
        assert_ne!(mismatches(&mut layer, &wrong), [], "{name}");
    }
    // Without the mask on the way back.
    let mask = layer.dropout.take();
    let wrong = layer.gradients();
    layer.dropout = mask;
    assert_ne!(mismatches(&mut layer, &wrong), []);
}

#[test]
fn merged_equals_unmerged() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let layer = Layer::new(shape, false, seed as u64);
        let (y, _) = layer.lora.forward(layer.weight.view(), &layer.x, None).unwrap();
        let mut weight = layer.weight.clone();
        layer.lora.merge(&mut weight).unwrap();
        assert_eq!(layer.x.dot(&weight.t()), y, "{shape:?}");
        layer.lora.unmerge(&mut weight).unwrap();
        assert_eq!(weight, layer.weight, "{shape:?}");
    }
}

/// A dropped element is 0 whatever x is there.
#[test]
fn dropout_hides_even_nan() {
    let mut layer = Layer::new(SHAPES[0], false, 3);
    let mut mask = Array2::ones(layer.x.dim());
    mask[[1, 2]] = 0;
    layer.dropout = Some(Dropout::new(mask, 0.5).unwrap());
    layer.weight.column_mut(2).fill(0.0);
    layer.x[[1, 2]] = f64::NAN;
    let term = layer.dropout.as_ref().unwrap().apply(layer.x.view()).unwrap();
    assert!(term.iter().all(|value| value.is_finite()));
    assert_eq!(term[[1, 2]], 0.0);
    assert_eq!(term[[0, 0]], 2.0 * layer.x[[0, 0]]);
}

proptest! {
    #[test]
    fn any_shape(
        tokens in 0..6usize, out in 1..6usize, inputs in 1..6usize, rank in 1..6usize,
        drop in any::<bool>(), seed in any::<u64>(),
    ) {
        let mut layer = Layer::new([tokens, out, inputs, rank], drop, seed);
        let gradients = layer.gradients();
        prop_assert_eq!(mismatches(&mut layer, &gradients), []);
    }
}
