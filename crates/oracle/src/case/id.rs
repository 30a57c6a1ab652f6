//! The id of a case: `method/op/name`.

use super::method::Method;
use super::op::Op;
use crate::error::{Result, wrong};

/// The method and the op that an id names. An id becomes a path, so nothing is let through that does not have the form
/// `[a-z0-9-]+/[a-z]+/[a-z0-9-]+`.
///
/// # Errors
/// It has another form, or the method or the op is unknown.
pub fn parse_id(id: &str) -> Result<(Method, Op)> {
    let parts: Vec<_> = id.split('/').collect();
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    match parts[..] {
        [method, op, name] if plain(name) => Ok((method.parse()?, op.parse()?)),
        _ => Err(wrong(format!(
            "id {id:?} does not have the form method/op/name, with a name of a-z, 0-9 and -"
        ))),
    }
}

/// The id of a case must name the case's own method and op.
pub(super) fn check_id(id: &str, method: Method, op: Op) -> Result<()> {
    let (its_method, its_op) = parse_id(id).map_err(|error| wrong(format!("case: {error}")))?;
    if (its_method, its_op) == (method, op) {
        return Ok(());
    }
    Err(wrong(format!("case: id is {id:?} where {method}/{op}/… is needed")))
}
