//! VeRA on a GPU. The vectors are folded into B once a step, F = Λ_b B Λ_d \[out, r\]; from there on it is LoRA with frozen
//! matrices, and no array of tokens × out is formed besides y.
//!
//! ```text
//! y = u Fᵀ + x Wᵀ                     u = x̃ Aᵀ
//! ∂L/∂x = (∂L/∂y F) A + ∂L/∂y W
//! P = (∂L/∂y)ᵀ u                      ∂L/∂b = rowsum(P ⊙ B Λ_d),  ∂L/∂d = colsum(P ⊙ Λ_b B)
//! ```
//!
//! Both gradients come from one P \[out, r\], which is what LoRA computes for ∂L/∂B. Nothing is divided by d or b: they may
//! be 0.
//!
//! Layers with the same input (q, k and v; gate and up) share A by definition. They are one [`Vera`] on one stacked weight, with one u.

use std::ops::Range;
use std::rc::Rc;

use adapter::check_shape;
use cuda::{
    AdamW, BLOCK, Device, Dimensions, Element, Launch, Matrix, Parameter, Result, Source, Stream,
    Update, View, multiply,
};
use ndarray::{NewAxis, s};

/// The kernels that fold the vectors, and that reduce P.
pub static KERNELS: Source = Source::new("crates/vera/src/kernels.cu", include_str!("kernels.cu"));

/// Rows of P that a block reduces; the same number stands in kernels.cu.
const ROWS: usize = 32;
/// Threads that exchange their sums.
const WARP: usize = 32;
/// Warps of a block.
const WARPS: usize = BLOCK as usize / WARP;

/// A and B, frozen and shared by layers.
pub struct Projections<T: Element, D: Device> {
    /// \[r, ≥ in\].
    pub a: Matrix<T, D>,
    /// \[≥ out, r\].
    pub b: Matrix<T, D>,
}

/// The two vectors of one layer.
pub struct Layer<T: Element, D: Device> {
    /// b, \[1, out\].
    pub lambda_b: Parameter<T, D>,
    /// d, \[1, r\].
    pub lambda_d: Parameter<T, D>,
    /// Its rows of W and F and its columns of y.
    outputs: Range<usize>,
}

/// VeRA of one layer, or of several that share their input.
pub struct Vera<T: Element, D: Device> {
    layers: Vec<Layer<T, D>>,
    projections: Rc<Projections<T, D>>,
    inputs: usize,
}

/// What `forward` keeps.
pub struct Saved<T: Element, D: Device> {
    /// u = x̃ Aᵀ, \[tokens, r\].
    pub u: Matrix<T, D>,
    /// F = Λ_b B Λ_d of each layer, one below the other: \[Σout, r\].
    folded: Matrix<T, D>,
}

/// ∂L/∂b and ∂L/∂d of one layer.
pub struct LayerGrads<T: Element, D: Device> {
    /// \[1, out\].
    pub lambda_b: Matrix<T::Master, D>,
    /// \[1, r\].
    pub lambda_d: Matrix<T::Master, D>,
    /// Sums over the columns, a row for each warp of `vera_reduce`: \[blocks · WARPS, r\].
    partial: Matrix<T::Master, D>,
}

/// The gradients of each layer, and what they are made of.
pub struct Grads<T: Element, D: Device> {
    /// In order.
    pub layers: Vec<LayerGrads<T, D>>,
    /// ∂L/∂u, \[tokens, r\].
    u: Matrix<T, D>,
    /// P, \[Σout, r\].
    p: Matrix<T::Master, D>,
}

impl<T: Element, D: Device> Projections<T, D> {
    /// A copy of those of the CPU.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn new(device: &D, like: &crate::Projections<f64>) -> Result<Rc<Self>> {
        let a = Matrix::from_host(device, like.a())?;
        Ok(Rc::new(Self { a, b: Matrix::from_host(device, like.b())? }))
    }
}

impl<T: Element, D: Device> Vera<T, D> {
    /// A copy of an adapter of the CPU, on projections of the device.
    ///
    /// # Errors
    /// The projections are smaller than the adapter, or there is not enough memory.
    pub fn new(
        device: &D,
        like: &crate::Vera<f64>,
        projections: &Rc<Projections<T, D>>,
    ) -> Result<Self> {
        Self::stacked(device, &[like], projections)
    }

