//! A LoRA in the place of a ΔW: of the rank that is wanted, rounded as it will be stored, and how far it is off.

use std::collections::BTreeMap;
use std::path::Path;

use lora::Lora;
use peft::{LoraConfig, LoraFolder, StorageDtype};
use rank::Svd;

use crate::error::{folder as at, of, wrong};
use crate::folder::round;
use crate::{Factors, Result};

/// How much of ΔW to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// The largest rank a module may have.
    Rank(usize),
    /// For each module the smallest rank that keeps this share of ‖ΔW‖²_F.
    Energy(f64),
}

impl Budget {
    /// # Errors
    /// The rank is 0, or the share is not above 0 and at most 1.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Rank(0) => Err(wrong("rank is 0: a rank is at least 1")),
            Self::Energy(energy) if !(energy > 0.0 && energy <= 1.0) => Err(wrong(format!(
                "energy is {energy}: it is a share of ‖ΔW‖², above 0 and at most 1"
            ))),
            _ => Ok(()),
        }
    }

    /// The rank for this ΔW: no more than it has, and 0 if it is 0.
    pub fn rank(self, svd: &Svd) -> usize {
        match self {
            Self::Rank(rank) => rank.min(svd.rank_for_energy(1.0)),
            Self::Energy(energy) => svd.rank_for_energy(energy),
        }
    }
}

/// A module as it is written, and how far it is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Its name.
    pub module: String,
    /// r of what is written; 0 if ΔW is 0 and the module is left out.
    pub rank: usize,
    /// ‖ΔW‖_F.
    pub norm: f64,
    /// ‖ΔW − B A‖_F with B and A as they are stored.
    pub error: f64,
    /// The part of it that no matrix of this rank could avoid (Eckart & Young 1936): √(σᵣ₊₁² + …). Rounding is the rest.
    pub least: f64,
}

impl Fit {
    /// Of many modules: √Σ of the squares of ‖ΔW‖_F and of the error.
    pub fn total<'a>(fits: impl IntoIterator<Item = &'a Self>) -> [f64; 2] {
        fits.into_iter().fold([0.0; 2], |[norm, error]: [f64; 2], fit| {
            [norm.hypot(fit.norm), error.hypot(fit.error)]
        })
    }
}

/// What is to be written, and what is said about it.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// By the module's name. The scale of each is 1.
    pub modules: BTreeMap<String, Lora<f64>>,
    /// One for each ΔW, those that are 0 included.
    pub fits: Vec<Fit>,
    /// How they are rounded.
    pub dtype: StorageDtype,
}

impl Fitted {
    pub(crate) fn new(dtype: StorageDtype) -> Self {
        Self { modules: BTreeMap::new(), fits: Vec::new(), dtype }
    }

    /// The best approximation of a ΔW that `budget` allows. Of a singular value, B and A get the root each:
    /// see [`Svd::factors`].
    pub(crate) fn truncate(
        &mut self,
        module: &str,
        svd: &Svd,
        budget: Budget,
        distance: impl FnOnce(&Factors) -> adapter::Result<f64>,
    ) -> Result<()> {
        let rank = budget.rank(svd);
        let [b, a] = svd.factors(rank).map_err(of(module))?;
        let (norm, least) = (svd.frobenius_norm(), svd.tail(rank));
        self.add(module, Factors { b, a }, norm, least, distance)
    }

    /// These factors, rounded. `distance` says how far what is stored is from ΔW.
    pub(crate) fn add(
        &mut self,
        module: &str,
        factors: Factors,
        norm: f64,
        least: f64,
        distance: impl FnOnce(&Factors) -> adapter::Result<f64>,
    ) -> Result<()> {
        let rank = if norm > 0.0 { factors.rank() } else { 0 };
        let mut error = norm;
        if rank > 0 {
            let [a, b] = [&factors.a, &factors.b].map(|matrix| round(matrix, self.dtype));
            let (Some(a), Some(b)) = (a, b) else {
                let dtype = self.dtype;
                let reason =
                    format!("{module}: a number is too large for {dtype}: choose another dtype");
                return Err(wrong(reason));
            };
            let stored = Factors { b, a };
            error = distance(&stored).map_err(of(module))?;
            let lora = Lora::new(stored.a, stored.b, 1.0).map_err(of(module))?;
            self.modules.insert(module.to_owned(), lora);
        }
        self.fits.push(Fit { module: module.to_owned(), rank, norm, error, least });
        Ok(())
    }

    /// Write them as a folder that PEFT loads: scale 1, α = r. If a module was left out, `config`'s target modules are
    /// replaced by the names of those that are there.
    ///
    /// # Errors
    /// Every ΔW is 0, the folder holds something, or the disk is full or read-only.
    pub fn write(self, out: &Path, config: &LoraConfig) -> Result<()> {
        check_empty(out)?;
        if self.modules.is_empty() {
            return Err(wrong("ΔW is 0 everywhere: there is nothing to write"));
        }
        let mut config = LoraConfig { use_rslora: false, lowrank_method: None, ..config.clone() };
        if self.modules.len() < self.fits.len() {
            config.target_modules.clear();
        }
        let folder = LoraFolder::new(config, self.modules)?;
        Ok(peft::write_as(out, &folder, self.dtype)?)
    }
}

/// Can this folder be written without touching anything? Worth asking before long work.
///
/// # Errors
/// It holds something, or is a file.
pub fn check_empty(out: &Path) -> Result<()> {
    let holds_nothing = match out.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !out.exists(),
    };
    if holds_nothing {
        return Ok(());
    }
    Err(at(
        out,
        "something is there already: nothing is written over; give a folder that does not exist",
    ))
}
