//! The gradient checks, checked: right gradients pass, every kind of wrong one is found.

use adapter::gradcheck::{central, exact};
use adapter::{Error, Result, Tensors};
use ndarray::{Array1, Array2, ArrayViewD, ArrayViewMutD, array};

#[derive(Clone, Debug, PartialEq)]
struct Pair {
    matrix: Array2<f64>,
    vector: Array1<f64>,
}

impl Tensors<f64> for Pair {
    fn tensors(&self) -> Vec<(&'static str, ArrayViewD<'_, f64>)> {
        vec![("matrix", self.matrix.view().into_dyn()), ("vector", self.vector.view().into_dyn())]
    }
    fn tensors_mut(&mut self) -> Vec<(&'static str, ArrayViewMutD<'_, f64>)> {
        vec![
            ("matrix", self.matrix.view_mut().into_dyn()),
            ("vector", self.vector.view_mut().into_dyn()),
        ]
    }
}

fn model() -> Pair {
    Pair { matrix: array![[2.0, -3.0, 1.0], [5.0, 0.0, -1.0]], vector: array![3.0, -2.0] }
}

/// vᵀ M k, affine in each number.
fn bilinear(model: &Pair) -> Result<f64> {
    Ok(model.vector.dot(&model.matrix.dot(&array![1.0, 2.0, 4.0])))
}

fn bilinear_gradient(model: &Pair) -> Pair {
    let k = array![[1.0, 2.0, 4.0]];
    let v = model.vector.view().insert_axis(ndarray::Axis(1));
    Pair { matrix: v.dot(&k), vector: model.matrix.dot(&k.row(0)) }
}

/// Σ exp(M) + Σ v³.
fn curved(model: &Pair) -> Result<f64> {
    Ok(model.matrix.mapv(f64::exp).sum() + model.vector.mapv(|v| v * v * v).sum())
}

fn curved_gradient(model: &Pair) -> Pair {
    Pair { matrix: model.matrix.mapv(f64::exp), vector: model.vector.mapv(|v| 3.0 * v * v) }
}

/// exp(5) + … + 3³ + 2³ is less, and so are the third derivatives.
const MAGNITUDE: f64 = 250.0;

/// What is done to a right gradient, and how many numbers are wrong then.
type Bug = (&'static str, fn(&mut Pair), usize);
const BUGS: [Bug; 5] = [
    ("one number off by one", |g| g.matrix[[1, 2]] += 1.0, 1),
    ("one number off by a millionth", |g| g.vector[1] *= 1.0 + 1e-6, 1),
    ("twice as large", |g| g.matrix.mapv_inplace(|g| 2.0 * g), 6),
    ("NaN", |g| g.vector[0] = f64::NAN, 1),
    ("infinite", |g| g.vector[0] = f64::INFINITY, 1),
];

#[test]
fn exact_passes_what_is_right_and_finds_what_is_wrong() {
    let mut model = model();
    let right = bilinear_gradient(&model);
    assert_eq!(exact(&mut model, &right, bilinear).unwrap(), []);
    for (name, bug, wrong) in BUGS {
        let mut gradient = right.clone();
        bug(&mut gradient);
        let found = exact(&mut model, &gradient, bilinear).unwrap();
        assert_eq!(found.len(), wrong, "{name}: {found:?}");
    }
    assert_eq!(model, self::model(), "the model is as it was");
}

#[test]
fn central_passes_what_is_right_and_finds_what_is_wrong() {
    let mut model = model();
    let right = curved_gradient(&model);
    assert_eq!(central(&mut model, &right, MAGNITUDE, curved).unwrap(), []);
    for (name, bug, wrong) in BUGS {
        let mut gradient = right.clone();
        bug(&mut gradient);
        let found = central(&mut model, &gradient, MAGNITUDE, curved).unwrap();
        assert_eq!(found.len(), wrong, "{name}: {found:?}");
    }
    assert_eq!(model, self::model(), "the model is as it was, bit for bit");
}

#[test]
fn a_mismatch_says_where_and_what() {
    let mut model = model();
    let mut gradient = bilinear_gradient(&model);
    gradient.matrix[[1, 0]] = 5.0;
    let found = exact(&mut model, &gradient, bilinear).unwrap();
    assert_eq!((found[0].tensor, found[0].index), ("matrix", 3));
    assert_eq!((found[0].gradient, found[0].difference), (5.0, -2.0));
}

/// A loss that is not affine is not let through by `exact`: x² has f(p + 1) − f(p) = 2p + 1.
#[test]
fn exact_is_for_affine_losses() {
    let mut model = model();
    let square = |model: &Pair| Ok(model.matrix.mapv(|m| m * m).sum());
    let gradient = Pair { matrix: &model.matrix * 2.0, vector: array![0.0, 0.0] };
    assert_eq!(exact(&mut model, &gradient, square).unwrap().len(), 6);
}

/// A loss of NaN agrees with nothing, not even with a gradient of NaN.
#[test]
fn nan_never_passes() {
    let mut model = model();
    let nan = Pair {
        matrix: Array2::from_elem((2, 3), f64::NAN),
        vector: Array1::from_elem(2, f64::NAN),
    };
    assert_eq!(exact(&mut model, &nan, |_| Ok(f64::NAN)).unwrap().len(), 8);
    assert_eq!(central(&mut model, &nan, 1.0, |_| Ok(f64::NAN)).unwrap().len(), 8);
}

#[test]
fn errors_come_back() {
    let mut model = model();
    let gradient = bilinear_gradient(&model);
    let failing = |_: &Pair| Err(Error::value("alpha", "NaN", "it must be finite"));
    assert!(exact(&mut model, &gradient, failing).is_err());
    assert!(central(&mut model, &gradient, 1.0, failing).is_err());

    // The right numbers in another shape are a wrong gradient.
    let reshaped = Pair {
        matrix: gradient.matrix.clone().into_shape_with_order((3, 2)).unwrap(),
        vector: gradient.vector.clone(),
    };
    let error = exact(&mut model, &reshaped, bilinear).unwrap_err().to_string();
    assert!(error.contains("matrix") && error.contains("[3, 2]"), "{error}");
    assert!(error.contains("[2, 3]"), "{error}");
}

/// For a number above 1 the step grows with it. A step of ∛u/|p| would drown p³ in its own rounding: u|f|/h would be 23, and
/// the tolerance is 0.23.
#[test]
fn central_steps_further_where_numbers_are_large() {
    let mut model = Pair { matrix: array![[1000.0]], vector: array![] };
    let cube = |model: &Pair| Ok(model.matrix[[0, 0]].powi(3));
    let right = Pair { matrix: array![[3e6]], vector: array![] };
    assert_eq!(central(&mut model, &right, 1e9, cube).unwrap(), []);
}
