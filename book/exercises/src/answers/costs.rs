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

// ANCHOR: adam
/// A number after a step of Adam for each of these gradients, with β₁ = 0.9, β₂ = 0.999 and ε = 10⁻⁸.
pub fn adam(start: f64, gradients: &[f64], lr: f64) -> f64 {
    let (mut p, mut m, mut v) = (start, 0.0, 0.0);
    for (t, g) in (1..).zip(gradients) {
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        // Both began at zero, which is too small: divide by how much of their weight they have seen.
        let (m, v) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.999_f64.powi(t)));
        p -= lr * m / (v.sqrt() + 1e-8);
    }
    p
}
// ANCHOR_END: adam

// ANCHOR: multiplications
/// \[full fine-tuning, LoRA\]: the multiplications of all products in one step of a layer \[out, in\], forward and backward.
pub fn multiplications(tokens: usize, [out, inputs]: [usize; 2], rank: usize) -> [usize; 2] {
    let base = tokens * out * inputs;
    let thin = tokens * rank * (out + inputs);
    // x Wᵀ, G W and Gᵀx; LoRA leaves out the third. Beside it each thin matrix is in three products as well.
    [3 * base, 2 * base + 3 * thin]
}
// ANCHOR_END: multiplications
