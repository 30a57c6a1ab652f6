//! Two runs that part: what their losses show, and what each update shows when it is judged from the state before it. The loop
//! is that of `crates/oracle/python/examples/differs.py`, on other random numbers.

use adapter::{AdamVariant, AdamW, Adapter, Group, Optimizer};
use anyhow::{Context, Result};
use lora::Lora;
use ndarray::{Array2, ArrayViewD};
use oracle::{Options, Tensor, TensorFile, check, emit};
use picture::{Anchor, Svg};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::json;

use book::Page;
use book::figure::{Chart, Line, figure};

const STEPS: usize = 24;
/// From here on the rates fall.
const DECAY_FROM: usize = 16;
const RATE: f64 = 0.01;
const RATIO: f64 = 16.0;
const DECAY: f64 = 0.1;
const ALPHA: f64 = 8.0;
const INPUTS: usize = 6;
const OUT: usize = 4;
const RANK: usize = 2;
/// So few that ndarray multiplies without BLAS: ρ of a right update is rounding alone, and would be another with each of
/// OpenBLAS's kernels.
const TOKENS: usize = 6;

/// What a step shows.
struct Shown {
    loss: f64,
    /// Of its update.
    rho: f64,
}

pub fn pages() -> Result<Vec<Page>> {
    // The loop that was changed gives every group one rate as soon as it sets any.
    let runs = [
        ("before", train(|_| RATIO)?),
        ("after", train(|step| if step < DECAY_FROM { RATIO } else { 1.0 })?),
    ];
    let chart = |title: &str, y: &str, range, of: fn(&Shown) -> f64| Chart {
        title: title.into(),
        axes: ["step".into(), y.into()],
        ranges: [0.0..(STEPS - 1) as f64, range],
        log: true,
        square: false,
        lines: runs
            .iter()
            .map(|(name, run)| Line {
                name: (*name).into(),
                points: run.iter().enumerate().map(|(i, step)| (i as f64, of(step))).collect(),
            })
            .collect(),
    };
    let charts = [
        chart("What one sees", "loss", 1.0..20.0, |step| step.loss),
        chart("What the records say", "ρ of the update", 1e-2..1e5, |step| step.rho),
    ];
    let [(_, before), (_, after)] = &runs;
    let parted = before.iter().zip(after).position(|(before, after)| before.loss != after.loss);
    let wrong = after.iter().position(|step| step.rho > 1.0);
    let (parted, wrong) = parted.zip(wrong).context("the runs part, and an update is wrong")?;
    let caption = format!(
        "The loop of this page before and after the change, written in Rust and on other random numbers: its losses are not those printed below. \
         The losses part slowly, from step {parted} on. ρ of the updates jumps at step {wrong}: up to 1 it is rounding, above 1 something \
         else is computed."
    );
    Ok(vec![
        Page::rounded("differs-losses.svg.html", figure("differs-losses", &caption, &charts)),
        Page::exact("differs-states.svg.html", states()),
    ])
}

/// A layer learns another in f32. `ratio` is that of the rates in a step; it ought to be [`RATIO`].
fn train(ratio: fn(usize) -> f64) -> Result<Vec<Shown>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut gaussian = |rows, columns| -> Array2<f32> {
        Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
    };
    let (weight, target) = (gaussian(OUT, INPUTS), gaussian(OUT, INPUTS));
    let a = gaussian(RANK, INPUTS) / (INPUTS as f32).sqrt();
    let mut lora = Lora::new(a, Array2::zeros((OUT, RANK)), ALPHA as f32 / RANK as f32)?;
    let group = |lr| Group { lr, weight_decay: DECAY };
    let mut adamw = AdamW::new(group(RATE), AdamVariant::Torch);
    let mut shown = Vec::new();
    for step in 0..STEPS {
        let rate = RATE * ((STEPS - step) as f64 / (STEPS - DECAY_FROM) as f64).min(1.0);
        let x = gaussian(TOKENS, INPUTS).into_shared();
        let (y, saved) = lora.forward(weight.view(), &x, None)?;
        let off = y - x.dot(&target.t());
        let loss = f64::from(off.mapv(|off| off * off).sum()) / off.len() as f64;
        let grad_y = &off * (2.0 / off.len() as f32);
        let (_, grads) = lora.backward(weight.view(), &saved, grad_y.view())?;

        let mut case = TensorFile::default();
        let optimizer =
            json!({"name": "adamw", "lr": rate, "lr_ratio": RATIO, "weight_decay": DECAY});
        let params = json!({"alpha": ALPHA, "optimizer": optimizer, "start": step});
        let text = json!({"schema": "lowrank-case/1", "id": format!("lora-plus/step/{step}"), "method": "lora-plus", "op": "step", "params": params});
        case.metadata.insert("case".into(), text.to_string());
        keep(&mut case, "in.", &lora, &adamw);
        put(&mut case, "in.grad_lora_A", grads.a.view().into_dyn());
        put(&mut case, "in.grad_lora_B", grads.b.view().into_dyn());
        let (a, b) = (lora.a.view_mut().into_dyn(), lora.b.view_mut().into_dyn());
        adamw.update("lora_A", a, grads.a.view().into_dyn(), group(rate))?;
        adamw.update("lora_B", b, grads.b.view().into_dyn(), group(rate * ratio(step)))?;
        let mut made = TensorFile::default();
        keep(&mut made, "out.", &lora, &adamw);

        let report = check(&emit(&case)?, Some(&made), Options::default())?;
        let rho = report.findings.iter().map(|finding| finding.rho).fold(0.0, f64::max);
        shown.push(Shown { loss, rho });
    }
    Ok(shown)
}

