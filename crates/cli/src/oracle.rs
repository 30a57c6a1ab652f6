//! `lowrank emit`, `check`, `list` and `show`: what an implementation is judged against, and the verdict.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use oracle::{Case, Index, Method, Op, Options, Profile, Report, Tally, TensorFile, Verdict};

use crate::output;

/// The cases of the repository, seen from its root.
pub(crate) const CASES: &str = "tests/vectors";

/// The options of `lowrank emit`.
#[derive(clap::Args, Clone, Debug)]
pub struct EmitArgs {
    /// A case: metadata `case` and tensors `in.*`
    input: PathBuf,
    /// The same with `out.*` and `gauge.*`
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// The options of `lowrank check`.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// The folder with your `<id>.safetensors`, each with its `out.*`
    #[arg(long, value_name = "DIR")]
    submission: PathBuf,
    /// Case files and folders of cases [default: tests/vectors]
    #[arg(value_name = "CASES")]
    paths: Vec<PathBuf>,
    /// The folder of the cases, where none is named
    #[arg(long, value_name = "DIR", default_value = CASES)]
    cases: PathBuf,
    /// f64, f32, tf32, bf16 or fp16 [default: by the type of each tensor]
    #[arg(long)]
    profile: Option<Profile>,
    /// How to report
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Fail with 3 if fewer cases were judged
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_cases: usize,
    /// Only this method; may be repeated
    #[arg(long)]
    method: Vec<Method>,
    /// Only this op; may be repeated
    #[arg(long)]
    op: Vec<Op>,
    /// Every case that fails, in full: without it the three smallest
    #[arg(long)]
    verbose: bool,
}

/// The options of `lowrank list`.
#[derive(clap::Args, Clone, Debug)]
pub struct ListArgs {
    /// The folder of the cases
    #[arg(long, value_name = "DIR", default_value = CASES)]
    cases: PathBuf,
    /// Only this method; may be repeated
    #[arg(long)]
    method: Vec<Method>,
    /// Only this op; may be repeated
    #[arg(long)]
    op: Vec<Op>,
    /// How to report
    #[arg(long, value_enum, default_value = "table")]
    format: output::Format,
}

/// The options of `lowrank show`.
#[derive(clap::Args, Clone, Debug)]
pub struct ShowArgs {
    /// method/op/name, as `lowrank list` prints it
    id: String,
    /// The folder of the cases
    #[arg(long, value_name = "DIR", default_value = CASES)]
    cases: PathBuf,
}

/// For a person, or for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Junit,
}

/// `lowrank emit`.
pub fn emit(args: &EmitArgs) -> Result<ExitCode> {
    oracle::emit_file(&args.input, &args.out)?;
    Ok(ExitCode::SUCCESS)
}

/// `lowrank check`: 0 all that ran passed, 1 a mismatch, 2 unreadable input, 3 too few cases, 4 a corrupt vector.
pub fn check(args: &CheckArgs) -> Result<ExitCode> {
    let paths = if args.paths.is_empty() { vec![args.cases.clone()] } else { args.paths.clone() };
    paths.iter().try_for_each(|path| there(path))?;
    let options = Options { profile: args.profile };
    let tally = oracle::check_all(&paths, &args.submission, (&args.method, &args.op), options)?;
    match args.format {
        Format::Table => print(&table(&tally, args.verbose))?,
        Format::Json => {
            let diagnosis = serde_json::json!({ "diagnosis": tally.diagnosis.json() });
            let lines = tally.reports.iter().flat_map(oracle::json).chain([diagnosis]);
            print(&lines.map(|line| format!("{line}\n")).collect::<String>())?;
        }
        Format::Junit => print(&oracle::junit(&tally))?,
    }
    for report in &tally.reports {
        let case = &report.case;
        report.warnings.iter().for_each(|warning| tell!("warning: {case}: {warning}"));
    }
    tally.errors.iter().for_each(|error| tell!("error: {error}"));
    for path in &tally.corrupt {
        tell!("error: {}: not the case that index.json lists: corrupt", path.display());
    }
    let code = tally.exit_code(args.min_cases);
    if code == 3 {
        let (judged, least) = (judged(&tally), args.min_cases.max(1));
        let place =
            |id: &str| args.submission.join(format!("{id}.safetensors")).display().to_string();
        let missing = tally.reports.iter().find(|report| !report.submitted());
        let hint = missing.map_or(String::new(), |report| {
            format!(": each is expected at {}, such as {}", place("<id>"), place(&report.case))
        });
        tell!("error: {judged} cases were judged where at least {least} were to be{hint}");
    }
    Ok(ExitCode::from(code))
}

fn judged(tally: &Tally) -> usize {
    tally.count(Verdict::Pass) + tally.count(Verdict::Fail)
}

/// How many of the cases that fail are shown.
const SHOWN: usize = 3;

