//! Makes every number and figure of the book: `cargo xtask regen`, or `cargo xtask regen --check` to compare only. While one
//! works on one page, `cargo run -p book --bin regen -- GPU` makes those whose description has that word. `--redraw` trains
//! nothing anew whose numbers are kept.
//!
//! The files are in book/src/generated; chapters include them. Nothing in them is typed by hand, and nothing in them is
//! a time or a size in memory that depends on the machine.

mod adapters;
mod bordered;
mod bytes;
mod claims;
mod differs;
mod examples;
mod faults;
mod gpu;
mod judged;
mod kills;
mod layer;
mod moving;
mod new_token;
mod notation;
mod outlines;
mod panorama;
mod parity;
mod practice;
mod printed;
mod quantised;
mod rank_picture;
mod recorded;
mod row;
mod scene;
mod sentences;
mod shapes;
mod side_by_side;
mod sketch;
mod sorting;
mod spectra;
mod steps;
mod story;
mod training;
mod weights;
mod wrong;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use book::{Page, compare, costs, parallel};
use recorded::Again;

/// What makes some of the pages.
enum Source {
    Anywhere(fn() -> Result<Vec<Page>>),
    /// From runs that take minutes and are kept, so that only some of them need be made again for a check.
    Recorded(fn(Again) -> Result<Vec<Page>>),
    SmolLm2(fn(&Path, Again) -> Result<Vec<Page>>),
    /// Where there is a C++ compiler.
    Emulator(fn() -> Result<Vec<Page>>),
    /// From pages of the other sources, once these are written.
    Pages(fn() -> Result<Vec<Page>>),
}

const SOURCES: [(&str, Source); 36] = [
    ("drawing: all the methods", Source::Anywhere(panorama::pages)),
    ("drawing: the marks", Source::Anywhere(notation::pages)),
    ("drawing: a sum of outer products", Source::Anywhere(rank_picture::pages)),
    ("drawing: shapes", Source::Anywhere(shapes::pages)),
    ("drawing: a step of each method", Source::Anywhere(steps::pages)),
    ("what training keeps in memory", Source::Anywhere(costs::pages)),
    ("the outlines of a matrix", Source::Anywhere(outlines::pages)),
    ("a picture, rank by rank", Source::Anywhere(scene::pages)),
    ("a row of a weight under DoRA", Source::Anywhere(row::pages)),
    ("what the examples print", Source::Anywhere(examples::pages)),
    ("what the papers claim", Source::Anywhere(claims::pages)),
    ("drawing: a weight with its adapter, on a GPU", Source::Anywhere(bordered::pages)),
    ("the roofline of a GPU", Source::Anywhere(gpu::roofline)),
    ("the GPU path, emulated", Source::Emulator(gpu::emulated)),
    ("which mistakes the vectors fail", Source::Anywhere(kills::pages)),
    ("how adapters go wrong", Source::Anywhere(wrong::pages)),
    ("a case judged", Source::Anywhere(judged::pages)),
    ("mistakes made on purpose", Source::Anywhere(faults::pages)),
    ("two runs that part", Source::Anywhere(differs::pages)),
    ("the embedded model's weights", Source::Anywhere(weights::embedded)),
    ("SmolLM2's weights", Source::SmolLm2(|path, _| weights::smollm2(path))),
    ("SmolLM2's singular values", Source::SmolLm2(|path, _| spectra::pages(path))),
    ("bits of a number in a block", Source::Anywhere(quantised::types)),
    ("training beside quantised weights", Source::SmolLm2(quantised::runs)),
    ("eight steps beside PEFT", Source::SmolLm2(parity::pages)),
    ("training the embedded model", Source::Recorded(training::pages)),
    ("a run of Train it, moving", Source::Recorded(moving::pages)),
    ("two adapters looked into", Source::Anywhere(adapters::pages)),
    ("what to choose in practice", Source::Recorded(practice::pages)),
    ("a new token, and what is forgotten", Source::Recorded(new_token::pages)),
    ("bytes of a step of each method", Source::Anywhere(bytes::pages)),
    ("all methods side by side", Source::Recorded(side_by_side::pages)),
    ("problems to sort", Source::Anywhere(sorting::problems)),
    ("how far each method sorts", Source::Pages(sorting::methods)),
    ("the real model", Source::Anywhere(story::pages)),
    ("numbers in sentences", Source::Pages(sentences::pages)),
];

