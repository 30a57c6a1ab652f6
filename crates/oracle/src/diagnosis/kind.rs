//! What wrong numbers have in common, where no mistake gives them. Only what holds of every wrong element is said.

use std::fmt;

use ndarray::{ArrayD, Axis};

use crate::case::transposed;

/// What the wrong elements of a tensor have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// It is missing, has another shape or another type, or was refused.
    NotThere,
    /// NaN or infinity where a number is expected, or the other way round.
    NotFinite,
    /// 0 everywhere.
    Zero,
    /// Not 0 where every wrong element should be.
    NotZero,
    /// The right numbers times this.
    Factor(f64),
    /// The right numbers, columns for rows.
    Transposed,
    /// The right numbers of the row before or after.
    Shifted,
    /// The right numbers of another output.
    Another(String),
    /// One element.
    Element,
    /// One row, which is the last one or is not.
    Row { last: bool },
    /// One column, which is the last one or is not.
    Column { last: bool },
    /// All rows from one on.
    RowsFrom,
    /// All columns from one on.
    ColumnsFrom,
    /// Too large and too small, by at most this many bounds and little beside the numbers themselves.
    Noise(f64),
    /// Nothing that is said here.
    Other(f64),
}

/// A tensor as it was submitted and as it should be.
pub(super) struct Compared<'a> {
    pub got: Option<&'a ArrayD<f64>>,
    pub want: &'a ArrayD<f64>,
    pub bound: &'a ArrayD<f64>,
    /// Element by element: is it wrong?
    pub wrong: Vec<bool>,
    /// The other outputs of the case, by name.
    pub others: Vec<(&'a str, &'a ArrayD<f64>)>,
}

impl Compared<'_> {
    /// What all its wrong elements have in common; the narrowest that holds.
    pub fn kind(&self) -> Kind {
        let Some(got) = self.got else { return Kind::NotThere };
        let numbers: Vec<[f64; 3]> = got
            .iter()
            .zip(self.want)
            .zip(self.bound)
            .map(|((&got, &want), &bound)| [got, want, bound])
            .collect();
        let wrong = || numbers.iter().zip(&self.wrong).filter(|(_, wrong)| **wrong).map(|(n, _)| n);
        if wrong().any(|[got, want, _]| !got.is_finite() || !want.is_finite()) {
            return Kind::NotFinite;
        }
        if self.wrong.len() > 1 && numbers.iter().all(|[got, ..]| *got == 0.0) {
            return Kind::Zero;
        }
        if wrong().all(|[_, want, _]| *want == 0.0) {
            return Kind::NotZero;
        }
        if wrong().count() == 1 {
            return Kind::Element;
        }
        if let Some(factor) = factor(&numbers) {
            return Kind::Factor(factor);
        }
        let is = |other: &ArrayD<f64>, bound: &ArrayD<f64>| {
            let mut entries = got.iter().zip(other).zip(bound);
            other.shape() == got.shape() && entries.all(|((a, b), bound)| (a - b).abs() <= *bound)
        };
        if let Some((name, _)) = self.others.iter().find(|(_, other)| is(other, self.bound)) {
            return Kind::Another((*name).to_owned());
        }
        if self.want.ndim() == 2 {
            if is(&transposed(self.want), &transposed(self.bound)) {
                return Kind::Transposed;
            }
            if self.shifted(got) {
                return Kind::Shifted;
            }
            if let Some(kind) = self.place() {
                return kind;
            }
        }
        let rho = wrong().map(|[got, want, bound]| (got - want).abs() / bound).fold(0.0, f64::max);
        let signs = |sign: f64| wrong().any(|[got, want, _]| (got - want) * sign > 0.0);
        let error = wrong().map(|[got, want, _]| (got - want).abs()).fold(0.0, f64::max);
        let largest = self
            .want
            .iter()
            .filter(|want| want.is_finite())
            .fold(0.0, |most: f64, want| most.max(want.abs()));
        let small = error <= largest / 4.0;
        if small && signs(1.0) && signs(-1.0) { Kind::Noise(rho) } else { Kind::Other(rho) }
    }

    /// Each row holds the one before it, or each the one after it.
    fn shifted(&self, got: &ArrayD<f64>) -> bool {
        let rows = self.want.shape()[0];
        let row = |array: &ArrayD<f64>, at| array.index_axis(Axis(0), at).to_owned();
        let equal = |from: usize, to: usize| {
            let (got, want) = (row(got, to), row(self.want, from));
            let bound = row(self.bound, from);
            got.iter().zip(&want).zip(&bound).all(|((a, b), bound)| (a - b).abs() <= *bound)
        };
        // Two rows are one number that moved, or a swap: more is needed to see a direction.
        rows > 2 && ((1..rows).all(|at| equal(at - 1, at)) || (1..rows).all(|at| equal(at, at - 1)))
    }

    /// One row, one column, or an edge of a matrix.
    fn place(&self) -> Option<Kind> {
        let [rows, columns] = [self.want.shape()[0], self.want.shape()[1]];
        let at: Vec<[usize; 2]> = (0..self.wrong.len())
            .filter(|at| self.wrong[*at])
            .map(|at| [at / columns, at % columns])
            .collect();
        let [least, most] = [0, 1].map(|axis| {
            let along = || at.iter().map(|place| place[axis]);
            (along().min(), along().max())
        });
        let (first, last) = (least.0?, least.1?);
        let (left, right) = (most.0?, most.1?);
        if rows > 1 && first == last {
            return Some(Kind::Row { last: last + 1 == rows });
        }
        if columns > 1 && left == right {
            return Some(Kind::Column { last: right + 1 == columns });
        }
        // Every row from there on has a wrong element, and none before.
        let every = |axis: usize, from: usize, size: usize| {
            from > 0 && (from..size).all(|n| at.iter().any(|place| place[axis] == n))
        };
        if every(0, first, rows) {
            return Some(Kind::RowsFrom);
        }
        every(1, left, columns).then_some(Kind::ColumnsFrom)
    }
}

