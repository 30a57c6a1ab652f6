//! A step in three frames, for each method: forward, backward, update, and what is in memory when each is done.

use anyhow::{Context, Result};
use indicatif::BinaryBytes;
use methods::Method;
use picture::{Anchor, Role, Svg, figure};

use crate::layer::Facts;
use crate::panorama::speeds;
use crate::sketch::{Layout, Part, Sketch};
use book::Page;

/// Of a frame. On a telephone frames lie below each other.
const SIZE: [f64; 2] = [320.0, 440.0];
const LAYOUT: Layout = Layout { corner: [20.0, 80.0], scale: 108.0 / 576.0, gaps: [22.0, 20.0] };
/// y's place: right of x, h and what is between.
const Y: [f64; 2] = [248.0, 62.0];
const INK: [&str; 2] = ["line", "head"];
/// Where the rows of memory begin.
const MEMORY: f64 = 374.0;

/// A phase of a step.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Forward,
    Backward,
    Update,
}

/// The formulas of a method and what its picture shows.
struct Words {
    forward: &'static str,
    backward: [&'static str; 2],
    update: [&'static str; 2],
    caption: &'static str,
}

fn words(method: Method) -> Words {
    let lora = Words {
        forward: "y = [x | h] · [W | s B]ᵀ,  h = x Aᵀ",
        backward: ["∂B = s Gᵀ h", "∂A = (s G B)ᵀ x"],
        update: ["A and B follow their gradients.", "W rests."],
        caption: "LoRA is one product: x and h side by side, times W and s B side by side. Both x and h are kept, since the gradient of A needs the \
                  one and the gradient of B the other. W has no gradient and no averages.",
    };
    match method {
        Method::Full => Words {
            forward: "y = x Wᵀ",
            backward: ["∂W = Gᵀ x", "∂x = G W"],
            update: ["W follows its gradient.", "Adam keeps two averages as large as W."],
            caption: "Full fine-tuning. The gradient of W needs x, so x is kept from the forward to the backward pass; gradient and averages are each \
                      as large as W.",
        },
        Method::Lora => lora,
        Method::LoraFa => Words {
            backward: ["∂B = s Gᵀ h", "no ∂A, so no x"],
            update: ["B follows its gradient.", "A and W rest."],
            caption: "LoRA-FA. The arrow that LoRA has and this one lacks is the one from x into the backward pass: without a gradient of A nothing \
                      asks for x, and only h is kept.",
            ..lora
        },
        Method::Vera => Words {
            forward: "y = x Wᵀ + b ⊙ ((x Aᵀ ⊙ d) Bᵀ)",
            backward: ["∂b = Σ G ⊙ z,  z = (u ⊙ d) Bᵀ", "∂d = Σ u ⊙ ((G ⊙ b) B)"],
            update: ["b and d follow their gradients.", "A and B rest, for all layers."],
            caption: "VeRA. A and B have a border: they are one pair for all layers. The two blue vectors are all that a layer trains; of its data it keeps \
                      u = x Aᵀ.",
        },
        Method::DeltaLora => Words {
            update: ["A and B follow their gradients;", "W moves by λ s (B⁺A⁺ − B A)."],
            caption: "Delta-LoRA. Forward and backward are LoRA's. After the update W moves by what the product B A has changed by: W has no gradient and no \
                      averages of its own.",
            ..lora
        },
        Method::LoraPlus => Words {
            update: ["A takes steps of η,", "B of λ η: two speeds."],
            caption: "LoRA+. Forward, backward and memory are LoRA's; in the update B takes longer steps than A.",
            ..lora
        },
        Method::Dora => Words {
            forward: "u = [x | h] · [W | s B]ᵀ,  y = c ⊙ u",
            backward: ["∂m = Σ G ⊙ u / ‖V‖", "∂A, ∂B: LoRA's with c ⊙ G for G"],
            update: ["A, B and m follow their gradients.", "W rests."],
            caption: "DoRA. V = W + s B A and c = m/‖V‖. Beside LoRA's x and h it keeps u, as wide as y, for the gradient of m alone.",
        },
    }
}

pub fn pages() -> Result<Vec<Page>> {
    Method::ALL.iter().map(|&method| page(method)).collect()
}

fn page(method: Method) -> Result<Page> {
    let name: &'static str = match method {
        Method::Full => "step-full.svg.html",
        Method::Lora => "step-lora.svg.html",
        Method::LoraFa => "step-lora-fa.svg.html",
        Method::Vera => "step-vera.svg.html",
        Method::DeltaLora => "step-delta-lora.svg.html",
        Method::LoraPlus => "step-lora-plus.svg.html",
        Method::Dora => "step-dora.svg.html",
    };
    let sketch = Sketch::new(method, Facts::smollm2(method)?, &LAYOUT)?;
    let frames = [Phase::Forward, Phase::Backward, Phase::Update];
    let frames: Vec<Svg> =
        frames.iter().map(|&phase| frame(method, &sketch, phase)).collect::<Result<_>>()?;
    let caption = format!(
        "A step in three frames. {} Below each frame: what is in memory when it is done, counted from the arrays that the code holds, for q of SmolLM2-135M with 256 tokens, in f32. \
         Drawn by <code>cargo xtask regen</code>.",
        words(method).caption
    );
    Ok(Page::exact(name, figure("frames", &frames, &caption)))
}

fn frame(method: Method, sketch: &Sketch, phase: Phase) -> Result<Svg> {
    let Words { forward, backward, update, .. } = words(method);
    let (number, title, lines) = match phase {
        Phase::Forward => (1, "Forward", [forward, ""]),
        Phase::Backward => (2, "Backward", backward),
        Phase::Update => (3, "Update", update),
    };
    let id = format!("step-{}-{number}", method.name());
    let rows = memory(&sketch.facts, phase);
    let text: Vec<_> = rows.iter().map(|(what, bytes)| format!("{what} {bytes}")).collect();
    let text = format!("{} {} In memory: {}.", lines[0], lines[1], text.join(", "));
    let mut svg = Svg::new(&id, SIZE, &format!("{}: {title}", method.label()), &text);
    svg.text("strong big", [12.0, 22.0], Anchor::Start, &format!("{number} {title}"));
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        svg.text("", [12.0, 43.0 + 17.0 * i as f64], Anchor::Start, line);
    }
    match phase {
        Phase::Forward => forward_frame(&mut svg, method, sketch)?,
        Phase::Backward => backward_frame(&mut svg, method, sketch)?,
        Phase::Update => update_frame(&mut svg, method, sketch)?,
    }
    svg.path("grid", &format!("M12 {:.1}H308", MEMORY - 18.0));
    for (i, (what, bytes)) in rows.iter().enumerate() {
        let y = MEMORY + 19.0 * i as f64;
        svg.text("", [12.0, y], Anchor::Start, what);
        svg.text("strong", [308.0, y], Anchor::End, bytes);
    }
    Ok(svg)
}

