//! A page that `regen` makes: is it the same as before, up to the rounding of the numbers in it?

/// How much two versions of a page may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Not at all.
    Exact,
    /// Numbers with a point or an exponent by one in their last digit, or by a thousandth. In an SVG, whose
    /// coordinates are whole pixels, all numbers by two.
    Rounded,
}

/// One file for the book.
pub struct Page {
    /// Its name in book/src/generated.
    pub name: &'static str,
    /// What it holds.
    pub text: String,
    /// How near another run must come to it.
    pub precision: Precision,
}

impl Page {
    /// Integers, or anything else that is the same on every machine.
    pub fn exact(name: &'static str, text: String) -> Self {
        Self { name, text, precision: Precision::Exact }
    }

    /// Floating-point results: the same to three digits or to the last digit printed.
    pub fn rounded(name: &'static str, text: String) -> Self {
        Self { name, text, precision: Precision::Rounded }
    }
}

/// Where `new` differs from `old`, as a sentence.
pub fn difference(old: &str, new: &str, precision: Precision) -> Option<String> {
    if old == new {
        return None;
    }
    let pixels = old.contains("<svg");
    for (i, (old, new)) in old.lines().zip(new.lines()).enumerate() {
        let same = match precision {
            Precision::Exact => old == new,
            Precision::Rounded => same_up_to_rounding(old, new, pixels),
        };
        if !same {
            return Some(format!("line {} was `{old}`, is `{new}`", i + 1));
        }
    }
    let (old, new) = (old.lines().count(), new.lines().count());
    (old != new || precision == Precision::Exact).then(|| format!("{old} lines were, {new} are"))
}

fn same_up_to_rounding(old: &str, new: &str, pixels: bool) -> bool {
    let (old, new) = (pieces(old), pieces(new));
    old.len() == new.len() && old.iter().zip(&new).all(|(old, new)| same_piece(old, new, pixels))
}

fn same_piece(old: &str, new: &str, pixels: bool) -> bool {
    if old == new {
        return true;
    }
    let (Ok(a), Ok(b)) = (old.parse::<f64>(), new.parse::<f64>()) else { return false };
    let allowed = match (pixels, last_digit(old), last_digit(new)) {
        (true, ..) => 2.0,
        (false, Some(one), Some(other)) => 1.01 * one.max(other),
        _ => return false,
    };
    (a - b).abs() <= allowed.max(1e-3 * a.abs())
}

/// The worth of one in the last digit: 0.01 for 3.14 and 1e-6 for 2.7e-5. `None` for a whole number.
fn last_digit(number: &str) -> Option<f64> {
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    if mantissa == number && !number.contains('.') {
        return None;
    }
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    Some(10f64.powi(exponent.parse::<i32>().ok()? - decimals as i32))
}

/// The numbers of a line and what is between them. Padding is left out: a shorter number is padded more.
fn pieces(line: &str) -> Vec<&str> {
    let number = regex::Regex::new(r"-?\d+(\.\d+)?(e-?\d+)?").expect("a valid pattern");
    let mut pieces = Vec::new();
    let mut end = 0;
    for found in number.find_iter(line) {
        pieces.push(line[end..found.start()].trim());
        pieces.push(found.as_str());
        end = found.end();
    }
    pieces.push(line[end..].trim());
    pieces
}

#[cfg(test)]
mod tests {
    use super::Precision::{Exact, Rounded};
    use super::*;

    #[test]
    fn rounding_is_forgiven_and_nothing_else() {
        let same = |old, new| difference(old, new, Rounded).is_none();
        assert!(same("loss 0.1234, 8 steps", "loss 0.1235, 8 steps"));
        assert!(same("|  99.9% |", "| 100.0% |"));
        assert!(same("1.0e-9", "1.1e-9") && same("123.456", "123.501"));
        assert!(!same("loss 0.1234", "loss 0.1237"));
        assert!(!same("8 steps", "9 steps"));
        assert!(!same("306,336", "306,335"));
        assert!(!same("loss 0.5", "rank 0.5"));
        assert!(!same("1.5", "NaN") && !same("NaN", "1.5"));
        assert!(!same("one\ntwo", "one"));
        assert!(!same("-0.50", "0.50"));
    }

    #[test]
    fn pixels_may_move_by_two() {
        let svg = |x: u32| format!("<svg>\n<circle cx=\"{x}\"/>");
        assert!(difference(&svg(100), &svg(102), Rounded).is_none());
        assert!(difference(&svg(100), &svg(103), Rounded).is_some());
    }

    #[test]
    fn exact_means_every_byte() {
        assert!(difference("0.10\n", "0.10\n", Exact).is_none());
        assert!(difference("0.10", "0.11", Exact).is_some());
        assert!(difference("0.10\n", "0.10", Exact).is_some());
    }
}
