//! `gpu-check`: the GPU path on a real GPU, judged by the oracle. `cargo xtask gpu-check` packs it with the vectors into a
//! folder that needs no Rust.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use cuda::{Device, Element, Error, Gpu, Tf32, bf16, nvrtc_version};
use lowrank_tests::gpu::{SHAPES, Tally, dropout_case, random_case, steady_memory, training};
use oracle::{Method, Op, TensorFile, cases_under};

const METHODS: [Method; 5] =
    [Method::Lora, Method::LoraFa, Method::Vera, Method::DeltaLora, Method::LoraPlus];

/// Shapes of real layers, \[tokens, in, out, r\].
const LARGE: [[usize; 4]; 3] = [[256, 576, 1536, 8], [1000, 1024, 768, 64], [512, 2048, 2048, 16]];

/// Check every method, dtype and shape on the GPU against the f64 reference, within derived bounds.
#[derive(Parser)]
struct Arguments {
    /// The conformance vectors.
    #[arg(long, default_value = "vectors")]
    vectors: PathBuf,
    /// One dtype of small shapes only, for compute-sanitizer.
    #[arg(long)]
    quick: bool,
    /// Steps of the search for a leak.
    #[arg(long, default_value_t = 1000)]
    steps: usize,
}

/// What was checked, and whether it held.
#[derive(Default)]
struct Checks {
    rows: Vec<(String, Result<String, String>)>,
}

