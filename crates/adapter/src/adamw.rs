//! AdamW, in the two variants that are in use.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Zip};

use crate::optimizer::{check_gradient, no_more};
use crate::{Error, Group, Optimizer, Real, Result, check_shape};

/// The two AdamWs in use. They differ in where ε stands and in when decay happens; with gradients near ε that
/// changes an update by tens of percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdamVariant {
    /// `torch.optim.AdamW`: decay first; p −= η/(1−β₁ᵗ) · m / (√(v/(1−β₂ᵗ)) + ε).
    #[default]
    Torch,
    /// The AdamW that transformers had and PEFT's LoRA-FA keeps: p −= η √(1−β₂ᵗ)/(1−β₁ᵗ) · m / (√v + ε); decay last.
    Hf,
}

/// First and second moments of one parameter's gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments<T> {
    /// Updates so far, the t of the formulas.
    pub steps: u64,
    /// m, the running mean of g.
    pub exp_avg: ArrayD<T>,
    /// v, the running mean of g².
    pub exp_avg_sq: ArrayD<T>,
}

/// AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).
#[derive(Clone, Debug)]
pub struct AdamW<T> {
    /// Rate and decay.
    pub group: Group,
    /// Which of the two.
    pub variant: AdamVariant,
    /// β₁ and β₂.
    pub betas: (f64, f64),
    /// ε. With 0, as in PyTorch, a number whose gradient has always been 0 becomes NaN: 0/0.
    pub eps: f64,
    /// The moments by parameter name: what a checkpoint must hold.
    pub moments: BTreeMap<String, Moments<T>>,
}

impl<T> AdamW<T> {
    /// PyTorch's defaults: β = (0.9, 0.999), ε = 10⁻⁸ (10⁻⁶ for [`AdamVariant::Hf`], its own default).
    pub fn new(group: Group, variant: AdamVariant) -> Self {
        let eps = match variant {
            AdamVariant::Torch => 1e-8,
            AdamVariant::Hf => 1e-6,
        };
        Self { group, variant, betas: (0.9, 0.999), eps, moments: BTreeMap::new() }
    }
}

/// What a checkpoint calls m and v.
const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

impl<T: Real> Optimizer<T> for AdamW<T> {
    fn group(&self) -> Group {
        self.group
    }

    fn set_lr(&mut self, lr: f64) {
        self.group.lr = lr;
    }

    fn validate(&self) -> Result<()> {
        self.group.validate()?;
        for (name, beta) in [("beta1", self.betas.0), ("beta2", self.betas.1)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(Error::value(name, beta, "0 ≤ β < 1"));
            }
        }
        if !(self.eps >= 0.0 && self.eps.is_finite()) {
            return Err(Error::value("eps", self.eps, "ε ≥ 0 and finite"));
        }
        Ok(())
    }

    /// m and v of each parameter, as `exp_avg.NAME` and `exp_avg_sq.NAME`.
    fn state(&self) -> Vec<(String, ArrayViewD<'_, T>)> {
        let mut state = Vec::new();
        for (name, Moments { exp_avg, exp_avg_sq, .. }) in &self.moments {
            for (moment, array) in MOMENTS.into_iter().zip([exp_avg, exp_avg_sq]) {
                state.push((format!("{moment}.{name}"), array.view()));
            }
        }
        state
    }

    fn restore(&mut self, steps: u64, mut state: BTreeMap<String, ArrayD<T>>) -> Result<()> {
        let prefix = format!("{}.", MOMENTS[0]);
        let names: Vec<String> =
            state.keys().filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned)).collect();
        let mut moments = BTreeMap::new();
        for name in names {
            let [exp_avg, exp_avg_sq] =
                MOMENTS.map(|moment| state.remove(&format!("{moment}.{name}")));
            let (Some(exp_avg), Some(exp_avg_sq)) = (exp_avg, exp_avg_sq) else {
                let hint = "its exp_avg has no exp_avg_sq beside it: the checkpoint is damaged";
                return Err(Error::value("optimizer state", name, hint));
            };
            moments.insert(name, Moments { steps, exp_avg, exp_avg_sq });
        }
        no_more(state.into_keys().next())?;
        self.moments = moments;
        Ok(())
    }

    fn update(
        &mut self,
        name: &str,
        mut parameter: ArrayViewMutD<'_, T>,
        gradient: ArrayViewD<'_, T>,
        group: Group,
    ) -> Result<()> {
        check_gradient(name, &parameter, &gradient)?;
        if !self.moments.contains_key(name) {
            let fresh = Moments {
                steps: 0,
                exp_avg: ArrayD::zeros(gradient.shape()),
                exp_avg_sq: ArrayD::zeros(gradient.shape()),
            };
            self.moments.insert(name.to_owned(), fresh);
        }
        let moments = self.moments.get_mut(name).expect("inserted above");
        let hint = "the shape its moments have";
        check_shape(name.to_owned(), gradient.shape(), moments.exp_avg.shape(), hint)?;
        check_shape(name.to_owned(), gradient.shape(), moments.exp_avg_sq.shape(), hint)?;

        moments.steps += 1;
        let t = moments.steps as f64;
        let (beta1, beta2) = self.betas;
        // The biases of m and v, which start at 0. In f64: 1 − 0.999 has lost 216 roundings in f32.
        let (bias1, bias2) = (1.0 - beta1.powf(t), 1.0 - beta2.powf(t));
        let shrink = T::from_f64(1.0 - group.lr * group.weight_decay);
        let (rate, root_bias) = match self.variant {
            AdamVariant::Torch => (group.lr / bias1, bias2.sqrt()),
            AdamVariant::Hf => (group.lr * bias2.sqrt() / bias1, 1.0),
        };
        let (decay_first, decay_last) = match self.variant {
            AdamVariant::Torch => (shrink, T::one()),
            AdamVariant::Hf => (T::one(), shrink),
        };
        let real = T::from_f64;
        let (beta1, rest1) = (real(beta1), real(1.0 - beta1));
        let (beta2, rest2) = (real(beta2), real(1.0 - beta2));
        let (rate, root_bias, eps) = (real(rate), real(root_bias), real(self.eps));
        let update = |p: &mut T, &g: &T, m: &mut T, v: &mut T| {
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            let moved = *p * decay_first - rate * *m / (v.sqrt() / root_bias + eps);
            *p = moved * decay_last;
        };
        let (m, v) = (&mut moments.exp_avg, &mut moments.exp_avg_sq);
        let numbers = Zip::from(&mut parameter).and(&gradient).and(m).and(v);
        #[cfg(feature = "threads")]
        numbers.par_for_each(update);
        #[cfg(not(feature = "threads"))]
        numbers.for_each(update);
        Ok(())
    }
}
