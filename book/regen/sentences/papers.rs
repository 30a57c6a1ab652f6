//! Of the papers' claims, and of the oracle's cases and mistakes.

use std::path::Path;

use anyhow::{Result, ensure};
use claims::Verdict;
use indicatif::HumanCount;
use oracle::{Class, cases_under, mutants, read_case};

use book::numbers::Numbers;

pub fn add(numbers: &mut Numbers) -> Result<()> {
    let claims = claims::all()?;
    let differ = claims.iter().filter(|claim| claim.verdict() == Verdict::Differs).count();
    numbers.add("claims", claims.len());
    numbers.add("claims-differ", differ);
    numbers.add("claims-follow", claims.len() - differ);

    let seen = mutants().filter(|mutant| !mutant.seen.is_empty()).count();
    numbers.add("mistakes", mutants().count());
    numbers.add("mistakes-unseen", mutants().count() - seen);

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let paths = cases_under(&folder)?;
    let (mut exact, mut layers, mut narrow) = (0, 0, 0);
    for path in &paths {
        let (case, file) = read_case(path)?;
        exact += usize::from(case.class == Some(Class::Exact));
        if let Some([_, inputs]) = file.tensors.get("in.weight").map(|weight| &weight.shape[..]) {
            layers += 1;
            narrow += usize::from(*inputs < NARROW);
        }
    }
    ensure!(layers > 0, "some cases have a weight");
    numbers.add("cases", HumanCount(paths.len() as u64));
    numbers.add("cases-exact", format!("{:.0}", percent(exact, paths.len())));
    numbers.add("inputs", NARROW);
    numbers.add("layers-narrow", format!("{:.1}", percent(narrow, layers)));
    Ok(())
}

/// A layer with fewer inputs is a small one.
const NARROW: usize = 30;

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
