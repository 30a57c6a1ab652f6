//! The GPU path of every method where there is no GPU: the same calls and the same kernels on the emulated device, judged by
//! the oracle. `cargo xtask test emulated` runs it under AddressSanitizer and UBSan.

use std::path::Path;

use cuda::{Device, Element, Emulator, Tf32, bf16};
use lowrank_tests::gpu::{SHAPES, Tally, dropout_case, random_case, steady_memory, training};
use oracle::{Method, Op, TensorFile, Verdict, cases_under};

const METHODS: [Method; 5] =
    [Method::Lora, Method::LoraFa, Method::Vera, Method::DeltaLora, Method::LoraPlus];

/// A device whose matrices lie between guards and begin as NaN.
fn device() -> Option<Emulator> {
    match Emulator::open() {
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
    for report in tally.failed.iter().take(5) {
        let wrong = report.findings.iter().filter(|finding| finding.verdict != Verdict::Pass);
        for finding in wrong {
            println!("{} {} rho {} {:?}", report.case, finding.tensor, finding.rho, finding.worst);
        }
    }
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
                tally.case::<T, _>(&device, &file).expect("the emulation has no reason to fail");
            }
            if method != Method::DeltaLora {
                dropout_case::<T, _>(&mut tally, &device, method, shape, 0.25).expect("as above");
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
