//! LoRA-FA on a GPU: LoRA without ∂L/∂A, so that backward needs h \[tokens, r\] and not x \[tokens, in\]. All layers of a shape
//! can share one \[x | h\].

use adapter::check_shape;
use cuda::{
    AdamW, Device, Dimensions, Element, Launch, Matrix, Result, Source, Stream, ViewMut, rows,
};
use lora::gpu::{Augmented, Bordered, Lora};
use ndarray::ArrayView2;

use crate::Variant;

/// The kernel of the projection.
pub static KERNELS: Source =
    Source::new("crates/lora-fa/src/kernels.cu", include_str!("kernels.cu"));

/// LoRA-FA of one layer, or of several that share their input, with their weight.
pub struct LoraFa<T: Element, D: Device> {
    /// M, A, B and their scales.
    lora: Lora<T, D>,
    /// Of each layer: L with A Aᵀ = L Lᵀ, \[r, r\], for [`Variant::Projected`]. Factored on the CPU, once: A is frozen.
    factors: Vec<Option<Matrix<T::Master, D>>>,
}

/// What `forward` keeps: h = x̃ Aᵀ, \[tokens, Σr\].
pub struct Saved<T: Element, D: Device> {
    h: Matrix<T, D>,
}

/// ∂L/∂B.
pub struct Grads<T: Element, D: Device> {
    /// \[out, r\] each.
    pub b: Vec<Matrix<T::Master, D>>,
    /// What the optimiser is given for them: \[out, r\] each. Empty if that is the same.
    directions: Vec<Matrix<T::Master, D>>,
}

impl<T: Element, D: Device> LoraFa<T, D> {
    /// A copy of an adapter of the CPU, and of its weight \[out, in\].
    ///
    /// # Errors
    /// They do not fit together, or there is not enough memory.
    pub fn new(
        device: &D,
        weight: ArrayView2<'_, f64>,
        lora_fa: &crate::LoraFa<f64>,
    ) -> Result<Self> {
        Self::stacked(device, weight, &[lora_fa])
    }

    /// Adapters of layers that share their input, and their weights one below the other: \[Σout, in\].
    ///
    /// # Errors
    /// There is none, they do not fit the weight, or there is not enough memory.
    pub fn stacked(
        device: &D,
        weight: ArrayView2<'_, f64>,
        layers: &[&crate::LoraFa<f64>],
    ) -> Result<Self> {
        let loras: Vec<_> = layers.iter().map(|layer| layer.lora()).collect();
        let factor = |layer: &&crate::LoraFa<f64>| match layer.variant() {
            Variant::Plain => Ok(None),
            Variant::Projected => {
                let gram = crate::Cholesky::of_gram(layer.lora().a.view())?;
                Matrix::from_host(device, gram.l.view()).map(Some)
            }
        };
        Ok(Self {
            lora: Lora::stacked(device, weight, &loras)?,
            factors: layers.iter().map(factor).collect::<Result<_>>()?,
        })
    }

    /// The adapter as LoRA sees it.
    pub fn lora(&self) -> &Lora<T, D> {
        &self.lora
    }

    /// M, to merge it.
    pub fn matrix_mut(&mut self) -> &mut Bordered<T, D> {
        &mut self.lora.matrix
    }

    /// Room for what `forward` keeps of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn saved(&self, tokens: usize) -> Result<Saved<T, D>> {
        let matrix = &self.lora.matrix;
        Ok(Saved { h: Matrix::new(matrix.device(), [tokens, matrix.rank()])? })
    }

    /// Room for the gradients.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn grads(&self) -> Result<Grads<T, D>> {
        let device = self.lora.matrix.device();
        let room = || self.lora.segments().iter().map(|layer| Matrix::new(device, layer.b.shape()));
        let projected = self.factors.iter().any(Option::is_some);
        Ok(Grads {
            b: room().collect::<Result<_>>()?,
            directions: room().take_while(|_| projected).collect::<Result<_>>()?,
        })
    }

    // ANCHOR: forward
    /// LoRA's; h is kept, and x is free to be overwritten.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn forward(
        &self,
        x_h: &mut Augmented<T, D>,
        dropout: Option<&mut Stream<'_, T, D>>,
        y: ViewMut<'_, T, D>,
        saved: &mut Saved<T, D>,
    ) -> Result<()> {
        self.lora.forward(x_h, dropout, y)?;
        rows::copy(x_h.right(), saved.h.view_mut())
    }
    // ANCHOR_END: forward

    /// ∂L/∂x \[tokens, in\] and `grads` from ∂L/∂y, and ∂L/∂h beside ∂L/∂y. Not from x, only from what `forward` kept.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        saved: &Saved<T, D>,
        dropout: Option<&Stream<'_, T, D>>,
        grad_y_h: &mut Augmented<T, D>,
        grad_x: ViewMut<'_, T, D>,
        grads: &mut Grads<T, D>,
    ) -> Result<()> {
        self.lora.backward_frozen_a(saved.h.view(), dropout, grad_y_h, grad_x, &mut grads.b)
    }

    // ANCHOR: direction
    /// What the optimiser is given for each ∂L/∂B, \[out, r\]: the same, or (1/s²) ∂L/∂B (A Aᵀ)⁻¹.
    ///
    /// # Errors
    /// The gradients are another adapter's, or the device refuses.
    pub fn direction<'a>(&self, grads: &'a mut Grads<T, D>) -> Result<&'a [Matrix<T::Master, D>]> {
        let Grads { b, directions } = grads;
        if self.factors.iter().all(Option::is_none) {
            return Ok(b);
        }
        let hint = "gradients of this adapter, made by its `grads`";
        let count = self.factors.len();
        check_shape("grads", &[b.len(), directions.len()], &[count; 2], hint)?;
        let segments = self.lora.segments().iter().zip(&self.factors);
        for ((gradient, direction), (segment, factor)) in
            b.iter().zip(&mut *directions).zip(segments)
        {
            let [out, rank] = gradient.shape();
            check_shape("the gradient of lora_B", &[out, rank], &segment.b.shape(), hint)?;
            check_shape("its direction", &direction.shape(), &segment.b.shape(), hint)?;
            let Some(factor) = factor else {
                rows::copy(gradient.view(), direction.view_mut())?;
                continue;
            };
            Launch::new::<T::Master>(self.lora.matrix.device(), &KERNELS, "lora_fa_project")
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
}

/// B of every layer follows its gradient, or the projected one; A and W stay.
///
/// # Errors
/// A name occurs twice, gradients are another adapter's, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut LoraFa<T, D>, &mut Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    let mut updates = Vec::new();
    for (name, lora_fa, grads) in layers {
        let direction = lora_fa.direction(grads)?;
        updates.extend(lora_fa.lora.updates(name, None, direction)?);
    }
    optimizer.step(updates)
}
