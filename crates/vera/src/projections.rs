//! A and B: random, frozen, owned once and shared.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use adapter::{Bytes, Error, Ledger, Real, Result, check_shape};
use ndarray::{ArcArray2, Array2, ArrayView2};
use rand::Rng;
use rand_distr::{Distribution, Normal, Uniform};

/// A \[r, in\] and B \[out, r\], large enough for every layer that shares them.
#[derive(Clone, Debug, PartialEq)]
pub struct Projections<T> {
    a: ArcArray2<T>,
    b: ArcArray2<T>,
}

/// The law A and B are drawn from. fan_in is in for A and r for B: of the shared matrices, not of a layer's part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// U(−√(6/fan_in), √(6/fan_in)), of variance 2/fan_in. PEFT's, whose very numbers [`Projections::peft`] draws.
    #[default]
    KaimingUniform,
    /// N(0, 2/fan_in): the same variance.
    KaimingNormal,
    /// U(low, high), whatever the shape.
    Uniform {
        /// The smallest value.
        low: f64,
        /// The largest.
        high: f64,
    },
}

/// Which layers share one A and B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All: A and B have the largest in and out there are, and a layer takes the first columns of A and the first rows
    /// of B. PEFT's. A smaller layer then has the largest one's variance, not its own.
    #[default]
    MaxSlice,
    /// Those whose weights have the same shape.
    PerShape,
}

impl<T: Real> Projections<T> {
    /// A \[r, in\] and B \[out, r\].
    ///
    /// # Errors
    /// The rank is 0, or A and B have different ranks.
    pub fn new(a: Array2<T>, b: Array2<T>) -> Result<Self> {
        if a.nrows() == 0 {
            return Err(Error::value("rank", 0, "A [r, in] needs at least one row"));
        }
        check_shape("B", b.shape(), &[b.nrows(), a.nrows()], "[out, r], with r from A [r, in]")?;
        Ok(Self { a: a.into_shared(), b: b.into_shared() })
    }

    /// Fresh ones for weights of at most `[outputs, inputs]`. Drawn in `f64`, A first, row by row, and rounded.
    ///
    /// # Errors
    /// The rank is 0, or the bounds of a uniform law are not finite or in the wrong order.
    pub fn init(
        rank: usize,
        [outputs, inputs]: [usize; 2],
        init: Init,
        rng: &mut impl Rng,
    ) -> Result<Self> {
        let mut draw = |rows, columns: usize| -> Result<Array2<T>> {
            let fan_in = columns.max(1) as f64;
            Ok(match init {
                Init::KaimingUniform => {
                    let bound = (6.0 / fan_in).sqrt();
                    fill(rows, columns, uniform(-bound, bound)?, rng)
                }
                Init::KaimingNormal => {
                    let law = Normal::new(0.0, (2.0 / fan_in).sqrt()).expect("a finite σ");
                    fill(rows, columns, law, rng)
                }
                Init::Uniform { low, high } => fill(rows, columns, uniform(low, high)?, rng),
            })
        };
        let (a, b) = (draw(rank, inputs)?, draw(outputs, rank)?);
        Self::new(a, b)
    }
}

impl<T> Projections<T> {
    /// A, \[r, in\].
    pub fn a(&self) -> ArrayView2<'_, T> {
        self.a.view()
    }

    /// B, \[out, r\].
    pub fn b(&self) -> ArrayView2<'_, T> {
        self.b.view()
    }

    /// r.
    pub fn rank(&self) -> usize {
        self.a.nrows()
    }

    /// Are they large enough for a weight of shape `[outputs, inputs]`?
    pub(crate) fn check(&self, [outputs, inputs]: [usize; 2]) -> Result<()> {
        if outputs <= self.b.nrows() && inputs <= self.a.ncols() {
            return Ok(());
        }
        let hint = format!(
            "too small for a layer of shape [{outputs}, {inputs}]: draw them for the largest out and in that share them"
        );
        let shapes = format!("A {:?} and B {:?}", self.a.shape(), self.b.shape());
        Err(Error::value("projections", shapes, hint))
    }
}

impl<T> Bytes for Projections<T> {
    fn count(&self, ledger: &mut Ledger) {
        ledger.shared(&self.a);
        ledger.shared(&self.b);
    }
}

/// The projections of a model: each made once, and handed to the layers that share it.
#[derive(Clone, Debug)]
pub struct Pool<T> {
    sharing: Sharing,
    shapes: BTreeMap<[usize; 2], Arc<Projections<T>>>,
}

impl<T> Pool<T> {
    /// Projections for layers of these shapes, \[out, in\]. `make` gets the shape that one pair must serve.
    ///
    /// # Errors
    /// There is no shape, or `make` fails.
    pub fn new(
        shapes: impl IntoIterator<Item = [usize; 2]>,
        sharing: Sharing,
        mut make: impl FnMut([usize; 2]) -> Result<Projections<T>>,
    ) -> Result<Self> {
        let mut wanted: Vec<[usize; 2]> = shapes.into_iter().collect();
        let larger = |[a, b]: [usize; 2], [c, d]: [usize; 2]| [a.max(c), b.max(d)];
        let Some(largest) = wanted.iter().copied().reduce(larger) else {
            return Err(Error::value("layers", "none", "projections need a layer to serve"));
        };
        if sharing == Sharing::MaxSlice {
            wanted = vec![largest];
        }
        let mut made = BTreeMap::new();
        for shape in wanted {
            if let Entry::Vacant(place) = made.entry(shape) {
                place.insert(Arc::new(make(shape)?));
            }
        }
        Ok(Self { sharing, shapes: made })
    }

    /// The projections for a layer of this shape. Where all layers share one pair, [`Vera`](crate::Vera) refuses it for a layer that
    /// is too large for it.
    ///
    /// # Errors
    /// Each shape has its own pair, and the pool was made without this one.
    pub fn get(&self, shape: [usize; 2]) -> Result<Arc<Projections<T>>> {
        let found = match self.sharing {
            Sharing::MaxSlice => self.shapes.values().next(),
            Sharing::PerShape => self.shapes.get(&shape),
        };
        let missing = || {
            let hint =
                format!("the pool was made for {:?}: give it this shape too", self.shapes.keys());
            Error::value("layer", format!("{shape:?}"), hint)
        };
        found.cloned().ok_or_else(missing)
    }
}

fn uniform(low: f64, high: f64) -> Result<Uniform<f64>> {
    Uniform::new_inclusive(low, high).map_err(|_| {
        Error::value(
            "uniform",
            format!("[{low}, {high}]"),
            "two finite bounds, the lower one first",
        )
    })
}

fn fill<T: Real>(
    rows: usize,
    columns: usize,
    law: impl Distribution<f64>,
    rng: &mut impl Rng,
) -> Array2<T> {
    Array2::from_shape_simple_fn((rows, columns), || T::from_f64(law.sample(rng)))
}
