//! Mistakes in training and merging, made on purpose: what they do to a loss, and to a merged layer.

use adapter::{AdamVariant, AdamW, Adapter, Group};
use anyhow::Result;
use lora::{Init, Lora, Scaling};
use ndarray::Array2;
use picture::{Bars, Panel};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use book::Page;
use book::figure::{Chart, Line, figure};

const STEPS: usize = 150;
const WIDTH: usize = 24;
const RANK: usize = 8;
const ALPHA: f64 = 16.0;

pub fn pages() -> Result<Vec<Page>> {
    Ok(vec![
        Page::rounded("wrong-losses.svg.html", losses()?),
        Page::rounded("wrong-merged.svg.html", merged()?),
    ])
}

fn gaussian(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

/// A frozen layer shall behave like W + C, with C of rank 4. `mistake` changes the gradients of A and B.
fn train(scale: f64, mistake: fn(&mut lora::Grads<f64>)) -> Result<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut weight = gaussian(WIDTH, WIDTH, &mut rng);
    let change = gaussian(WIDTH, 4, &mut rng).dot(&gaussian(4, WIDTH, &mut rng)) / WIDTH as f64;
    let x = gaussian(64, WIDTH, &mut rng).into_shared();
    let wanted = x.dot(&(&weight + &change).t());
    let fresh =
        Lora::init([WIDTH, WIDTH], RANK, ALPHA, Scaling::AlphaOverR, Init::default(), &mut rng)?;
    let mut lora = Lora::new(fresh.a, fresh.b, scale)?;
    let group = Group { lr: 0.01, weight_decay: 0.0 };
    let mut adamw = AdamW::new(group, AdamVariant::Torch);
    let mut losses = Vec::new();
    for _ in 0..STEPS {
        let (y, saved) = lora.forward(weight.view(), &x, None)?;
        let off = y - &wanted;
        losses.push(off.mapv(|off| off * off).sum() / off.len() as f64);
        let grad_y = &off * (2.0 / off.len() as f64);
        let (_, mut grads) = lora.backward(weight.view(), &saved, grad_y.view())?;
        mistake(&mut grads);
        lora.step(&mut weight, &grads, &mut adamw)?;
    }
    Ok(losses)
}

fn losses() -> Result<String> {
    let scale = ALPHA / RANK as f64;
    let runs = [
        ("right", train(scale, |_| {})?),
        ("α for α/r", train(ALPHA, |_| {})?),
        (
            "gradients without s",
            train(scale, |grads| {
                grads.a /= 2.0;
                grads.b /= 2.0;
            })?,
        ),
        ("A never trained", train(scale, |grads| grads.a.fill(0.0))?),
    ];
    let line = |(name, losses): &(&str, Vec<f64>)| Line {
        name: (*name).into(),
        points: losses.iter().enumerate().map(|(i, loss)| (i as f64, *loss)).collect(),
    };
    let chart = Chart {
        title: "The same layer, right and with three mistakes".into(),
        axes: ["step".into(), "loss".into()],
        ranges: [0.0..STEPS as f64, 1e-8..1.0],
        log: true,
        square: false,
        lines: runs.iter().map(line).collect(),
    };
    let caption = format!(
        "LoRA of rank {RANK} with α = {ALPHA}, under AdamW. Every curve falls, also the three wrong ones. Gradients without s cannot be told from right ones at all, \
         since Adam divides the factor out."
    );
    Ok(figure("wrong-losses", &caption, &[chart]))
}

/// The nearest number with eight significant bits.
fn bf16(number: f64) -> f64 {
    let bits = (number as f32).to_bits();
    let half = 0x7fff + ((bits >> 16) & 1);
    f64::from(f32::from_bits((bits + half) & 0xffff_0000))
}

/// How far y of the merged weight is from y with the adapter beside it, in units of what the adapter adds to y.
fn merged() -> Result<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let scale = ALPHA / RANK as f64;
    let weight = gaussian(WIDTH, WIDTH, &mut rng);
    // An adapter early in training: ΔW is a hundredth of W or so.
    let (a, b) = (gaussian(RANK, WIDTH, &mut rng), gaussian(WIDTH, RANK, &mut rng) * 2e-3);
    let x = gaussian(64, WIDTH, &mut rng);
    let product = b.dot(&a);
    let delta = &product * scale;
    let right = &weight + &delta;
    let norm = |m: Array2<f64>| m.mapv(|number| number * number).sum().sqrt();
    let added = norm(x.dot(&delta.t()));
    let off = |merged: Array2<f64>| norm(x.dot(&(merged - &right).t())) / added;
    let rounded = off(right.mapv(bf16));
    let bars = [
        ("right", off(&weight + &delta)),
        ("s is missing", off(&weight + &product)),
        ("α for α/r", off(&weight + &(&product * ALPHA))),
        ("ΔW transposed", off(&weight + &delta.t())),
        ("merged twice", off(&right + &delta)),
        ("rounded to bf16", rounded),
    ];
    let value = |&(_, off): &(&str, f64)| match off > 1e-9 {
        true => (off, format!("{off:.2}")),
        false => (0.0, "0".to_owned()),
    };
    let bars = Bars {
        title: "How far a merged layer is off".into(),
        names: bars.iter().map(|(name, _)| (*name).to_owned()).collect(),
        panels: vec![Panel { title: String::new(), values: bars.iter().map(value).collect() }],
    };
    let caption = format!(
        "The error of the merged layer's y, in units of what the adapter adds to y. 1 is as far off as a layer without its adapter. Of a ΔW that is a hundredth of W, \
         rounding to bf16 loses {:.0}%. A bar with a cut is longer than the picture. Drawn by <code>cargo xtask regen</code>.",
        100.0 * rounded,
    );
    Ok(picture::figure("charts", &[bars.draw("wrong-merged")], &caption))
}
