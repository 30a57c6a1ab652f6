//! What `lowrank inspect` prints.

use ::inspect::{Folder, ModuleReport, PEFT_DTYPES, Similarity, Total};
use llama::MergeReport;
use peft::Kind;
use serde_json::{Value, json};

use crate::fits::groups;
use crate::output;

/// For a person.
pub fn table(folder: &Folder, reports: &[ModuleReport], all: bool) {
    let total = Total::of(reports);
    let base = folder.config.base_model_name_or_path.as_deref().unwrap_or("a model without a name");
    say!(
        "{}: {}, {} modules, stored as {}, for {base}",
        folder.path.display(),
        label(folder.kind),
        total.modules,
        folder.dtype
    );
    if !folder.beside.is_empty() {
        say!("beside them it changes {}", folder.beside.join(", "));
    }
    let groups = groups(all, reports, |report| report.module.as_str());
    let summarised = groups.len() < reports.len();
    let with_model = total.merged_bf16.is_some();
    let mut header =
        vec!["module", "r", "s", "‖ΔW‖", "σ₁", "effective", "stable", "rank in f32/f16/bf16"];
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
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

/// For a machine: an object for each module, and one of all.
pub fn json(folder: &Folder, reports: &[ModuleReport]) {
    // Not every path is text.
    let path = folder.path.display().to_string();
    for report in reports {
        let numerical: serde_json::Map<String, Value> = PEFT_DTYPES
            .iter()
            .zip(report.numerical_rank)
            .map(|(dtype, rank)| (dtype.name().to_owned(), json!(rank)))
            .collect();
        say!(
            "{}",
            json!({
                "adapter": path,
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
            "adapter": path,
            "kind": label(folder.kind),
            "base_model": folder.config.base_model_name_or_path,
            "dtype": folder.dtype.name(),
            "modules": modules,
            "beside": folder.beside,
            "dead": dead,
            "norm": norm,
            "merged_bf16": merged_bf16.map(merge_json),
        })
    );
}

fn merge_json(merge: MergeReport) -> Value {
    json!({"lost": merge.lost, "unchanged": merge.unchanged})
}

/// Of two adapters, for a machine.
pub fn similarity_json(similarity: &Similarity) {
    let [random_output, random_input] = random(similarity);
    say!(
        "{}",
        json!({
            "module": similarity.module,
            "ranks": similarity.ranks,
            "cosine": similarity.cosine,
            "phi_output": similarity.output,
            "phi_input": similarity.input,
            "random_phi_output": random_output,
            "random_phi_input": random_input,
        })
    );
}

/// What random subspaces have on average: of the output and of the input.
fn random(similarity: &Similarity) -> [f64; 2] {
    let larger = similarity.ranks[0].max(similarity.ranks[1]) as f64;
    similarity.shape.map(|dimension| larger / dimension as f64)
}

/// Of two adapters, for a person.
pub fn similarity_table(similarities: &[Similarity], all: bool) {
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
    say!("\n{}", output::lines(&["module", "cosine", "φ out", "φ in"], &rows));
    say!(
        "cosine of the two ΔW; φ of what they write (out) and read (in), and in brackets what random ones have"
    );
}
