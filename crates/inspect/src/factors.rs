//! ΔW as a product of two thin matrices, and what is known of it without multiplying them.

use adapter::{Error, Real, Result, check_shape};
use lora::Lora;
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rank::{Svd, product};
use vera::Vera;

/// ΔW = B A in `f64`. The scale is in B.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// B, \[out, r\].
    pub b: Array2<f64>,
    /// A, \[r, in\].
    pub a: Array2<f64>,
}

impl Factors {
    /// Of LoRA: ΔW = (s B) A.
    pub fn of_lora<T: Real>(lora: &Lora<T>) -> Self {
        let scale = lora.scale.to_f64();
        Self { b: lora.b.mapv(|number| scale * number.to_f64()), a: lora.a.mapv(T::to_f64) }
    }

    /// Of VeRA: ΔW = (Λ_b B Λ_d) A. A diagonal matrix only scales rows or columns, so ΔW has no higher rank than A.
    pub fn of_vera<T: Real>(vera: &Vera<T>) -> Self {
        let wide = |view: ArrayView2<'_, T>| view.mapv(T::to_f64);
        let (lambda_b, lambda_d) = (vera.lambda_b.mapv(T::to_f64), vera.lambda_d.mapv(T::to_f64));
        let b = wide(vera.b()) * &lambda_b.insert_axis(Axis(1)) * &lambda_d; // [out, r]
        Self { b, a: wide(vera.a()) }
    }

    /// r: how many columns B has. ΔW's rank is at most that.
    pub fn rank(&self) -> usize {
        self.a.nrows()
    }

    /// \[out, in\] of ΔW.
    pub fn shape(&self) -> [usize; 2] {
        [self.b.nrows(), self.a.ncols()]
    }

    /// The SVD of ΔW, from its r × r core: see [`rank::product`].
    ///
    /// # Errors
    /// B and A do not fit together, or a number is not finite.
    pub fn svd(&self) -> Result<Svd> {
        product::svd(self.b.view(), self.a.view())
    }

    // ANCHOR: inner
    /// ⟨ΔW, ΔW′⟩ = Σ ΔWᵢⱼ ΔW′ᵢⱼ = tr(Aᵀ Bᵀ B′ A′) = Σ (Bᵀ B′) ⊙ (A A′ᵀ): two matrices \[r, r′\] in the place of two
    /// \[out, in\].
    ///
    /// # Errors
    /// The two are for weights of different shapes.
    pub fn inner(&self, other: &Self) -> Result<f64> {
        check_shape("the second ΔW", &other.shape(), &self.shape(), "as the first: [out, in]")?;
        let left = self.b.t().dot(&other.b); // [r, out]·[out, r′] → [r, r′]
        let right = self.a.dot(&other.a.t()); // [r, in]·[in, r′] → [r, r′]
        Ok((left * right).sum())
    }
    // ANCHOR_END: inner

    // ANCHOR: sum
    /// w₁ ΔW₁ + w₂ ΔW₂ + … exactly, by stacking: \[w₁ B₁ | w₂ B₂ | …\] times A₁ over A₂ over …, of rank r₁ + r₂ + ….
    ///
    /// # Errors
    /// There is no term, or two are for weights of different shapes.
    pub fn sum(terms: &[(f64, &Self)]) -> Result<Self> {
        let Some((_, first)) = terms.first() else {
            return Err(Error::value("terms", 0, "a sum needs at least one"));
        };
        for (_, term) in terms {
            check_shape("a ΔW", &term.shape(), &first.shape(), "as the first: [out, in]")?;
        }
        let bs: Vec<Array2<f64>> = terms.iter().map(|(weight, term)| &term.b * *weight).collect();
        let bs: Vec<ArrayView2<'_, f64>> = bs.iter().map(|b| b.view()).collect();
        let rows: Vec<ArrayView2<'_, f64>> = terms.iter().map(|(_, term)| term.a.view()).collect();
        let fit = "shapes were compared";
        Ok(Self {
            b: concatenate(Axis(1), &bs).expect(fit),
            a: concatenate(Axis(0), &rows).expect(fit),
        })
    }
    // ANCHOR_END: sum

    /// ‖ΔW − ΔW′‖_F, from the core of the two stacked.
    ///
    /// # Errors
    /// As [`sum`](Self::sum) and [`svd`](Self::svd).
    pub fn distance(&self, other: &Self) -> Result<f64> {
        Ok(Self::sum(&[(1.0, self), (-1.0, other)])?.svd()?.frobenius_norm())
    }
}
