//! The GPU path of every method where there is no GPU: the same calls and the same kernels on the emulated device, judged by
//! the oracle. `cargo xtask test emulated` runs it under AddressSanitizer and UBSan.

use std::path::Path;

use cuda::{Device, Element, Emulator, Tf32, bf16};
use lowrank_tests::gpu::{
    METHODS, Outcome, SHAPES, Tally, Truth, dropout_case, graph_is_eager, random_case,
    steady_memory, submit, training,
};
use oracle::{Method, Op, TensorFile, cases_under};

/// A device whose matrices begin as NaN, and lie between guards: under AddressSanitizer they would hide what it sees.
pub(crate) fn device() -> Option<Emulator> {
    match Emulator::open() {
        Ok(device) if std::env::var_os("LOWRANK_SANITIZE").is_some() => {
            device.accounts().poison();
            Some(device)
        }
        Ok(device) => {
            device.accounts().guard();
            Some(device)
        }
        Err(error) => {
            println!("SKIPPED {error}");
            None
        }
    }
}

fn expect(tally: &Tally, device: &Emulator, least: usize) {
    tally.failed.iter().take(5).for_each(|line| println!("{line}"));
    assert!(tally.failed.is_empty(), "{} cases failed", tally.failed.len());
    assert!(tally.passed >= least, "{} cases passed, {least} expected", tally.passed);
    device.accounts().check().expect("nothing was written beside a matrix");
}

fn shipped<T: Element>(least: usize) {
    let Some(device) = device() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut tally = Tally::default();
    for path in cases_under(&folder).expect("the vectors are committed") {
        let file = TensorFile::read(&path).expect("a shipped case");
        tally.case::<T, _>(&device, &file).expect("the emulation has no reason to fail");
    }
    println!(
        "{}: {} cases, worst {:?}, left out {:?}",
        T::KIND.name(),
        tally.passed,
        tally.worst,
        tally.left_out
    );
    expect(&tally, &device, least);
}

#[test]
fn shipped_vectors_in_f64() {
    shipped::<f64>(1000);
}

#[test]
fn shipped_vectors_in_f32() {
    shipped::<f32>(1000);
}

#[test]
fn shipped_vectors_in_tf32() {
    shipped::<Tf32>(1000);
}

#[test]
fn shipped_vectors_in_bf16() {
    shipped::<bf16>(1000);
}

fn shapes<T: Element>() {
    let Some(device) = device() else { return };
    let mut tally = Tally::default();
    for method in METHODS {
        for (seed, shape) in SHAPES.into_iter().enumerate() {
            for op in [Op::Backward, Op::Step, Op::Merge, Op::Unmerge] {
                let file = random_case(method, op, shape, seed as u64);
                let outcome = submit::<T, _>(&device, &file).expect("it has no reason to fail");
                let Outcome::Submission(made) = outcome else { panic!("{method} {op}") };
                tally.add(Truth::of(&file).judge(T::KIND, &made));
            }
            if method != Method::DeltaLora {
                let masked = dropout_case::<T, _>(&device, method, shape, 0.25);
                let (file, made) = masked.expect("as above");
                tally.add(Truth::of(&file).judge(T::KIND, &made));
            }
        }
    }
    println!("{}: worst {:?}", T::KIND.name(), tally.worst);
    expect(&tally, &device, 5 * SHAPES.len() * 4);
}

#[test]
fn odd_shapes_in_f64() {
    shapes::<f64>();
}

#[test]
fn odd_shapes_in_f32() {
    shapes::<f32>();
}

#[test]
fn odd_shapes_in_tf32() {
    shapes::<Tf32>();
}

#[test]
fn odd_shapes_in_bf16() {
    shapes::<bf16>();
}

