//! `gpu-bench`: one adapted layer, forward, backward and step, on a GPU: against its two base products alone, which are the
//! floor, and against PEFT in the same run.

mod peft;
mod table;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Parser;
use cuda::{AdamW, Device, Element, Gpu, Matrix, Parameter, Tf32, bf16, multiply, nvrtc_version};
use indicatif::{ProgressBar, ProgressStyle};
use lowrank_tests::gpu::{Layer, random_case};
use ndarray::{Array2, Axis};
use oracle::{Case, Method, Op};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Time one adapted layer on a GPU: forward, backward and AdamW step.
#[derive(Parser)]
struct Arguments {
    /// Tokens of a batch.
    #[arg(long, value_delimiter = ',', default_values_t = [1024, 8192])]
    tokens: Vec<usize>,
    /// Weights, out x in.
    #[arg(long, value_delimiter = ',', default_value = "4096x4096,14336x4096")]
    weights: Vec<Weight>,
    /// r.
    #[arg(long, value_delimiter = ',', default_values_t = [8, 16, 64, 256])]
    ranks: Vec<usize>,
    /// f32, tf32, bf16.
    #[arg(long, value_delimiter = ',', default_value = "f32,tf32,bf16")]
    dtypes: Vec<String>,
    /// The methods.
    #[arg(long, value_delimiter = ',', default_value = "lora,lora-fa,vera,delta-lora,lora-plus")]
    methods: Vec<Method>,
    /// Timed steps; the median is reported.
    #[arg(long, default_value_t = 30)]
    repeats: usize,
    /// A Python with torch and peft: they run in the same run.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Where to keep all numbers, as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// table or json, on standard output.
    #[arg(long, default_value = "table")]
    format: String,
}

#[derive(Clone, Copy, Debug)]
struct Weight {
    out: usize,
    inputs: usize,
}

impl FromStr for Weight {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('x').and_then(|(out, inputs)| {
            Some(Self { out: out.parse().ok()?, inputs: inputs.parse().ok()? })
        });
        parsed.ok_or_else(|| format!("{text} is no weight: out x in, as 4096x4096"))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Some(gpu) = Gpu::open_or_skip()? else { return Ok(()) };
    let (major, minor) = nvrtc_version()?;
    let date = std::process::Command::new("date").arg("--iso-8601=seconds").output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let setting = json!({
        "date": date.unwrap_or_default(),
        "gpu": gpu.name(),
        "architecture": gpu.architecture(),
        "nvrtc": format!("{major}.{minor}"),
        "lowrank": env!("CARGO_PKG_VERSION"),
        "repeats": arguments.repeats,
    });
    eprintln!("{setting}");

    let mut rows = Vec::new();
    let progress = ProgressBar::new(
        (arguments.dtypes.len() * arguments.tokens.len() * arguments.weights.len()) as u64,
    )
    .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    for dtype in &arguments.dtypes {
        for &tokens in &arguments.tokens {
            for &weight in &arguments.weights {
                progress.set_message(format!("{dtype} {tokens} {}x{}", weight.out, weight.inputs));
                match dtype.as_str() {
                    "f32" => rows.extend(time_all::<f32>(&gpu, &arguments, tokens, weight)?),
                    "tf32" => rows.extend(time_all::<Tf32>(&gpu, &arguments, tokens, weight)?),
                    "bf16" => rows.extend(time_all::<bf16>(&gpu, &arguments, tokens, weight)?),
                    _ => bail!("{dtype} is no dtype: f32, tf32 or bf16"),
                }
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    let mut versions = Value::Null;
    if let Some(python) = &arguments.python {
        let (peer_rows, peer_versions) = peft::run(python, &arguments)?;
        rows.extend(peer_rows);
        versions = peer_versions;
    }
    let all = json!({ "setting": setting, "versions": versions, "rows": rows });
    if let Some(out) = &arguments.out {
        std::fs::write(out, serde_json::to_string_pretty(&all)? + "\n")
            .with_context(|| format!("cannot write {}", out.display()))?;
    }
    match arguments.format.as_str() {
        "json" => println!("{all}"),
        _ => println!("{}", table::of(&rows)),
    }
    Ok(())
}

/// Random numbers around 0: a product of zeros takes less power, and so less time, than a real one.
fn random(shape: [usize; 2], seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn(shape, || rng.random_range(-1.0..1.0))
}

fn time_all<T: Element>(
    gpu: &Gpu,
    arguments: &Arguments,
    tokens: usize,
    Weight { out, inputs }: Weight,
) -> Result<Vec<Value>> {
    let x = Matrix::<T, _>::from_host(gpu, random([tokens, inputs], 1).view())?;
    let grad_y = Matrix::<T, _>::from_host(gpu, random([tokens, out], 2).view())?;
    let mut weight = Parameter::<T, _>::from_host(gpu, random([out, inputs], 3).view())?;
    let mut y = Matrix::<T, _>::new(gpu, [tokens, out])?;
    let mut grad_x = Matrix::<T, _>::new(gpu, [tokens, inputs])?;
    let row = |method: &str, mode: &str, rank: usize, ms: f64| {
        json!({ "implementation": "lowrank", "method": method, "mode": mode, "tokens": tokens, "out": out,
            "in": inputs, "rank": rank, "dtype": T::KIND.name(), "ms": ms })
    };
    let base = median(gpu, arguments.repeats, || {
        multiply(1.0, x.view(), weight.view().t(), 0.0, y.view_mut())?;
        multiply(1.0, grad_y.view(), weight.view(), 0.0, grad_x.view_mut())
    })?;
    let mut rows = vec![row("base", "eager", 0, base)];
    for &method in &arguments.methods {
        for &rank in &arguments.ranks {
            // Small: only A and B, d and b are taken from it.
            let file = random_case(method, Op::Backward, [0, inputs, out, rank], 4);
            let case = Case::of(&file)?;
            let given = |name: &str| {
                let tensor = file.tensors.get(&format!("in.{name}"))?.to_f64().ok()?;
                let tensor = if tensor.ndim() == 1 { tensor.insert_axis(Axis(0)) } else { tensor };
                tensor.into_dimensionality().ok()
            };
            let mut layer = Layer::<T, _>::new(gpu, method, case.params()?, &given, tokens)?;
            // A rate of 0 keeps the numbers where they are, and costs the same.
            let group = adapter::Group { lr: 0.0, weight_decay: 0.01 };
            let like = adapter::AdamW::new(group, adapter::AdamVariant::Torch);
            let mut optimizer = AdamW::<T, _>::new(gpu, &like)?;
            let mut step = || {
                layer.forward(weight.view(), &x, None, &mut y)?;
                layer.backward(weight.view(), &x, None, &grad_y, &mut grad_x)?;
                layer.step(&mut weight, &mut optimizer)
            };
            let eager = median(gpu, arguments.repeats, &mut step)?;
            rows.push(row(&method.to_string(), "eager", rank, eager));
            let graph = gpu.record(&mut step)?;
            let replayed = median(gpu, arguments.repeats, || graph.replay())?;
            rows.push(row(&method.to_string(), "graph", rank, replayed));
        }
    }
    Ok(rows)
}

/// Milliseconds of a step: the median, after a warm-up.
fn median(gpu: &Gpu, repeats: usize, mut step: impl FnMut() -> cuda::Result<()>) -> Result<f64> {
    for _ in 0..5 {
        step()?;
    }
    let times = (0..repeats.max(3)).map(|_| gpu.milliseconds(&mut step));
    let mut times = times.collect::<cuda::Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
