//! What an optimiser is, and the plainest: SGD. AdamW is in `adamw.rs`.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Zip};

use crate::{Error, Real, Result, check_shape};

/// The learning rate and weight decay of a group of parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Learning rate η.
    pub lr: f64,
    /// Weight decay: the fraction of a parameter that a step takes away is η times this.
    pub weight_decay: f64,
}

impl Group {
    /// Check rate and decay.
    ///
    /// # Errors
    /// One of them is NaN, infinite or negative.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [("lr", self.lr), ("weight_decay", self.weight_decay)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::value(name, value, "it must be finite and not negative"));
            }
        }
        Ok(())
    }
}

/// Changes a parameter along its gradient. [`Sgd`] and [`AdamW`](crate::AdamW) are two; whatever else implements it trains too.
///
/// A method's [`step`](crate::Adapter::step) asks for the present [`group`](Self::group) and may change it for a
/// tensor of its own: LoRA+ is one changed `Group`.
pub trait Optimizer<T>: Send {
    /// Learning rate and weight decay of this step.
    fn group(&self) -> Group;

    /// Changes the learning rate, from the next update on: a schedule does so before each step.
    fn set_lr(&mut self, lr: f64);

    /// One update of one parameter. Moments are kept under `name`, which must therefore be unique: see [`Scope`].
    ///
    /// # Errors
    /// The gradient's shape is not the parameter's, or differs from the shape seen before under this name.
    fn update(
        &mut self,
        name: &str,
        parameter: ArrayViewMutD<'_, T>,
        gradient: ArrayViewD<'_, T>,
        group: Group,
    ) -> Result<()>;

    /// Checks the settings, once before training.
    ///
    /// # Errors
    /// One of them is NaN, infinite or out of its range.
    fn validate(&self) -> Result<()> {
        self.group().validate()
    }

    /// What the updates so far have left behind, by name: what a checkpoint must hold. Of most optimisers nothing.
    fn state(&self) -> Vec<(String, ArrayViewD<'_, T>)> {
        Vec::new()
    }

    /// Takes up what [`state`](Self::state) gave after `steps` updates.
    ///
    /// # Errors
    /// The state is not of this kind of optimiser.
    fn restore(&mut self, steps: u64, state: BTreeMap<String, ArrayD<T>>) -> Result<()> {
        let _ = steps;
        no_more(state.into_keys().next())
    }
}

/// An optimiser seen from one layer: it puts `prefix` and a dot before every name.
pub struct Scope<'a, T> {
    /// The layer's name, `model.layers.3.self_attn.q_proj` for example.
    pub prefix: &'a str,
    /// The optimiser of the whole model.
    pub optimizer: &'a mut dyn Optimizer<T>,
}

impl<T> Optimizer<T> for Scope<'_, T> {
    fn group(&self) -> Group {
        self.optimizer.group()
    }
    fn set_lr(&mut self, lr: f64) {
        self.optimizer.set_lr(lr);
    }
    fn update(
        &mut self,
        name: &str,
        parameter: ArrayViewMutD<'_, T>,
        gradient: ArrayViewD<'_, T>,
        group: Group,
    ) -> Result<()> {
        let name = format!("{}.{name}", self.prefix);
        self.optimizer.update(&name, parameter, gradient, group)
    }
    fn validate(&self) -> Result<()> {
        self.optimizer.validate()
    }
    /// That of the whole model's optimiser, under whole names.
    fn state(&self) -> Vec<(String, ArrayViewD<'_, T>)> {
        self.optimizer.state()
    }
    fn restore(&mut self, steps: u64, state: BTreeMap<String, ArrayD<T>>) -> Result<()> {
        self.optimizer.restore(steps, state)
    }
}

/// Stochastic gradient descent without momentum: p ← p − η (g + λ p).
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Rate and decay.
    pub group: Group,
}

impl<T: Real> Optimizer<T> for Sgd {
    fn group(&self) -> Group {
        self.group
    }
    fn set_lr(&mut self, lr: f64) {
        self.group.lr = lr;
    }
    fn update(
        &mut self,
        name: &str,
        mut parameter: ArrayViewMutD<'_, T>,
        gradient: ArrayViewD<'_, T>,
        group: Group,
    ) -> Result<()> {
        check_gradient(name, &parameter, &gradient)?;
        let (lr, decay) = (T::from_f64(group.lr), T::from_f64(group.weight_decay));
        Zip::from(&mut parameter).and(&gradient).for_each(|p, &g| *p -= lr * (g + decay * *p));
        Ok(())
    }
}

/// Refuses a tensor that the optimiser does not keep.
pub(crate) fn no_more(name: Option<String>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    let hint =
        "this optimiser keeps no such tensor: go on with the one that the run was started with";
    Err(Error::value("optimizer state", name, hint))
}

pub(crate) fn check_gradient<T>(
    name: &str,
    parameter: &ArrayViewMutD<'_, T>,
    gradient: &ArrayViewD<'_, T>,
) -> Result<()> {
    if parameter.shape() == gradient.shape() {
        return Ok(());
    }
    let name = format!("the gradient of {name}");
    check_shape(name, gradient.shape(), parameter.shape(), "its parameter's shape")
}
