//! Full fine-tuning, the baseline: exact gradients, batches in pieces, its step, and what it keeps.

use std::ops::Range;

use adapter::{Adapter, Dropout, Full, FullGrads, Group, Ledger, Sgd, Tensors};
use adapter::{gradcheck, tensors};
use ndarray::{ArcArray2, Array1, Array2, ArrayViewD, ArrayViewMutD, array, s};

fn weight() -> Array2<f64> {
    array![[1.0, -2.0, 3.0], [0.0, 4.0, -1.0]]
}

fn input() -> ArcArray2<f64> {
    array![[2.0, 1.0, 0.0], [-1.0, 3.0, 5.0], [4.0, 0.0, -2.0]].into_shared()
}

fn grad_y() -> Array2<f64> {
    array![[1.0, -2.0], [3.0, 2.0], [-5.0, 1.0]]
}

/// Gradients of W and x from some of the rows.
fn gradients(rows: Range<usize>) -> (Array2<f64>, FullGrads<f64>) {
    let (full, weight) = (Full, weight());
    let x = input().slice(s![rows.clone(), ..]).to_shared();
    let (y, saved) = full.forward(weight.view(), &x, None).unwrap();
    assert_eq!(y, x.dot(&weight.t()));
    full.backward(weight.view(), &saved, grad_y().slice(s![rows, ..])).unwrap()
}

#[test]
fn gradients_are_exact() {
    let (grad_x, grads) = gradients(0..3);
    // A single matrix, to be checked like a parameter.
    let check = |matrix: Array2<f64>, gradient, loss: fn(&Array2<f64>) -> Array2<f64>| {
        let mut parameter = FullGrads { weight: matrix };
        let loss = |p: &FullGrads<f64>| Ok((loss(&p.weight) * grad_y()).sum());
        gradcheck::exact(&mut parameter, &FullGrads { weight: gradient }, loss).unwrap()
    };
    assert_eq!(check(weight(), grads.weight, |weight| input().dot(&weight.t())), []);
    assert_eq!(check(input().to_owned(), grad_x, |x| x.dot(&weight().t())), []);
}

#[test]
fn what_was_kept_of_another_layer_is_refused() {
    let (_, saved) = Full.forward(weight().view(), &input(), None).unwrap();
    let wider = Array2::zeros((2, 4));
    let error = Full.backward(wider.view(), &saved, grad_y().view()).unwrap_err().to_string();
    assert!(error.contains("x has shape [3, 3] where [3, 4] is needed"), "{error}");
}

/// Gradient accumulation: the gradients of two pieces add up to those of the whole batch. Integers, so `==`.
#[test]
fn pieces_of_a_batch_add_up() {
    let (whole_x, whole) = gradients(0..3);
    let (first_x, mut sum) = gradients(0..1);
    let (rest_x, rest) = gradients(1..3);
    tensors::accumulate(&mut sum, &rest).unwrap();
    assert_eq!(sum.weight, whole.weight);
    assert_eq!(ndarray::concatenate![ndarray::Axis(0), first_x, rest_x], whole_x);

    assert_eq!(tensors::count(&whole), 6);
    let squares: f64 = whole.weight.iter().map(|g| g * g).sum();
    assert_eq!(tensors::squared_norm(&whole), squares);
    tensors::scale(&mut sum, 0.5);
    assert_eq!(sum.weight, &whole.weight * 0.5);
    let transposed = FullGrads { weight: whole.weight.t().to_owned() };
    let error = tensors::accumulate(&mut sum, &transposed).unwrap_err().to_string();
    assert!(error.contains("weight has shape [3, 2] where [2, 3] is needed"), "{error}");
    // Of another method: names and number are compared too.
    let error = tensors::accumulate(&mut sum, &Named("lora_A", weight())).unwrap_err().to_string();
    assert!(error.contains("lora_A") && error.contains("weight"), "{error}");
    assert!(tensors::accumulate(&mut sum, &Full).is_err());
}

/// The shape of the second tensor is wrong: the first must not have moved when that is found.
#[test]
fn what_is_refused_is_not_half_done() {
    let pair = |length: usize| Pair::<f64> { a: array![1.0, 2.0], b: Array1::ones(length) };
    let (mut kept, wrong) = (pair(3), pair(4));
    let group = Group { lr: 1.0, weight_decay: 0.0 };
    for refused in [
        tensors::update(&mut kept, &wrong, &mut Sgd { group }, |_, _| group),
        tensors::accumulate(&mut kept, &wrong),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("lora_B has shape [4] where [3] is needed"), "{text}");
    }
    assert_eq!(kept, pair(3));
}

#[derive(Debug, PartialEq)]
struct Pair<T> {
    a: Array1<T>,
    b: Array1<T>,
}

adapter::tensors!(Pair { "lora_A" => a, "lora_B" => b });

struct Named(&'static str, Array2<f64>);

impl Tensors<f64> for Named {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
        vec![(self.0, self.1.view().into_dyn())]
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
        vec![(self.0, self.1.view_mut().into_dyn())]
    }
}

#[test]
fn a_step_moves_the_weight_and_leaves_nothing_to_merge() {
    let (_, grads) = gradients(0..3);
    let (mut full, mut moved) = (Full, weight());
    full.step(&mut moved, &grads, &mut Sgd { group: Group { lr: 0.5, weight_decay: 0.0 } })
        .unwrap();
    assert_eq!(moved, weight() - &grads.weight * 0.5);
    let mut merged = moved.clone();
    Adapter::<f64>::merge(&full, &mut merged).unwrap();
    assert_eq!(merged, moved);
    assert_eq!(tensors::count::<f64>(&full), 0);
}

#[test]
fn errors_name_the_tensor_and_both_shapes() {
    let (full, weight, zeros) = (Full, weight(), |m, n| Array2::<f64>::zeros((m, n)));
    let error = full.forward(weight.view(), &zeros(3, 2).into_shared(), None).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("x has shape [3, 2] where [3, 3] is needed"), "{text}");
    let (_, saved) = full.forward(weight.view(), &input(), None).unwrap();
    let error = full.backward(weight.view(), &saved, zeros(2, 2).view()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("grad_y has shape [2, 2] where [3, 2] is needed"), "{text}");
}

/// q, k and v read the same x: its bytes count once, a copy of it counts again, and so does a second mask.
#[test]
fn what_is_shared_counts_once() {
    let (full, weight, x) = (Full, weight(), input());
    let keep = |x: &ArcArray2<f64>| full.forward(weight.view(), x, None).unwrap().1;
    let bytes = 8 * x.len();
    assert_eq!(Ledger::of(&keep(&x)), bytes);
    assert_eq!(Ledger::of(&[keep(&x), keep(&x), keep(&x)][..]), bytes);
    let copy = x.to_owned().into_shared();
    assert_eq!(Ledger::of(&[keep(&x), keep(&copy)][..]), 2 * bytes);

    let mask = || Dropout::new(Array2::ones((3, 3)), 0.5).unwrap();
    let (one, other) = (mask(), mask());
    assert_eq!(Ledger::of(&[Some(one.clone()), Some(one), Some(other), None][..]), 2 * 9);
}
