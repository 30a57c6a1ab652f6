//! Layers on the emulated device, looked into: several on one input, and the matrix that follows the optimiser.

use std::rc::Rc;
use std::sync::Arc;

use adapter::{AdamVariant, Adapter, Group};
use cuda::{AdamW, Dropout, Emulator, Matrix, bf16};
use lora::gpu::Lora;
use lora_fa::{LoraFa, Variant};
use ndarray::{Array1, Array2, Axis, array, concatenate, s};
use vera::{Projections, Vera};

use crate::gpu_emulated::device;

/// Small integers.
fn numbers(shape: (usize, usize), seed: usize) -> Array2<f64> {
    Array2::from_shape_fn(shape, |(i, j)| ((i * 7 + j * 3 + seed * 5) % 11) as f64 - 5.0)
}

fn adamw(device: &Emulator) -> AdamW<bf16, Emulator> {
    let group = Group { lr: 0.1, weight_decay: 0.1 };
    AdamW::new(device, &adapter::AdamW::new(group, AdamVariant::Torch)).unwrap()
}

/// q, k and v on one input are what each is alone: y's side by side, ∂L/∂x's added.
#[test]
fn stacked_layers_are_what_each_is_alone() {
    let Some(device) = device() else { return };
    let [tokens, inputs] = [5, 6];
    // out and r of each; small integers, s a power of two and p = 1/2: every sum is exact, so equal is equal.
    let sizes = [(4, 2), (3, 1), (5, 3)];
    let layers: Vec<_> = sizes
        .iter()
        .enumerate()
        .map(|(i, &(out, r))| {
            let scale = [0.5, 2.0, 1.0][i];
            lora::Lora::new(numbers((r, inputs), i), numbers((out, r), i + 3), scale).unwrap()
        })
        .collect();
    let weights: Vec<_> = sizes.iter().map(|&(out, _)| numbers((out, inputs), out)).collect();
    let weight =
        concatenate(Axis(0), &weights.iter().map(|weight| weight.view()).collect::<Vec<_>>())
            .unwrap();
    let (x, grad_y) = (numbers((tokens, inputs), 8), numbers((tokens, 12), 9));

    let each: Vec<_> = layers.iter().collect();
    let mut stacked = Lora::<f64, _>::stacked(&device, weight.view(), &each).unwrap();
    let (mut x_h, mut grad_y_h) =
        (stacked.matrix.input(tokens).unwrap(), stacked.matrix.grad_y(tokens).unwrap());
    x_h.left_mut().write(x.view()).unwrap();
    grad_y_h.left_mut().write(grad_y.view()).unwrap();
    let mut y = Matrix::new(&device, [tokens, 12]).unwrap();
    let mut grad_x = Matrix::new(&device, [tokens, inputs]).unwrap();
    let mut grads = stacked.grads().unwrap();
    let mut room = Matrix::new(&device, [tokens, inputs]).unwrap();
    let dropout = Dropout::new(&device, 0.5, 1).unwrap();
    let mut stream = dropout.layer(0, &mut room);
    stacked.forward(&mut x_h, Some(&mut stream), y.view_mut()).unwrap();
    let (grad_x_to, stream) = (grad_x.view_mut(), Some(&mut stream));
    stacked.backward(&x_h, stream, &mut grad_y_h, grad_x_to, &mut grads).unwrap();

    let mask = adapter::Dropout::philox((tokens, inputs), 0.5, 1, 0, 0).unwrap();
    let (y, grad_a) = (y.to_host().unwrap(), grads.a.to_host().unwrap());
    let (mut sum, mut output, mut rank) = (Array2::<f64>::zeros((tokens, inputs)), 0, 0);
    for (i, (lora, weight)) in layers.iter().zip(&weights).enumerate() {
        let (out, r) = sizes[i];
        let shared = x.clone().into_shared();
        let (want, kept) = lora.forward(weight.view(), &shared, Some(&mask)).unwrap();
        let cotangent = grad_y.slice(s![.., output..output + out]);
        let (want_x, want_grads) = lora.backward(weight.view(), &kept, cotangent).unwrap();
        assert_eq!(y.slice(s![.., output..output + out]), want);
        assert_eq!(grad_a.slice(s![rank..rank + r, ..]), want_grads.a);
        assert_eq!(grads.b[i].to_host().unwrap(), want_grads.b);
        sum += &want_x;
        (output, rank) = (output + out, rank + r);
    }
    assert_eq!(grad_x.to_host().unwrap(), sum);

    // Merging touches each layer's rows.
    stacked.matrix.merge().unwrap();
    let merged = stacked.matrix.weight().to_host().unwrap();
    let delta = layers[1].delta_weight(weights[1].view()).unwrap();
    assert_eq!(merged.slice(s![4..7, ..]), &weights[1] + &delta);
}