fn main() -> Result<ExitCode> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let (check, again) = match words.first().map(String::as_str) {
        Some("--check") => (true, Again::Sample),
        Some("--redraw") => (false, Again::None),
        _ => (false, Again::All),
    };
    words.drain(..usize::from(again != Again::All));
    let chosen = |what: &str| words.is_empty() || words.iter().any(|word| what.contains(word));
    if !SOURCES.iter().any(|(what, _)| chosen(what)) {
        let all = SOURCES.map(|(what, _)| what).join("; ");
        bail!("nothing is described by {words:?}; there are: {all}");
    }
    let folder = generated();
    std::fs::create_dir_all(&folder).context("cannot make book/src/generated")?;
    let smollm2 =
        std::env::var_os("LOWRANK_SMOLLM2").map(PathBuf::from).filter(|path| path.is_file());

    let chosen: Vec<_> = SOURCES.iter().filter(|(what, _)| chosen(what)).collect();
    let bar = ProgressBar::new(chosen.len() as u64);
    let (last, first) =
        chosen.into_iter().partition(|(_, source)| matches!(source, Source::Pages(_)));
    let mut stale = false;
    for sources in [first, last] {
        let sources: Vec<_> = sources;
        // Most of them use one core most of the time.
        let made = parallel::map(sources, |(what, source)| {
            bar.set_message(*what);
            let pages = make(what, source, again, smollm2.as_deref());
            bar.inc(1);
            pages.with_context(|| what.to_string())
        })?;
        for page in made.iter().flatten() {
            stale |= settle(&folder, page, check)?;
        }
    }
    bar.finish_and_clear();
    Ok(if stale && check { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The pages of one source; none, and a line that says why, where this machine lacks something.
fn make(what: &str, source: &Source, again: Again, smollm2: Option<&Path>) -> Result<Vec<Page>> {
    let skipped = |why: String| {
        println!("SKIPPED {what}: {why}");
        Ok(Vec::new())
    };
    match (source, smollm2) {
        (Source::Anywhere(make) | Source::Pages(make), _) => make(),
        (Source::Recorded(make), _) => make(again),
        (Source::Emulator(make), _) => match cuda::Emulator::open() {
            Ok(_) => make(),
            Err(error) => skipped(error.to_string()),
        },
        (Source::SmolLm2(make), Some(path)) => make(path, again),
        (Source::SmolLm2(_), None) => skipped("LOWRANK_SMOLLM2 names no file".into()),
    }
}

fn generated() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated")
}

/// What an example or a program of the workspace prints.
fn cargo_run(arguments: &[impl AsRef<std::ffi::OsStr> + std::fmt::Debug]) -> Result<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet"]).args(arguments);
    // What cargo told this program about its own package makes ring's build script run again, and all that stands on it.
    let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    for (name, _) in std::env::vars_os() {
        if ours.iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            cargo.env_remove(name);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = cargo.current_dir(root).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{arguments:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Compare a page with the file, say what differs, and write it unless only checking. True if it was stale.
fn settle(folder: &Path, page: &Page, check: bool) -> Result<bool> {
    let path = folder.join(page.name);
    let shown = format!("book/src/generated/{}", page.name);
    let difference = match std::fs::read_to_string(&path) {
        Ok(old) => compare::difference(&old, &page.text, page.precision),
        Err(_) => Some("it is missing".to_owned()),
    };
    let Some(difference) = difference else { return Ok(false) };
    println!("{} {shown}: {difference}", if check { "STALE" } else { "wrote" });
    if !check {
        std::fs::write(&path, &page.text).with_context(|| format!("cannot write {shown}"))?;
    }
    Ok(true)
}
