//! How alike two adapters are, module by module, from their factors.

use ndarray::{Array2, s};
use rank::{Tolerance, subspace};

use crate::error::of;
use crate::{Factors, Result};

/// One module that both adapters have.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarity {
    /// Its name.
    pub module: String,
    /// \[out, in\].
    pub shape: [usize; 2],
    /// i and j: the numerical rank of each ΔW.
    pub ranks: [usize; 2],
    /// ⟨ΔW, ΔW′⟩ / (‖ΔW‖ ‖ΔW′‖): 1 when one is a multiple of the other, 0 when they have nothing in common. `None` when one of
    /// them is 0.
    pub cosine: Option<f64>,
    /// φ of the column spaces: what is written to the output. Of random ones, max(i, j)/out on average. `None` when one is 0.
    pub output: Option<f64>,
    /// φ of the row spaces: what is read from the input. Of random ones, max(i, j)/in on average. `None` when one is 0.
    pub input: Option<f64>,
}

// ANCHOR: similarity
/// φ = ‖Uᵀ U′‖²_F / min(i, j) of the two ΔW's left and right singular vectors (Hu et al. 2021, equation 4, there of the right
/// ones, with i and j given), and the cosine of the angle between the two.
///
/// # Errors
/// The two are for weights of different shapes, or a number is not finite.
pub fn similarity(module: &str, first: &Factors, second: &Factors) -> Result<Similarity> {
    let inner = first.inner(second).map_err(of(module))?;
    let [one, two] = [first, second].map(Factors::svd);
    let (one, two) = (one.map_err(of(module))?, two.map_err(of(module))?);
    let [i, j] = [one.rank(Tolerance::Numpy), two.rank(Tolerance::Numpy)];
    let both = i > 0 && j > 0;
    let phi = |u: &Array2<f64>, v: &Array2<f64>| {
        subspace::similarity(u.slice(s![.., ..i]), v.slice(s![.., ..j])).map_err(of(module))
    };
    let output = both.then(|| phi(&one.u, &two.u)).transpose()?;
    let transposed = |vt: Array2<f64>| vt.reversed_axes();
    let input = both.then(|| phi(&transposed(one.vt.clone()), &transposed(two.vt.clone())));
    // Divided one after the other: the product of two small norms could be 0.
    let cosine = both.then(|| inner / one.frobenius_norm() / two.frobenius_norm());
    Ok(Similarity {
        module: module.to_owned(),
        shape: first.shape(),
        ranks: [i, j],
        cosine,
        output,
        input: input.transpose()?,
    })
}
// ANCHOR_END: similarity