/// Two layers of LoRA-FA, one projected and one not, are stacked like LoRA's.
#[test]
fn stacked_projections_are_what_each_is_alone() {
    let Some(device) = device() else { return };
    let a = array![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]];
    let b = Array2::<f64>::zeros((2, 2));
    let layers = [(2.0, Variant::Projected), (4.0, Variant::Plain), (0.5, Variant::Projected)]
        .map(|(scale, variant)| LoraFa::new(a.clone(), b.clone(), scale, variant).unwrap());
    let [first, second, third] = &layers;
    let (layers_on, weight) = ([first, second, third], Array2::zeros((6, 3)));
    let stacked =
        lora_fa::gpu::LoraFa::<f64, _>::stacked(&device, weight.view(), &layers_on).unwrap();
    let mut grads = stacked.grads().unwrap();
    let gradient = array![[4.0, 8.0], [-16.0, 32.0]];
    for b in &mut grads.b {
        *b = Matrix::from_host(&device, gradient.view()).unwrap();
    }
    for (direction, layer) in stacked.direction(&mut grads).unwrap().iter().zip(&layers) {
        // Powers of two: exact.
        assert_eq!(direction.to_host().unwrap(), layer.direction(gradient.view()).unwrap());
    }
}

/// Two layers of VeRA on one input have one u.
#[test]
fn stacked_vectors_are_what_each_is_alone() {
    let Some(device) = device() else { return };
    let [tokens, inputs, rank] = [5, 6, 3];
    let vector = |length, seed| numbers((1, length), seed).row(0).to_owned();
    // Small integers: every sum is exact, so equal is equal. B is longer than either layer.
    let projections =
        Arc::new(Projections::new(numbers((rank, 7), 1), numbers((70, rank), 2)).unwrap());
    let sizes = [67, 4];
    let layers = [0, 1].map(|i| {
        let (b, d): (Array1<f64>, Array1<f64>) = (vector(sizes[i], 3 + i), vector(rank, 5 + i));
        Vera::new(b, d, inputs, Arc::clone(&projections)).unwrap()
    });
    let weights = sizes.map(|out| numbers((out, inputs), out));
    let weight = concatenate(Axis(0), &[weights[0].view(), weights[1].view()]).unwrap();
    let (x, grad_y) = (numbers((tokens, inputs), 8), numbers((tokens, 71), 9));

    let b = Rc::new(Matrix::<f64, _>::from_host(&device, projections.b()).unwrap());
    let each = [&layers[0], &layers[1]];
    let stacked = vera::gpu::Vera::stacked(&device, weight.view(), &each, &b).unwrap();
    let (mut x_u, mut grad_y_u) =
        (stacked.matrix.input(tokens).unwrap(), stacked.matrix.grad_y(tokens).unwrap());
    x_u.left_mut().write(x.view()).unwrap();
    grad_y_u.left_mut().write(grad_y.view()).unwrap();
    let mut y = Matrix::new(&device, [tokens, 71]).unwrap();
    let mut grad_x = Matrix::new(&device, [tokens, inputs]).unwrap();
    let (mut saved, mut grads) = (stacked.saved(tokens).unwrap(), stacked.grads().unwrap());
    stacked.forward(&mut x_u, None, y.view_mut(), &mut saved).unwrap();
    // x is not kept: another layer may have overwritten it.
    x_u.left_mut().write((&x * f64::NAN).view()).unwrap();
    stacked.backward(&saved, None, &mut grad_y_u, grad_x.view_mut(), &mut grads).unwrap();

    let y = y.to_host().unwrap();
    let (mut sum, mut output) = (Array2::<f64>::zeros((tokens, inputs)), 0);
    for (i, (vera, weight)) in layers.iter().zip(&weights).enumerate() {
        let columns = s![.., output..output + sizes[i]];
        let (want, kept) = vera.forward(weight.view(), &x.clone().into_shared(), None).unwrap();
        let (want_x, want_grads) =
            vera.backward(weight.view(), &kept, grad_y.slice(columns)).unwrap();
        assert_eq!(y.slice(columns), want);
        assert_eq!(grads.layers[i].lambda_b.to_host().unwrap().row(0), want_grads.lambda_b);
        assert_eq!(grads.layers[i].lambda_d.to_host().unwrap().row(0), want_grads.lambda_d);
        sum += &want_x;
        output += sizes[i];
    }
    assert_eq!(grad_x.to_host().unwrap(), sum);
}

