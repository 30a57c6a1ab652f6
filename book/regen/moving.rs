//! The moving picture of the introduction and the README: one run of the page's experiment *Train it*.
//!
//! In f64, so that the rounding of one processor's BLAS against another's does not reach what is drawn.

use anyhow::{Context, Result, bail};
use finetune::{Plan, Sweep};
use live::train::{Answer, Question, Settings};
use live::{Experiment, Train};
use methods::Method;
use picture::{Anchor, Chart, Svg, figure};
use serde::{Deserialize, Serialize};

use crate::recorded::{self, Again};
use book::Page;

const RUN: &str = "train-it.jsonl";

/// What the page does when nothing is said: a quarter of the command line's batch.
const BATCH: usize = 8;
const STEPS: usize = 400;
/// Steps from one frame to the next, and held-out problems at each.
const EVERY: usize = 10;
const PROBLEMS: usize = 50;
const DIGITS: &str = "31415926";
const MODULE: &str = "model.layers.0.self_attn.q_proj";
/// Seconds of a frame, and of the last beside that.
const SECONDS: f64 = 0.25;
const LAST: f64 = 3.0;
/// Above the charts.
const TOP: f64 = 76.0;
/// Of a chart, and some room below it.
const CHART: [f64; 2] = [440.0, 350.0];

/// The state of the run after so many steps, its numbers to six digits.
#[derive(Serialize, Deserialize)]
struct Frame {
    steps: usize,
    /// Mean of the steps since the frame before; none at the start.
    loss: Option<f64>,
    exact: f64,
    written: String,
    right: String,
    singular_values: Vec<f64>,
}

/// A sample is the first quarter of the run.
pub fn pages(again: Again) -> Result<Vec<Page>> {
    let mut frames = run(match again {
        Again::All => STEPS,
        Again::Sample => STEPS / 4,
        Again::None => 0,
    })?;
    if again != Again::All {
        let kept = recorded::read::<Frame>(RUN)?;
        frames.extend(kept.into_iter().skip(frames.len()));
    }
    let caption = "LoRA teaches the tiny model to sort downwards, by the code of this book. Watch its answer to 31415926 turn, its loss fall, which says how wrong \
                   it is, and eight singular values of ΔW grow, the sizes of what it has changed: no more than r = 8 ever will. It takes 400 steps of 8 problems, a quarter of those of the runs below. \
                   <label><input type=\"checkbox\" class=\"pause\"> hold still</label> \
                   <a href=\"side-by-side.html#live-train\">Train it yourself</a>, in the page. Drawn by <code>cargo xtask regen</code>.";
    let [width, height] = CHART;
    let corner = Some([0.0, 0.0]);
    let parts = [
        film("train-it-loss", &frames, [width, TOP + height], [corner, None]),
        film("train-it-values", &frames, CHART, [None, corner]),
    ];
    let wide =
        film("train-it-wide", &frames, [2.0 * width, TOP + height], [corner, Some([width, TOP])]);
    let narrow = film(
        "train-it-narrow",
        &frames,
        [width, TOP + 2.0 * height],
        [corner, Some([0.0, TOP + height])],
    );
    Ok(vec![
        Page::rounded(RUN, recorded::text(&frames)?),
        Page::rounded("train-it.svg.html", figure("charts moving", &parts, caption)),
        Page::rounded("train-it.svg", wide.file()),
        Page::rounded("train-it-narrow.svg", narrow.file()),
    ])
}

/// The run, as far as this step.
fn run(until: usize) -> Result<Vec<Frame>> {
    let model = include_bytes!("../../crates/llama/assets/tiny.safetensors");
    let row = Plan::embedded(Method::Lora, f64::NAN).row();
    let lr = Sweep::embedded().rate(&row).context("the sweep has LoRA")?;
    let settings = Settings {
        method: Method::Lora.to_string(),
        options: [].into(),
        lr,
        steps: STEPS,
        batch: BATCH,
        seed: 0,
    };
    let mut train = Train::start_in::<f64>(settings, model)?;
    let mut frames = vec![look(&mut train, 0, None)?];
    let mut sum = 0.0;
    for steps in 1..=until {
        let Answer::Step { loss, .. } = train.ask(Question::Step)? else { bail!("a step") };
        sum += loss;
        if steps % EVERY == 0 {
            frames.push(look(&mut train, steps, Some(sum / EVERY as f64))?);
            sum = 0.0;
        }
    }
    Ok(frames)
}

