//! What there is to know of one module's ΔW.

use std::path::Path;

use llama::MergeReport;
use ndarray::ArrayView2;
use peft::StorageDtype;
use rank::{Svd, Tolerance};

use crate::error::{of, wrong};
use crate::{Folder, Module, Result, Weights};

/// The types that PEFT stores adapters in.
pub const PEFT_DTYPES: [StorageDtype; 3] =
    [StorageDtype::F32, StorageDtype::F16, StorageDtype::Bf16];

/// One module of an adapter.
#[derive(Clone, Debug)]
pub struct ModuleReport {
    /// Its name.
    pub module: String,
    /// \[out, in\].
    pub shape: [usize; 2],
    /// r.
    pub rank: usize,
    /// α; VeRA has none.
    pub alpha: Option<f64>,
    /// s; VeRA has none.
    pub scale: Option<f64>,
    /// ‖ΔW‖_F.
    pub norm: f64,
    /// ‖ΔW‖_F / ‖W‖_F, with a model whose W is not 0.
    pub relative: Option<f64>,
    /// σ of ΔW, largest first: as many as can be other than 0.
    pub singular_values: Vec<f64>,
    /// exp of the entropy of σ/Σσ: see [`Svd::effective_rank`].
    pub effective_rank: f64,
    /// Σσ²/σ₁²: see [`Svd::stable_rank`].
    pub stable_rank: f64,
    /// The numerical rank with the adapter stored as each of [`PEFT_DTYPES`]; `None` where a number is too large for the
    /// type, and for DoRA. See [`numerical_rank`].
    pub numerical_rank: [Option<usize>; 3],
    /// What would be left of ΔW, were W + ΔW stored as bf16; with a model.
    pub merged_bf16: Option<MergeReport>,
}

impl ModuleReport {
    /// ΔW = 0: the module does nothing. So it is with B = 0, as LoRA starts, and with b = 0 in VeRA.
    pub fn is_dead(&self) -> bool {
        self.norm == 0.0
    }
}

/// Look into each module of a folder, the model's `weights` at hand or not. `seen` is told after each.
///
/// # Errors
/// The adapter is DoRA's and there is no model, or a number is not finite.
pub fn inspect(
    folder: &Folder,
    weights: Option<&Weights>,
    mut seen: impl FnMut(&str),
) -> Result<Vec<ModuleReport>> {
    let mut reports = Vec::with_capacity(folder.modules.len());
    for (name, module) in &folder.modules {
        let weight = weights.map_or(Ok(None), |weights| weights.read(name))?;
        reports.push(one(folder, name, module, weight.as_ref().map(|weight| weight.view()))?);
        seen(name);
    }
    Ok(reports)
}

fn one(
    folder: &Folder,
    name: &str,
    module: &Module,
    weight: Option<ArrayView2<'_, f64>>,
) -> Result<ModuleReport> {
    let dense = weight.map(|weight| module.delta_weight(weight)).transpose().map_err(of(name))?;
    let svd = match (module.factors(), &dense) {
        (Some(factors), _) => factors.svd(),
        (None, Some(delta)) => rank::svd(delta.view()),
        (None, None) => return Err(needs_model(&folder.path)),
    };
    let svd = svd.map_err(of(name))?;
    let mut numerical = [None; 3];
    for (rank, dtype) in numerical.iter_mut().zip(PEFT_DTYPES) {
        *rank = numerical_rank(module, &svd, dtype).map_err(of(name))?;
    }
    let norm = svd.frobenius_norm();
    let relative = |weight: ArrayView2<'_, f64>| {
        let whole = rank::frobenius(weight);
        (whole > 0.0).then_some(norm / whole)
    };
    let merged = |(weight, delta)| {
        llama::merge_report(name, weight, delta, StorageDtype::Bf16).map_err(crate::Error::from)
    };
    let alpha = module.scale().map(|_| folder.config.resolve(name)).transpose()?;
    Ok(ModuleReport {
        module: name.to_owned(),
        shape: module.shape(),
        rank: module.rank(),
        alpha: alpha.map(|resolved| resolved.alpha),
        scale: module.scale(),
        norm,
        relative: weight.and_then(relative),
        effective_rank: svd.effective_rank(),
        stable_rank: svd.stable_rank(),
        singular_values: svd.s.to_vec(),
        numerical_rank: numerical,
        merged_bf16: weight.zip(dense.as_ref().map(|d| d.view())).map(merged).transpose()?,
    })
}

// ANCHOR: numerical_rank
/// How many singular values of ΔW stand above the noise of storing its tensors as `dtype`.
///
/// Rounding A and B turns ΔW into ΔW + E. No singular value moves by more than ‖E‖₂ (Weyl 1912), so those above it are there
/// in any case, and of those below it nothing can be said: the numerical rank of Golub & Van Loan, *Matrix Computations*,
/// section 5.4, with a noise that is measured. E is a difference of two products, so its norm comes from a core too. Where
/// nothing is rounded, numpy's tolerance for `f64` decides.
///
/// `None` if a number is too large for `dtype`, and for DoRA, whose ΔW is not of low rank.
///
/// # Errors
/// A number is not finite.
pub fn numerical_rank(
    module: &Module,
    svd: &Svd,
    dtype: StorageDtype,
) -> adapter::Result<Option<usize>> {
    let Some((exact, rounded)) = module.factors().zip(module.rounded(dtype)) else {
        return Ok(None);
    };
    let Some(rounded) = rounded.factors() else { return Ok(None) };
    if rounded == exact {
        return Ok(Some(svd.rank(Tolerance::Numpy)));
    }
    let noise = crate::Factors::sum(&[(1.0, &rounded), (-1.0, &exact)])?.svd()?;
    let largest = noise.s.first().copied().unwrap_or(0.0);
    Ok(Some(svd.rank(Tolerance::Absolute(largest)).min(svd.rank(Tolerance::Numpy))))
}
// ANCHOR_END: numerical_rank

fn needs_model(path: &Path) -> crate::Error {
    let reason = "a DoRA adapter's ΔW depends on W: give --model";
    wrong(format!("{}: {reason}", path.display()))
}

/// Many modules as one: norms add as squares, counts add.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Total {
    /// How many modules.
    pub modules: usize,
    /// How many of them have ΔW = 0.
    pub dead: usize,
    /// √Σ‖ΔW‖²_F.
    pub norm: f64,
    /// What a merge in bf16 would leave of all of them; with a model.
    pub merged_bf16: Option<MergeReport>,
}

impl Total {
    /// Of these modules.
    pub fn of<'a>(reports: impl IntoIterator<Item = &'a ModuleReport>) -> Self {
        let (mut modules, mut dead, mut norm) = (0, 0, 0f64);
        let (mut lost, mut unchanged, mut numbers) = (0f64, 0.0, 0);
        let mut merged = true;
        for report in reports {
            modules += 1;
            dead += usize::from(report.is_dead());
            norm = norm.hypot(report.norm);
            match report.merged_bf16 {
                None => merged = false,
                Some(merge) => {
                    lost = lost.hypot(merge.lost * report.norm);
                    unchanged += merge.unchanged * merge.numbers as f64;
                    numbers += merge.numbers;
                }
            }
        }
        let merge = || MergeReport {
            numbers,
            lost: if norm > 0.0 { lost / norm } else { 0.0 },
            unchanged: unchanged / numbers.max(1) as f64,
        };
        Self { modules, dead, norm, merged_bf16: (merged && modules > 0).then(merge) }
    }
}
