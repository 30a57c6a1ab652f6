//! `lowrank inspect`.

use std::path::{Path, PathBuf};

use ::inspect::{
    Folder, ModuleReport, PEFT_DTYPES, Similarity, Total, Weights, inspect, similarity, weights,
};
use anyhow::{Result, bail};
use comfy_table::Table;
use llama::MergeReport;
use peft::Kind;
use serde_json::{Value, json};

use crate::fits::{groups, kind};
use crate::output::{self, Format};
use crate::plot::{self, Curve};
use crate::threads;

/// The options of `lowrank inspect`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The adapter: a folder of PEFT's, LoRA, DoRA or VeRA
    #[arg(value_name = "DIR")]
    adapter: PathBuf,
    /// Another one, to be compared with it
    #[arg(value_name = "DIR2")]
    second: Option<PathBuf>,
    /// Its model: then norms are relative to W's too, and what a merge in bf16 would lose is shown. DoRA and VeRA need it
    #[arg(long, value_name = "DIR|FILE.gguf|HUB_ID")]
    model: Option<String>,
    /// A row for each module, however many there are
    #[arg(long)]
    all: bool,
    /// What to print; json has each module's singular values
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Draw the singular values
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

/// `lowrank inspect`.
pub fn main(args: &Args) -> Result<()> {
    threads::set(args.threads)?;
    let model = args.model.as_ref().map(llama::load::load::<f64>).transpose()?;
    let weights = model.as_ref().map(|checkpoint| weights(&checkpoint.model));
    let paths = || std::iter::once(&args.adapter).chain(&args.second);
    let open = |path: &PathBuf| Folder::open(path, weights.as_ref());
    let folders = paths().map(open).collect::<::inspect::Result<Vec<_>>>()?;
    let reports =
        folders.iter().map(|folder| look(folder, weights.as_ref())).collect::<Result<Vec<_>>>()?;
    let similarities = match &folders[..] {
        [first, second] => compare(first, second)?,
        _ => Vec::new(),
    };
    if let Some(path) = &args.svg {
        draw(path, &folders, &reports)?;
    }
    for (folder, reports) in folders.iter().zip(&reports) {
        match args.format {
            Format::Table => show(folder, reports, args.all),
            Format::Json => print(folder, reports),
        }
    }
    for similarity in &similarities {
        if args.format == Format::Json {
            say!("{}", similarity_json(similarity));
        }
    }
    if args.format == Format::Table && !similarities.is_empty() {
        say!("\n{}", similarity_table(&similarities, args.all));
        say!(
            "cosine of the two ΔW; φ of what they write (out) and read (in), and in brackets what random ones have"
        );
    }
    Ok(())
}

fn look(folder: &Folder, weights: Option<&Weights<'_>>) -> Result<Vec<ModuleReport>> {
    let bar = output::progress(folder.modules.len(), "inspect");
    let reports = inspect(folder, weights, |_| bar.inc(1))?;
    bar.finish_and_clear();
    Ok(reports)
}

/// Of each module that both have.
fn compare(first: &Folder, second: &Folder) -> Result<Vec<Similarity>> {
    let (one, two) = (first.factors()?, second.factors()?);
    let common: Vec<_> = one.keys().filter(|module| two.contains_key(*module)).collect();
    if common.is_empty() {
        let [first, second] = [first, second].map(|folder| folder.path.display());
        bail!("{first} and {second} have no module in common: there is nothing to compare");
    }
    let compare = |module: &String| Ok(similarity(module, &one[module], &two[module])?);
    common.into_iter().map(compare).collect()
}

fn show(folder: &Folder, reports: &[ModuleReport], all: bool) {
    let total = Total::of(reports);
    let base = folder.config.base_model_name_or_path.as_deref().unwrap_or("a model without a name");
    say!(
        "{}: {}, {} modules, stored as {}, for {base}",
        folder.path.display(),
        label(folder.kind),
        total.modules,
        folder.dtype
    );
    let groups = groups(all, reports, |report| report.module.as_str());
    let summarised = groups.len() < reports.len();
    let with_model = total.merged_bf16.is_some();
    let mut header = vec!["module", "r", "s", "‖ΔW‖", "σ₁", "effective", "stable", "f32/f16/bf16"];
    if with_model {
        header.extend(["of ‖W‖", "bf16 loses"]);
    }
    let rows: Vec<_> =
        groups.into_iter().map(|(name, group)| row(name, &group, with_model)).collect();
    say!("{}", output::lines(&header, &rows));
    if summarised {
        say!("medians over the layers; --all shows each module");
    }
    say!("in all, ‖ΔW‖ = {:.4}; ΔW = 0 in {} of {} modules", total.norm, total.dead, total.modules);
    if let Some(MergeReport { lost, unchanged, .. }) = total.merged_bf16 {
        say!(
            "merged in bf16, rounding would lose {} of ΔW (Frobenius norm); {} of its entries would leave their weight as it was",
            output::percent(lost),
            output::percent(unchanged)
        );
    }
}