/// The diagnosis, the smallest cases that fail, and the counts by method and op.
fn table(tally: &Tally, verbose: bool) -> String {
    let missing = tally.reports.iter().filter(|report| !report.submitted()).count();
    let missing = match missing {
        0 => String::new(),
        1 => "one case was not submitted".to_owned(),
        more => format!("{} cases were not submitted", output::count(more)),
    };
    let mut text = match tally.diagnosis.failed {
        // Who reads PASS reads no further.
        0 if !missing.is_empty() => format!("{}; {missing}\n", tally.diagnosis),
        _ => format!("{}\n", tally.diagnosis),
    };
    for left in &tally.diagnosis.left {
        text += &format!("  {:>6} {}, as in {}\n", left.cases, left.kind, left.example);
    }
    let mut failed: Vec<&Report> =
        tally.reports.iter().filter(|report| report.verdict == Verdict::Fail).collect();
    failed.sort_by_key(|report| report.size);
    let shown = if verbose { failed.len() } else { failed.len().min(SHOWN) };
    for report in &failed[..shown] {
        text += &format!("\n{report}\n");
    }
    if shown < failed.len() {
        let more = match failed.len() - shown {
            1 => "One more case fails".to_owned(),
            more => format!("{} more cases fail", output::count(more)),
        };
        text += &format!("\n{more}: --verbose shows all\n");
    }

    let mut groups = BTreeMap::<String, Vec<&Report>>::new();
    for report in tally.reports.iter().filter(|report| report.submitted()) {
        let group = report.case.rsplit_once('/').map_or("", |(group, _)| group);
        groups.entry(group.to_owned()).or_default().push(report);
    }
    let mut rows = Vec::new();
    for (group, reports) in groups {
        let count = |verdict| {
            output::count(reports.iter().filter(|report| report.verdict == verdict).count())
        };
        let finite = |finding: &oracle::Finding| finding.rho.is_finite().then_some(finding.rho);
        let rhos = reports.iter().flat_map(|report| report.findings.iter().filter_map(finite));
        let worst = rhos.fold(0.0_f64, f64::max);
        let counts = [Verdict::Pass, Verdict::Fail, Verdict::NotRun].map(count);
        rows.push([vec![group], counts.to_vec(), vec![format!("{worst:.3}")]].concat());
    }
    if !rows.is_empty() {
        let header = ["", "PASS", "FAIL", "NOT_RUN", "largest finite rho"];
        text += &format!("\n{}\n", output::table(&header, &rows));
    }
    if tally.diagnosis.failed > 0 && !missing.is_empty() {
        text += &format!("{missing}\n");
    }
    text
}

/// `lowrank list`.
pub fn list(args: &ListArgs) -> Result<ExitCode> {
    there(&args.cases)?;
    let mut text = String::new();
    for path in oracle::cases_under(&args.cases)? {
        let (case, _) = oracle::read_case(&path)?;
        let chosen = (args.method.is_empty() || args.method.contains(&case.method))
            && (args.op.is_empty() || args.op.contains(&case.op));
        if !chosen {
            continue;
        }
        text += &match args.format {
            output::Format::Json => format!("{}\n", case.text),
            output::Format::Table => {
                let (id, class) = (case.id.unwrap_or_default(), case.class.unwrap_or_default());
                format!("{id:<56} {class:<10} {}\n", case.flags.join(" "))
            }
        };
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// `lowrank show`.
pub fn show(args: &ShowArgs) -> Result<ExitCode> {
    let (method, op) = oracle::parse_id(&args.id)?;
    there(&args.cases)?;
    let path = args.cases.join(format!("{}.safetensors", args.id));
    if !path.exists() {
        anyhow::bail!("{}: no such case: see `lowrank list`", path.display());
    }
    let file = TensorFile::read(&path)?;
    let index = Index::of(&args.cases)?;
    let case = Case::of(&file).with_context(|| path.display().to_string())?;
    let mut lines = vec![args.id.clone(), format!("  {}", oracle::equation(method, op))];
    lines.push(format!("  class   {}", case.class.unwrap_or_default()));
    lines.push(format!("  paper   {}", case.paper));
    for flag in &case.flags {
        let meaning = index.flags.get(flag).map_or("", String::as_str);
        lines.push(format!("  flag    {flag}: {meaning}"));
    }
    lines.push(format!("  digest  {}", oracle::digest(&file)));
    lines.push(format!("  case    {}", case.text));
    let shapes: Vec<_> = file
        .tensors
        .iter()
        .map(|(name, tensor)| {
            vec![name.clone(), tensor.dtype.to_string(), format!("{:?}", tensor.shape)]
        })
        .collect();
    lines.push(format!("{}\n", output::table(&["tensor", "type", "shape"], &shapes)));
    print(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// `lowrank bounds`: tests/vectors/bounds.json.
pub fn bounds() -> Result<ExitCode> {
    print(&oracle::bounds_json())?;
    Ok(ExitCode::SUCCESS)
}

/// All at once.
pub(crate) fn print(text: &str) -> Result<()> {
    Ok(output::print(format_args!("{text}"))?)
}

/// A default that is relative to the current folder deserves a better message than "no such file".
pub(crate) fn there(path: &Path) -> Result<()> {
    if path == Path::new(CASES) && !path.exists() {
        anyhow::bail!(
            "{CASES} is not in the current folder: go to the root of the repository, or name the folder of the cases"
        );
    }
    Ok(())
}