/// After a step M holds what a layer made of the masters holds: the same bits, in bf16, with scales that are no powers of two.
#[test]
fn the_matrix_follows_the_optimiser() {
    let Some(device) = device() else { return };
    let weight = numbers((7, 5), 0);
    let layers = [(4, 3, 0.3), (3, 2, 0.7)].map(|(out, r, scale)| {
        lora::Lora::new(numbers((r, 5), out), numbers((out, r), r), scale).unwrap()
    });
    let of = |layers: &[lora::Lora<f64>; 2]| {
        Lora::<bf16, _>::stacked(&device, weight.view(), &[&layers[0], &layers[1]]).unwrap()
    };
    let mut stacked = of(&layers);
    let before = stacked.matrix.c().to_host().unwrap();
    let mut grads = stacked.grads().unwrap();
    grads.a.write(numbers((5, 5), 1).view()).unwrap();
    grads.b[0].write(numbers((4, 3), 2).view()).unwrap();
    grads.b[1].write(numbers((3, 2), 3).view()).unwrap();
    lora::gpu::step(&mut [("layer", &mut stacked, &grads)], &mut adamw(&device)).unwrap();

    let a = stacked.a().to_host().unwrap();
    let moved = [(0, 0..3), (1, 3..5)].map(|(i, ranks)| {
        let b = stacked.segments()[i].b.to_host().unwrap();
        lora::Lora::new(a.slice(s![ranks, ..]).to_owned(), b, layers[i].scale).unwrap()
    });
    let want = of(&moved);
    assert_ne!(stacked.matrix.c().to_host().unwrap(), before);
    assert_eq!(stacked.matrix.c().to_host().unwrap(), want.matrix.c().to_host().unwrap());
    assert_eq!(stacked.matrix.tall().to_host().unwrap(), want.matrix.tall().to_host().unwrap());
}

/// The same of VeRA's folded B, and of the W that Delta-LoRA moves.
#[test]
fn the_matrix_follows_vectors_and_moves() {
    let Some(device) = device() else { return };
    let weight = numbers((7, 5), 0);
    let projections = Arc::new(Projections::new(numbers((3, 6), 1), numbers((8, 3), 2)).unwrap());
    let b = Rc::new(Matrix::<bf16, _>::from_host(&device, projections.b()).unwrap());
    let of = |lambda_b: Array2<f64>, lambda_d: Array2<f64>| {
        let [lambda_b, lambda_d] = [lambda_b, lambda_d].map(|vector| vector.row(0).to_owned());
        let vera = Vera::new(lambda_b, lambda_d, 5, Arc::clone(&projections)).unwrap();
        vera::gpu::Vera::new(&device, weight.view(), &vera, &b).unwrap()
    };
    let mut vera = of(numbers((1, 7), 3), numbers((1, 3), 4));
    let mut grads = vera.grads().unwrap();
    grads.layers[0].lambda_b.write(numbers((1, 7), 5).view()).unwrap();
    grads.layers[0].lambda_d.write(numbers((1, 3), 6).view()).unwrap();
    vera::gpu::step(&mut [("layer", &mut vera, &grads)], &mut adamw(&device)).unwrap();
    let layer = &vera.layers()[0];
    let want = of(layer.lambda_b.to_host().unwrap(), layer.lambda_d.to_host().unwrap());
    assert_eq!(vera.matrix.wide().to_host().unwrap(), want.matrix.wide().to_host().unwrap());

    let lora = lora::Lora::new(numbers((2, 5), 7), numbers((7, 2), 8), 0.3).unwrap();
    let settings = delta_lora::Settings { start_step: 0, ..Default::default() };
    let cpu = delta_lora::DeltaLora::new(lora, settings).unwrap();
    let mut delta = delta_lora::gpu::DeltaLora::new(&device, weight.view(), &cpu).unwrap();
    let mut grads = delta.lora.grads().unwrap();
    grads.a.write(numbers((2, 5), 9).view()).unwrap();
    grads.b[0].write(numbers((7, 2), 10).view()).unwrap();
    delta_lora::gpu::step(&mut [("layer", &mut delta, &grads)], &mut adamw(&device)).unwrap();
    let mut before = weight;
    for merges in [false, true] {
        if merges {
            delta.merge().unwrap();
        }
        let master = delta.weight_to_host().unwrap();
        assert_ne!(master, before);
        let rounded = Matrix::<bf16, _>::from_host(&device, master.view()).unwrap();
        assert_eq!(delta.lora.matrix.weight().to_host().unwrap(), rounded.to_host().unwrap());
        before = master;
    }
}

