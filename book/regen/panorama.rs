//! All the methods beside each other: what is frozen, trained, shared, kept, and moved.

use anyhow::Result;
use indicatif::{BinaryBytes, HumanCount};
use methods::Method;
use picture::{Anchor, Role, Svg, figure};

use crate::layer::{Facts, RANK, TOKENS, VERA_RANK};
use crate::sketch::{Layout, Sketch};
use book::Page;
use book::costs::smollm2;

/// Of a card. At half the width of a telephone its text still has 11 pixels.
const SIZE: [f64; 2] = [250.0, 516.0];
const LAYOUT: Layout = Layout { corner: [18.0, 106.0], scale: 132.0 / 576.0, gaps: [8.0, 9.0] };

const CAPTION: &str = "One layer, <code>q_proj</code> of SmolLM2-135M (576 × 576), under each method, its areas true to the numbers it holds: \
                       rank 8 (VeRA 256), an input of 256 tokens, f32. Compare what is blue (trained), what has a ribbon (kept until the backward \
                       pass) and what has moved. The numbers are counted from one step that the code makes. Drawn by <code>cargo xtask regen</code>.";

pub fn pages() -> Result<Vec<Page>> {
    let mut cards = Vec::new();
    for &method in Method::ALL {
        cards.push(card(method)?);
    }
    cards.push(legend());
    Ok(vec![
        Page::exact("pictures.css", picture::style::of_page()),
        Page::exact("methods.svg.html", figure("cards", &cards, CAPTION)),
        Page::exact("methods.svg", sheet(&cards, 4).file()),
        Page::exact("methods-narrow.svg", sheet(&cards, 2).file()),
    ])
}

/// Cards in rows.
fn sheet(cards: &[Svg], columns: usize) -> Svg {
    let rows = cards.len().div_ceil(columns);
    let size = [SIZE[0] * columns as f64, SIZE[1] * rows as f64];
    let text = "One layer under full fine-tuning, LoRA, LoRA-FA, VeRA, Delta-LoRA, LoRA+ and DoRA: what is frozen, trained, shared between \
                layers, kept for the backward pass, and moved by an update.";
    let mut sheet = Svg::new(&format!("methods-{columns}"), size, "The methods side by side", text);
    for (i, card) in cards.iter().enumerate() {
        let [x, y] = [SIZE[0] * (i % columns) as f64, SIZE[1] * (i / columns) as f64];
        sheet.embed(card, [x, y]);
        sheet.rect("grid", [x + 0.5, y + 0.5, SIZE[0], SIZE[1]]);
    }
    sheet
}

/// The effective weight, the idea in two lines, and what an update moves.
fn words(method: Method) -> [&'static str; 4] {
    match method {
        Method::Full => ["W", "Every number learns.", "All of x must be kept.", "W"],
        Method::Lora => ["W + s B A", "W rests. Two thin matrices", "beside it learn.", "A, B"],
        Method::LoraFa => ["W + s B A", "A rests as it was drawn,", "so x need not be kept.", "B"],
        Method::Vera => {
            ["W + Λ_b B Λ_d A", "A, B: one random pair for all", "layers. b and d learn.", "b, d"]
        }
        Method::DeltaLora => {
            ["W + s B A", "LoRA, and W moves", "by λs (B⁺A⁺ − B A).", "A, B, and W"]
        }
        Method::LoraPlus => ["W + s B A", "LoRA, and B learns", "faster than A.", "A, and B at λη"],
        Method::Dora => {
            ["m V/‖V‖", "V = W + s B A turns a row,", "m says how long it is.", "A, B, m"]
        }
    }
}

fn card(method: Method) -> Result<Svg> {
    let sketch = Sketch::new(method, Facts::smollm2(method)?, &LAYOUT)?;
    let facts = sketch.facts;
    let [weight, first, second, moves] = words(method);
    let bytes = |bytes: usize| match bytes {
        0 => "–".to_owned(),
        bytes => BinaryBytes(bytes as u64).to_string(),
    };
    let frozen = match method {
        Method::DeltaLora => "– (W follows)".to_owned(),
        _ => bytes(facts.frozen),
    };
    let rows = [
        ("trained", HumanCount(facts.trained as u64).to_string()),
        ("frozen", frozen),
        ("shared by layers", bytes(facts.shared)),
        ("gradients, Adam", bytes(facts.gradients() + facts.optimizer)),
        ("kept", bytes(facts.kept)),
        ("moves", moves.to_owned()),
    ];
    let text: Vec<_> = rows.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let text = format!("{first} {second} {}.", text.join(", "));
    let name = method.name();
    let mut svg = Svg::new(&format!("card-{name}"), SIZE, method.label(), &text);

    svg.path(&format!("line {name}"), "M12 18h26");
    svg.text("strong big", [44.0, 24.0], Anchor::Start, method.label());
    svg.formula("", [240.0, 24.0], Anchor::End, weight);
    svg.text("card", [12.0, 50.0], Anchor::Start, first);
    svg.text("card", [12.0, 69.0], Anchor::Start, second);
    sketch.draw(&mut svg, |_| true);
    match method {
        Method::DeltaLora => moved(&mut svg, &sketch),
        Method::Vera => ties(&mut svg, &sketch),
        Method::LoraPlus => speeds(&mut svg, &sketch),
        _ => {}
    }
    for (i, (name, value)) in rows.iter().enumerate() {
        let y = 410.0 + 19.0 * i as f64;
        svg.text("card", [12.0, y], Anchor::Start, name);
        svg.text("card strong", [240.0, y], Anchor::End, value);
    }
    Ok(svg)
}

