//! LoRA on a GPU against the CPU: `cargo run -p lowrank-lora --features cuda --example lora-gpu`.
//!
//! Without a GPU it says what is missing.

use cuda::example::{Operands, SHAPE, numbers, of_base, on_cpu, open, row};
use cuda::{Element, Gpu, Tf32, bf16};
use lora::{Lora, gpu};
use ndarray::Array2;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let Some(gpu) = open()? else { return Ok(()) };
    let truth = on_cpu(&adapter(|x| x)?, SHAPE, |x| x)?;
    let gauge = on_cpu(&adapter(f64::abs)?, SHAPE, f64::abs)?;
    compare::<f32>(&gpu, &truth, &gauge)?;
    compare::<Tf32>(&gpu, &truth, &gauge)?;
    compare::<bf16>(&gpu, &truth, &gauge)
}

fn adapter(of: fn(f64) -> f64) -> Result<Lora<f64>> {
    let [_, inputs, out, rank] = SHAPE;
    let (a, b) = (numbers([rank, inputs], 4).mapv(of), numbers([out, rank], 5).mapv(of));
    Ok(Lora::new(a, b, 2.0)?)
}

fn compare<T: Element>(
    gpu: &Gpu,
    truth: &[Array2<f64>; 2],
    gauge: &[Array2<f64>; 2],
) -> Result<()> {
    let mut made = Operands::<T>::new(gpu, SHAPE)?;
    let layer = gpu::Lora::new(gpu, made.weight.to_host()?.view(), &adapter(|x| x)?)?;
    let [mut x_h, mut grad_y_h] = made.beside(&layer.matrix)?;
    let mut grads = layer.grads()?;
    let time = of_base(gpu, &mut made, |y, grad_x| {
        layer.forward(&mut x_h, None, y.view_mut())?;
        layer.backward(&x_h, None, &mut grad_y_h, grad_x.view_mut(), &mut grads)
    })?;
    Ok(row(&made, SHAPE[3], truth, gauge, time)?)
}
