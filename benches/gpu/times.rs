//! The parts that time: one adapted layer beside its two base products, which are the floor.

use anyhow::Result;
use cuda::example::{Operands, numbers, of_bounds};
use cuda::timing::{Effort, in_turns, median, median_ratio};
use cuda::{AdamW, Bordered, Device, Element, Matrix, Replay, multiply, rows};
use lowrank_tests::gpu::{real_layer, real_truth};
use ndarray::Array2;
use oracle::Method;
use rayon::prelude::*;

use super::clocks;
use super::layers::{Times, Weight};
use super::row::{Row, Time};

/// On a GPU.
pub const FULL: Effort = Effort::FULL;
/// On the emulated device, whose times say nothing.
pub const LEAST: Effort = Effort::LEAST;

/// The shapes of a part, [tokens, in, out, r].
fn shapes(what: &Times) -> Vec<[usize; 4]> {
    let mut shapes = Vec::new();
    for &tokens in &what.tokens {
        for &Weight { out, inputs } in &what.weights {
            shapes.extend(what.ranks.iter().map(|&rank| [tokens, inputs, out, rank]));
        }
    }
    shapes
}

fn row<T: Element>(method: &str, mode: &str, [tokens, inputs, out, rank]: [usize; 4]) -> Time {
    Time {
        implementation: "lowrank".into(),
        method: method.into(),
        mode: mode.into(),
        tokens,
        out,
        inputs,
        rank,
        dtype: T::KIND.name().into(),
        ..Time::default()
    }
}

/// Every method, eager and as a graph, in turns with the base products as a graph. Whether the numbers were right too.
pub fn methods<T: Element, D: Device>(device: &D, what: &Times, effort: Effort) -> Result<bool> {
    let mut right = true;
    for (index, shape) in shapes(what).into_iter().enumerate() {
        let Operands { weight, x, grad_y, mut y, mut grad_x } =
            Operands::<T, D>::new(device, shape)?;
        let mut base = || {
            multiply(1.0, x.view(), weight.view().t(), 0.0, y.view_mut())?;
            multiply(1.0, grad_y.view(), weight.view(), 0.0, grad_x.view_mut())
        };
        base()?;
        let graph = device.record(&mut base)?;
        let mut replay = || graph.replay();
        let times = in_turns(device, effort, &mut [&mut base, &mut replay])?;
        for (mode, times) in ["eager", "graph"].into_iter().zip(times) {
            Row::Time(Time { rank: 0, ms: median(times), ..row::<T>("base", mode, shape) }).print();
        }
        // On all cores: the GPU waits for it.
        let truths: Vec<_> =
            what.methods.par_iter().map(|&method| truth_and_gauge(method, shape)).collect();
        for (&method, truth) in what.methods.iter().zip(truths) {
            let operands = [&weight, &x, &grad_y];
            // One that fails is a line; the others are still timed.
            right &= match truth.and_then(|truth| {
                one_method(device, method, shape, operands, &truth, &mut replay, effort)
            }) {
                Ok(right) => right,
                Err(error) => {
                    eprintln!("error: {method} {shape:?}: {error:#}");
                    device.synchronize()?;
                    false
                }
            };
        }
        // Once: the first shape is the largest.
        if index == 0 {
            let moment = format!("at work ({}, {} tokens)", T::KIND.name(), shape[0]);
            at_work(device, &moment, effort, &mut replay)?;
        }
    }
    Ok(right)
}

/// Asks for the clocks while the base products run, and nothing is timed: the driver that answers is the one that launches.
fn at_work<D: Device>(
    device: &D,
    moment: &str,
    effort: Effort,
    base: &mut dyn FnMut() -> cuda::Result<()>,
) -> Result<()> {
    let row = clocks::ask(moment, || {
        (0..effort.repeats).try_for_each(|_| base())?;
        Ok(device.synchronize()?)
    })?;
    if let Some(row) = row {
        row.print();
    }
    Ok(())
}

/// What y and ∂L/∂x of some tokens should be, and what rounding may do to them.
fn truth_and_gauge(method: Method, shape: [usize; 4]) -> Result<[[Array2<f64>; 2]; 2]> {
    Ok([real_truth(method, shape, |x| x)?, real_truth(method, shape, f64::abs)?])
}

