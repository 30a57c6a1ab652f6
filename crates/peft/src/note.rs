//! A field of our own in `adapter_config.json`: which method made a folder of LoRA's kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::error::wrong;

/// Which method trained A and B, and with what settings: LoRA-FA, Delta-LoRA and LoRA+ leave the tensors of LoRA, and
/// PEFT has no field to tell them apart.
///
/// ```json
/// "lowrank_method": { "method": "lora-fa", "variant": "projected" }
/// ```
///
/// PEFT 0.21 warns that it does not know the field, ignores it and computes the same ΔW. The names and settings are
/// the caller's: nothing in this crate depends on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodNote {
    /// The method's name.
    pub method: String,
    /// Its settings, beside the name in the file. None of them can be called `method`.
    #[serde(flatten)]
    pub settings: BTreeMap<String, Value>,
}

impl MethodNote {
    pub(crate) fn check(&self) -> Result<()> {
        if self.method.is_empty() {
            return Err(wrong("the method of lowrank_method is empty: a note names a method"));
        }
        if self.settings.contains_key("method") {
            let reason = "lowrank_method has a setting called method, which is the method's own \
                          place: choose another name";
            return Err(wrong(reason));
        }
        Ok(())
    }
}
