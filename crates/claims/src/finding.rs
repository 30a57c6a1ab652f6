//! A printed number, a computed one, and whether they agree.

use std::fmt;

use indicatif::{BinaryBytes, HumanCount};

/// One number or equation of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which one, `r = 4` for example; empty where the claim has only one.
    pub of: &'static str,
    /// What the paper prints; `None` where it gives nothing to compare with.
    pub printed: Option<&'static str>,
    /// What was computed: a count, bytes, ratios; of an equation the error.
    pub values: Vec<f64>,
    /// The same for a reader.
    pub computed: String,
    /// Whether the two agree.
    pub verdict: Verdict,
}

/// The later, the more there is to say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The paper gives nothing to compare with: this is what we found.
    Measured,
    /// To the last digit; an equation: exactly, or within a bound on the rounding.
    Agrees,
    /// The printed digits are the computed ones, rounded to nearest or cut off. The papers do both.
    Rounded,
    /// The printed value does not follow from the paper's own formula.
    Differs,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agrees => "agrees",
            Self::Rounded => "agrees, rounded",
            Self::Measured => "measured",
            Self::Differs => "differs",
        })
    }
}

impl Finding {
    /// A number of parameters; K and M are powers of 1000.
    pub(crate) fn count(of: &'static str, printed: &'static str, count: usize) -> Self {
        Self::of_number(of, Some(printed), count as f64, HumanCount(count as u64).to_string())
    }

    /// A number of bytes; KB, MB and TB are powers of 1024, as the papers' numbers show.
    pub(crate) fn bytes(of: &'static str, printed: Option<&'static str>, bytes: usize) -> Self {
        Self::of_number(of, printed, bytes as f64, BinaryBytes(bytes as u64).to_string())
    }

    /// A number that reads as `computed`.
    pub(crate) fn of_number(
        of: &'static str,
        printed: Option<&'static str>,
        value: f64,
        computed: String,
    ) -> Self {
        let verdict = printed.map_or(Verdict::Measured, |printed| compare(printed, value));
        Self { of, printed, values: vec![value], computed, verdict }
    }

    /// Something that should read as it is printed.
    pub(crate) fn of_text(
        of: &'static str,
        printed: &'static str,
        value: f64,
        computed: String,
    ) -> Self {
        let verdict = if computed == printed { Verdict::Agrees } else { Verdict::Differs };
        Self { of, printed: Some(printed), values: vec![value], computed, verdict }
    }

    /// An equation that holds up to `bound`: 0 when nothing rounds.
    pub(crate) fn equation(
        of: &'static str,
        printed: Option<&'static str>,
        error: f64,
        bound: f64,
    ) -> Self {
        let holds = error <= bound; // false for NaN
        let computed = match (holds, bound == 0.0) {
            (true, true) => "equal, exactly".to_owned(),
            (true, false) => format!("equal up to {bound:.0e}"),
            (false, _) => format!("off by {error:.1e}"),
        };
        let verdict = match (holds, printed) {
            (true, Some(_)) => Verdict::Agrees,
            (true, None) => Verdict::Measured,
            (false, _) => Verdict::Differs,
        };
        Self { of, printed, values: vec![error], computed, verdict }
    }
}

/// `printed` is a number with a unit: `18.8M`, `72KB`, `21.5`, `25%`.
fn compare(printed: &str, value: f64) -> Verdict {
    let end = printed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(printed.len());
    let (number, unit) = printed.split_at(end);
    let scale = match unit {
        "" | "%" => 1.0,
        "K" => 1e3,
        "M" => 1e6,
        "KB" => 1024.0,
        "MB" => 1024f64.powi(2),
        "TB" => 1024f64.powi(4),
        _ => panic!("a unit that is not known: {printed}"),
    };
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let digits: f64 = number.replace('.', "").parse().expect("a number comes first");
    // In units of the last digit printed.
    let exact = value / scale * 10f64.powi(decimals as i32);
    if exact == digits {
        Verdict::Agrees
    } else if exact.round() == digits || exact.floor() == digits {
        Verdict::Rounded
    } else {
        Verdict::Differs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_digits_are_compared_and_nothing_else() {
        assert_eq!(compare("4.5M", 4_500_000.0), Verdict::Agrees);
        assert_eq!(compare("96KB", 96.0 * 1024.0), Verdict::Agrees);
        for (printed, value) in [
            ("4.5M", 4_549_999.0), // to nearest, and cut off
            ("4.5M", 4_599_999.0), // cut off
            ("4.5M", 4_450_000.0), // to nearest
            (".5M", 500_001.0),
            ("7TB", 7.4 * 1024f64.powi(4)),
            ("25%", 24.6),
        ] {
            assert_eq!(compare(printed, value), Verdict::Rounded, "{printed} {value}");
        }
        for (printed, value) in [
            ("4.5M", 4_600_000.0),
            ("4.5M", 4_449_999.0),
            ("4.5M", 4_500.0),
            ("4.5K", 4_500_000.0),
            ("7MB", 6_000_000.0),
            ("25%", f64::NAN),
        ] {
            assert_eq!(compare(printed, value), Verdict::Differs, "{printed} {value}");
        }
    }

    #[test]
    fn an_equation_that_gives_nan_does_not_hold() {
        let of = |error, bound| Finding::equation("", Some("a = b"), error, bound).verdict;
        assert_eq!(of(0.0, 0.0), Verdict::Agrees);
        assert_eq!(of(1e-13, 1e-12), Verdict::Agrees);
        assert_eq!(of(1e-11, 1e-12), Verdict::Differs);
        assert_eq!(of(f64::NAN, 1e-12), Verdict::Differs);
    }
}
