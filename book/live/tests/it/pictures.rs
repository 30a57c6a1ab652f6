use live::Experiment;
use live::ellipse::{Ellipse, Question as Columns};
use live::gradient::{Gradient, Question as Input};
use live::picture::{Picture, Question, Settings};

#[test]
fn a_picture_is_off_by_its_bound() {
    let mut picture = Picture::start(Settings::default(), &[]).unwrap();
    for rank in [0, 1, 8, 95, 96] {
        let answer = picture.ask(Question { rank }).unwrap();
        assert_eq!((answer.height, answer.width, answer.kept), (96, 128, rank * 225));
        assert!((answer.error - answer.bound).abs() <= 1e-12 * answer.norm, "{rank}");
    }
    let error = picture.ask(Question { rank: 97 }).unwrap_err().to_string();
    assert!(error.contains("97"), "{error}");
}

#[test]
fn a_picture_of_the_readers() {
    // One white point among black ones: rank 1.
    let mut file = vec![0; 4 * 6];
    file[..3].fill(255);
    let mut picture = Picture::start(Settings { width: 3, height: 2 }, &file).unwrap();
    let answer = picture.ask(Question { rank: 1 }).unwrap();
    assert_eq!(answer.singular_values, [1.0, 0.0]);
    assert_eq!(answer.pixels, [255, 0, 0, 0, 0, 0]);

    for (width, height, bytes) in [(3, 2, 23), (0, 2, 4), (193, 1, 772), (usize::MAX, 2, 8)] {
        let error =
            Picture::start(Settings { width, height }, &vec![1; bytes]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("picture of"), "{error}");
    }
}

#[test]
fn a_circle_becomes_an_ellipse() {
    let answer = Ellipse.ask(Columns { columns: [[3.0, 4.0], [0.0, 5.0]] }).unwrap();
    assert!((answer.singular_values[0] - 45f64.sqrt()).abs() < 1e-14);
    assert!((answer.singular_values[1] - 5f64.sqrt()).abs() < 1e-14);
    assert_eq!(answer.rank, 2);
    let dot = |p: &[f64], q: &[f64]| p[0] * q[0] + p[1] * q[1];
    assert!(dot(&answer.axes[0], &answer.axes[1]).abs() < 1e-14);
    for (axis, sigma) in answer.axes.iter().zip(&answer.singular_values) {
        assert!((dot(axis, axis).sqrt() - sigma).abs() < 1e-14);
    }
    let longest = answer.ellipse.iter().map(|p| dot(p, p).sqrt()).fold(0.0, f64::max);
    let ratio = longest / answer.singular_values[0];
    assert!(ratio < 1.0 + 1e-14 && ratio > 0.99, "{ratio}");
    assert_eq!(Ellipse.ask(Columns { columns: [[1.0, 2.0], [-2.0, -4.0]] }).unwrap().rank, 1);
    assert!(Ellipse.ask(Columns { columns: [[f64::NAN, 0.0], [0.0, 1.0]] }).is_err());
}

#[test]
fn the_gradient_is_the_quotient() {
    let mut layer = Gradient::start(live::gradient::Settings {}, &[]).unwrap();
    let answer = layer.ask(Input { x: [1.0, -1.0, 2.0], move_by: 0.25 }).unwrap();
    // By hand: h = (3, 0), y = x Wᵀ + ½ h Bᵀ = (4, −2) + (1.5, −1.5), so ∂L/∂y = (4.5, −3.5); ∂L/∂h = ½ (8, −1.25).
    assert_eq!((answer.h, answer.y, answer.loss), (vec![3.0, 0.0], vec![5.5, -3.5], 16.25));
    assert_eq!(answer.grad_a, [[4.0, -4.0, 8.0], [-0.625, 0.625, -1.25]]);
    // The loss is a parabola in each number of A, and these numbers are not rounded.
    assert_eq!(answer.quotients, answer.grad_a);
    for move_by in [0.0, -1.0, f64::NAN] {
        assert!(layer.ask(Input { x: [0.0; 3], move_by }).is_err());
    }
}