impl Checks {
    fn add(&mut self, name: impl Into<String>, check: impl FnOnce() -> Result<String, String>) {
        let (name, start) = (name.into(), Instant::now());
        let outcome = check();
        let seconds = start.elapsed().as_secs_f64();
        let (verdict, detail) = match &outcome {
            Ok(detail) => ("PASS", detail),
            Err(detail) => ("FAIL", detail),
        };
        println!("{verdict}  {name:<34} {seconds:>6.1} s  {detail}");
        self.rows.push((name, outcome));
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let gpu = match Gpu::open_or_skip() {
        Ok(Some(gpu)) => gpu,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let nvrtc = nvrtc_version().map(|(major, minor)| format!("{major}.{minor}"));
    println!("{}, {}, NVRTC {}\n", gpu.name(), gpu.architecture(), nvrtc.unwrap_or_default());
    gpu.accounts().guard();

    let mut checks = Checks::default();
    if arguments.quick {
        all_of::<f32>(&mut checks, &gpu, &arguments);
    } else {
        all_of::<f64>(&mut checks, &gpu, &arguments);
        all_of::<f32>(&mut checks, &gpu, &arguments);
        all_of::<Tf32>(&mut checks, &gpu, &arguments);
        all_of::<bf16>(&mut checks, &gpu, &arguments);
        checks.add("out of memory", || out_of_memory(&gpu).map_err(|error| error.to_string()));
    }
    checks.add("memory beside matrices", || {
        let untouched = gpu.synchronize().and_then(|()| gpu.accounts().check());
        let peak = gpu.accounts().usage().peak >> 20;
        untouched.map(|()| format!("untouched, peak {peak} MiB")).map_err(|error| error.to_string())
    });
    let failed = checks.rows.iter().filter(|(_, outcome)| outcome.is_err()).count();
    println!("\n{} passed, {failed} failed, 0 skipped", checks.rows.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all_of<T: Element>(checks: &mut Checks, gpu: &Gpu, arguments: &Arguments) {
    let kind = T::KIND.name();
    if !arguments.quick {
        checks.add(format!("{kind} shipped vectors"), || {
            let mut tally = Tally::default();
            let paths = cases_under(&arguments.vectors).map_err(|error| error.to_string())?;
            for path in paths {
                let file = TensorFile::read(&path).map_err(|error| error.to_string())?;
                tally.case::<T, _>(gpu, &file).map_err(|error| format!("{path:?}: {error}"))?;
            }
            verdict(&tally, 1000)
        });
    }
    for method in METHODS {
        let shapes = || SHAPES.into_iter().chain(LARGE.into_iter().filter(|_| !arguments.quick));
        checks.add(format!("{kind} {method} shapes"), || {
            let mut tally = Tally::default();
            for (seed, shape) in shapes().enumerate() {
                let at = |error: Error| format!("{shape:?}: {error}");
                for op in [Op::Backward, Op::Step, Op::Merge, Op::Unmerge] {
                    let file = random_case(method, op, shape, seed as u64);
                    tally.case::<T, _>(gpu, &file).map_err(at)?;
                }
                if method != Method::DeltaLora {
                    dropout_case::<T, _>(&mut tally, gpu, method, shape, 0.25).map_err(at)?;
                }
            }
            verdict(&tally, 4 * shapes().count())
        });
        checks.add(format!("{kind} {method} graph = eager"), || {
            graph_is_eager::<T>(gpu, method).map_err(|error| error.to_string())?
        });
        if arguments.quick {
            continue;
        }
        checks.add(format!("{kind} {method} no leak"), || {
            let steady = steady_memory::<T, _>(gpu, method, arguments.steps);
            let [first, last] = steady.map_err(|error| error.to_string())?;
            let text = format!("{first} bytes after 1 step, {last} after {}", arguments.steps);
            if first == last { Ok(text) } else { Err(text) }
        });
    }
}

fn verdict(tally: &Tally, least: usize) -> Result<String, String> {
    let worst = tally.worst.as_ref().map(|(rho, at)| format!("largest ρ {rho:.3} at {at}"));
    let text = format!("{} cases, {}", tally.passed, worst.unwrap_or_default());
    for report in tally.failed.iter().take(5) {
        for finding in &report.findings {
            if let Some(worst) = finding.worst.as_ref().filter(|_| !(finding.rho <= 1.0)) {
                println!(
                    "      {} {} at {:?}: gpu {:e}, cpu {:e}, bound {:e}",
                    report.case, finding.tensor, worst.index, worst.got, worst.want, worst.bound
                );
            }
        }
    }
    match (tally.failed.len(), tally.passed >= least) {
        (0, true) => Ok(text),
        (0, false) => Err(format!("{text}: {least} expected")),
        (failed, _) => Err(format!("{failed} failed, {text}")),
    }
}

/// Four steps one by one, and one step followed by three replays of it.
fn graph_is_eager<T: Element>(gpu: &Gpu, method: Method) -> Result<Result<String, String>, Error> {
    const SHAPE: [usize; 4] = [64, 128, 96, 8];
    let mut eager = training::<T, _>(gpu, method, SHAPE, 0.1)?;
    (0..4).try_for_each(|_| eager.step())?;
    let mut recorded = training::<T, _>(gpu, method, SHAPE, 0.1)?;
    recorded.step()?;
    let graph = gpu.record(|| recorded.step())?;
    (0..3).try_for_each(|_| graph.replay())?;
    gpu.synchronize()?;
    let (eager, recorded) = (eager.state()?, recorded.state()?);
    for (name, want) in &eager {
        if recorded[name] != want {
            return Ok(Err(format!("{name} differs")));
        }
    }
    Ok(Ok("4 steps, the same bits".to_owned()))
}

/// Asking for more than there is is an error, and the device works afterwards.
fn out_of_memory(gpu: &Gpu) -> Result<String, Error> {
    let (_, total) = gpu.free_and_total()?;
    let rows = total / 1024 + 1;
    let error = match cuda::Matrix::<f64, _>::new(gpu, [rows, 1024]) {
        Err(error @ Error::OutOfMemory { .. }) => error,
        Err(error) => return Err(error),
        Ok(_) => return Ok("the driver lends more than it has".to_owned()),
    };
    cuda::Matrix::<f64, _>::zeros(gpu, [16, 16])?.to_host()?;
    Ok(error.to_string())
}
