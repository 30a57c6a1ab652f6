//! What a mistake makes of updates: for mutants alone. Right updates come from the optimisers' own crate.

use adapter::{AdamW, Error, Group, Optimizer};
use ndarray::{ArrayViewD, ArrayViewMutD, Zip};

use super::adam_constants::AdamConstants;
use super::grid::grid;
use crate::case::Params;

/// Where updates differ from the right ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slips {
    /// Changes what AdamW computes with.
    pub adamw: Option<fn(&mut AdamConstants)>,
    /// Is the decay added to the gradient, so that the moments see it?
    pub coupled: bool,
    /// How each number of a trajectory's state is rounded before the next step.
    pub rounding: fn(f64) -> f64,
}

impl Default for Slips {
    fn default() -> Self {
        Self { adamw: None, coupled: false, rounding: grid }
    }
}

impl Slips {
    /// The constants of this update, with the mistake in them; `None` for SGD.
    pub fn constants(&self, params: &Params, lr: f64) -> Option<AdamConstants> {
        let mut constants = AdamConstants::new(params, lr)?;
        if let Some(slip) = self.adamw {
            slip(&mut constants);
        }
        Some(constants)
    }
}

/// AdamW, or what a slip makes of it.
pub(super) struct Slipped<'a> {
    /// The moments of both.
    pub adamw: AdamW<f64>,
    pub params: &'a Params,
    pub slips: Slips,
}

impl Optimizer<f64> for Slipped<'_> {
    fn group(&self) -> Group {
        self.adamw.group
    }

    fn set_lr(&mut self, lr: f64) {
        self.adamw.group.lr = lr;
    }

    fn update(
        &mut self,
        name: &str,
        mut parameter: ArrayViewMutD<'_, f64>,
        gradient: ArrayViewD<'_, f64>,
        group: Group,
    ) -> Result<(), Error> {
        let before = parameter.to_owned();
        self.adamw.update(name, parameter.view_mut(), gradient, group)?;
        if self.slips.adamw.is_none() {
            return Ok(());
        }
        let constants = self.slips.constants(self.params, group.lr);
        let (Some(constants), Some(moments)) = (constants, self.adamw.moments.get(name)) else {
            return Ok(());
        };
        let shrink = 1.0 - group.lr * group.weight_decay;
        let numbers = Zip::from(&mut parameter).and(&before);
        numbers.and(&moments.exp_avg).and(&moments.exp_avg_sq).for_each(|after, &p, &m, &v| {
            let move_by = constants.rate * m / constants.denominator(v);
            *after =
                if constants.decay_last { (p - move_by) * shrink } else { p * shrink - move_by };
        });
        Ok(())
    }
}
