//! What a case computes, and how a submission to it is judged.

use serde::{Deserialize, Serialize};

use super::names::names;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// y.
    Forward,
    /// y, ∂L/∂x and the gradient of every trained tensor.
    Backward,
    /// One update.
    Step,
    /// Several updates, each from the case's own state.
    Trajectory,
    /// W + ΔW.
    Merge,
    /// W − ΔW.
    Unmerge,
    /// What the trained tensors hold before the first step.
    Init,
}

names!(Op, "op", [Self::Forward => "forward", Self::Backward => "backward", Self::Step => "step",
    Self::Trajectory => "trajectory", Self::Merge => "merge", Self::Unmerge => "unmerge", Self::Init => "init"]);

/// How a submission is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Equal: no order of summation rounds.
    Exact,
    /// |got − want| ≤ bound, element by element.
    #[default]
    Bounded,
    /// What a linear system leaves over is within its bound.
    Residual,
    /// Samples of a distribution.
    Stat,
    /// An error, and no numbers.
    Reject,
    /// Within the bound, or what a flag of the case allows.
    Acceptable,
}

names!(Class, "class", [Self::Exact => "exact", Self::Bounded => "bounded", Self::Residual => "residual",
    Self::Stat => "stat", Self::Reject => "reject", Self::Acceptable => "acceptable"]);
