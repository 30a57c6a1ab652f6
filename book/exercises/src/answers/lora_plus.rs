//! LoRA+.

use ndarray::{Array2, ArrayView1, ArrayView2};

// ANCHOR: rates
/// (learning rate, weight decay) of a trained tensor of a linear layer under PEFT's rule, by its name and its number of
/// dimensions: names are like `q_proj.lora_A`, `q_proj.lora_B`, `q_proj.bias`.
pub fn rates(name: &str, dimensions: usize, lr: f64, ratio: f64, weight_decay: f64) -> (f64, f64) {
    let fast = name.contains("lora_B") || dimensions == 1;
    (if fast { ratio * lr } else { lr }, if name.ends_with("bias") { 0.0 } else { weight_decay })
}
// ANCHOR_END: rates

// ANCHOR: parts
/// δ¹, δ² and δ³ of one update of f = b aᵀx with the loss (f − y)²/2: what A's move does, what B's does, and both at once.
pub fn parts(
    a: ArrayView1<'_, f64>,
    b: f64,
    x: ArrayView1<'_, f64>,
    y: f64,
    [lr_a, lr_b]: [f64; 2],
) -> [f64; 3] {
    let (h, squared) = (a.dot(&x), x.dot(&x));
    let u = b * h - y;
    [-lr_a * b * b * u * squared, -lr_b * h * h * u, lr_a * lr_b * u * u * b * h * squared]
}
// ANCHOR_END: parts

// ANCHOR: invariant
/// The r × r matrix of A and B that training with small enough steps does not change.
pub fn invariant(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    [lr_a, lr_b]: [f64; 2],
) -> Array2<f64> {
    // A moves by −η_A s Bᵀg, B by −η_B s g Aᵀ. So A Aᵀ changes by −η_A s (Bᵀg Aᵀ + transposed), Bᵀ B by −η_B s times the same.
    a.dot(&a.t()) / lr_a - b.t().dot(&b) / lr_b
}
// ANCHOR_END: invariant

// ANCHOR: fair
/// Rates \[of A, of B\] whose ratio is λ and whose product is that of LoRA at one rate: as near to the edge at which training
/// diverges.
pub fn fair(lr: f64, ratio: f64) -> [f64; 2] {
    [lr / ratio.sqrt(), lr * ratio.sqrt()]
}
// ANCHOR_END: fair
