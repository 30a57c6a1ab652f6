//! LoRA+.

use ndarray::{Array2, ArrayView1, ArrayView2};

/// (learning rate, weight decay) of a trained tensor of a linear layer under PEFT's rule, by its name and its number of
/// dimensions: names are like `q_proj.lora_A`, `q_proj.lora_B`, `q_proj.bias`.
pub fn rates(name: &str, dimensions: usize, lr: f64, ratio: f64, weight_decay: f64) -> (f64, f64) {
    todo!()
}

/// δ¹, δ² and δ³ of one update of f = b aᵀx with the loss (f − y)²/2: what A's move does, what B's does, and both at once.
pub fn parts(
    a: ArrayView1<'_, f64>,
    b: f64,
    x: ArrayView1<'_, f64>,
    y: f64,
    [lr_a, lr_b]: [f64; 2],
) -> [f64; 3] {
    todo!()
}

/// The r × r matrix of A and B that training with small enough steps does not change.
pub fn invariant(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    [lr_a, lr_b]: [f64; 2],
) -> Array2<f64> {
    todo!()
}

/// Rates \[of A, of B\] whose ratio is λ and whose product is that of LoRA at one rate: as near to the edge at which training
/// diverges.
pub fn fair(lr: f64, ratio: f64) -> [f64; 2] {
    todo!()
}
