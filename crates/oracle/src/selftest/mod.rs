//! The oracle proves itself: the cases are regenerated, recomputed, and every mutant must fail.
//!
//! | part | what must hold |
//! |---|---|
//! | digests | every file is the one that `index.json` lists, and every one listed is there |
//! | exact arithmetic | the second generator, in Python, makes the same bytes again |
//! | reference | the crates agree with every case within the bound of `f64`, and refuse what must be refused |
//! | honest | the right results, rounded once to f32 and to bf16, pass |
//! | mutants | each mistake, in each method it applies to, fails at least one case in f32 and one in bf16, however it rounds |

mod by_mutant;
mod case;
mod contrast;
mod generator;
mod jobs;
mod matrix;
mod submission;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use by_mutant::{MutantRow, Survivor, rows, survivors};
pub use contrast::{Contrast, contrast};
pub use matrix::{CaseRow, Cell, Kill, PRECISIONS, RULES};
pub use submission::submission;

use case::{Seen, look};
use jobs::run;

use crate::error::wrong;
use crate::{Index, Method, Op, Result, cases_under};

/// What to test.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the cases, with `index.json`.
    pub vectors: PathBuf,
    /// `generate.py`. By default it is looked for beside the vectors, in the repository.
    pub generator: Option<PathBuf>,
    /// Leave the generator out.
    pub no_generator: bool,
    /// Only these methods; all if empty.
    pub methods: Vec<Method>,
    /// Only these ops; all if empty.
    pub ops: Vec<Op>,
}

impl Settings {
    /// Neither a method nor an op was chosen.
    pub fn everything(&self) -> bool {
        self.methods.is_empty() && self.ops.is_empty()
    }
}

/// How a part of the test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was shown.
    Passed(String),
    /// Each thing that is wrong, in a line.
    Failed(Vec<String>),
    /// Why it did not run.
    Skipped(String),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// The five parts, by name.
    pub parts: [(&'static str, Outcome); 5],
    /// A row for each case that could be judged, sorted by id.
    pub matrix: Vec<CaseRow>,
}

impl SelfTest {
    /// Did every part that ran pass?
    pub fn passed(&self) -> bool {
        !self.parts.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }
}

enum Job<'a> {
    Generate(Method),
    Case(&'a Path),
}

enum Done {
    Generated(Outcome),
    Seen(Box<Seen>),
}

/// Run it on all cores. `progress` is told how many of how many jobs are done.
///
/// # Errors
/// The folder of the cases or its index cannot be read, or the choice of methods and ops leaves no case.
pub fn selftest(settings: &Settings, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<SelfTest> {
    let index = Index::of(&settings.vectors)?;
    let chosen = |id: &str| {
        let (method, op) = crate::parse_id(id)?;
        Ok::<_, crate::Error>(
            (settings.methods.is_empty() || settings.methods.contains(&method))
                && (settings.ops.is_empty() || settings.ops.contains(&op)),
        )
    };
    let mut paths = Vec::new();
    for path in cases_under(&settings.vectors)? {
        let id = path.strip_prefix(&settings.vectors).unwrap_or(&path).with_extension("");
        // A file in a place that is no id is read, and its own id is judged.
        if chosen(&id.to_string_lossy()).unwrap_or(true) {
            paths.push(path);
        }
    }
    let mut listed = BTreeSet::new();
    for id in index.ids() {
        if chosen(id)? {
            listed.insert(id.to_owned());
        }
    }
    if paths.is_empty() {
        let folder = settings.vectors.display();
        return Err(wrong(format!("{folder}: no case of these methods and ops: nothing to test")));
    }

    let generator = generator::find(settings);
    let methods: BTreeSet<Method> =
        listed.iter().filter_map(|id| crate::parse_id(id).ok()).map(|(method, _)| method).collect();
    let mut jobs: Vec<Job<'_>> = Vec::new();
    if generator.is_ok() {
        jobs.extend(methods.into_iter().map(Job::Generate));
    }
    jobs.extend(paths.iter().map(|path| Job::Case(path)));
    let done = run(&jobs, progress, |job| match (job, &generator) {
        (Job::Generate(method), Ok(generator)) => {
            Done::Generated(generator.check(settings, *method))
        }
        (Job::Generate(_), Err(why)) => Done::Generated(Outcome::Skipped(why.clone())),
        (Job::Case(path), _) => Done::Seen(Box::new(look(path, &index))),
    });

    let (mut generated, mut seen) = (Vec::new(), Vec::new());
    for done in done {
        match done {
            Done::Generated(outcome) => generated.push(outcome),
            Done::Seen(one) => seen.push(*one),
        }
    }
    let generated = match generator {
        Err(why) => Outcome::Skipped(why),
        Ok(_) => generator::all(generated),
    };
    Ok(summary(seen, &listed, generated, settings))
}

fn summary(
    seen: Vec<Seen>,
    listed: &BTreeSet<String>,
    generated: Outcome,
    settings: &Settings,
) -> SelfTest {
    let outcome = |wrong: Vec<String>, shown: String| match wrong.is_empty() {
        true => Outcome::Passed(shown),
        false => Outcome::Failed(wrong),
    };
    let cases = seen.len();
    let refused = seen.iter().filter(|seen| seen.refused).count();
    let there: BTreeSet<&str> = seen.iter().map(|seen| seen.id.as_str()).collect();
    let mut digests: Vec<String> = listed
        .iter()
        .filter(|id| !there.contains(id.as_str()))
        .map(|id| format!("{id}: index.json lists it and there is no file"))
        .collect();
    let (mut reference, mut honest, mut matrix) = (Vec::new(), Vec::new(), Vec::new());
    for one in seen {
        digests.extend(one.digest);
        reference.extend(one.reference);
        honest.extend(one.honest);
        matrix.extend(one.row);
    }
    let survivors = survivors(&matrix, settings.everything());
    let killed = rows(&matrix).iter().filter(|row| row.changed > 0).count();
    let cells: usize = matrix.iter().map(|row| row.cells.len()).sum();
    SelfTest {
        parts: [
            ("digests", outcome(digests, format!("{cases} files are those of index.json"))),
            ("exact arithmetic", generated),
            (
                "reference",
                outcome(
                    reference,
                    format!("{} cases agree in f64, {refused} are refused", cases - refused),
                ),
            ),
            (
                "honest",
                outcome(
                    honest,
                    format!("{} cases pass, rounded once to f32 and to bf16", cases - refused),
                ),
            ),
            (
                "mutants",
                outcome(
                    survivors.iter().map(ToString::to_string).collect(),
                    format!(
                        "{killed} fail, in {cells} pairs of a mutant and a case that it changes"
                    ),
                ),
            ),
        ],
        matrix,
    }
}
