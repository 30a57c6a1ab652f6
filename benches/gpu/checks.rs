//! The parts that judge numbers.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use cuda::{Device, Element, Error, Matrix, Replay, Tf32, bf16, multiply};
use lowrank_tests::gpu::{
    Judged, METHODS, Outcome, SHAPES, Tally, Truth, dropout_case, graph_is_eager, judge_shipped,
    random_case, steady_memory, submit,
};
use ndarray::{Array2, s};
use oracle::{Method, Op, TensorFile, cases_under};
use rayon::prelude::*;

use super::layers::Shape;
use super::row::Row;

/// What a step, a pass and a merge are judged in.
const OPS: [Op; 4] = [Op::Backward, Op::Step, Op::Merge, Op::Unmerge];
/// Shapes under a sanitizer: one of each, none, odd ones, r beyond a warp.
const QUICK: [usize; 4] = [0, 1, 6, 9];

/// Checks, and says so in a row. What fails is told with its reason.
fn check<T: Element>(name: &str, work: impl FnOnce() -> Result<String, String>) -> bool {
    let start = Instant::now();
    let outcome = work();
    let passed = outcome.is_ok();
    let detail = outcome.unwrap_or_else(|wrong| wrong);
    let (check, dtype) = (name.to_owned(), T::KIND.name().to_owned());
    Row::Check { check, dtype, passed, seconds: start.elapsed().as_secs_f64(), detail }.print();
    passed
}

fn verdict(tally: &Tally, least: usize) -> Result<String, String> {
    let worst = tally.worst.as_ref().map(|(rho, at)| format!(", largest ρ {rho:.3} at {at}"));
    let text = format!("{} cases{}", tally.passed, worst.unwrap_or_default());
    match tally.failed.first() {
        Some(first) => Err(format!("{} failed, {text}. First: {first}", tally.failed.len())),
        None if tally.passed < least => Err(format!("{text}: {least} expected")),
        None => Ok(text),
    }
}

/// What every other part stands on: products, a kernel and a graph. Small integers, so that equal is equal.
pub fn basics<D: Device>(device: &D) -> bool {
    const EVEN: [usize; 3] = [64, 96, 48];
    let passed = [
        product::<f64, f64, D>(device, "a product", EVEN, 0),
        product::<f32, f32, D>(device, "a product", EVEN, 0),
        product::<Tf32, f32, D>(device, "a product", EVEN, 0),
        product::<bf16, f32, D>(device, "a product", EVEN, 0),
        // Nothing is aligned: what cuBLASLt does not take of it, cuBLAS must.
        product::<bf16, bf16, D>(device, "a product, odd", [5, 9, 7], 1),
        kernel(device),
        graph(device),
    ];
    passed.iter().all(|passed| *passed)
}

fn ramp(rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 5 + j * 3) % 7) as f64 - 3.0)
}

fn exact(got: cuda::Result<Array2<f64>>, want: &Array2<f64>) -> Result<String, String> {
    let got = got.map_err(|error| error.to_string())?;
    if got == *want { Ok("exact".into()) } else { Err("is not what ndarray gives".into()) }
}

/// C ← ½ A Bᵀ + 1, with A and B without the first `skip` columns of what they are parts of.
fn product<T: Element, U: Element, D: Device>(
    device: &D,
    name: &str,
    [m, k, n]: [usize; 3],
    skip: usize,
) -> bool {
    check::<T>(name, || {
        let (a, b) = (ramp(m, skip + k), ramp(n, skip + k));
        let want = 0.5 * a.slice(s![.., skip..]).dot(&b.slice(s![.., skip..]).t()) + 1.0;
        let made = || -> cuda::Result<_> {
            let a = Matrix::<T, _>::from_host(device, a.view())?;
            let b = Matrix::<T, _>::from_host(device, b.view())?;
            let mut c = Matrix::<U, _>::from_host(device, Array2::ones((m, n)).view())?;
            let [a, b] = [a.view(), b.view()].map(|whole| whole.columns(skip..skip + k));
            multiply(0.5, a, b.t(), 1.0, c.view_mut())?;
            c.to_host()
        };
        exact(made(), &want)
    })
}

/// A part of a matrix is copied by one.
fn kernel<D: Device>(device: &D) -> bool {
    check::<bf16>("a kernel", || {
        let host = ramp(5, 9);
        let made = || -> cuda::Result<_> {
            let matrix = Matrix::<bf16, _>::from_host(device, host.view())?;
            matrix.view().rows(1..4).columns(2..7).to_host()
        };
        exact(made(), &host.slice(s![1..4, 2..7]).to_owned())
    })
}

/// A sum of products that goes on: once by itself, twice by a graph.
fn graph<D: Device>(device: &D) -> bool {
    check::<bf16>("a graph", || {
        let (a, b) = (ramp(16, 32), ramp(24, 32));
        let made = || -> cuda::Result<_> {
            let a = Matrix::<bf16, _>::from_host(device, a.view())?;
            let b = Matrix::<bf16, _>::from_host(device, b.view())?;
            let mut c = Matrix::<f32, _>::zeros(device, [16, 24])?;
            let mut step = || multiply(1.0, a.view(), b.view().t(), 1.0, c.view_mut());
            step()?;
            let graph = device.record(&mut step)?;
            graph.replay()?;
            graph.replay()?;
            c.to_host()
        };
        exact(made(), &(3.0 * a.dot(&b.t())))
    })
}

