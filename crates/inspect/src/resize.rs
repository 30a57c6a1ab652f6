//! An adapter of lower rank in the place of another: the nearest there is.

use crate::error::of;
use crate::{Budget, Fitted, Folder, Result};

// ANCHOR: resize
/// The best approximation of each module's ΔW that `budget` allows, from its core. `seen` is told after each.
///
/// # Errors
/// The budget makes no sense, the adapter is DoRA's or more than adapters of linear layers, or a number does not fit the folder's type.
pub fn resize(
    folder: &Folder,
    budget: Budget,
    dtype: peft::StorageDtype,
    mut seen: impl FnMut(&str),
) -> Result<Fitted> {
    budget.check()?;
    folder.refuse_what_is_beside()?;
    let mut fitted = Fitted::new(dtype);
    for (module, delta) in folder.factors()? {
        let svd = delta.svd().map_err(of(&module))?;
        fitted.truncate(&module, &svd, budget, |stored| delta.distance(stored))?;
        seen(&module);
    }
    Ok(fitted)
}
// ANCHOR_END: resize
