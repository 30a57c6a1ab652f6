//! The parameters of a case: what each method and op takes, its default, its range.

use adapter::{AdamVariant, AdamW, Group};
use delta_lora::Settings;
use lora::Scaling;
use lora_fa::Variant;
use serde::Deserialize;

use crate::case::{Method, Op};
use crate::{Result, error::wrong};

/// The largest integer up to which a double holds every one.
pub(crate) const MOST_EXACT: u64 = 1 << 53;

/// Parameters with their defaults filled in. Those that a method or op does not take hold their default.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// α.
    pub alpha: f64,
    /// α/r or α/√r.
    pub scaling: Scaling,
    /// Is the weight stored as \[in, out\]?
    pub fan_in_fan_out: bool,
    /// p.
    pub dropout_p: f64,
    /// LoRA-FA's.
    pub variant: Variant,
    /// Delta-LoRA's.
    pub delta: Settings,
    /// How the tensors move.
    pub optimizer: OptimizerParams,
    /// Of a trajectory.
    pub steps: u64,
    /// Steps already taken.
    pub start: u64,
    /// Of the op `init`.
    pub init: InitParams,
}

/// SGD, or AdamW.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerParams {
    /// AdamW's variant, β₁, β₂ and ε; `None` is SGD.
    pub adamw: Option<(AdamVariant, (f64, f64), f64)>,
    /// η and the decay, of A in LoRA+.
    pub group: Group,
    /// LoRA+'s λ.
    pub lr_ratio: f64,
}

/// What `init` draws.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InitParams {
    /// The name of the law.
    pub init: String,
    /// r.
    pub rank: usize,
    /// in.
    pub inputs: usize,
    /// out.
    pub outputs: usize,
    /// How many adapters.
    pub samples: usize,
}

macro_rules! raw {
    ($name:ident { $($key:ident $(as $json:literal)?: $kind:ty),* $(,)? }) => {
        #[derive(Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[serde(rename = $json)])? $key: Option<$kind>),*
        }
        impl $name {
            /// The keys that are set, by their names in JSON.
            fn keys(&self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$key.is_some() {
                    keys.push([$($json,)? stringify!($key)][0]);
                })*
                keys
            }
        }
    };
}

raw!(RawParams {
    alpha: f64,
    scaling: RawScaling,
    fan_in_fan_out: bool,
    dropout_p: f64,
    variant: RawVariant,
    lambda: f64,
    start_step: u64,
    include_scale: bool,
    optimizer: RawOptimizer,
    steps: u64,
    start: u64,
    init: String,
    rank: usize,
    inputs as "in": usize,
    outputs as "out": usize,
    samples: usize,
});