/// Small and odd shapes, and a graph against single steps.
pub fn shapes<T: Element, D: Device>(device: &D, methods: &[Method], quick: bool) -> bool {
    let shapes: Vec<_> = if quick { QUICK.map(|i| SHAPES[i]).to_vec() } else { SHAPES.to_vec() };
    let mut passed = true;
    for &method in methods {
        passed &= check::<T>(&format!("{method} shapes"), || {
            let mut made = Vec::new();
            for (seed, &shape) in shapes.iter().enumerate() {
                let at = |error: Error| format!("{shape:?}: {error}");
                for op in OPS {
                    let file = random_case(method, op, shape, seed as u64);
                    let outcome = submit::<T, _>(device, &file).map_err(at)?;
                    let Outcome::Submission(submission) = outcome else { continue };
                    made.push((file, submission));
                }
                if method != Method::DeltaLora {
                    made.push(dropout_case::<T, _>(device, method, shape, 0.25).map_err(at)?);
                }
            }
            let judged = made.par_iter().map(|(file, made)| Truth::of(file).judge(T::KIND, made));
            verdict(&tally(judged.collect()), OPS.len() * shapes.len())
        });
        passed &=
            check::<T>(&format!("{method} graph = eager"), || {
                match graph_is_eager::<T, _>(device, method).map_err(|error| error.to_string())? {
                    Ok(()) => Ok("4 steps, the same bits".into()),
                    Err(name) => Err(format!("{name} differs")),
                }
            });
    }
    passed & untouched::<T, D>(device)
}

fn untouched<T: Element, D: Device>(device: &D) -> bool {
    check::<T>("memory beside matrices", || {
        let untouched = device.synchronize().and_then(|()| device.accounts().check());
        let how = if device.accounts().guarded() { "untouched" } else { "not guarded" };
        untouched.map(|()| how.into()).map_err(|error| error.to_string())
    })
}

fn tally(judged: Vec<Judged>) -> Tally {
    let mut tally = Tally::default();
    judged.into_iter().for_each(|judged| tally.add(judged));
    tally
}

/// The shipped cases: read and judged on all cores, run one after another.
pub fn vectors<T: Element, D: Device>(device: &D, folder: &Path) -> Result<bool> {
    let paths = cases_under(folder)?;
    let files: Vec<_> = paths.par_iter().map(|path| TensorFile::read(path)).collect();
    Ok(check::<T>("shipped vectors", || {
        let mut made = Vec::new();
        for (path, file) in paths.iter().zip(files) {
            let file = file.map_err(|error| error.to_string())?;
            let outcome = submit::<T, _>(device, &file);
            match outcome.map_err(|error| format!("{}: {error}", path.display()))? {
                Outcome::Submission(submission) => made.push((file, submission)),
                Outcome::LeftOut(_) => {}
            }
        }
        let judged = made.par_iter().map(|(file, made)| judge_shipped(T::KIND, file, made));
        verdict(&tally(judged.collect()), made.len())
    }))
}

/// Real layers, whole. The truth of a case is computed once for all types.
pub fn large<D: Device>(device: &D, shapes: &[Shape]) -> bool {
    let mut cases = Vec::new();
    for Shape(shape) in shapes {
        cases.extend(METHODS.map(|method| random_case(method, Op::Backward, *shape, 7)));
    }
    let truths: Vec<_> = cases.par_iter().map(Truth::of).collect();
    fn one<T: Element, D: Device>(device: &D, cases: &[TensorFile], truths: &[Truth]) -> bool {
        check::<T>("real layers", || {
            let mut made = Vec::new();
            for (file, truth) in cases.iter().zip(truths) {
                let outcome = submit::<T, _>(device, file).map_err(|error| error.to_string())?;
                let Outcome::Submission(submission) = outcome else { continue };
                made.push((truth, submission));
            }
            let judged = made.par_iter().map(|(truth, made)| truth.judge(T::KIND, made));
            verdict(&tally(judged.collect()), cases.len())
        })
    }
    let passed = [
        one::<bf16, D>(device, &cases, &truths),
        one::<f32, D>(device, &cases, &truths),
        one::<Tf32, D>(device, &cases, &truths),
        one::<f64, D>(device, &cases, &truths),
    ];
    passed.iter().all(|passed| *passed)
}

/// No leak, and an error where memory ends.
pub fn memory<D: Device>(device: &D, steps: usize) -> bool {
    let mut passed = true;
    for method in METHODS {
        passed &= check::<bf16>(&format!("{method} no leak"), || {
            let steady = steady_memory::<bf16, _>(device, method, steps);
            let [first, last] = steady.map_err(|error| error.to_string())?;
            let text = format!("{first} bytes free after 1 step, {last} after {steps}");
            if first == last { Ok(text) } else { Err(text) }
        });
    }
    passed
        & check::<f64>("out of memory", || {
            let free = device.free_bytes().map_err(|error| error.to_string())?;
            let more = Matrix::<f64, _>::new(device, [free / 1024, 1024]);
            let error = match more.map(drop) {
                Err(error @ Error::OutOfMemory { .. }) => error.to_string(),
                Err(error @ Error::Argument(_)) => error.to_string(),
                Err(error) => return Err(error.to_string()),
                Ok(()) => return Err("the device lends more than it has".into()),
            };
            let after = Matrix::<f64, _>::zeros(device, [16, 16]).and_then(|made| made.to_host());
            after.map(|_| error).map_err(|error| format!("nothing works afterwards: {error}"))
        })
}
