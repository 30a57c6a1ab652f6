//! The run over all cases, on all cores.

use std::collections::BTreeSet;
use std::path::Path;

use super::by_mutant::{rows, survivors};
use super::case::{CaseResult, test_case};
use super::confusion::{Called, Confusion, Made, confusion};
use super::generator;
use super::jobs::run;
use super::settings::{Outcome, SelfTest, Settings};
use crate::case::{Index, Method, cases_under, parse_id};
use crate::error::{Result, wrong};

/// The longest jobs come first: a method made again by the generator.
enum Job<'a> {
    Generate(Method),
    Case(&'a Path),
}

enum JobResult {
    Generated(Outcome),
    Tested(Box<CaseResult>),
}

/// Run it on all cores. `progress` is told how many of how many jobs are done.
///
/// # Errors
/// The folder of the cases or its index cannot be read, or the choice of methods and ops leaves no case.
pub fn selftest(settings: &Settings, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<SelfTest> {
    let index = Index::of(&settings.vectors)?;
    let chosen = |id: &str| parse_id(id).map(|(method, op)| settings.include(method, op));
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
        listed.iter().filter_map(|id| parse_id(id).ok()).map(|(method, _)| method).collect();
    let mut jobs: Vec<Job<'_>> = Vec::new();
    if generator.is_ok() {
        jobs.extend(methods.into_iter().map(Job::Generate));
    }
    jobs.extend(paths.iter().map(|path| Job::Case(path)));
    let results = run(&jobs, progress, |job| match (job, &generator) {
        (Job::Generate(method), Ok(generator)) => {
            JobResult::Generated(generator.check(settings, *method))
        }
        (Job::Generate(_), Err(why)) => JobResult::Generated(Outcome::Skipped(why.clone())),
        (Job::Case(path), _) => JobResult::Tested(Box::new(test_case(path, &index))),
    });

    let (mut generated, mut cases) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            JobResult::Generated(outcome) => generated.push(outcome),
            JobResult::Tested(case) => cases.push(*case),
        }
    }
    let generated = match generator {
        Err(why) => Outcome::Skipped(why),
        Ok(_) => generator::all(generated),
    };
    Ok(summary(cases, &listed, generated, settings))
}

/// The six parts, from what each case came to.
fn summary(
    results: Vec<CaseResult>,
    listed: &BTreeSet<String>,
    generated: Outcome,
    settings: &Settings,
) -> SelfTest {
    let outcome = |wrong: Vec<String>, shown: String| match wrong.is_empty() {
        true => Outcome::Passed(shown),
        false => Outcome::Failed(wrong),
    };
    let cases = results.len();
    let refused = results.iter().filter(|result| result.refused).count();
    let there: BTreeSet<&str> = results.iter().map(|result| result.id.as_str()).collect();
    let mut digests: Vec<String> = listed
        .iter()
        .filter(|id| !there.contains(id.as_str()))
        .map(|id| format!("{id}: index.json lists it and there is no file"))
        .collect();
    let (mut reference, mut honest, mut matrix) = (Vec::new(), Vec::new(), Vec::new());
    let mut tested = Vec::new();
    for result in results {
        digests.extend(result.digest);
        reference.extend(result.reference);
        honest.extend(result.honest);
        matrix.extend(result.row);
        tested.extend(result.tested);
    }
    let confusion = confusion(&tested);
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
            ("diagnosis", diagnosis(&confusion, settings.everything())),
        ],
        matrix,
        confusion,
    }
}

/// No wrong name at all, and of the catalogue, on all cases, at least 95 % named.
fn diagnosis(confusion: &[Confusion], everything: bool) -> Outcome {
    let wrong = |one: &&Confusion| matches!(one.called, Called::Otherwise(_));
    let mut lines: Vec<String> = confusion.iter().filter(wrong).map(ToString::to_string).collect();
    let catalogue = || confusion.iter().filter(|one| matches!(one.made, Made::Mistake(_)));
    let named = catalogue().filter(|one| matches!(one.called, Called::Right(_))).count();
    let (all, others) = (catalogue().count(), confusion.len() - catalogue().count());
    if everything && named * 100 < all * 95 {
        lines
            .push(format!("{named} of {all} mistakes of the catalogue are named: fewer than 95 %"));
    }
    match lines.is_empty() {
        true => Outcome::Passed(format!(
            "{named} of {all} submissions with a mistake are named, none of {all} and of {others} others wrongly"
        )),
        false => Outcome::Failed(lines),
    }
}
