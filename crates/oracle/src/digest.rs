//! What makes two cases the same: the tensors and the `case` text, not the bytes of the file around them.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::tensors::TensorFile;

// ANCHOR: digest
/// SHA-256, in hexadecimal, over the tensors sorted by name and the `case` text.
///
/// Each tensor gives its name, its type (`F64`), its shape in decimal with commas between, each followed by a zero byte,
/// and then its bytes. The text comes last. Nothing can be moved from one part to the next without a change: a name holds no
/// zero byte, and type and shape say how many bytes follow.
pub fn digest(file: &TensorFile) -> String {
    let mut hash = Sha256::new();
    for (name, tensor) in &file.tensors {
        let shape: Vec<_> = tensor.shape.iter().map(ToString::to_string).collect();
        hash.update(format!("{name}\0{}\0{}\0", tensor.dtype, shape.join(",")));
        hash.update(&tensor.data);
    }
    hash.update(file.metadata.get("case").map_or("", String::as_str));
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string");
        hex
    })
}
// ANCHOR_END: digest
