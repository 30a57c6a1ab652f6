//! Why cheap fine-tuning.

/// How many numbers LoRA of rank `rank` trains on weights of these shapes, \[out, in\].
pub fn lora_parameters(shapes: &[[usize; 2]], rank: usize) -> usize {
    todo!()
}

/// Bytes of weights, gradients and Adam's two moments in f32, when `trained` of `all` numbers are trained. A model that
/// gets an adapter has its own numbers and the adapter's in `all`.
pub fn training_bytes(all: usize, trained: usize) -> usize {
    todo!()
}
