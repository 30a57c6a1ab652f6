//! What mistakes are submitted in.

use safetensors::tensor::Dtype;

use crate::bound::Profile;

/// The precisions a mutant must fail in.
pub const PRECISIONS: [Profile; 2] = [Profile::F32, Profile::Bf16];

/// Their types in a file.
pub(super) const DTYPES: [Dtype; 2] = [Dtype::F32, Dtype::BF16];
