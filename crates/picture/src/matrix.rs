//! Matrices and vectors as rectangles, with the marks of what they are.

use crate::{Anchor, Svg};

/// The thinnest a matrix or vector is drawn, in pixels: a rank of 8 beside a width of 4096 would not be seen.
pub const LEAST: f64 = 3.0;

/// Thinner than this there is no room for a pattern: the rectangle is filled.
const ROOM: f64 = 9.0;

/// What a matrix or vector is in a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Stays as it is: grey and hatched.
    Frozen,
    /// Frozen, and one object for many layers: hatched, with a border around it.
    Shared,
    /// Follows its gradient: blue and dotted.
    Trained,
    /// Data that is kept until the backward pass: striped, with a ribbon.
    Kept,
    /// Data that is gone after its use: an empty, dashed outline.
    Passing,
    /// A gradient, or an average of gradients: an empty outline with long dashes.
    Gradient,
}

/// The length of `numbers` at `scale` pixels a number, and not less than [`LEAST`].
#[must_use]
pub fn thickness(numbers: usize, scale: f64) -> f64 {
    (numbers as f64 * scale).max(LEAST)
}

impl Svg {
    /// A matrix or vector: left, top, width, height.
    pub fn tensor(&mut self, role: Role, place: [f64; 4]) {
        let [x, y, width, height] = place;
        let thin = width.min(height) < ROOM;
        match role {
            Role::Frozen | Role::Shared if thin => self.rect("thin-frozen", place),
            Role::Frozen | Role::Shared => {
                self.rect("frozen", place);
                self.pattern("hatch", place);
            }
            Role::Trained if thin => self.rect("thin-trained", place),
            Role::Trained => {
                self.rect("trained", place);
                self.pattern("dots", place);
            }
            Role::Kept if thin => self.rect("thin-kept", place),
            Role::Kept => {
                self.rect("kept", place);
                self.pattern("stripes", place);
            }
            Role::Passing => self.rect("passing", place),
            Role::Gradient if thin => self.rect("thin-gradient", place),
            Role::Gradient => self.rect("gradient", place),
        }
        match role {
            Role::Shared => {
                self.rect("shared-border", [x - 3.0, y - 3.0, width + 6.0, height + 6.0])
            }
            Role::Kept if thin => self.ribbon([x + width / 2.0 - 5.0, y + height - 1.0]),
            Role::Kept => self.ribbon([x + width - 16.0, y - 3.0]),
            _ => {}
        }
    }

    /// The mark of what is kept for the backward pass: its upper left corner.
    pub fn ribbon(&mut self, [x, y]: [f64; 2]) {
        self.path("ribbon", &format!("M{x:.1} {y:.1}h10v16l-5 -4l-5 4z"));
    }

    /// A name in the middle of a rectangle, legible over its pattern.
    pub fn name(&mut self, [x, y, width, height]: [f64; 4], name: &str) {
        let middle = [x + width / 2.0, y + height / 2.0 + 6.0];
        self.formula("halo", middle, Anchor::Middle, name);
    }

    /// Where a matrix will be after the step: its outline, displaced along an arrow.
    pub fn moved(&mut self, [x, y, width, height]: [f64; 4], [dx, dy]: [f64; 2]) {
        self.rect("moved", [x + dx, y + dy, width, height]);
        // From inside the old corner to the new one.
        let corner = |start: f64, size: f64, by: f64| if by < 0.0 { start } else { start + size };
        let old = [corner(x, width, dx), corner(y, height, dy)];
        let new = [old[0] + dx, old[1] + dy];
        self.arrow(["moved-line", "moved-head"], [old[0] - 2.0 * dx, old[1] - 2.0 * dy], new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_true_unless_too_thin_to_be_seen() {
        assert_eq!(thickness(576, 0.25), 144.0);
        assert_eq!(thickness(256, 0.25), 64.0);
        assert_eq!(thickness(8, 0.25), LEAST);
    }

    #[test]
    fn what_is_kept_has_its_ribbon_and_what_is_not_has_none() {
        for (role, ribbon) in [(Role::Kept, true), (Role::Passing, false), (Role::Trained, false)] {
            for side in [4.0, 100.0] {
                let mut svg = Svg::new("x", [200.0, 200.0], "", "");
                svg.tensor(role, [0.0, 0.0, side, 100.0]);
                assert_eq!(svg.inline().contains("ribbon"), ribbon, "{role:?}");
            }
        }
    }
}
