//! What each op gives.

use super::output::Output;
use super::pass::Pass;
use super::problem::Problem;
use super::{forward_backward, init, merge, step, trajectory};
use crate::case::Op;
use crate::error::Result;

/// Every output of this op.
///
/// # Errors
/// A method refuses the input.
pub(crate) fn evaluate(op: Op, problem: &Problem) -> Result<Vec<Output>> {
    let outputs = match op {
        Op::Forward => Ok(vec![forward_backward::forward(&Pass::only(problem))?]),
        Op::Backward => forward_backward::backward(&Pass::only(problem)),
        Op::Step => step::lone(problem),
        Op::Trajectory => trajectory::all(problem),
        Op::Merge => merge::merge(problem, 1.0),
        Op::Unmerge => merge::merge(problem, -1.0),
        Op::Init => Ok(init::distributions(problem)),
    };
    Ok(outputs?.into_iter().map(Output::remembered).collect())
}
