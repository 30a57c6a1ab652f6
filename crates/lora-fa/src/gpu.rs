//! LoRA-FA on a GPU: LoRA without ∂L/∂A, so that backward needs h \[tokens, r\] and not x \[tokens, in\].

use adapter::check_shape;
use cuda::{AdamW, Device, Dimensions, Element, Launch, Matrix, Result, Source, Stream, View};
use lora::gpu::Lora;

pub use lora::gpu::Saved;

use crate::Variant;

/// The kernel of the projection.
pub static KERNELS: Source =
    Source::new("crates/lora-fa/src/kernels.cu", include_str!("kernels.cu"));

/// LoRA-FA of one layer, or of several that share their input.
pub struct LoraFa<T: Element, D: Device> {
    /// A, B and their scales.
    lora: Lora<T, D>,
    /// Of each layer: L with A Aᵀ = L Lᵀ, \[r, r\], for [`Variant::Projected`]. Factored on the CPU, once: A is frozen.
    factors: Vec<Option<Matrix<T::Master, D>>>,
}

/// ∂L/∂B, and ∂L/∂h on the way to ∂L/∂x.
pub struct Grads<T: Element, D: Device> {
    /// \[out, r\] each.
    pub b: Vec<Matrix<T::Master, D>>,
    /// What the optimiser is given for them: \[out, r\] each. Empty if that is the same.
    directions: Vec<Matrix<T::Master, D>>,
    /// \[tokens, Σr\].
    pub h: Matrix<T, D>,
}

impl<T: Element, D: Device> LoraFa<T, D> {
    /// A copy of an adapter of the CPU.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, lora_fa: &crate::LoraFa<f64>) -> Result<Self> {
        Self::stacked(device, &[lora_fa])
    }

    /// Adapters of layers that share their input, for the weights one below the other.
    ///
    /// # Errors
    /// There is none, their inputs have different lengths, or there is not enough memory.
    pub fn stacked(device: &D, layers: &[&crate::LoraFa<f64>]) -> Result<Self> {
        let loras: Vec<_> = layers.iter().map(|layer| layer.lora()).collect();
        let factor = |layer: &&crate::LoraFa<f64>| match layer.variant() {
            Variant::Plain => Ok(None),
            Variant::Projected => {
                let gram = crate::Cholesky::of_gram(layer.lora().a.view())?;
                Matrix::from_host(device, gram.l.view()).map(Some)
            }
        };
        Ok(Self {
            lora: Lora::stacked(device, &loras)?,
            factors: layers.iter().map(factor).collect::<Result<_>>()?,
        })
    }

    /// The adapter as LoRA sees it.
    pub fn lora(&self) -> &Lora<T, D> {
        &self.lora
    }

    /// Room for what `forward` keeps of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn saved(&self, tokens: usize) -> Result<Saved<T, D>> {
        self.lora.saved(tokens)
    }

    /// Room for the gradients of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn grads(&self, tokens: usize) -> Result<Grads<T, D>> {
        let device = self.lora.a.device();
        let room = || self.lora.segments().iter().map(|layer| Matrix::new(device, layer.b.shape()));
        let projected = self.factors.iter().any(Option::is_some);
        Ok(Grads {
            b: room().collect::<Result<_>>()?,
            directions: room().take_while(|_| projected).collect::<Result<_>>()?,
            h: Matrix::new(device, [tokens, self.lora.a.shape()[0]])?,
        })
    }

    /// y \[tokens, out\] and `saved`.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn forward(
        &self,
        weight: View<'_, T, D>,
        x: &Matrix<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: &mut Matrix<T, D>,
        saved: &mut Saved<T, D>,
    ) -> Result<()> {
        self.lora.forward(weight, x, dropout, y, saved)
    }

    /// ∂L/∂x \[tokens, in\] and `grads`. Not x, only what `forward` kept.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        weight: View<'_, T, D>,
        dropout: Option<&Stream<'_, T, D>>,
        saved: &Saved<T, D>,
        grad_y: &Matrix<T, D>,
        grad_x: &mut Matrix<T, D>,
        grads: &mut Grads<T, D>,
    ) -> Result<()> {
        let Grads { b, h, .. } = grads;
        self.lora.backward_frozen_a(weight, dropout, saved, grad_y, grad_x, b, h)
    }

    // ANCHOR: direction
    /// What the optimiser is given for each ∂L/∂B, \[out, r\]: the same, or (1/s²) ∂L/∂B (A Aᵀ)⁻¹.
    ///
    /// # Errors
    /// A gradient does not have the shape of its B, or the device refuses.
    pub fn direction<'a>(&self, grads: &'a mut Grads<T, D>) -> Result<&'a [Matrix<T::Master, D>]> {
        let Grads { b, directions, .. } = grads;
        if self.factors.iter().all(Option::is_none) {
            return Ok(b);
        }
        let segments = self.lora.segments().iter().zip(&self.factors);
        for ((gradient, direction), (segment, factor)) in
            b.iter().zip(&mut *directions).zip(segments)
        {
            let [out, rank] = gradient.shape();
            let hint = "the shape of B";
            check_shape("the gradient of lora_B", &[out, rank], &segment.b.shape(), hint)?;
            let Some(factor) = factor else {
                direction.copy_from(gradient)?;
                continue;
            };
            let device = gradient.device().clone();
            Launch::new::<T::Master>(&device, &KERNELS, "lora_fa_project")
                .read(gradient)
                .read(factor)
                .write(direction)
                .count(out)
                .count(rank)
                .real(1.0 / (segment.scale * segment.scale))
                .run(Dimensions::each(out))?;
        }
        Ok(directions)
    }
    // ANCHOR_END: direction

    /// W ← W + s B A.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn merge(&self, weight: &mut Matrix<T, D>) -> Result<()> {
        self.lora.merge(weight)
    }

    /// W ← W − s B A.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub fn unmerge(&self, weight: &mut Matrix<T, D>) -> Result<()> {
        self.lora.unmerge(weight)
    }
}

/// B of every layer follows its gradient, or the projected one; A and W stay.
///
/// # Errors
/// A name occurs twice, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut LoraFa<T, D>, &mut Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    let mut updates = Vec::new();
    for (name, lora_fa, grads) in layers {
        let direction = lora_fa.direction(grads)?;
        updates.extend(lora_fa.lora.updates_of_b(name, direction));
    }
    optimizer.step(updates)
}
