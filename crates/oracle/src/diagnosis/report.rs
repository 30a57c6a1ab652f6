//! The diagnosis, for a person and for a program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use super::cover::Named;
use super::kind::Kind;
use super::mistake::Mistake;

/// What explains a whole submission.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Cases that were judged.
    pub judged: usize,
    /// Those of them that fail.
    pub failed: usize,
    /// Those of them that the mistakes explain.
    pub explained: usize,
    /// The fewest mistakes that explain them, the one that explains most first.
    pub mistakes: Vec<Explanation>,
    /// What else is wrong: by kind, the most frequent first.
    pub left: Vec<Left>,
}

/// A mistake, and what it explains.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The mistake; several where the cases cannot tell which.
    pub one_of: Vec<String>,
    /// The names in the catalogue, of each of `one_of`: one, or two at once.
    pub names: Vec<Vec<&'static str>>,
    /// How many cases it explains.
    pub cases: usize,
}

/// Cases that no mistake explains, and what is wrong in them.
#[derive(Clone, Debug)]
pub struct Left {
    /// In words.
    pub kind: String,
    /// How many cases.
    pub cases: usize,
    /// One of them.
    pub example: String,
}

impl Diagnosis {
    pub(super) fn new(
        judged: usize,
        failed: &BTreeMap<usize, (&str, &[(String, Kind)])>,
        named: &[Named],
    ) -> Self {
        let explained: BTreeSet<usize> = named.iter().flat_map(|one| &one.cases).copied().collect();
        let unexplained = failed.iter().filter(|(at, _)| !explained.contains(at));
        let left = by_kind(unexplained.map(|(_, case)| *case));
        let mistakes = named.iter().map(|one| Explanation {
            one_of: one.one_of.iter().map(ToString::to_string).collect(),
            names: one.one_of.iter().map(names).collect(),
            cases: one.cases.len(),
        });
        let (mistakes, explained) = (mistakes.collect(), explained.len());
        Self { judged, failed: failed.len(), explained, mistakes, left }
    }

    /// The same as a JSON object.
    pub fn json(&self) -> Value {
        let mistakes = self
            .mistakes
            .iter()
            .map(|one| json!({ "one_of": one.one_of, "names": one.names, "cases": one.cases }));
        let left = self
            .left
            .iter()
            .map(|one| json!({ "kind": one.kind, "cases": one.cases, "example": one.example }));
        json!({
            "text": self.to_string(),
            "judged": self.judged,
            "failed": self.failed,
            "explained": self.explained,
            "mistakes": mistakes.collect::<Vec<_>>(),
            "left": left.collect::<Vec<_>>(),
        })
    }
}

fn names(mistake: &Mistake) -> Vec<&'static str> {
    [Some(mistake.first), mistake.second].into_iter().flatten().map(|mutant| mutant.name).collect()
}

/// What is wrong in a case, tensor by tensor: `y, grad_x: the last row`. The steps of a trajectory are one tensor.
pub(super) fn in_words(kinds: &[(String, Kind)], word: impl Fn(&Kind) -> String) -> String {
    let mut by_kind: Vec<(String, Vec<&str>)> = Vec::new();
    for (tensor, kind) in kinds {
        let (kind, tensor) = (word(kind), without_step(tensor));
        match by_kind.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, tensors)) if tensors.contains(&tensor) => {}
            Some((_, tensors)) => tensors.push(tensor),
            None => by_kind.push((kind, vec![tensor])),
        }
    }
    let of = |(kind, tensors): &(String, Vec<&str>)| format!("{}: {kind}", tensors.join(", "));
    by_kind.iter().map(of).collect::<Vec<_>>().join("; ")
}

/// Cases by what is wrong in them; numbers of the kinds that have one, from the least to the most.
fn by_kind<'a>(cases: impl Iterator<Item = (&'a str, &'a [(String, Kind)])>) -> Vec<Left> {
    let mut left = BTreeMap::<String, (Left, Option<[f64; 2]>)>::new();
    for (id, kinds) in cases {
        let mut kind = in_words(kinds, |kind| kind.in_general().0);
        if kind.is_empty() {
            // Of a case without tensors to compare.
            kind = "no error where one is expected, or draws that are off".into();
        }
        let (one, range) = left
            .entry(kind.clone())
            .or_insert_with(|| (Left { kind, cases: 0, example: id.to_owned() }, None));
        one.cases += 1;
        for number in kinds.iter().filter_map(|(_, kind)| kind.in_general().1) {
            let [least, most] = range.unwrap_or([number; 2]);
            *range = Some([least.min(number), most.max(number)]);
        }
    }
    let mut left: Vec<Left> = left
        .into_values()
        .map(|(mut one, range)| {
            one.kind += &match range {
                Some([least, most]) if most - least <= 1e-2 * most.abs() => {
                    format!(" {}", short(most))
                }
                Some([least, most]) => format!(" {} to {}", short(least), short(most)),
                None => String::new(),
            };
            one
        })
        .collect();
    left.sort_by_key(|one| std::cmp::Reverse(one.cases));
    left
}

fn short(number: f64) -> String {
    match number.abs() {
        size if (0.01..1e4).contains(&size) => format!("{number:.3}"),
        _ => format!("{number:.2e}"),
    }
}

fn without_step(tensor: &str) -> &str {
    let step = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    tensor.rsplit_once('.').filter(|(_, last)| step(last)).map_or(tensor, |(name, _)| name)
}

impl fmt::Display for Diagnosis {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (judged, failed, explained) = (self.judged, self.failed, self.explained);
        match (judged, failed) {
            (0, _) => return f.write_str("NOT RUN: nothing was judged"),
            (_, 0) => return write!(f, "PASS: all {judged} cases"),
            _ => write!(f, "FAIL: {failed} of {judged} cases")?,
        }
        let number: usize = self.mistakes.iter().map(|one| one.names[0].len()).sum();
        let number = match number {
            0 => {
                write!(f, "; no mistake of the catalogue explains them")?;
                return self.rest(f);
            }
            1 => "one mistake explains".to_owned(),
            2 => "two mistakes explain".to_owned(),
            more => format!("{more} mistakes explain"),
        };
        match failed {
            1 => write!(f, "; {number} it: ")?,
            _ if explained == failed => write!(f, "; {number} all {explained}: ")?,
            _ => write!(f, "; {number} {explained}: ")?,
        }
        for (at, one) in self.mistakes.iter().enumerate() {
            let before = if at > 0 { "; " } else { "" };
            let one_of = if one.one_of.len() > 1 { "one of: " } else { "" };
            write!(f, "{before}{one_of}{}", one.one_of.join(" | "))?;
            if self.mistakes.len() > 1 {
                write!(f, " ({})", one.cases)?;
            }
        }
        self.rest(f)
    }
}

impl Diagnosis {
    /// What is left: of one kind, or the most frequent one.
    fn rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.failed - self.explained;
        let Some(most) = self.left.first() else { return Ok(()) };
        let all = if most.cases == left { "all " } else { "" };
        match self.mistakes.is_empty() {
            true if self.failed == 1 => write!(f, "; {}", most.kind),
            true => write!(f, "; in {all}{}: {}", most.cases, most.kind),
            false if left == 1 => write!(f, "; the other one: {}", most.kind),
            false => write!(f, "; in {all}{} of the other {left}: {}", most.cases, most.kind),
        }
    }
}