/// What is there when a phase is done.
fn memory(facts: &Facts, phase: Phase) -> [(&'static str, String); 4] {
    let bytes = |there: bool, bytes: usize| match there {
        true => BinaryBytes(bytes as u64).to_string(),
        false => "–".to_owned(),
    };
    [
        ("weights", bytes(true, facts.weights())),
        ("kept for the backward pass", bytes(phase == Phase::Forward, facts.kept)),
        ("gradients", bytes(phase == Phase::Backward, facts.gradients())),
        ("Adam's two averages", bytes(true, facts.optimizer)),
    ]
}

/// Weights are what has rows or columns of W; the rest is data.
fn is_data(part: &Part) -> bool {
    matches!(part.role, Role::Kept | Role::Passing)
}

/// The middle of an edge of a part.
fn edge(place: [f64; 4], [across, down]: [f64; 2]) -> [f64; 2] {
    let [x, y, width, height] = place;
    [x + width * across, y + height * down]
}

/// y, or its gradient G, right of x and h.
fn y_place(sketch: &Sketch) -> Result<[f64; 4]> {
    let [_, top, _, height] = sketch.part("x").context("x")?.place;
    Ok([Y[0], top, Y[1], height])
}

fn forward_frame(svg: &mut Svg, method: Method, sketch: &Sketch) -> Result<()> {
    sketch.draw(svg, |_| true);
    let w = sketch.part("W").context("W")?.place;
    let x = sketch.part("x").context("x")?.place;
    let y = y_place(sketch)?;
    svg.tensor(Role::Passing, y);
    svg.name(y, "y");
    // x goes up to W (and through A to h), h up to B; both products end in y.
    svg.arrow(INK, edge(x, [0.25, 0.0]), edge(w, [0.25, 1.0]));
    if method != Method::Full {
        let a = sketch.part("A").context("A")?.place;
        svg.arrow(INK, edge(x, [0.75, 0.0]), edge(a, [0.75, 1.0]));
    }
    let right = sketch.parts.iter().map(|part| part.place[0] + part.place[2]).fold(0.0, f64::max);
    let from = [right.max(w[0] + w[2]) + 48.0, w[1] + w[3] / 2.0];
    svg.path("line", &format!("M{:.1} {:.1}H{:.1}", from[0] - 8.0, from[1], y[0] + y[2] / 2.0));
    svg.arrow(INK, [y[0] + y[2] / 2.0, from[1]], edge(y, [0.5, 0.0]));
    Ok(())
}

fn backward_frame(svg: &mut Svg, method: Method, sketch: &Sketch) -> Result<()> {
    for part in sketch.parts.iter().filter(|part| part.role == Role::Trained) {
        gradients(svg, part, 1);
    }
    sketch.draw(svg, |_| true);
    let y = y_place(sketch)?;
    svg.tensor(Role::Passing, y);
    svg.name(y, "G");
    // What a gradient is made of: data from below, and G from the right.
    let x = sketch.part("x").context("x")?.place;
    let from_x = match method {
        Method::Full => sketch.part("W"),
        _ => sketch.part("A"),
    };
    let to = edge(from_x.context("W or A")?.place, [0.5, 1.0]);
    let from = edge(x, [0.5, 0.0]);
    match method {
        Method::LoraFa | Method::Vera => {
            svg.path("passing", &format!("M{:.1} {:.1}V{:.1}", from[0], from[1], to[1]));
            let [x, y] = [from[0], (from[1] + to[1]) / 2.0];
            svg.path("line", &format!("M{:.1} {:.1}l12 12m0 -12l-12 12", x - 6.0, y - 6.0));
        }
        _ => svg.arrow(INK, from, to),
    }
    let g = edge(y, [0.0, 0.5]);
    if let Some(h) = sketch.part("h").or(sketch.part("u")) {
        let b = match method {
            Method::Vera => sketch.part("d"),
            _ => sketch.part("B"),
        };
        // Beside d's name.
        let at = if method == Method::Vera { 0.2 } else { 0.5 };
        svg.arrow(INK, edge(h.place, [at, 0.0]), edge(b.context("B or d")?.place, [at, 1.0]));
        let right = if method == Method::Vera { 3.0 } else { 24.0 };
        svg.arrow(INK, g, [h.place[0] + h.place[2] + right, g[1]]);
    } else {
        svg.arrow(INK, g, edge(x, [1.0, 0.5]));
    }
    Ok(())
}

fn update_frame(svg: &mut Svg, method: Method, sketch: &Sketch) -> Result<()> {
    for part in sketch.parts.iter().filter(|part| part.role == Role::Trained) {
        gradients(svg, part, 2);
    }
    sketch.draw(svg, |part| !is_data(part));
    let w = sketch.part("W").context("W")?;
    match method {
        Method::DeltaLora => svg.moved(w.place, [-9.0, -9.0]),
        Method::LoraPlus => speeds(svg, sketch),
        _ => {}
    }
    Ok(())
}

/// Outlines of a tensor's own shape: its gradient, or Adam's averages. Beside a strip, and behind a matrix.
fn gradients(svg: &mut Svg, part: &Part, count: usize) {
    let [x, y, width, height] = part.place;
    for i in (1..=count).rev() {
        let by = 6.0 * i as f64;
        let [x, y] = match (width < 9.0, height < 9.0) {
            (true, _) => [x - by, y],
            (_, true) => [x, y - by],
            _ => [x + by, y + by],
        };
        svg.tensor(Role::Gradient, [x, y, width, height]);
    }
}
