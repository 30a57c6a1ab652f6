//! Tests that cross crates, in one binary: `cargo test -p lowrank-tests --test across peft_layer` runs those of peft_layer.rs.

mod autograd_delta_lora;
mod claims;
mod gpu_emulated;
mod gpu_emulated_layers;
mod kernels_compile;
mod peft_dora;
mod peft_layer;
mod peft_lora_fa;
mod peft_lora_plus;
mod peft_vera;
mod smollm2;
mod transformers;
