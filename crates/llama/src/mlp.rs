//! The middle of the gated MLP (Shazeer 2020, arXiv 2002.05202): y = f(gate) ⊙ up. With f(z) = silu(z) = z σ(z) it is
//! SwiGLU.

use adapter::{Real, parallel};
use ndarray::{Array2, ArrayView2, Zip};

use crate::Activation;
use crate::activation::{gelu, gelu_tanh, relu, sigmoid};

/// f(gate) ⊙ up, \[tokens, intermediate\].
pub fn forward<T: Real>(
    activation: Activation,
    gate: ArrayView2<'_, T>,
    up: ArrayView2<'_, T>,
) -> Array2<T> {
    match activation {
        Activation::Silu => forward_by(gate, up, |z, up| z * sigmoid(z) * up),
        Activation::Gelu => forward_by(gate, up, |z, up| gelu(z)[0] * up),
        Activation::GeluTanh => forward_by(gate, up, |z, up| gelu_tanh(z)[0] * up),
        Activation::Relu => forward_by(gate, up, |z, up| relu(z)[0] * up),
    }
}

/// ∂L/∂gate = ∂L/∂y ⊙ up ⊙ f′(gate), in the memory of `grad_y`, and ∂L/∂up = ∂L/∂y ⊙ f(gate).
pub fn backward<T: Real>(
    activation: Activation,
    gate: ArrayView2<'_, T>,
    up: ArrayView2<'_, T>,
    grad_y: Array2<T>,
) -> [Array2<T>; 2] {
    let by = |[value, slope]: [T; 2], up: T, grad: T| [grad * up * slope, grad * value];
    match activation {
        // silu′(z) = σ(z) (1 + z (1 − σ(z)))
        Activation::Silu => backward_by(gate, up, grad_y, |z, up, grad| {
            let sigmoid = sigmoid(z);
            let grad_gate = grad * up * sigmoid * (T::one() + z * (T::one() - sigmoid));
            [grad_gate, grad * z * sigmoid]
        }),
        Activation::Gelu => backward_by(gate, up, grad_y, |z, up, grad| by(gelu(z), up, grad)),
        Activation::GeluTanh => {
            backward_by(gate, up, grad_y, |z, up, grad| by(gelu_tanh(z), up, grad))
        }
        Activation::Relu => backward_by(gate, up, grad_y, |z, up, grad| by(relu(z), up, grad)),
    }
}

fn forward_by<T: Real>(
    gate: ArrayView2<'_, T>,
    up: ArrayView2<'_, T>,
    each: impl Fn(T, T) -> T + Sync + Send,
) -> Array2<T> {
    let mut y = Array2::zeros(gate.dim());
    let (numbers, rows) = (y.len(), y.outer_iter_mut().zip(gate.outer_iter()).zip(up.outer_iter()));
    parallel::map(numbers, rows, |((y, gate), up)| {
        Zip::from(y).and(gate).and(up).for_each(|y, &z, &up| *y = each(z, up));
    });
    y
}

fn backward_by<T: Real>(
    gate: ArrayView2<'_, T>,
    up: ArrayView2<'_, T>,
    mut grad_y: Array2<T>,
    each: impl Fn(T, T, T) -> [T; 2] + Sync + Send,
) -> [Array2<T>; 2] {
    let mut grad_up = up.to_owned();
    let (numbers, grads) = (up.len(), grad_y.outer_iter_mut().zip(grad_up.outer_iter_mut()));
    parallel::map(numbers, grads.zip(gate.outer_iter()), |((grads, ups), gate)| {
        Zip::from(grads).and(ups).and(gate).for_each(|grad, up, &z| {
            [*grad, *up] = each(z, *up, *grad);
        });
    });
    [grad_y, grad_up]
}