/// A kernel looks at no sizes: what does not fit is refused before it is launched.
#[test]
fn gradients_of_another_adapter_are_refused() {
    let Some(device) = device() else { return };
    let refused = |result: cuda::Result<()>, what: &str| {
        let error = result.expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    };
    let group = Group { lr: 0.1, weight_decay: 0.0 };
    let like = adapter::AdamW::new(group, AdamVariant::Torch);
    let mut optimizer = AdamW::<f64, _>::new(&device, &like).unwrap();
    let [tokens, inputs, rank] = [5, 6, 3];

    // VeRA: the same layers, the other way round, and one alone.
    let projections =
        Arc::new(Projections::new(numbers((rank, inputs), 1), numbers((67, rank), 2)).unwrap());
    let layer = |out, projections: &Arc<Projections<f64>>| {
        Vera::new(Array1::ones(out), Array1::ones(rank), inputs, Arc::clone(projections)).unwrap()
    };
    let (large, small) = (layer(67, &projections), layer(4, &projections));
    let b = Rc::new(Matrix::<f64, _>::from_host(&device, projections.b()).unwrap());
    let weight = numbers((71, inputs), 3);
    let stacked = |layers: &[&Vera<f64>]| {
        vera::gpu::Vera::<f64, _>::stacked(&device, weight.view(), layers, &b)
    };
    let mut one = stacked(&[&large, &small]).unwrap();
    let mut of_other = stacked(&[&small, &large]).unwrap().grads().unwrap();
    let mut x_u = one.matrix.input(tokens).unwrap();
    let mut grad_y_u = one.matrix.grad_y(tokens).unwrap();
    x_u.left_mut().write(numbers((tokens, inputs), 4).view()).unwrap();
    grad_y_u.left_mut().write(numbers((tokens, 71), 5).view()).unwrap();
    let mut y = Matrix::new(&device, [tokens, 71]).unwrap();
    let mut grad_x = Matrix::new(&device, [tokens, inputs]).unwrap();
    let mut saved = one.saved(tokens).unwrap();
    one.forward(&mut x_u, None, y.view_mut(), &mut saved).unwrap();
    let result = one.backward(&saved, None, &mut grad_y_u, grad_x.view_mut(), &mut of_other);
    refused(result, "the gradient of vera_lambda_b");
    of_other.layers.pop();
    refused(vera::gpu::step(&mut [("layer", &mut one, &of_other)], &mut optimizer), "grads");

    // Each shape with an A and B of its own: there is no u for both.
    let own = layer(
        4,
        &Arc::new(Projections::new(numbers((rank, inputs), 7), numbers((4, rank), 8)).unwrap()),
    );
    refused(stacked(&[&large, &own]).map(drop), "projections");

    // LoRA, and LoRA-FA with and without a projection.
    let lora = |out| lora::Lora::new(numbers((2, inputs), 1), numbers((out, 2), 2), 1.0).unwrap();
    let weight = numbers((9, inputs), 3);
    let mut gpu = Lora::<f64, _>::stacked(&device, weight.view(), &[&lora(5), &lora(4)]).unwrap();
    let mut grads = gpu.grads().unwrap();
    grads.b.pop();
    refused(lora::gpu::step(&mut [("layer", &mut gpu, &grads)], &mut optimizer), "grad_B");
    let lora_fa = |variant| {
        let cpu = LoraFa::new(numbers((2, inputs), 1), numbers((9, 2), 2), 1.0, variant).unwrap();
        lora_fa::gpu::LoraFa::<f64, _>::new(&device, weight.view(), &cpu).unwrap()
    };
    let (plain, mut projected) = (lora_fa(Variant::Plain), lora_fa(Variant::Projected));
    let mut grads = plain.grads().unwrap();
    let step = lora_fa::gpu::step(&mut [("layer", &mut projected, &mut grads)], &mut optimizer);
    refused(step, "grads");

    // Delta-LoRA whose LoRA was replaced.
    let settings = delta_lora::Settings { start_step: 0, ..Default::default() };
    let cpu = delta_lora::DeltaLora::new(lora(5), settings).unwrap();
    let mut delta =
        delta_lora::gpu::DeltaLora::<f64, _>::new(&device, numbers((5, inputs), 3).view(), &cpu)
            .unwrap();
    delta.lora = Lora::new(&device, weight.view(), &lora(9)).unwrap();
    let grads = delta.lora.grads().unwrap();
    refused(
        delta_lora::gpu::step(&mut [("layer", &mut delta, &grads)], &mut optimizer),
        "B has shape",
    );
}
