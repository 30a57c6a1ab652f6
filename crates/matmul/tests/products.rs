//! Large products of integers, which are exact in any order.

use matmul::multiply;
use ndarray::{Array2, ArrayView2, LinalgScalar, s};

/// Integers between −7 and 7: no sum of a thousand of their products needs more than the 24 bits of `f32`.
fn integers<T: LinalgScalar>(rows: usize, columns: usize, number: fn(i8) -> T) -> Array2<T> {
    Array2::from_shape_fn((rows, columns), |(i, j)| {
        number(((31 * i + 17 * j + i * j) % 15) as i8 - 7)
    })
}

/// The definition.
fn product(a: ArrayView2<'_, i64>, b: ArrayView2<'_, i64>) -> Array2<i64> {
    let element = |(i, j)| a.row(i).iter().zip(b.column(j)).map(|(a, b)| a * b).sum();
    Array2::from_shape_fn((a.nrows(), b.ncols()), element)
}

fn exact<T: LinalgScalar + Send + Sync + PartialEq + std::fmt::Debug>(
    number: fn(i8) -> T,
    integer: fn(T) -> i64,
) {
    // Widths that no block divides, and a product just large enough.
    let (m, k, n) = (37, 293, 801);
    let a = integers(2 * m, 3 * k, number);
    let b = integers(2 * k, 3 * n, number);
    // Rows, columns, both: in order, transposed, with gaps, and backwards.
    let (at, bt) = (integers(k, m, number), integers(n, k, number));
    for a in [a.slice(s![..m, ..k]), at.t(), a.slice(s![..;2, ..;3]), a.slice(s![..m;-1, ..k;-1])] {
        for b in
            [b.slice(s![..k, ..n]), bt.t(), b.slice(s![..;2, ..;3]), b.slice(s![..k;-1, ..n;-1])]
        {
            let c = multiply(a, b).expect("it is large");
            let [a, b, c] = [a.mapv(integer), b.mapv(integer), c.mapv(integer)];
            assert_eq!(c, product(a.view(), b.view()));
        }
    }
}

#[test]
fn products_of_integers_are_exact() {
    exact(f32::from, |x| x as i64);
    exact(f64::from, |x| x as i64);
}

#[test]
fn a_nan_or_an_infinity_reaches_its_row_or_column_only() {
    for bad in [f32::NAN, f32::INFINITY] {
        let (mut a, b) = (integers(64, 300, f32::from), integers(300, 701, |_| 1.0));
        a[[9, 123]] = bad;
        let c = multiply(a.view(), b.view()).unwrap();
        assert!(
            c.outer_iter()
                .enumerate()
                .all(|(i, row)| row.iter().all(|c| c.is_finite() != (i == 9)))
        );
        let c = multiply(b.t(), a.t()).unwrap();
        assert!(
            c.axis_iter(ndarray::Axis(1))
                .enumerate()
                .all(|(i, column)| column.iter().all(|c| c.is_finite() != (i == 9)))
        );
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let wave = |rows, columns| {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((7 * i + 3 * j) as f32).sin())
    };
    let (a, b) = (wave(100, 300), wave(300, 1701));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| multiply(a.view(), b.view()))
    };
    let alone = with(1);
    assert!([2, 3, 8].into_iter().all(|threads| with(threads) == alone));
}

#[test]
fn what_is_for_dot_is_left_to_it() {
    let zeros = |rows, columns| Array2::<f32>::zeros((rows, columns));
    assert!(multiply(zeros(300, 300).view(), zeros(301, 300).view()).is_none());
    assert!(multiply(zeros(100, 300).view(), zeros(300, 100).view()).is_none());
    let integers = Array2::<i64>::zeros((300, 300));
    assert!(multiply(integers.view(), integers.view()).is_none());
    assert!(multiply(zeros(300, 300).view(), zeros(300, 300).view()).is_some());
}