fn row(name: String, group: &[&ModuleReport], with_model: bool) -> Vec<String> {
    let of = |value: &dyn Fn(&ModuleReport) -> Option<f64>| {
        median(group.iter().filter_map(|report| value(report)).collect())
    };
    let whole = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value}"));
    let fixed = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.2}"));
    let small = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.4}"));
    let percent = |value: Option<f64>| value.map_or("–".into(), output::percent);
    let numerical =
        [0, 1, 2].map(|i| whole(of(&|report| report.numerical_rank[i].map(|rank| rank as f64))));
    let mut row = vec![
        name,
        whole(of(&|report| Some(report.rank as f64))),
        of(&|report| report.scale).map_or("–".into(), significant),
        small(of(&|report| Some(report.norm))),
        small(of(&|report| report.singular_values.first().copied())),
        fixed(of(&|report| Some(report.effective_rank))),
        fixed(of(&|report| Some(report.stable_rank))),
        numerical.join("/"),
    ];
    if with_model {
        row.push(percent(of(&|report| report.relative)));
        row.push(percent(of(&|report| report.merged_bf16.map(|merge| merge.lost))));
    }
    row
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Lora => "LoRA",
        Kind::Dora => "DoRA",
        Kind::Vera => "VeRA",
    }
}

/// Four digits at most, no zeros at the end: 1.5, 1.155.
fn significant(value: f64) -> String {
    let digits = (3 - value.abs().max(f64::MIN_POSITIVE).log10().floor() as i32).clamp(0, 8);
    let text = format!("{value:.*}", digits as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The middle one, or the mean of the two; `None` of none.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

fn print(folder: &Folder, reports: &[ModuleReport]) {
    for report in reports {
        let numerical: serde_json::Map<String, Value> = PEFT_DTYPES
            .iter()
            .zip(report.numerical_rank)
            .map(|(dtype, rank)| (dtype.name().to_owned(), json!(rank)))
            .collect();
        say!(
            "{}",
            json!({
                "adapter": folder.path,
                "module": report.module,
                "shape": report.shape,
                "rank": report.rank,
                "alpha": report.alpha,
                "scale": report.scale,
                "norm": report.norm,
                "relative_norm": report.relative,
                "singular_values": report.singular_values,
                "effective_rank": report.effective_rank,
                "stable_rank": report.stable_rank,
                "numerical_rank": numerical,
                "dead": report.is_dead(),
                "merged_bf16": report.merged_bf16.map(merge_json),
            })
        );
    }
    let Total { modules, dead, norm, merged_bf16 } = Total::of(reports);
    say!(
        "{}",
        json!({
            "adapter": folder.path,
            "kind": label(folder.kind),
            "base_model": folder.config.base_model_name_or_path,
            "dtype": folder.dtype.name(),
            "modules": modules,
            "dead": dead,
            "norm": norm,
            "merged_bf16": merged_bf16.map(merge_json),
        })
    );
}

fn merge_json(merge: MergeReport) -> Value {
    json!({"lost": merge.lost, "unchanged": merge.unchanged})
}

fn similarity_json(similarity: &Similarity) -> Value {
    let [random_output, random_input] = random(similarity);
    json!({
        "module": similarity.module,
        "ranks": similarity.ranks,
        "cosine": similarity.cosine,
        "phi_output": similarity.output,
        "phi_input": similarity.input,
        "random_phi_output": random_output,
        "random_phi_input": random_input,
    })
}

/// What random subspaces have on average: of the output and of the input.
fn random(similarity: &Similarity) -> [f64; 2] {
    let larger = similarity.ranks[0].max(similarity.ranks[1]) as f64;
    similarity.shape.map(|dimension| larger / dimension as f64)
}

fn similarity_table(similarities: &[Similarity], all: bool) -> Table {
    let row = |(name, group): (String, Vec<&Similarity>)| {
        let of = |value: &dyn Fn(&Similarity) -> Option<f64>| {
            median(group.iter().filter_map(|similarity| value(similarity)).collect())
        };
        let shown = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.3}"));
        let beside =
            |phi: Option<f64>, random: Option<f64>| format!("{} ({})", shown(phi), shown(random));
        vec![
            name,
            shown(of(&|similarity| similarity.cosine)),
            beside(of(&|similarity| similarity.output), of(&|s| Some(random(s)[0]))),
            beside(of(&|similarity| similarity.input), of(&|s| Some(random(s)[1]))),
        ]
    };
    let groups = groups(all, similarities, |similarity| similarity.module.as_str());
    let rows: Vec<_> = groups.into_iter().map(row).collect();
    output::lines(&["module", "cosine", "φ out", "φ in"], &rows)
}

/// One adapter: a curve for each kind of module. Two: a curve for each of them.
fn draw(path: &Path, folders: &[Folder], reports: &[Vec<ModuleReport>]) -> Result<()> {
    let curve = |name: String, group: &[&ModuleReport]| {
        let longest = group.iter().map(|report| report.singular_values.len()).max().unwrap_or(0);
        let at = |k| group.iter().filter_map(|r| r.singular_values.get(k).copied()).collect();
        let values = (0..longest).map(|k| median(at(k)).unwrap_or(0.0)).collect();
        Curve { name, first: 1, values }
    };
    let curves: Vec<Curve> = match reports {
        [one] => {
            let mut kinds: Vec<&str> = one.iter().map(|report| kind(&report.module)).collect();
            kinds.sort_unstable();
            kinds.dedup();
            let of = |name: &str| -> Vec<&ModuleReport> {
                one.iter().filter(|report| kind(&report.module) == name).collect()
            };
            kinds.into_iter().map(|name| curve(name.to_owned(), &of(name))).collect()
        }
        both => {
            let name = |folder: &Folder| folder.path.display().to_string();
            let each = folders.iter().zip(both);
            each.map(|(folder, all)| curve(name(folder), &Vec::from_iter(all))).collect()
        }
    };
    if !curves.iter().any(|curve| curve.values.iter().any(|value| *value > 0.0)) {
        bail!("ΔW is 0 everywhere: there is nothing to draw");
    }
    let axes = ["number of the singular value", "σ of ΔW, median over the modules"];
    plot::lines(path, "Singular values of ΔW", axes, &curves)
}