/// W's outline where it will be.
fn moved(svg: &mut Svg, sketch: &Sketch) {
    if let Some(w) = sketch.part("W") {
        svg.moved(w.place, [-9.0, -9.0]);
    }
}

/// From the shared pair to other layers.
fn ties(svg: &mut Svg, sketch: &Sketch) {
    let layers = smollm2().num_hidden_layers;
    if let Some(b) = sketch.part("B") {
        let [x, y, width, _] = b.place;
        for i in 0..3 {
            let left = x + 4.0 + 20.0 * f64::from(i);
            svg.path(
                "tie",
                &format!(
                    "M{:.1} {:.1}L{:.1} {:.1}",
                    x + width / 2.0,
                    y - 3.0,
                    left + 6.0,
                    y - 14.0
                ),
            );
        }
        svg.text(
            "card halo",
            [x + width + 12.0, y - 18.0],
            Anchor::End,
            &format!("to {layers} layers"),
        );
    }
}

/// Arrows as long as the steps are, λ = 16 drawn as 4.
pub fn speeds(svg: &mut Svg, sketch: &Sketch) {
    let (Some(a), Some(b)) = (sketch.part("A"), sketch.part("B")) else { return };
    let style = ["moved-line", "moved-head"];
    let [x, y, width, height] = b.place;
    let from = x + width + 26.0;
    svg.arrow(style, [from, y + height - 8.0], [from, y + height - 104.0]);
    svg.text("card", [from + 7.0, y + height - 52.0], Anchor::Start, "λη");
    let [x, y, width, _] = a.place;
    svg.arrow(style, [x + width + 36.0, y + 1.0], [x + width + 54.0, y + 1.0]);
    svg.text("card", [x + width + 57.0, y + 6.0], Anchor::Start, "η");
}

/// What the marks mean.
fn legend() -> Svg {
    let mut svg =
        Svg::new("card-marks", SIZE, "The marks", "What the patterns of the other cards mean.");
    svg.text("strong big", [12.0, 24.0], Anchor::Start, "The marks");
    let marks = [
        (Role::Frozen, "frozen: stays"),
        (Role::Shared, "frozen, and one for all layers"),
        (Role::Trained, "trained: follows its"),
        (Role::Kept, "data kept until the"),
        (Role::Passing, "data that is not kept"),
    ];
    let second = ["", "", "gradient", "backward pass", ""];
    for (i, ((role, text), second)) in marks.into_iter().zip(second).enumerate() {
        let y = 44.0 + 56.0 * i as f64;
        svg.tensor(role, [14.0, y, 44.0, 36.0]);
        let (text, second) = match role {
            Role::Shared => ("frozen, and one", "for all layers"),
            _ => (text, second),
        };
        let first = if second.is_empty() { y + 23.0 } else { y + 15.0 };
        svg.text("card", [70.0, first], Anchor::Start, text);
        svg.text("card", [70.0, y + 33.0], Anchor::Start, second);
    }
    svg.rect("frozen", [22.0, 338.0, 36.0, 30.0]);
    svg.moved([22.0, 338.0, 36.0, 30.0], [-9.0, -9.0]);
    svg.text("card", [70.0, 343.0], Anchor::Start, "moves with its");
    svg.text("card", [70.0, 361.0], Anchor::Start, "own rule");
    let lines = [
        "q of SmolLM2-135M: 576 × 576,".to_owned(),
        format!("r = {RANK}, VeRA {VERA_RANK}; {TOKENS} tokens,"),
        "f32. Areas are true; what".to_owned(),
        format!("would be thinner than {} pixels", picture::LEAST),
        "is drawn that thick.".to_owned(),
    ];
    for (i, line) in lines.iter().enumerate() {
        svg.text("card", [12.0, 410.0 + 19.0 * i as f64], Anchor::Start, line);
    }
    svg
}
