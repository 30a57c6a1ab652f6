//! LoRA-FA on a GPU against the CPU: `cargo run -p lowrank-lora-fa --features cuda --example lora-fa-gpu`.
//!
//! Without a GPU it says what is missing.

use cuda::example::{Operands, SHAPE, numbers, of_base, on_cpu, open, row};
use cuda::{Element, Gpu, Tf32, bf16};
use lora_fa::{LoraFa, Variant, gpu};
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

fn adapter(of: fn(f64) -> f64) -> Result<LoraFa<f64>> {
    let [_, inputs, out, rank] = SHAPE;
    let (a, b) = (numbers([rank, inputs], 4).mapv(of), numbers([out, rank], 5).mapv(of));
    Ok(LoraFa::new(a, b, 2.0, Variant::Plain)?)
}

fn compare<T: Element>(
    gpu: &Gpu,
    truth: &[Array2<f64>; 2],
    gauge: &[Array2<f64>; 2],
) -> Result<()> {
    let mut made = Operands::<T>::new(gpu, SHAPE)?;
    let layer = gpu::LoraFa::new(gpu, made.weight.to_host()?.view(), &adapter(|x| x)?)?;
    let [mut x_h, mut grad_y_h] = made.beside(&layer.lora().matrix)?;
    let (mut saved, mut grads) = (layer.saved(SHAPE[0])?, layer.grads()?);
    let time = of_base(gpu, &mut made, |y, grad_x| {
        layer.forward(&mut x_h, None, y.view_mut(), &mut saved)?;
        layer.backward(&saved, None, &mut grad_y_h, grad_x.view_mut(), &mut grads)
    })?;
    Ok(row(&made, SHAPE[3], truth, gauge, time)?)
}
