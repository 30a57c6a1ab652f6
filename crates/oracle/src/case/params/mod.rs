//! The parameters of a case: what each method and op takes, its default, its range.

mod init;
mod keys;
mod optimizer;

use delta_lora::Settings;
use lora::Scaling;
use lora_fa::Variant;
use serde::Deserialize;
use serde_json::Value;

pub use init::{InitParams, InitScheme};
pub use optimizer::{OptimizerParams, Rule};

use self::keys::check_keys;
use super::limits::MOST_EXACT;
use super::method::Method;
use super::op::Op;
use crate::error::{Result, wrong};

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
    /// LoRA-FA's: whether B follows its gradient or the projection of it.
    pub variant: Variant,
    /// DoRA's: whether gradients take ‖V‖ for a constant.
    pub detach_norm: bool,
    /// Delta-LoRA's: when W moves, and how far.
    pub delta: Settings,
    /// How the tensors move.
    pub optimizer: OptimizerParams,
    /// How many updates a trajectory has.
    pub steps: u64,
    /// Whether a trajectory's state goes from step to step as it is, unrounded. Such a case is for [`emit`](crate::emit)
    /// alone.
    pub free: bool,
    /// Steps already taken.
    pub start: u64,
    /// What the op `init` draws.
    pub init: InitParams,
}

/// The parameters as the JSON of a case has them.
#[derive(Deserialize)]
struct ParamsJson {
    alpha: Option<f64>,
    scaling: Option<ScalingJson>,
    fan_in_fan_out: Option<bool>,
    dropout_p: Option<f64>,
    variant: Option<VariantJson>,
    detach_norm: Option<bool>,
    lambda: Option<f64>,
    start_step: Option<u64>,
    include_scale: Option<bool>,
    optimizer: Option<Value>,
    steps: Option<u64>,
    free: Option<bool>,
    start: Option<u64>,
    init: Option<String>,
    rank: Option<usize>,
    #[serde(rename = "in")]
    inputs: Option<usize>,
    #[serde(rename = "out")]
    outputs: Option<usize>,
    samples: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScalingJson {
    AlphaOverR,
    Rslora,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum VariantJson {
    Plain,
    Projected,
}

impl Params {
    /// From the value of `params` in a case.
    pub(super) fn parse(method: Method, op: Op, value: Value) -> Result<Self> {
        check_keys("params", &value, &allowed(method, op), &format!("{method}/{op}"))?;
        let json: ParamsJson = serde_json::from_value(value)
            .map_err(|error| wrong(format!("case: params: {error}")))?;
        // β^t is computed from t as a double, and canonical JSON writes every number as one.
        let counts = [
            ("start_step", json.start_step),
            ("steps", json.steps),
            ("start", json.start),
            ("rank", json.rank.map(|size| size as u64)),
            ("in", json.inputs.map(|size| size as u64)),
            ("out", json.outputs.map(|size| size as u64)),
            ("samples", json.samples.map(|size| size as u64)),
        ];
        for (key, count) in counts {
            if let Some(count) = count.filter(|count| *count > MOST_EXACT) {
                return Err(wrong(format!("params.{key} is {count}: at most 2⁵³")));
            }
        }
        let dropout_p = json.dropout_p.unwrap_or(0.0);
        if !(0.0..1.0).contains(&dropout_p) {
            return Err(wrong(format!("params.dropout_p is {dropout_p}: 0 ≤ p < 1")));
        }
        Ok(Self {
            alpha: json.alpha.unwrap_or(8.0),
            scaling: match json.scaling {
                None | Some(ScalingJson::AlphaOverR) => Scaling::AlphaOverR,
                Some(ScalingJson::Rslora) => Scaling::RsLora,
            },
            fan_in_fan_out: json.fan_in_fan_out.unwrap_or(false),
            dropout_p,
            variant: match json.variant {
                None | Some(VariantJson::Plain) => Variant::Plain,
                Some(VariantJson::Projected) => Variant::Projected,
            },
            detach_norm: json.detach_norm.unwrap_or(true),
            delta: Settings {
                lambda: json.lambda.unwrap_or(2.0),
                start_step: json.start_step.unwrap_or(0),
                include_scale: json.include_scale.unwrap_or(true),
            },
            optimizer: OptimizerParams::parse(method, json.optimizer)?,
            steps: match op {
                Op::Trajectory => required("steps", json.steps)?,
                _ => 0,
            },
            free: json.free.unwrap_or(false),
            start: json.start.unwrap_or(0),
            init: match op {
                Op::Init => InitParams::new(
                    method,
                    &required("init", json.init)?,
                    required("rank", json.rank)?,
                    [required("in", json.inputs)?, required("out", json.outputs)?],
                    json.samples.unwrap_or(1),
                )?,
                _ => InitParams::default(),
            },
        })
    }
}

/// The parameters that a method takes in an op.
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
    if method == Method::Dora {
        keys.push("detach_norm");
    }
    match op {
        Op::Step => keys.extend(["optimizer", "start"]),
        Op::Trajectory => keys.extend(["optimizer", "start", "steps", "free"]),
        Op::Init => keys.extend(["init", "rank", "in", "out", "samples"]),
        Op::Forward | Op::Backward | Op::Merge | Op::Unmerge => {}
    }
    keys
}

fn required<T>(key: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| wrong(format!("params.{key} is missing")))
}
