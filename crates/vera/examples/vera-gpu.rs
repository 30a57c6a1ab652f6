//! VeRA on a GPU against the CPU: `cargo run -p lowrank-vera --features cuda --example vera-gpu`.
//!
//! Without a GPU it says what is missing.

use std::rc::Rc;

use cuda::example::{Operands, SHAPE, numbers, of_base, on_cpu, open, row};
use cuda::{Element, Gpu, Matrix, Tf32, bf16};
use ndarray::Array2;
use vera::{Projections, Vera, gpu};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let Some(gpu) = open()? else { return Ok(()) };
    let truth = on_cpu(&adapter(|x| x)?, SHAPE, |x| x)?;
    let gauge = on_cpu(&adapter(f64::abs)?, SHAPE, f64::abs)?;
    compare::<f32>(&gpu, &truth, &gauge)?;
    compare::<Tf32>(&gpu, &truth, &gauge)?;
    compare::<bf16>(&gpu, &truth, &gauge)
}

fn adapter(of: fn(f64) -> f64) -> Result<Vera<f64>> {
    let [_, inputs, out, rank] = SHAPE;
    let (a, b) = (numbers([rank, inputs], 4).mapv(of), numbers([out, rank], 5).mapv(of));
    let (lambda_b, lambda_d) = (numbers([1, out], 6).mapv(of), numbers([1, rank], 7).mapv(of));
    let projections = std::sync::Arc::new(Projections::new(a, b)?);
    Ok(Vera::new(lambda_b.row(0).to_owned(), lambda_d.row(0).to_owned(), inputs, projections)?)
}

fn compare<T: Element>(
    gpu: &Gpu,
    truth: &[Array2<f64>; 2],
    gauge: &[Array2<f64>; 2],
) -> Result<()> {
    let mut made = Operands::<T>::new(gpu, SHAPE)?;
    let adapter = adapter(|x| x)?;
    let b = Rc::new(Matrix::from_host(gpu, adapter.projections().b())?);
    let layer = gpu::Vera::new(gpu, made.weight.to_host()?.view(), &adapter, &b)?;
    let [mut x_h, mut grad_y_h] = made.beside(&layer.matrix)?;
    let (mut saved, mut grads) = (layer.saved(SHAPE[0])?, layer.grads()?);
    let time = of_base(gpu, &mut made, |y, grad_x| {
        layer.forward(&mut x_h, None, y.view_mut(), &mut saved)?;
        layer.backward(&saved, None, &mut grad_y_h, grad_x.view_mut(), &mut grads)
    })?;
    Ok(row(&made, SHAPE[3], truth, gauge, time)?)
}