    /// Adapters of layers that share their input, for the weights one below the other.
    ///
    /// # Errors
    /// There is none, their inputs have different lengths, the projections are smaller than one of them, or there is not enough
    /// memory.
    pub fn stacked(
        device: &D,
        like: &[&crate::Vera<f64>],
        projections: &Rc<Projections<T, D>>,
    ) -> Result<Self> {
        let Some(first) = like.first() else {
            return Err(adapter::Error::value("layers", 0, "at least one is stacked").into());
        };
        let inputs = first.a().ncols();
        let ([rank, a_inputs], [b_outputs, b_rank]) =
            (projections.a.shape(), projections.b.shape());
        let (mut layers, mut output) = (Vec::new(), 0);
        for like in like {
            let out = like.lambda_b.len();
            check_shape("lambda_d", like.lambda_d.shape(), &[rank], "[r], with r from A [r, in]")?;
            check_shape("A", like.a().shape(), &[rank, inputs], "[r, in] of the first layer")?;
            let fits = [[rank, a_inputs.max(inputs)], [b_outputs.max(out), rank]];
            check_shape("vera_A", &[rank, a_inputs], &fits[0], "at least as wide as the layer")?;
            check_shape("vera_B", &[b_outputs, b_rank], &fits[1], "at least as long as the layer")?;
            layers.push(Layer {
                lambda_b: Parameter::from_host(device, like.lambda_b.slice(s![NewAxis, ..]))?,
                lambda_d: Parameter::from_host(device, like.lambda_d.slice(s![NewAxis, ..]))?,
                outputs: output..output + out,
            });
            output += out;
        }
        Ok(Self { layers, projections: Rc::clone(projections), inputs })
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer<T, D>] {
        &self.layers
    }

    /// \[Σout, in\], the shape of the weight.
    pub fn shape(&self) -> [usize; 2] {
        [self.layers.last().map_or(0, |last| last.outputs.end), self.inputs]
    }

    fn rank(&self) -> usize {
        self.projections.a.shape()[0]
    }

    fn device(&self) -> &D {
        self.projections.a.device()
    }

