//! Which keys a JSON object may have.

use serde_json::Value;

use crate::error::{Result, wrong};

/// `Ok` if `value` is an object with none but the `allowed` keys. `name` is where it stands, `owner` what takes these keys.
pub(super) fn check_keys(name: &str, value: &Value, allowed: &[&str], owner: &str) -> Result<()> {
    let Value::Object(object) = value else {
        return Err(wrong(format!("case: {name} is not a JSON object")));
    };
    match object.keys().find(|key| !allowed.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let known = allowed.join(", ");
            Err(wrong(format!("{name}.{key} is unknown to {owner}: it takes {known}")))
        }
    }
}
