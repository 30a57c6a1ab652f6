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

/// A number after a step of Adam for each of these gradients, with β₁ = 0.9, β₂ = 0.999 and ε = 10⁻⁸.
pub fn adam(start: f64, gradients: &[f64], lr: f64) -> f64 {
    todo!()
}

/// \[full fine-tuning, LoRA\]: the multiplications of all products in one step of a layer \[out, in\], forward and backward.
pub fn multiplications(tokens: usize, [out, inputs]: [usize; 2], rank: usize) -> [usize; 2] {
    todo!()
}
