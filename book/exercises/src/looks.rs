//! What a wrong answer looks like.
//!
//! A test of an exercise knows the right answer, and a few wrong ones that are often given. Each has a name. An answer that
//! is one of the wrong ones is told which, in the place of "left is not equal to right".

use ndarray::{Array, Array0, Array1, Dimension};

/// Relative to the largest number of the right answer.
const ROUNDING: f64 = 1e-9;

/// Is it the right answer, but for rounding?
///
/// # Panics
/// It is not. The message says where, and which of the `mistakes` gives this answer, if one does.
#[track_caller]
pub fn right<D: Dimension>(
    what: &str,
    got: &Array<f64, D>,
    want: &Array<f64, D>,
    mistakes: &[(&str, Array<f64, D>)],
) {
    if same(got, want) {
        return;
    }
    let looks = match mistakes.iter().find(|(_, wrong)| same(got, wrong)) {
        Some((name, _)) => format!("It looks like this mistake: {name}."),
        None => "It looks like none of the usual mistakes.".to_owned(),
    };
    if got.shape() != want.shape() {
        let (got, want) = (got.shape(), want.shape());
        panic!("{what} has the shape {got:?}, and should have {want:?}. {looks}");
    }
    let off = got.iter().zip(want).enumerate().max_by(|(_, a), (_, b)| {
        let far = |(got, want): &(&f64, &f64)| (*got - *want).abs();
        far(a).total_cmp(&far(b))
    });
    let (i, (got, want)) = off.expect("two empty arrays of one shape are the same");
    panic!("{what} is wrong: number {i} is {got}, and should be {want}. {looks}");
}

/// [`right`] of a single number.
#[track_caller]
pub fn right_number(what: &str, got: f64, want: f64, mistakes: &[(&str, f64)]) {
    let array = |number: f64| Array0::from_elem((), number);
    let mistakes: Vec<_> = mistakes.iter().map(|&(name, wrong)| (name, array(wrong))).collect();
    right(what, &array(got), &array(want), &mistakes);
}

/// [`right`] of counts.
#[track_caller]
pub fn right_counts<const N: usize>(
    what: &str,
    got: [usize; N],
    want: [usize; N],
    mistakes: &[(&str, [usize; N])],
) {
    let array = |counts: [usize; N]| Array1::from_iter(counts.map(|count| count as f64));
    let mistakes: Vec<_> = mistakes.iter().map(|&(name, wrong)| (name, array(wrong))).collect();
    right(what, &array(got), &array(want), &mistakes);
}

/// A NaN is the same as nothing.
fn same<D: Dimension>(got: &Array<f64, D>, want: &Array<f64, D>) -> bool {
    let largest = want.iter().fold(0.0_f64, |largest, number| largest.max(number.abs()));
    got.shape() == want.shape()
        && got.iter().zip(want).all(|(got, want)| (got - want).abs() <= ROUNDING * largest)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn rounding_is_right() {
        right("x", &array![1.0, 0.3], &array![1.0, 0.1 + 0.2], &[]);
        right_counts("n", [2, 3], [2, 3], &[]);
    }

    #[test]
    #[should_panic(
        expected = "∂L/∂B is wrong: number 1 is 2, and should be 4. It looks like this mistake: s is missing."
    )]
    fn a_mistake_has_a_name() {
        right("∂L/∂B", &array![1.0, 2.0], &array![2.0, 4.0], &[("s is missing", array![1.0, 2.0])]);
    }

    #[test]
    #[should_panic(
        expected = "number 0 is NaN, and should be 2. It looks like none of the usual mistakes."
    )]
    fn nan_is_not_right() {
        right_number("x", f64::NAN, 2.0, &[("NaN", f64::NAN)]);
    }

    #[test]
    #[should_panic(
        expected = "has the shape [1, 2], and should have [2, 1]. It looks like this mistake: transposed."
    )]
    fn a_shape_is_named() {
        let want = array![[1.0], [2.0]];
        right("x", &want.t().to_owned(), &want, &[("transposed", want.t().to_owned())]);
    }
}
