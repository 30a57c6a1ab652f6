//! Tests of the decoder and of its files; `load_hostile` counts allocations and has a process of its own. One binary: linking is most of what a test costs.

mod architecture_cases;
mod architecture_files;
mod architectures;
mod gguf;
mod gradients;
mod load;
mod load_hf;
mod tokenizer;