    fn a(&self) -> View<'_, T, D> {
        self.projections.a.view().columns(0..self.inputs)
    }

    /// Room for what `forward` keeps of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn saved(&self, tokens: usize) -> Result<Saved<T, D>> {
        let (device, rank) = (self.device(), self.rank());
        let folded = Matrix::new(device, [self.shape()[0], rank])?;
        Ok(Saved { u: Matrix::new(device, [tokens, rank])?, folded })
    }

    /// Room for the gradients of `tokens` tokens.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn grads(&self, tokens: usize) -> Result<Grads<T, D>> {
        let (device, rank) = (self.device(), self.rank());
        let room = |layer: &Layer<T, D>| -> Result<LayerGrads<T, D>> {
            let out = layer.outputs.len();
            Ok(LayerGrads {
                lambda_b: Matrix::new(device, [1, out])?,
                lambda_d: Matrix::new(device, [1, rank])?,
                partial: Matrix::new(device, [out.div_ceil(ROWS) * WARPS, rank])?,
            })
        };
        Ok(Grads {
            layers: self.layers.iter().map(room).collect::<Result<_>>()?,
            u: Matrix::new(device, [tokens, rank])?,
            p: Matrix::new(device, [self.shape()[0], rank])?,
        })
    }

    // ANCHOR: fold
    /// F = Λ_b B Λ_d.
    fn fold(&self, folded: &mut Matrix<T, D>) -> Result<()> {
        check_shape("F", &folded.shape(), &[self.shape()[0], self.rank()], "[out, r]")?;
        for Layer { lambda_b, lambda_d, outputs } in &self.layers {
            Launch::new::<T>(self.device(), &KERNELS, "vera_fold")
                .read(lambda_b.master())
                .read(&self.projections.b)
                .read(lambda_d.master())
                .write_rows(folded.view_mut().rows(outputs.clone()))
                .count(outputs.len())
                .count(self.rank())
                .run(Dimensions::each(outputs.len() * self.rank()))?;
        }
        Ok(())
    }
    // ANCHOR_END: fold

    // ANCHOR: forward
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
        check_shape("weight", &weight.shape(), &self.shape(), "[out, in] of the adapter")?;
        let Saved { u, folded } = saved;
        self.fold(folded)?;
        // u = x̃ Aᵀ: [tokens, in]·[in, r] → [tokens, r]
        let dropped = match dropout {
            Some(dropout) => dropout.apply(x)?,
            None => x,
        };
        multiply(1.0, dropped.view(), self.a().t(), 0.0, u.view_mut())?;
        // y = u Fᵀ, then += x Wᵀ: [tokens, r]·[r, out], [tokens, in]·[in, out] → [tokens, out]
        multiply(1.0, u.view(), folded.view().t(), 0.0, y.view_mut())?;
        multiply(1.0, x.view(), weight.t(), 1.0, y.view_mut())
    }
    // ANCHOR_END: forward

    // ANCHOR: backward
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
        check_shape("weight", &weight.shape(), &self.shape(), "[out, in] of the adapter")?;
        let Saved { u, folded } = saved;
        // ∂L/∂u = ∂L/∂y F: [tokens, out]·[out, r] → [tokens, r]
        multiply(1.0, grad_y.view(), folded.view(), 0.0, grads.u.view_mut())?;
        // P = (∂L/∂y)ᵀ u: [out, tokens]·[tokens, r] → [out, r]
        multiply(1.0, grad_y.view().t(), u.view(), 0.0, grads.p.view_mut())?;
        self.reduce(grads)?;
        // ∂L/∂x = (∂L/∂u A) ⊙ mask/(1 − p), then += ∂L/∂y W
        multiply(1.0, grads.u.view(), self.a(), 0.0, grad_x.view_mut())?;
        if let Some(dropout) = dropout {
            dropout.apply_in_place(grad_x)?;
        }
        multiply(1.0, grad_y.view(), weight, 1.0, grad_x.view_mut())
    }
    // ANCHOR_END: backward

    /// ∂L/∂b = rowsum(P ⊙ B Λ_d) and ∂L/∂d = colsum(P ⊙ Λ_b B).
    fn reduce(&self, grads: &mut Grads<T, D>) -> Result<()> {
        let Grads { layers, p, .. } = grads;
        let rank = self.rank();
        check_shape("P", &p.shape(), &[self.shape()[0], rank], "[out, r]")?;
        check_shape("grads", &[layers.len()], &[self.layers.len()], "one for each layer")?;
        for (Layer { lambda_b, lambda_d, outputs }, grads) in self.layers.iter().zip(layers) {
            let blocks = outputs.len().div_ceil(ROWS);
            if blocks > 0 {
                Launch::new::<T>(self.device(), &KERNELS, "vera_reduce")
                    .read_rows(p.view().rows(outputs.clone()))
                    .read(lambda_b.master())
                    .read(&self.projections.b)
                    .read(lambda_d.master())
                    .write(&mut grads.lambda_b)
                    .write(&mut grads.partial)
                    .count(outputs.len())
                    .count(rank)
                    .run(Dimensions::blocks(blocks)?)?;
            }
            Launch::new::<T>(self.device(), &KERNELS, "vera_finish")
                .read(&grads.partial)
                .write(&mut grads.lambda_d)
                .count(blocks * WARPS)
                .count(rank)
                .run(Dimensions::blocks(rank.div_ceil(WARPS))?)?;
        }
        Ok(())
    }

    /// What the optimiser is to do for this adapter of the layer `name`. Where layers are stacked, the names of their vectors end in
    /// their numbers.
    pub fn updates<'a>(&'a mut self, name: &str, grads: &'a Grads<T, D>) -> Vec<Update<'a, T, D>> {
        let one = self.layers.len() == 1;
        let each = self.layers.iter_mut().zip(&grads.layers).enumerate();
        each.flat_map(|(i, (layer, grads))| {
            let number = if one { String::new() } else { format!(".{i}") };
            let update = |tensor, parameter, gradient| Update {
                name: format!("{name}.{tensor}{number}"),
                parameter,
                gradient,
                rate: 1.0,
                decays: true,
            };
            [
                update("vera_lambda_b", &mut layer.lambda_b, &grads.lambda_b),
                update("vera_lambda_d", &mut layer.lambda_d, &grads.lambda_d),
            ]
        })
        .collect()
    }

    /// W ← W + Λ_b B Λ_d A.
    ///
    /// # Errors
    /// The shapes or the devices do not fit together, or the device refuses.
    pub fn merge(&self, weight: &mut Matrix<T, D>) -> Result<()> {
        self.add(weight, 1.0)
    }

    /// W ← W − Λ_b B Λ_d A.
    ///
    /// # Errors
    /// As [`merge`](Self::merge).
    pub fn unmerge(&self, weight: &mut Matrix<T, D>) -> Result<()> {
        self.add(weight, -1.0)
    }

    fn add(&self, weight: &mut Matrix<T, D>, sign: f64) -> Result<()> {
        check_shape("weight", &weight.shape(), &self.shape(), "the shape of ΔW")?;
        let mut folded = Matrix::new(weight.device(), [self.shape()[0], self.rank()])?;
        self.fold(&mut folded)?;
        multiply(sign, folded.view(), self.a(), 1.0, weight.view_mut())
    }
}

/// b and d of every layer follow their gradients, all in one launch; A, B and W stay.
///
/// # Errors
/// A name occurs twice, or as [`AdamW::step`].
pub fn step<T: Element, D: Device>(
    layers: &mut [(&str, &mut Vera<T, D>, &Grads<T, D>)],
    optimizer: &mut AdamW<T, D>,
) -> Result<()> {
    let updates = layers.iter_mut().flat_map(|(name, vera, grads)| vera.updates(name, grads));
    optimizer.step(updates.collect())
}
