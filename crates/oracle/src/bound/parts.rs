//! Profiles, units, and the bound that is a sum of parts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use half::{bf16, f16};
use ndarray::{ArrayD, Zip};

use crate::error::wrong;
use crate::{Error, Result};

/// A way to compute: which units of rounding a submission is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Profile {
    F64,
    F32,
    /// Tensor cores on f32: operands rounded to 11 bits.
    Tf32,
    /// Stored in bf16, accumulated in f32.
    Bf16,
    /// Stored in fp16, accumulated in f32.
    Fp16,
}

const PROFILES: [(Profile, &str); 5] = [
    (Profile::F64, "f64"),
    (Profile::F32, "f32"),
    (Profile::Tf32, "tf32"),
    (Profile::Bf16, "bf16"),
    (Profile::Fp16, "fp16"),
];

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(PROFILES.iter().find(|(profile, _)| profile == self).expect("all are listed").1)
    }
}

impl FromStr for Profile {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = PROFILES.iter().find(|(_, name)| *name == text).map(|(profile, _)| *profile);
        found.ok_or_else(|| wrong(format!("{text} is no profile: f64, f32, tf32, bf16 or fp16")))
    }
}

/// What a profile rounds by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units {
    /// u_a, of sums.
    pub accumulate: f64,
    /// u_s, of what is stored.
    pub store: f64,
    /// The largest error of an underflow in a sum.
    pub tiny_accumulate: f64,
    /// The same of what is stored.
    pub tiny_store: f64,
    /// The format does not hold every input of the case, so each factor of a term is rounded once more.
    pub inputs_round: bool,
    /// Count √k roundings instead of k: what independent errors come to. Reported, never judged by.
    pub square_root: bool,
}

impl Profile {
    /// Its units. `flush`: subnormals may be flushed to zero (the flag `FTZ`).
    pub fn units(self, flush: bool) -> Units {
        let power = |exponent: i32| 2.0_f64.powi(exponent);
        // u, the smallest normal number, the smallest subnormal.
        let f32 = [power(-24), power(-126), power(-149)];
        // Tensor cores do not round their sums in f32, they cut off: twice the unit.
        let cut = [power(-23), power(-126), power(-149)];
        let [accumulate, store] = match self {
            Self::F64 => [[power(-53), power(-1022), f64::from_bits(1)]; 2],
            Self::F32 => [f32, f32],
            Self::Tf32 => [cut, [power(-11), power(-126), power(-136)]],
            Self::Bf16 => [cut, [power(-8), power(-126), power(-133)]],
            Self::Fp16 => [cut, [power(-11), power(-14), power(-24)]],
        };
        let tiny = |[_, normal, subnormal]: [f64; 3]| if flush { normal } else { subnormal };
        Units {
            accumulate: accumulate[0],
            store: store[0],
            tiny_accumulate: tiny(accumulate),
            tiny_store: tiny(store),
            inputs_round: false,
            square_root: false,
        }
    }

    /// Does the format hold this number?
    pub fn holds(self, number: f64) -> bool {
        let same = |rounded: f64| rounded == number || number.is_nan();
        match self {
            Self::F64 => true,
            Self::F32 => same(f64::from(number as f32)),
            Self::Bf16 => same(bf16::from_f64(number).to_f64()),
            Self::Fp16 => same(f16::from_f64(number).to_f64()),
            // 11 bits of an f32: the 13 last are zero.
            Self::Tf32 => same(f64::from(f32::from_bits((number as f32).to_bits() & !0x1fff))),
        }
    }
}

/// How many roundings a term goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roundings {
    /// k_a.
    pub accumulate: usize,
    /// k_s.
    pub store: usize,
    /// Inputs among its factors, rounded once more where the format does not hold them.
    pub inputs: usize,
}

// ANCHOR: growth
impl Units {
    /// (1 + u_a)^k_a (1 + u_s)^k_s − 1.
    pub fn growth(&self, roundings: Roundings) -> f64 {
        let stored = roundings.store + if self.inputs_round { roundings.inputs } else { 0 };
        let count = |k: usize| if self.square_root { (k as f64).sqrt() } else { k as f64 };
        let exponent = count(roundings.accumulate) * self.accumulate.ln_1p()
            + count(stored) * self.store.ln_1p();
        exponent.exp_m1()
    }

    /// (1 + u_s)^k − 1.
    pub fn stored(&self, k: usize) -> f64 {
        self.growth(Roundings { accumulate: 0, store: k, inputs: 0 })
    }
}
// ANCHOR_END: growth

/// How much underflow can do to a term.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Underflow {
    /// Operations that feed one element, in sums.
    pub accumulated: f64,
    /// The same, stored.
    pub stored: f64,
    /// The product of max(1, max|factor|) over the factors of the term.
    pub amplification: f64,
}

/// A part of an output: its terms go through the same roundings.
#[derive(Clone, Debug)]
pub struct Part {
    /// Σ |term|, element by element.
    pub gauge: ArrayD<f64>,
    /// How many.
    pub roundings: Roundings,
    /// What underflow adds.
    pub underflow: Underflow,
}

/// |got − want| ≤ this, element by element, in these units.
pub type Bound = Arc<dyn Fn(&Units) -> ArrayD<f64> + Send + Sync>;

/// The gauge is itself a sum in `f64`, of fewer than 2²² terms: it is low by less than this fraction.
const GAUGE: f64 = 1.0 + 1.0 / (1u64 << 30) as f64;

// ANCHOR: bound
/// Σ over the parts: growth · gauge, and underflow where there is a term at all.
pub fn bound(parts: Vec<Part>) -> Bound {
    Arc::new(move |units| {
        let mut sum: Option<ArrayD<f64>> = None;
        for Part { gauge, roundings, underflow } in &parts {
            let growth = units.growth(*roundings) * GAUGE;
            let tiny = underflow.amplification
                * (underflow.accumulated * units.tiny_accumulate
                    + underflow.stored * units.tiny_store);
            // Without a term that is not 0, every honest result is exactly 0.
            let term = gauge.mapv(|gauge| if gauge == 0.0 { 0.0 } else { gauge * growth + tiny });
            sum = Some(match sum {
                None => term,
                Some(sum) => sum + term,
            });
        }
        sum.expect("an output has at least one part")
    })
}
// ANCHOR_END: bound

/// The sum of two bounds.
pub fn plus(a: Bound, b: Bound) -> Bound {
    Arc::new(move |units| a(units) + b(units))
}

/// Element by element: f of the bound in these units and two arrays.
pub(crate) fn with(
    bound: ArrayD<f64>,
    a: &ArrayD<f64>,
    b: &ArrayD<f64>,
    f: impl Fn(f64, f64, f64) -> f64,
) -> ArrayD<f64> {
    let mut out = bound;
    Zip::from(&mut out).and(a).and(b).for_each(|bound, &a, &b| *bound = f(*bound, a, b));
    out
}

/// max(1, max|element|), multiplied: what an error made before these factors may grow by. What is not finite does not
/// count: where it enters, the result is not finite either.
pub(crate) fn largest<'a>(tensors: impl IntoIterator<Item = &'a ArrayD<f64>>) -> f64 {
    let finite = |x: &&f64| x.is_finite();
    let of = |tensor: &ArrayD<f64>| {
        tensor.iter().filter(finite).fold(1.0, |most: f64, x| most.max(x.abs()))
    };
    tensors.into_iter().map(of).product()
}
