//! A layer under each method in the picture grammar: x below W, so that they share W's columns; B beside W, so that they share its
//! rows; A between W and x; h = x Aᵀ below B. What is drawn as trained and as kept adds up to what the ledger counted.

use anyhow::{Result, ensure};
use methods::Method;
use picture::{Anchor, Role, Svg, thickness};

use crate::layer::{Facts, TOKENS};

/// A matrix or vector of a drawing.
pub struct Part {
    pub name: &'static str,
    pub role: Role,
    /// How many numbers it has.
    numbers: usize,
    /// Left, top, width, height.
    pub place: [f64; 4],
    label: Label,
}

/// Where the name stands.
enum Label {
    Inside,
    Right,
    Below,
}

/// Where things lie.
pub struct Layout {
    /// W's upper left corner.
    pub corner: [f64; 2],
    /// Pixels a number.
    pub scale: f64,
    /// Between neighbours: across, and down.
    pub gaps: [f64; 2],
}

/// A layer of one method.
pub struct Sketch {
    pub facts: Facts,
    pub parts: Vec<Part>,
}

impl Sketch {
    /// The parts of a method's layer, in f32.
    pub fn new(method: Method, facts: Facts, layout: &Layout) -> Result<Self> {
        let mut sketch = Self { facts, parts: Vec::new() };
        let Layout { corner: [left, top], scale, gaps: [across, down] } = *layout;
        let [out, inputs] = facts.shape;
        let size = |numbers| thickness(numbers, scale);
        let (height, width, r, tokens) = (size(out), size(inputs), size(facts.rank), size(TOKENS));
        let right = left + width + across; // of B
        let below = top + height + down; // of A

        let w = if method == Method::Full { Role::Trained } else { Role::Frozen };
        sketch.add("W", w, [out, inputs], [left, top, width, height], Label::Inside);
        if method == Method::Full {
            sketch.add(
                "x",
                Role::Kept,
                [TOKENS, inputs],
                [left, below, width, tokens],
                Label::Inside,
            );
            return sketch.checked(method);
        }
        let (a, b) = match method {
            Method::LoraFa => (Role::Frozen, Role::Trained),
            Method::Vera => (Role::Shared, Role::Shared),
            _ => (Role::Trained, Role::Trained),
        };
        let inside = if facts.rank > 64 { Label::Inside } else { Label::Right };
        let a_label = if facts.rank > 64 { Label::Inside } else { Label::Right };
        sketch.add("A", a, [facts.rank, inputs], [left, below, width, r], a_label);
        sketch.add("B", b, [out, facts.rank], [right, top, r, height], inside);
        let rows = below + r + down; // of x and h
        let x = match method {
            Method::LoraFa | Method::Vera => Role::Passing,
            _ => Role::Kept,
        };
        let h_label = if facts.rank > 64 { Label::Inside } else { Label::Right };
        let h = if method == Method::Vera { "u" } else { "h" };
        sketch.add("x", x, [TOKENS, inputs], [left, rows, width, tokens], Label::Inside);
        sketch.add(h, Role::Kept, [TOKENS, facts.rank], [right, rows, r, tokens], h_label);
        let thin = size(1);
        let beside = right + r + across;
        match method {
            Method::Vera => {
                let d = [right, top + height + down / 2.0 - thin / 2.0 + 4.0, r, thin];
                sketch.add("d", Role::Trained, [1, facts.rank], d, Label::Below);
                sketch.add("b", Role::Trained, [out, 1], [beside, top, thin, height], Label::Right);
            }
            Method::Dora => {
                let m = [beside + 8.0, top, thin, height];
                sketch.add("m", Role::Trained, [out, 1], m, Label::Right);
                let norm = [beside + 36.0, top, thin, height];
                sketch.add("‖V‖", Role::Kept, [out, 1], norm, Label::Right);
                let u = [left, rows + tokens + down, size(out), tokens];
                sketch.add("u", Role::Kept, [TOKENS, out], u, Label::Inside);
            }
            _ => {}
        }
        sketch.checked(method)
    }

    fn add(
        &mut self,
        name: &'static str,
        role: Role,
        [rows, columns]: [usize; 2],
        place: [f64; 4],
        label: Label,
    ) {
        self.parts.push(Part { name, role, numbers: rows * columns, place, label });
    }

    /// The drawing says what the code does.
    fn checked(self, method: Method) -> Result<Self> {
        let numbers = |role| -> usize {
            self.parts.iter().filter(|part| part.role == role).map(|part| part.numbers).sum()
        };
        let (trained, kept) = (numbers(Role::Trained), 4 * numbers(Role::Kept));
        ensure!(trained == self.facts.trained, "{method}: {trained} numbers are drawn as trained");
        ensure!(kept == self.facts.kept, "{method}: {kept} bytes are drawn as kept");
        let shared = 4 * numbers(Role::Shared);
        ensure!(shared == self.facts.shared, "{method}: {shared} bytes are drawn as shared");
        Ok(self)
    }

    /// A part by its name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Those parts that `shown` says, with their names.
    pub fn draw(&self, svg: &mut Svg, shown: impl Fn(&Part) -> bool) {
        for part in self.parts.iter().filter(|part| shown(part)) {
            svg.tensor(part.role, part.place);
        }
        for part in self.parts.iter().filter(|part| shown(part)) {
            part.name(svg);
        }
    }
}

impl Part {
    /// The name, where it is legible.
    pub fn name(&self, svg: &mut Svg) {
        let [x, y, width, height] = self.place;
        let not_kept = self.name == "x" && self.role == Role::Passing;
        match self.label {
            Label::Inside if not_kept => svg.name(self.place, "x is not kept"),
            Label::Inside => svg.name(self.place, self.name),
            Label::Right => {
                let at = [x + width + 6.0, y + height / 2.0 + 6.0];
                svg.formula("halo", at, Anchor::Start, self.name);
            }
            Label::Below => {
                let at = [x + width / 2.0, y + height + 16.0];
                svg.formula("halo", at, Anchor::Middle, self.name);
            }
        }
    }
}