#[test]
fn a_thousand_steps_leave_memory_as_it_was() {
    let Some(device) = device() else { return };
    for method in METHODS {
        let [first, last] = steady_memory::<bf16, _>(&device, method, 1000).expect("it runs");
        assert_eq!(first, last, "{method}");
    }
    assert_eq!(device.accounts().usage().live, 0);
    device.accounts().check().expect("nothing was written beside a matrix");
}

#[test]
fn the_same_input_gives_the_same_bits() {
    let Some(device) = device() else { return };
    for method in METHODS {
        let run = || {
            let mut training = training::<f32, _>(&device, method, [17, 33, 65, 8], 0.1)?;
            (0..3).try_for_each(|_| training.step())?;
            training.state()
        };
        assert_eq!(run().expect("it runs"), run().expect("it runs"), "{method}");
    }
}

/// What the `gpu` examples do with a GPU, on the emulation: numbers, truth, gauge and bound fit together.
#[test]
fn the_examples_numbers_are_within_their_bounds() {
    use cuda::example::{Operands, numbers, on_cpu, row};

    const SHAPE: [usize; 4] = [70, 96, 64, 8];
    let Some(device) = device() else { return };
    let [tokens, inputs, out, rank] = SHAPE;
    let adapter = |of: fn(f64) -> f64| {
        let (a, b) = (numbers([rank, inputs], 4).mapv(of), numbers([out, rank], 5).mapv(of));
        lora::Lora::new(a, b, 2.0).unwrap()
    };
    let truth = on_cpu(&adapter(|x| x), SHAPE, |x| x).unwrap();
    let gauge = on_cpu(&adapter(f64::abs), SHAPE, f64::abs).unwrap();
    let mut made = Operands::<bf16, _>::new(&device, SHAPE).unwrap();
    let weight = made.weight.to_host().unwrap();
    let layer = lora::gpu::Lora::new(&device, weight.view(), &adapter(|x| x)).unwrap();
    let [mut x_h, mut grad_y_h] = made.beside(&layer.matrix).unwrap();
    let (grad_x, mut grads) = (&mut made.grad_x, layer.grads().unwrap());
    layer.forward(&mut x_h, None, made.y.view_mut()).unwrap();
    layer.backward(&x_h, None, &mut grad_y_h, grad_x.view_mut(), &mut grads).unwrap();
    row(&made, rank, &truth, &gauge, f64::NAN).unwrap();
    // One NaN fails, in the first token as in the last, and so does a wrong layer.
    let y = made.y.to_host().unwrap();
    for at in [[0, 0], [tokens - 1, out - 1]] {
        let mut y = y.clone();
        y[at] = f64::NAN;
        made.y.write(y.view()).unwrap();
        assert!(row(&made, rank, &truth, &gauge, f64::NAN).is_err());
    }
    made.y.write(y.mapv(|y| 1.5 * y).view()).unwrap();
    assert!(row(&made, rank, &truth, &gauge, f64::NAN).is_err());
}

/// A step that is recorded and replayed is the step, and what must not be recorded says so.
#[test]
fn a_graph_is_the_step_it_was_recorded_from() {
    let Some(device) = device() else { return };
    for method in METHODS {
        graph_is_eager::<bf16, _>(&device, method).expect("it runs").expect("the same bits");
    }
    let mut fresh = training::<f32, _>(&device, Method::Lora, [4, 6, 5, 2], 0.0).expect("it runs");
    let error = device.record(|| fresh.step()).err().expect("it never ran").to_string();
    assert!(error.contains("run the step once"), "{error}");
    let error = device.record(|| Ok(())).err().expect("there is nothing").to_string();
    assert!(error.contains("asked for nothing"), "{error}");
    let error = device.record(|| device.synchronize()).err().expect("it waits").to_string();
    assert!(error.contains("cannot be part of a graph"), "{error}");
}