fn one_method<T: Element, D: Device>(
    device: &D,
    method: Method,
    shape: [usize; 4],
    [weight, x, grad_y]: [&Matrix<T, D>; 3],
    [truth, gauge]: &[[Array2<f64>; 2]; 2],
    base: &mut dyn FnMut() -> cuda::Result<()>,
    effort: Effort,
) -> Result<bool> {
    let mut layer = real_layer::<T, D>(device, method, shape, &weight.to_host()?)?;
    // Who computes them writes them there: this is no part of the layer's time.
    rows::copy(x.view(), layer.x_mut())?;
    rows::copy(grad_y.view(), layer.grad_y_mut())?;
    let (mut y, mut grad_x) =
        (Matrix::<T, D>::new(device, grad_y.shape())?, Matrix::<T, D>::new(device, x.shape())?);
    // A rate of 0 keeps the numbers where they are, and costs the same.
    let group = adapter::Group { lr: 0.0, weight_decay: 0.01 };
    let like = adapter::AdamW::new(group, adapter::AdamVariant::Torch);
    let mut optimizer = AdamW::<T, D>::new(device, &like)?;
    let mut step = || {
        layer.forward(None, &mut y)?;
        layer.backward(None, &mut grad_x)?;
        layer.step(&mut optimizer)
    };
    step()?;
    let graph = device.record(&mut step)?;
    let mut replay = || graph.replay();
    let times = in_turns(device, effort, &mut [base, &mut step, &mut replay])?;
    let rhos = of_bounds(&y, &grad_x, shape[3], truth, gauge)?;
    let rho = rhos[0].max(rhos[1]);
    for (mode, index) in [("eager", 1), ("graph", 2)] {
        let of_base = Some(median_ratio(&times[index], &times[0]));
        let ms = median(times[index].clone());
        let made = row::<T>(&method.to_string(), mode, shape);
        Row::Time(Time { ms, of_base, rho: Some(rho), ..made }).print();
    }
    if !(rho <= 1.0) {
        eprintln!("error: {method} {shape:?}: y or grad_x is {rho} times its bound off");
    }
    Ok(rho <= 1.0)
}

/// The products of LoRA's step, each alone as a graph: where the time goes.
pub fn products<T: Element, D: Device>(device: &D, what: &Times, effort: Effort) -> Result<bool> {
    for shape in shapes(what) {
        let [_, inputs, out, rank] = shape;
        let operands = Operands::<T, D>::new(device, shape)?;
        let weight = operands.weight.to_host()?;
        let mut matrix = Bordered::<T, D>::new(device, weight.view(), rank)?;
        let [_, c, a] = matrix.split_mut();
        c.write(numbers([out, rank], 4).view())?;
        a.write(numbers([rank, inputs], 5).view())?;
        let [mut x_h, mut grad_y_h] = operands.beside(&matrix)?;
        let mut grad_a = Matrix::<T::Master, D>::new(device, [rank, inputs])?;
        let mut grad_b = Matrix::<T::Master, D>::new(device, [out, rank])?;
        let Operands { mut y, mut grad_x, .. } = operands;
        let time = |name: &str, work: &mut dyn FnMut() -> cuda::Result<()>| -> Result<()> {
            work()?;
            let graph = device.record(work)?;
            let times = in_turns(device, effort, &mut [&mut || graph.replay()])?;
            let ms = median(times.concat());
            Row::Time(Time { ms, ..row::<T>(name, "product", shape) }).print();
            Ok(())
        };
        time("h = x Aᵀ", &mut || {
            let [x, h] = x_h.split_mut();
            multiply(1.0, x.view(), matrix.a().t(), 0.0, h)
        })?;
        time("y = [x | h] [W | sB]ᵀ", &mut || {
            multiply(1.0, x_h.view(), matrix.wide().t(), 0.0, y.view_mut())
        })?;
        time("∂h = ∂y sB", &mut || {
            let [grad_y, grad_h] = grad_y_h.split_mut();
            multiply(1.0, grad_y.view(), matrix.c(), 0.0, grad_h)
        })?;
        time("∂x = [∂y | ∂h] [W ; A]", &mut || {
            multiply(1.0, grad_y_h.view(), matrix.tall(), 0.0, grad_x.view_mut())
        })?;
        time("∂B = s ∂yᵀ h", &mut || {
            multiply(0.5, grad_y_h.left().t(), x_h.right(), 0.0, grad_b.view_mut())
        })?;
        time("∂A = ∂hᵀ x", &mut || {
            multiply(1.0, grad_y_h.right().t(), x_h.left(), 0.0, grad_a.view_mut())
        })?;
    }
    Ok(true)
}