/// The factor that all numbers were multiplied by, the right ones included.
fn factor(numbers: &[[f64; 3]]) -> Option<f64> {
    let sum = |of: &dyn Fn(&[f64; 3]) -> f64| {
        numbers.iter().map(of).filter(|n| n.is_finite()).sum::<f64>()
    };
    let top = sum(&|[got, want, bound]| got * want / (bound * bound));
    let factor = top / sum(&|[_, want, bound]| want * want / (bound * bound));
    let fits = |[got, want, bound]: &[f64; 3]| {
        (got - want * factor).abs() <= bound * factor.abs().max(1.0)
    };
    if !factor.is_finite() {
        return None;
    }
    // Noise about the right numbers has a best factor too: it must be another one than 1.
    let other = |[_, want, bound]: &[f64; 3]| (want * (factor - 1.0)).abs() > *bound;
    (numbers.iter().all(fits) && numbers.iter().filter(|n| other(n)).count() > 1).then_some(factor)
}

impl Kind {
    /// Without the number, which differs from case to case, and the number.
    pub fn in_general(&self) -> (String, Option<f64>) {
        match self {
            Self::Factor(factor) if !is_sign(*factor) => {
                ("a constant factor".into(), Some(*factor))
            }
            Self::Noise(rho) => ("noise of both signs, by this many bounds:".into(), Some(*rho)),
            Self::Other(rho) => ("many elements, off by this many bounds:".into(), Some(*rho)),
            kind => (kind.to_string(), None),
        }
    }
}

/// −1, up to rounding in any format.
fn is_sign(factor: f64) -> bool {
    (factor + 1.0).abs() < 1e-2
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("missing, refused, or of another shape or type"),
            Self::NotFinite => {
                f.write_str("NaN or an infinity in the place of a number, or the reverse")
            }
            Self::Zero => f.write_str("0 everywhere"),
            Self::NotZero => f.write_str("not 0 where 0 is expected"),
            Self::Factor(factor) if is_sign(*factor) => f.write_str("the sign"),
            Self::Factor(factor) => write!(f, "{factor:.4} times what is expected"),
            Self::Transposed => f.write_str("transposed"),
            Self::Shifted => f.write_str("shifted by one row"),
            Self::Another(name) => write!(f, "holds {name}"),
            Self::Element => f.write_str("one element"),
            Self::Row { last: true } => f.write_str("the last row"),
            Self::Row { last: false } => f.write_str("one row"),
            Self::Column { last: true } => f.write_str("the last column"),
            Self::Column { last: false } => f.write_str("one column"),
            Self::RowsFrom => f.write_str("every row from one on"),
            Self::ColumnsFrom => f.write_str("every column from one on"),
            Self::Noise(rho) => write!(f, "noise of both signs, up to {rho:.2} bounds"),
            Self::Other(rho) => write!(f, "off by up to {rho:.2} bounds"),
        }
    }
}
