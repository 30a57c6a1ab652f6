//! Adapters whose start was taken out of W: PiSSA and OLoRA.
//!
//! Both begin with factors B₀, A₀ of a part of W and train on what is left of it, W − s B₀ A₀, so that nothing changes before
//! the first step. A folder has the trained A and B. PEFT finds B₀ and A₀ again from the W that it loads the adapter on; what
//! the adapter adds to that W is s (B A − B₀ A₀), a LoRA of twice the rank:
//!
//! ```text
//! s [B  −B₀] [A ]
//!            [A₀]
//! ```

use adapter::Real;
use lora::Lora;
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

use crate::Result;
use crate::error::wrong;

/// How A and B started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// Beside W.
    #[default]
    Beside,
    /// With the r largest singular values of W and their vectors (Meng et al. 2024, arXiv 2404.02948): s B₀ A₀ = Uᵣ Σᵣ Vᵣᵀ.
    Pissa,
    /// With the first r columns of Q and rows of R of W = Q R (Büyükakyüz 2024, arXiv 2406.01775): B₀ A₀ = Qᵣ Rᵣ.
    Olora,
}

impl Start {
    /// As `init_lora_weights` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Beside => "true",
            Self::Pissa => "pissa",
            Self::Olora => "olora",
        }
    }

    /// The adapter on W \[out, in\] itself that is the same as `trained` on what its start left of W.
    ///
    /// # Errors
    /// W has another shape, less than r singular values or columns, numbers that are not finite, or leaves open what the start
    /// was: two equal singular values, a column of the first r that is made of those before it.
    pub fn undone<T: Real>(self, trained: Lora<T>, weight: ArrayView2<'_, f64>) -> Result<Lora<T>> {
        let (rank, scale) = (trained.a.nrows(), trained.scale);
        adapter::check_shape("W", weight.shape(), &trained.shape(), "[out, in] of the adapter")?;
        if rank > weight.nrows().min(weight.ncols()) {
            return Err(wrong(format!("r is {rank}, larger than W {:?}", weight.shape())));
        }
        let [b, a] = match self {
            Self::Beside => return Ok(trained),
            Self::Pissa => pissa(weight, rank, scale.to_f64())?,
            Self::Olora => olora(weight, rank)?,
        };
        let [b, a] = [-b, a].map(|start| start.mapv(T::from_f64));
        let join = |axis, parts: [ArrayView2<'_, T>; 2]| {
            concatenate(Axis(axis), &parts).expect("both have the adapter's shape")
        };
        let (a, b) = (join(0, [trained.a.view(), a.view()]), join(1, [trained.b.view(), b.view()]));
        Ok(Lora::new(a, b, scale)?)
    }
}

/// B₀ = Uᵣ √(Σᵣ/s) and A₀ = √(Σᵣ/s) Vᵣᵀ.
fn pissa(weight: ArrayView2<'_, f64>, rank: usize, scale: f64) -> Result<[Array2<f64>; 2]> {
    if !(scale > 0.0) {
        return Err(wrong(format!("the scale is {scale}: PiSSA needs one above 0")));
    }
    let svd = rank::svd(weight)?;
    let next = svd.s.get(rank).copied().unwrap_or(0.0);
    check_apart(
        svd.s[rank - 1] - next,
        svd.s[0],
        "the singular values r and r + 1 of W are equal",
    )?;
    Ok(svd.factors(rank)?.map(|factor| factor / scale.sqrt()))
}

/// B₀ = Qᵣ and A₀ = Rᵣ.
fn olora(weight: ArrayView2<'_, f64>, rank: usize) -> Result<[Array2<f64>; 2]> {
    let qr = rank::qr(weight)?;
    let diagonal = qr.r.diag().slice_move(s![..rank]).mapv(f64::abs);
    let (least, most) =
        diagonal.iter().fold((f64::MAX, 0f64), |(least, most), d| (least.min(*d), most.max(*d)));
    check_apart(least, most, "one of the first r columns of W is made of those before it")?;
    Ok([qr.q.slice_move(s![.., ..rank]), qr.r.slice_move(s![..rank, ..])])
}

/// PEFT decomposes W in f32: what that cannot tell apart comes out one way on one machine and otherwise on another.
fn check_apart(distance: f64, largest: f64, otherwise: &str) -> Result<()> {
    match distance > largest * f64::from(f32::EPSILON) {
        true => Ok(()),
        false => Err(wrong(format!("{otherwise} in f32: what the start was is open"))),
    }
}

#[cfg(test)]
mod tests {
    use adapter::Adapter;
    use ndarray::array;

    use super::*;

    /// As the papers have it: an adapter that was not trained changes nothing, whatever the signs of its factors.
    #[test]
    fn an_untrained_start_is_undone_to_nothing() {
        let weight = array![[3.0, 1.0, 0.5], [0.0, -2.0, 1.0], [1.0, 1.0, 1.0], [0.5, 0.0, 4.0]];
        for (start, [b, a]) in [
            (Start::Pissa, pissa(weight.view(), 2, 0.5).unwrap()),
            (Start::Olora, olora(weight.view(), 2).unwrap()),
        ] {
            let flipped = Lora::new(-a, -b, 0.5).unwrap();
            let undone = start.undone(flipped, weight.view()).unwrap();
            assert_eq!(undone.a.nrows(), 4);
            let delta = undone.delta_weight(weight.view()).unwrap();
            assert!(delta.iter().all(|change| change.abs() < 1e-15), "{delta}");
        }
    }

    #[test]
    fn what_leaves_the_start_open_is_refused() {
        let lora = |rank| {
            Lora::new(Array2::<f64>::zeros((rank, 2)), Array2::zeros((3, rank)), 1.0).unwrap()
        };
        let equal = array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]];
        let first_is_zero = array![[0.0, 1.0], [0.0, 1.0], [0.0, 2.0]];
        for (start, rank, weight, expected) in [
            (Start::Pissa, 1, &equal, "the singular values r and r + 1 of W are equal"),
            (Start::Olora, 1, &first_is_zero, "one of the first r columns of W"),
            (Start::Pissa, 3, &equal, "r is 3, larger than W [3, 2]"),
            (Start::Pissa, 1, &equal.t().to_owned(), "W has shape [2, 3]"),
        ] {
            let error = start.undone(lora(rank), weight.view()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Start::Pissa.undone(lora(2), equal.view()).is_ok(), "all of W is taken out");
    }
}
