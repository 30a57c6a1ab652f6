//! LoRA on a GPU against the CPU: `cargo run -p lora --features cuda --example gpu`.
//!
//! Without a GPU it says what is missing.

use adapter::Adapter;
use cuda::example::{SHAPE, numbers, of_base, of_bound, open, row};
use cuda::{Element, Gpu, Matrix, Tf32, bf16};
use lora::{Lora, gpu};
use ndarray::Array2;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let Some(gpu) = open()? else { return Ok(()) };
    let (truth, gauge) = (on_cpu(|x| x)?, on_cpu(f64::abs)?);
    compare::<f32>(&gpu, &truth, &gauge)?;
    compare::<Tf32>(&gpu, &truth, &gauge)?;
    compare::<bf16>(&gpu, &truth, &gauge)
}

fn adapter(of: fn(f64) -> f64) -> Result<Lora<f64>> {
    let [_, inputs, out, rank] = SHAPE;
    let (a, b) = (numbers([rank, inputs], 4).mapv(of), numbers([out, rank], 5).mapv(of));
    Ok(Lora::new(a, b, 2.0)?)
}

/// \[y, ∂L/∂x\] in f64: the truth of the numbers, and of their absolute values the gauge of what rounding may do.
fn on_cpu(of: fn(f64) -> f64) -> Result<[Array2<f64>; 2]> {
    let [tokens, inputs, out, _] = SHAPE;
    let numbers = |shape, seed| numbers(shape, seed).mapv(of);
    let (weight, x) = (numbers([out, inputs], 1), numbers([tokens, inputs], 2));
    let adapter = adapter(of)?;
    let (y, saved) = adapter.forward(weight.view(), &x.into_shared(), None)?;
    let (grad_x, _) = adapter.backward(weight.view(), &saved, numbers([tokens, out], 3).view())?;
    Ok([y, grad_x])
}

fn compare<T: Element>(
    gpu: &Gpu,
    truth: &[Array2<f64>; 2],
    gauge: &[Array2<f64>; 2],
) -> Result<()> {
    let [tokens, inputs, out, _] = SHAPE;
    let on_gpu = |shape, seed| Matrix::<T, _>::from_host(gpu, numbers(shape, seed).view());
    let weight = on_gpu([out, inputs], 1)?;
    let (x, grad_y) = (on_gpu([tokens, inputs], 2)?, on_gpu([tokens, out], 3)?);
    let mut y = Matrix::new(gpu, [tokens, out])?;
    let mut grad_x = Matrix::new(gpu, [tokens, inputs])?;
    let layer = gpu::Lora::new(gpu, &adapter(|x| x)?)?;
    let (mut saved, mut grads) = (layer.saved(tokens)?, layer.grads(tokens)?);
    let time = of_base(gpu, &weight, || {
        layer.forward(weight.view(), &x, None, &mut y, &mut saved)?;
        layer.backward(weight.view(), &x, None, &saved, &grad_y, &mut grad_x, &mut grads)
    })?;
    let rho_y = of_bound::<T>(&y.to_host()?, &truth[0], &gauge[0], inputs);
    let rho_x = of_bound::<T>(&grad_x.to_host()?, &truth[1], &gauge[1], out);
    Ok(row::<T>([rho_y, rho_x], time)?)
}
