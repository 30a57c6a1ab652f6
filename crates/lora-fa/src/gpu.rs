//! LoRA-FA on a GPU: LoRA without ∂L/∂A, so that backward needs h \[tokens, r\] and not x \[tokens, in\].

use adapter::check_shape;
use cuda::{AdamW, Device, Dimensions, Element, Launch, Matrix, Result, Source, Stream, View};
use lora::gpu::Lora;

pub use lora::gpu::Saved;

use crate::Variant;

/// The kernel of the projection.
pub static KERNELS: Source =
    Source { file: "crates/lora-fa/src/kernels.cu", text: include_str!("kernels.cu") };

/// LoRA-FA of one layer.
pub struct LoraFa<T: Element, D: Device> {
    /// A, B and their scale.
    lora: Lora<T, D>,
    scale: f64,
    /// L with A Aᵀ = L Lᵀ, \[r, r\], for [`Variant::Projected`]. Factored on the CPU, once: A is frozen.
    factor: Option<Matrix<T::Master, D>>,
}

/// ∂L/∂B, and ∂L/∂h on the way to ∂L/∂x.
pub struct Grads<T: Element, D: Device> {
    /// \[out, r\].
    pub b: Vec<Matrix<T::Master, D>>,
    /// What the optimiser is given for it, where it is projected: \[out, r\].
    direction: Option<Vec<Matrix<T::Master, D>>>,
    /// \[tokens, r\].
    pub h: Matrix<T, D>,
}

impl<T: Element, D: Device> LoraFa<T, D> {
    /// A copy of an adapter of the CPU.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, lora_fa: &crate::LoraFa<f64>) -> Result<Self> {
        let like = lora::Lora::new(lora_fa.a().to_owned(), lora_fa.b.clone(), lora_fa.scale)?;
        let factor = match lora_fa.variant() {
            Variant::Plain => None,
            Variant::Projected => {
                let gram = crate::Cholesky::of_gram(lora_fa.a())?;
                Some(Matrix::from_host(device, gram.l.view())?)
            }
        };
        Ok(Self { lora: Lora::new(device, &like)?, scale: lora_fa.scale, factor })
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
        let (device, b) = (self.lora.a.device(), self.lora.segments()[0].b.shape());
        let direction = self.factor.as_ref().map(|_| Matrix::new(device, b)).transpose()?;
        Ok(Grads {
            b: vec![Matrix::new(device, b)?],
            direction: direction.map(|direction| vec![direction]),
            h: Matrix::new(device, [tokens, b[1]])?,
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
    /// What the optimiser is given for ∂L/∂B, \[out, r\]: the same, or (1/s²) ∂L/∂B (A Aᵀ)⁻¹.
    ///
    /// # Errors
    /// The gradient does not have the shape of B, or the device refuses.
    pub fn direction<'a>(&self, grads: &'a mut Grads<T, D>) -> Result<&'a [Matrix<T::Master, D>]> {
        let (Some(factor), Some(direction)) = (&self.factor, &mut grads.direction) else {
            return Ok(&grads.b);
        };
        let (gradient, direction_b) = (&grads.b[0], &mut direction[0]);
        let [out, rank] = gradient.shape();
        let shape = self.lora.segments()[0].b.shape();
        check_shape("the gradient of lora_B", &[out, rank], &shape, "the shape of B")?;
        let device = gradient.device().clone();
        Launch::new::<T::Master>(&device, &KERNELS, "lora_fa_project")
            .read(gradient)
            .read(factor)
            .write(direction_b)
            .count(out)
            .count(rank)
            .real(1.0 / (self.scale * self.scale))
            .run(Dimensions::each(out))?;
        Ok(direction)
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
