//! A weighted sum of adapters as one adapter.

use std::collections::{BTreeMap, BTreeSet};

use peft::{LoraConfig, StorageDtype};

use crate::error::{folder as at, of, wrong};
use crate::{Budget, Factors, Fitted, Folder, Result};

/// Σ w ΔW of each module, over the folders that have it. Without a `budget` exactly, by stacking ([`Factors::sum`]), of the
/// sum of their ranks, up to rounding each number once; with it, the best approximation that it allows. Ranks, scales and
/// targets may differ. `seen` is told after each module.
///
/// # Errors
/// There is no folder, a weight is not finite, two name different base models or have different shapes for one module, one
/// is DoRA's or more than adapters of linear layers, the budget makes no sense, or a number does not fit `dtype`.
pub fn combine(
    terms: &[(f64, &Folder)],
    budget: Option<Budget>,
    dtype: StorageDtype,
    mut seen: impl FnMut(&str),
) -> Result<(Fitted, LoraConfig)> {
    budget.map_or(Ok(()), Budget::check)?;
    let config = config(terms)?;
    let mut by_module = BTreeMap::<String, Vec<(f64, Factors)>>::new();
    for (weight, folder) in terms {
        if !weight.is_finite() {
            let name = folder.path.display();
            return Err(wrong(format!("the weight of {name} is {weight}: it must be finite")));
        }
        folder.refuse_what_is_beside()?;
        for (module, factors) in folder.factors()? {
            let terms = by_module.entry(module.clone()).or_default();
            if let Some((_, first)) = terms.first() {
                same_shape(folder, &module, factors.shape(), first.shape())?;
            }
            terms.push((*weight, factors));
        }
    }
    let mut fitted = Fitted::new(dtype);
    for (module, terms) in by_module {
        let terms: Vec<_> = terms.iter().map(|(weight, factors)| (*weight, factors)).collect();
        let sum = Factors::sum(&terms).map_err(of(&module))?;
        let svd = sum.svd().map_err(of(&module))?;
        let distance = |stored: &Factors| sum.distance(stored);
        match budget {
            Some(budget) => fitted.truncate(&module, &svd, budget, distance)?,
            None => fitted.add(&module, sum.clone(), svd.frobenius_norm(), 0.0, distance)?,
        }
        seen(&module);
    }
    Ok((fitted, config))
}

fn same_shape(folder: &Folder, module: &str, got: [usize; 2], want: [usize; 2]) -> Result<()> {
    if got == want {
        return Ok(());
    }
    let reason = format!(
        "{module} is for a weight of shape {got:?}, and {want:?} in an adapter before it: were they made for \
         different models?"
    );
    Err(at(&folder.path, reason))
}

/// What all agree on; and of the targets, all.
fn config(terms: &[(f64, &Folder)]) -> Result<LoraConfig> {
    let Some((_, first)) = terms.first() else {
        return Err(wrong("no adapter: there is nothing to combine"));
    };
    let mut config = first.config.clone();
    for (_, folder) in &terms[1..] {
        let LoraConfig { base_model_name_or_path: base, revision, task_type, .. } = &folder.config;
        for (field, mine, other) in [
            ("base_model_name_or_path", &mut config.base_model_name_or_path, base),
            ("revision", &mut config.revision, revision),
        ] {
            match (&*mine, other) {
                (Some(a), Some(b)) if a != b => {
                    let reason = format!(
                        "{field} is {b:?}, and {a:?} in an adapter before it: they are changes of different weights; \
                         where it is one model under two names, edit adapter_config.json"
                    );
                    return Err(at(&folder.path, reason));
                }
                (None, Some(_)) => mine.clone_from(other),
                _ => {}
            }
        }
        if config.task_type != *task_type {
            config.task_type = None;
        }
        if config.lora_dropout != folder.config.lora_dropout {
            config.lora_dropout = 0.0;
        }
    }
    let lists = terms.iter().map(|(_, folder)| &folder.config.target_modules);
    // An empty list stands for exactly the folder's modules, and so then does that of the sum.
    let targets: BTreeSet<&String> = lists.clone().flatten().collect();
    let all_listed = lists.clone().all(|list| !list.is_empty());
    let same = lists.clone().all(|list| list.iter().collect::<BTreeSet<_>>() == targets);
    config.target_modules = match all_listed && same {
        true => targets.into_iter().cloned().collect(),
        false => Vec::new(),
    };
    Ok(config)
}