/// The factors and their moments.
fn keep(file: &mut TensorFile, prefix: &str, lora: &Lora<f32>, adamw: &AdamW<f32>) {
    put(file, &format!("{prefix}lora_A"), lora.a.view().into_dyn());
    put(file, &format!("{prefix}lora_B"), lora.b.view().into_dyn());
    for (name, array) in adamw.state() {
        put(file, &format!("{prefix}{name}"), array);
    }
}

fn put(file: &mut TensorFile, name: &str, array: ArrayViewD<'_, f32>) {
    file.tensors.insert(name.into(), Tensor::f32(&array.mapv(f64::from)));
}

/// Two runs as rows of states: what a comparison of the runs says, and what a judgement of each update says.
fn states() -> String {
    let text = "Two rows of four states. The states are equal up to 16 and differ from 17 on. In the first row every update is right, in the second \
                those from 16 on are wrong.";
    let mut svg = Svg::new("differs-states", [440.0, 256.0], "Two runs and their updates", text);
    let [width, height, next] = [58.0, 34.0, 114.0];
    let left = |i: usize| 20.0 + next * i as f64;
    for (row, (name, top)) in [("before", 76.0), ("after", 168.0)].into_iter().enumerate() {
        svg.text("strong", [20.0, top - 10.0], Anchor::Start, name);
        for i in 0..4 {
            let [x, middle] = [left(i), top + height / 2.0];
            let state = DECAY_FROM - 1 + i;
            svg.rect("line", [x, top, width, height]);
            svg.text("", [x + width / 2.0, middle + 5.0], Anchor::Middle, &state.to_string());
            if i == 3 {
                continue;
            }
            let wrong = row == 1 && state >= DECAY_FROM;
            let style = if wrong { ["moved-line", "moved-head"] } else { ["line", "head"] };
            svg.arrow(style, [x + width, middle], [x + next, middle]);
            let mark = if wrong { "✗" } else { "✓" };
            svg.text("strong", [x + (width + next) / 2.0, middle - 8.0], Anchor::Middle, mark);
        }
    }
    for i in 0..4 {
        let sign = if DECAY_FROM - 1 + i <= DECAY_FROM { "=" } else { "≠" };
        svg.text("big", [left(i) + width / 2.0, 137.0], Anchor::Middle, sign);
    }
    svg.text(
        "strong",
        [20.0, 24.0],
        Anchor::Start,
        "States before these steps, and the updates between them",
    );
    svg.text("small", [20.0, 226.0], Anchor::Start, "= ≠  the two runs, compared with each other");
    svg.text(
        "small",
        [20.0, 246.0],
        Anchor::Start,
        "✓ ✗  each update, judged from the state before it",
    );
    let caption = "Comparing the runs says that everything differs from state 17 on, and not which run is wrong. Judging each update from the state before it says that \
                   the first run has no wrong update, and that in the second run the update of step 16 is the first wrong one. Drawn by <code>cargo xtask regen</code>.";
    picture::figure("charts", &[svg], caption)
}
