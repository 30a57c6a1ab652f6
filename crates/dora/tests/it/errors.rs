//! What makes no sense is an error that names the tensor and both shapes, or the row and its value; never a panic.

use adapter::{Adapter, Dropout, Group, Sgd};
use dora::Dora;
use lora::Lora;
use ndarray::{Array1, Array2};

fn ones(rows: usize, columns: usize) -> Array2<f64> {
    Array2::ones((rows, columns))
}

/// For a weight of shape \[4, 3\].
fn dora() -> Dora<f64> {
    let lora = Lora::new(ones(2, 3), Array2::zeros((4, 2)), 1.0).unwrap();
    Dora::new(lora, Array1::ones(4)).unwrap()
}

#[track_caller]
fn says<O>(refused: adapter::Result<O>, want: &str) {
    let text = refused.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains(want), "{text}");
}

#[test]
fn errors_name_the_tensor_and_both_shapes() {
    let dora = dora();
    let x = ones(5, 3).into_shared();
    let forward = |weight: Array2<f64>, x: &ndarray::ArcArray2<f64>, dropout| {
        dora.forward(weight.view(), x, dropout)
    };
    says(forward(ones(4, 6), &x, None), "weight has shape [4, 6] where [4, 3] is needed");
    says(forward(ones(7, 3), &x, None), "weight has shape [7, 3] where [4, 3] is needed");
    let wide = ones(5, 4).into_shared();
    says(forward(ones(4, 3), &wide, None), "x has shape [5, 4] where [5, 3] is needed");
    let mask = Dropout::new(Array2::ones((5, 2)), 0.5).unwrap();
    says(forward(ones(4, 3), &x, Some(&mask)), "x has shape [5, 3] where [5, 2] is needed");

    let (_, saved) = dora.forward(ones(4, 3).view(), &x, None).unwrap();
    let backward = |weight: Array2<f64>, grad_y: Array2<f64>| {
        dora.backward(weight.view(), &saved, grad_y.view())
    };
    says(backward(ones(4, 3), ones(5, 3)), "grad_y has shape [5, 3] where [5, 4] is needed");
    says(backward(ones(4, 6), ones(5, 4)), "A has shape [2, 3] where [2, 6] is needed");

    let norm = Array1::ones(3);
    says(dora.merge(&mut ones(3, 4)), "weight has shape [3, 4] where [4, 3] is needed");
    says(dora.delta_weight(ones(3, 4).view()), "weight has shape [3, 4] where [4, 3] is needed");
    says(dora.norm(ones(3, 4).view()), "weight has shape [3, 4] where [4, 3] is needed");
    says(dora.unmerge_with(&mut ones(3, 4), norm.view()), "weight has shape [3, 4]");
    let refused = dora.unmerge_with(&mut ones(4, 3), norm.view());
    says(refused, "norm has shape [3] where [4] is needed");

    // Gradients of another adapter: nothing moves, A and B with their fitting gradients neither.
    let lora = lora::Grads { a: ones(2, 3), b: ones(4, 2) };
    let grads = dora::Grads { lora, magnitude: Array1::ones(5) };
    let mut sgd = Sgd { group: Group { lr: 1.0, weight_decay: 0.0 } };
    let mut stepped = dora.clone();
    let refused = stepped.step(&mut ones(4, 3), &grads, &mut sgd);
    says(refused, "lora_magnitude_vector has shape [5] where [4] is needed");
    assert_eq!(stepped, dora);
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let Dora { lora, .. } = dora();
    let new = |m| Dora::new(lora.clone(), m);
    says(new(Array1::ones(3)), "m has shape [3] where [4] is needed");
    says(new(Array1::from_elem(4, f64::NAN)), "m is NaN");
    says(new(Array1::from_elem(4, f64::INFINITY)), "m is inf");
    assert!(new(Array1::from_elem(4, -2.0)).is_ok()); // training may turn a sign
    says(Dora::init(ones(3, 3).view(), lora), "weight has shape [3, 3] where [4, 3] is needed");
}

/// m, A and B are public, so they can be changed after they were checked: an error, and not a panic.
#[test]
fn a_shape_changed_in_a_public_field_is_refused() {
    let (mut changed, weight) = (dora(), ones(4, 3));
    let x = ones(5, 3).into_shared();
    let (y, saved) = changed.forward(weight.view(), &x, None).unwrap();
    changed.magnitude = Array1::ones(1); // ndarray would stretch it over all rows
    let mut merged = weight.clone();
    for refused in [
        changed.forward(weight.view(), &x, None).map(drop),
        changed.backward(weight.view(), &saved, y.view()).map(drop),
        changed.delta_weight(weight.view()).map(drop),
        changed.norm(weight.view()).map(drop),
        changed.merge(&mut merged),
        changed.unmerge_with(&mut merged, Array1::ones(4).view()),
    ] {
        says(refused, "m has shape [1] where [4] is needed");
    }
    assert_eq!(merged, weight);

    let mut changed = dora();
    changed.lora.a = ones(1, 3);
    says(changed.forward(weight.view(), &x, None), "B has shape [4, 2] where [4, 1] is needed");
}

#[test]
fn a_row_without_a_direction_is_named() {
    let dora = dora();
    let x = ones(5, 3).into_shared();
    for (bad, text) in [
        (0.0, "the norm of row 2 of W + s B A is 0"),
        (f64::NAN, "the norm of row 2 of W + s B A is NaN"),
        (f64::INFINITY, "the norm of row 2 of W + s B A is inf"),
        (1e200, "the norm of row 2 of W + s B A is inf"), // its square overflows
    ] {
        let mut weight = ones(4, 3);
        weight.row_mut(2).fill(bad);
        says(Dora::init(weight.view(), dora.lora.clone()), text);
        says(dora.forward(weight.view(), &x, None), text);
        says(dora.merge(&mut weight.clone()), text);
    }
    // s B A takes away what W has.
    let lora = Lora::new(ones(1, 3), Array2::from_elem((4, 1), -1.0), 1.0).unwrap();
    says(Dora::init(ones(4, 3).view(), lora), "the norm of row 0 of W + s B A is 0");
}

#[test]
fn what_cannot_be_undone_says_so() {
    let mut dora = dora();
    let mut weight = ones(4, 3);
    let norm = dora.norm(weight.view()).unwrap();
    says(dora.unmerge(&mut weight), "unmerge_with");
    dora.magnitude[1] = 0.0;
    dora.merge(&mut weight).unwrap();
    says(dora.unmerge_with(&mut weight, norm.view()), "m[1] is 0");
}

/// No output, no token: shapes that training never needs, and that must not panic. A row without inputs has no direction.
#[test]
fn empty_layers() {
    let lora = Lora::new(ones(2, 3), ones(0, 2), 1.0).unwrap();
    let weight = ones(0, 3);
    let dora = Dora::init(weight.view(), lora).unwrap();
    let x = ones(0, 3).into_shared();
    let (y, saved) = dora.forward(weight.view(), &x, None).unwrap();
    let (grad_x, grads) = dora.backward(weight.view(), &saved, y.view()).unwrap();
    assert_eq!((y.dim(), grad_x.dim(), grads.magnitude.dim()), ((0, 0), (0, 3), 0));
    let lora = Lora::new(ones(2, 0), ones(3, 2), 1.0).unwrap();
    says(Dora::init(ones(3, 0).view(), lora), "the norm of row 0 of W + s B A is 0");
}