/// The host counts Delta-LoRA's updates: a graph from before W moves would never move it.
#[test]
fn delta_lora_is_not_recorded_before_its_weight_moves() {
    use cuda::AdamW;
    use delta_lora::{DeltaLora, Settings, gpu};
    use ndarray::Array2;

    let Some(device) = device() else { return };
    let ones = |shape| Array2::<f64>::ones(shape);
    let lora = lora::Lora::new(ones((1, 3)), ones((2, 1)), 1.0).unwrap();
    let cpu = DeltaLora::new(lora, Settings { start_step: 2, ..Settings::default() }).unwrap();
    let mut delta = gpu::DeltaLora::<f64, _>::new(&device, ones((2, 3)).view(), &cpu).unwrap();
    let mut grads = delta.lora.grads().unwrap();
    grads.a.write(ones((1, 3)).view()).unwrap();
    grads.b[0].write(ones((2, 1)).view()).unwrap();
    let group = adapter::Group { lr: 0.5, weight_decay: 0.0 };
    let like = adapter::AdamW::new(group, adapter::AdamVariant::Torch);
    let mut optimizer = AdamW::new(&device, &like).unwrap();
    let mut step = || gpu::step(&mut [("layer", &mut delta, &grads)], &mut optimizer);
    step().unwrap();
    let error = device.record(&mut step).err().expect("W does not move yet").to_string();
    assert!(error.contains("Delta-LoRA") && error.contains("start_step"), "{error}");
    step().unwrap();
    step().unwrap(); // the first that moves W
    let graph = device.record(&mut step).expect("W moves");
    drop(graph);
    assert_eq!(delta.updates(), 3); // what was recorded was not done
}

/// What was dropped while a graph may use it is given back with the graph.
#[test]
fn memory_outlives_its_matrix_while_a_graph_uses_it() {
    use cuda::{Matrix, Replay, rows};

    let Some(device) = device() else { return };
    let before = device.free_bytes().unwrap();
    let from = Matrix::<f64, _>::from_host(&device, ndarray::array![[1.0, 2.0]].view()).unwrap();
    let mut to = Matrix::<f64, _>::zeros(&device, [1, 2]).unwrap();
    let mut elsewhere = Matrix::<f64, _>::zeros(&device, [1, 2]).unwrap();
    rows::copy(from.view(), elsewhere.view_mut()).unwrap(); // so that the kernel is there
    drop(elsewhere);
    let graph = device.record(|| rows::copy(from.view(), to.view_mut())).unwrap();
    assert_eq!(to.to_host().unwrap(), ndarray::array![[0.0, 0.0]]); // recorded, not done
    drop(from);
    graph.replay().unwrap();
    assert_eq!(to.to_host().unwrap(), ndarray::array![[1.0, 2.0]]);
    drop(to);
    assert!(device.free_bytes().unwrap() < before);
    drop(graph);
    assert_eq!(device.free_bytes().unwrap(), before);
}

/// The judge without a catalogue of mistakes must see what the oracle sees.
#[test]
fn a_wrong_number_fails() {
    let file = random_case(Method::Lora, Op::Merge, [1, 5, 4, 2], 3);
    let truth = Truth::of(&file);
    let mut right = oracle::emit(&file).unwrap();
    right.tensors.retain(|name, _| name.starts_with("out."));
    let judged = |submission: &TensorFile| {
        let mut tally = Tally::default();
        tally.add(truth.judge(cuda::Kind::F32, submission));
        tally
    };
    assert_eq!((judged(&right).passed, judged(&right).failed.len()), (1, 0));
    for wrong in [f64::NAN, 1e9] {
        let mut submission = right.clone();
        let tensor = submission.tensors.get_mut("out.weight").unwrap();
        tensor.data[..8].copy_from_slice(&wrong.to_le_bytes());
        let tally = judged(&submission);
        assert!(tally.failed[0].contains("weight at [0, 0]"), "{:?}", tally.failed);
        assert!(tally.worst.unwrap().0 > 1.0);
    }
    assert!(judged(&TensorFile::default()).failed[0].contains("missing"));
}