fn look(train: &mut Train, steps: usize, loss: Option<f64>) -> Result<Frame> {
    let answers = [
        Question::HeldOut(PROBLEMS),
        Question::Write(DIGITS.into()),
        Question::Change(MODULE.into()),
    ]
    .map(|question| train.ask(question));
    match answers {
        [
            Ok(Answer::HeldOut(score)),
            Ok(Answer::Write { written, right }),
            Ok(Answer::Change(mut values)),
        ] => {
            // Beyond the rank there is rounding only.
            values.truncate(8);
            let digits = recorded::six_digits;
            let singular_values = values.into_iter().map(digits).collect();
            let (loss, exact) = (loss.map(digits), digits(score.exact));
            Ok(Frame { steps, loss, exact, written, right, singular_values })
        }
        other => bail!("{other:?}"),
    }
}

/// The frames. The words with the losses, and the singular values, are each at a corner, or not in the picture.
fn film(id: &str, frames: &[Frame], size: [f64; 2], corners: [Option<[f64; 2]>; 2]) -> Svg {
    let (exact, loss) = frames.last().map_or((f64::NAN, None), |last| (last.exact, last.loss));
    let text = format!(
        "{STEPS} steps of LoRA: the loss falls to {:.2}, {:.0} % of {PROBLEMS} held-out problems are answered exactly, \
         and the answer to {DIGITS} turns from ascending to descending.",
        loss.unwrap_or(f64::NAN),
        100.0 * exact
    );
    let mut film = Svg::new(id, size, "A transformer learns to sort downwards", &text);
    let below = |[x, y]: [f64; 2]| [x, y + TOP];
    let places = [corners[0].map(below), corners[1]];
    let charts = [losses(), spectrum()];
    for (chart, place) in charts.iter().zip(places) {
        if let Some(place) = place {
            film.embed(&chart.draw(id), place);
        }
    }
    for (number, frame) in frames.iter().enumerate() {
        let mut state = Svg::new(id, size, "", "");
        if corners[0].is_some() {
            written(&mut state, frame);
        }
        let so_far = frames[..=number].iter();
        let losses = so_far.filter_map(|frame| Some((frame.steps as f64, frame.loss?))).collect();
        let values = frame.singular_values.iter().enumerate();
        let values = values.map(|(i, &sigma)| (i as f64 + 1.0, sigma)).collect();
        let curves: [Vec<(f64, f64)>; 2] = [losses, values];
        for ((chart, place), curve) in charts.iter().zip(places).zip(curves) {
            let Some([left, top]) = place else { continue };
            let points = curve.into_iter().map(|point| chart.at(point));
            let points: Vec<_> = points.map(|[x, y]| [x + left, y + top]).collect();
            if let Some([x, y]) = points.last() {
                state.rect("area lora", [x - 3.5, y - 3.5, 7.0, 7.0]);
            }
            state.polyline("line lora", points);
        }
        film.frame(number, &state, [0.0, 0.0]);
    }
    film.move_frames(frames.len(), SECONDS, LAST);
    film
}

/// The digits, and what is written after them: what is right in bold, what is wrong struck out.
fn written(svg: &mut Svg, frame: &Frame) {
    let [left, base] = [4.0, 30.0];
    svg.text("big", [left, base], Anchor::Start, &format!("{DIGITS} →"));
    for (i, (digit, right)) in frame.written.chars().zip(frame.right.chars()).enumerate() {
        let x = left + 126.0 + 15.0 * i as f64;
        let class = if digit == right { "strong big" } else { "big" };
        svg.text(class, [x, base], Anchor::Middle, &digit.to_string());
        if digit != right {
            svg.path("thin", &format!("M{:.1} {:.1}h12", x - 6.0, base - 6.0));
        }
    }
    if frame.written == frame.right {
        svg.text("strong big", [left + 246.0, base], Anchor::Start, "✓");
    }
    let state = format!("step {}, {:.0} % exact", frame.steps, 100.0 * frame.exact);
    svg.text("", [left, base + 26.0], Anchor::Start, &state);
}

fn losses() -> Chart {
    Chart {
        title: "Training loss".into(),
        axes: ["step".into(), format!("mean of {EVERY} steps")],
        ranges: [0.0..STEPS as f64, 0.03..10.0],
        log: true,
        square: false,
        lines: Vec::new(),
    }
}

fn spectrum() -> Chart {
    Chart {
        title: "Singular values of ΔW".into(),
        axes: ["number of the singular value".into(), "σ, of a layer's queries".into()],
        ranges: [1.0..8.2, 0.01..10.0],
        log: true,
        square: false,
        lines: Vec::new(),
    }
}
