//! Why cheap fine-tuning.

// ANCHOR: lora_parameters
/// How many numbers LoRA of rank `rank` trains on weights of these shapes, \[out, in\].
pub fn lora_parameters(shapes: &[[usize; 2]], rank: usize) -> usize {
    shapes.iter().map(|[out, inputs]| rank * (out + inputs)).sum()
}
// ANCHOR_END: lora_parameters

// ANCHOR: training_bytes
/// Bytes of weights, gradients and Adam's two moments in f32, when `trained` of `all` numbers are trained. A model that
/// gets an adapter has its own numbers and the adapter's in `all`.
pub fn training_bytes(all: usize, trained: usize) -> usize {
    4 * all + 3 * 4 * trained
}
// ANCHOR_END: training_bytes
