//! Tests of the reader and the writer of PEFT's folders. One binary: linking is most of what a test costs.

mod common;
mod dora_hostile;
mod golden_folders;
mod lora_hostile;
mod round_trip;
mod vera_hostile;