raw!(RawOptimizer {
    name: RawName,
    variant: RawAdam,
    lr: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    lr_ratio: f64,
});

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawScaling {
    AlphaOverR,
    Rslora,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawVariant {
    Plain,
    Projected,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawName {
    Sgd,
    Adamw,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawAdam {
    Torch,
    Hf,
}

impl Params {
    pub(crate) fn new(method: Method, op: Op, raw: RawParams) -> Result<Self> {
        let allowed = allowed(method, op);
        if let Some(key) = raw.keys().into_iter().find(|key| !allowed.contains(key)) {
            let known = allowed.join(", ");
            return Err(wrong(format!(
                "params.{key} is unknown to {method}/{op}: it takes {known}"
            )));
        }
        // β^t is computed from t as a double, and canonical JSON writes every number as one.
        let counts = [
            ("start_step", raw.start_step),
            ("steps", raw.steps),
            ("start", raw.start),
            ("rank", raw.rank.map(|size| size as u64)),
            ("in", raw.inputs.map(|size| size as u64)),
            ("out", raw.outputs.map(|size| size as u64)),
            ("samples", raw.samples.map(|size| size as u64)),
        ];
        for (key, count) in counts {
            if let Some(count) = count.filter(|count| *count > MOST_EXACT) {
                return Err(wrong(format!("params.{key} is {count}: at most 2⁵³")));
            }
        }
        let dropout_p = raw.dropout_p.unwrap_or(0.0);
        if !(0.0..1.0).contains(&dropout_p) {
            return Err(wrong(format!("params.dropout_p is {dropout_p}: 0 ≤ p < 1")));
        }
        let steps = match (op, raw.steps) {
            (Op::Trajectory, None) => return Err(wrong("params.steps is missing")),
            (_, steps) => steps.unwrap_or(0),
        };
        let start = raw.start.unwrap_or(0);
        Ok(Self {
            alpha: raw.alpha.unwrap_or(8.0),
            scaling: match raw.scaling {
                None | Some(RawScaling::AlphaOverR) => Scaling::AlphaOverR,
                Some(RawScaling::Rslora) => Scaling::RsLora,
            },
            fan_in_fan_out: raw.fan_in_fan_out.unwrap_or(false),
            dropout_p,
            variant: match raw.variant {
                None | Some(RawVariant::Plain) => Variant::Plain,
                Some(RawVariant::Projected) => Variant::Projected,
            },
            delta: Settings {
                lambda: raw.lambda.unwrap_or(2.0),
                start_step: raw.start_step.unwrap_or(0),
                include_scale: raw.include_scale.unwrap_or(true),
            },
            optimizer: OptimizerParams::new(method, raw.optimizer.unwrap_or_default())?,
            steps,
            start,
            init: match op {
                Op::Init => InitParams {
                    init: needed("init", raw.init)?,
                    rank: needed("rank", raw.rank)?,
                    inputs: needed("in", raw.inputs)?,
                    outputs: needed("out", raw.outputs)?,
                    samples: raw.samples.unwrap_or(1),
                },
                _ => InitParams::default(),
            },
        })
    }
}

fn needed<T>(key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| wrong(format!("params.{key} is missing")))
}

fn allowed(method: Method, op: Op) -> Vec<&'static str> {
    let mut keys = vec!["fan_in_fan_out"];
    if method != Method::Vera {
        keys.extend(["alpha", "scaling"]);
    }
    match method {
        // A mask on the adapter's input breaks ∂L/∂W = ∂L/∂ΔW.
        Method::DeltaLora => keys.extend(["lambda", "start_step", "include_scale"]),
        _ => keys.push("dropout_p"),
    }
    if method == Method::LoraFa {
        keys.push("variant");
    }
    match op {
        Op::Step => keys.extend(["optimizer", "start"]),
        Op::Trajectory => keys.extend(["optimizer", "start", "steps"]),
        Op::Init => keys.extend(["init", "rank", "in", "out", "samples"]),
        Op::Forward | Op::Backward | Op::Merge | Op::Unmerge => {}
    }
    keys
}

impl OptimizerParams {
    fn new(method: Method, raw: RawOptimizer) -> Result<Self> {
        let name = raw.name.unwrap_or(RawName::Sgd);
        let mut allowed = vec!["name", "lr", "weight_decay"];
        if matches!(name, RawName::Adamw) {
            allowed.extend(["variant", "betas", "eps"]);
        }
        if method == Method::LoraPlus {
            allowed.push("lr_ratio");
        }
        if let Some(key) = raw.keys().into_iter().find(|key| !allowed.contains(key)) {
            let known = allowed.join(", ");
            return Err(wrong(format!(
                "params.optimizer.{key} is unknown to this optimizer of {method}: it takes {known}"
            )));
        }
        let group =
            Group { lr: raw.lr.unwrap_or(1e-3), weight_decay: raw.weight_decay.unwrap_or(0.0) };
        let adamw = match name {
            RawName::Sgd => None,
            RawName::Adamw => {
                let variant = match raw.variant {
                    None | Some(RawAdam::Torch) => AdamVariant::Torch,
                    Some(RawAdam::Hf) => AdamVariant::Hf,
                };
                Some((variant, raw.betas.unwrap_or((0.9, 0.999)), raw.eps.unwrap_or(1e-8)))
            }
        };
        let made = Self { adamw, group, lr_ratio: raw.lr_ratio.unwrap_or(16.0) };
        match made.adamw() {
            Some(adamw) => adamw.validate(),
            None => group.validate(),
        }
        .map_err(|error| wrong(format!("params.optimizer: {error}")))?;
        Ok(made)
    }

    /// AdamW without moments; `None` for SGD.
    pub(crate) fn adamw(&self) -> Option<AdamW<f64>> {
        let (variant, betas, eps) = self.adamw?;
        Some(AdamW { betas, eps, ..AdamW::new(self.group, variant) })
    }
}
