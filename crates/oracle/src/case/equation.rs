//! What each method and op computes, as the book writes it.

use super::method::Method;
use super::op::Op;

/// The equation of one op of a method, in the notation of the book.
pub fn equation(method: Method, op: Op) -> &'static str {
    match (op, method) {
        (Op::Forward, Method::Vera) => "y = x Wᵀ + bias + ((x̃ Aᵀ ⊙ d) Bᵀ) ⊙ b",
        (Op::Forward, Method::Dora) => {
            "V = W + s B A, c = m/‖V‖ row by row: y = x Wᵀ + bias + (c − 1) ⊙ x̃ Wᵀ + c ⊙ s x̃ Aᵀ Bᵀ"
        }
        (Op::Forward, _) => "y = x Wᵀ + bias + s x̃ Aᵀ Bᵀ",
        (Op::Backward, Method::Vera) => {
            "∂L/∂x = g W + ((g ⊙ b) B ⊙ d) A ⊙ mask/(1 − p), ∂L/∂b = Σ g ⊙ ((x̃ Aᵀ ⊙ d) Bᵀ), ∂L/∂d = Σ x̃ Aᵀ ⊙ ((g ⊙ b) B)"
        }
        (Op::Backward, Method::LoraFa) => {
            "∂L/∂x = g W + s g B A ⊙ mask/(1 − p), ∂L/∂B = s gᵀ x̃ Aᵀ; projected: (1/s²) ∂L/∂B (A Aᵀ)⁻¹"
        }
        (Op::Backward, Method::Dora) => {
            "u = x̃ Vᵀ: ∂L/∂x = g W + ((c ⊙ g) V − g W) ⊙ mask/(1 − p), ∂L/∂A = s ((c ⊙ g) B)ᵀ x̃, ∂L/∂B = s (c ⊙ g)ᵀ x̃ Aᵀ, ∂L/∂m = Σ g ⊙ u/‖V‖; without detach_norm M = −c ⊙ ∂L/∂m ⊙ V/‖V‖ too: s Bᵀ M, s M Aᵀ"
        }
        (Op::Backward, _) => {
            "∂L/∂x = g W + s g B A ⊙ mask/(1 − p), ∂L/∂A = s (g B)ᵀ x̃, ∂L/∂B = s gᵀ x̃ Aᵀ"
        }
        (Op::Step | Op::Trajectory, Method::DeltaLora) => {
            "A and B follow their gradients; at update t > start_step W ← W + λ s (B⁺A⁺ − B A)"
        }
        (Op::Step | Op::Trajectory, Method::LoraPlus) => {
            "A and B follow their gradients, B at lr_ratio times the rate of A"
        }
        (Op::Step | Op::Trajectory, Method::LoraFa) => {
            "B follows its gradient, or its projection; A stays"
        }
        (Op::Step | Op::Trajectory, Method::Lora) => "A and B follow their gradients",
        (Op::Step | Op::Trajectory, Method::Vera) => "b and d follow their gradients",
        (Op::Step | Op::Trajectory, Method::Dora) => "A, B and m follow their gradients",
        (Op::Merge, Method::Vera) => "W + Λ_b B Λ_d A",
        (Op::Merge, Method::Dora) => "m/‖V‖ ⊙ V, row by row, with V = W + s B A",
        (Op::Unmerge, Method::Dora) => "must be refused: a merged weight does not say what ‖V‖ was",
        (Op::Merge, _) => "W + s B A",
        (Op::Unmerge, Method::Vera) => "W − Λ_b B Λ_d A",
        (Op::Unmerge, _) => "W − s B A",
        (Op::Init, _) => {
            "what A and B hold before the first step: means of x, x², x⁴, and the range"
        }
    }
}
