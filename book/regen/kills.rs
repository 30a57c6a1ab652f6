//! How near is near enough: what the bound allows as a layer grows, and which mistakes it and the usual tolerances fail.

use std::fmt::Write;

use anyhow::{Context, Result};
use ndarray::Array2;
use oracle::selftest::RULES;
use oracle::{Options, Tensor, TensorFile, check, emit, mutants};
use picture::{Bars, Chart, Line, Panel, figure};
use serde_json::Value;

use book::Page;

pub fn pages() -> Result<Vec<Page>> {
    let report = report()?;
    let rho = sizes()?;
    let confusion = confusion(&report)?;
    Ok(vec![
        Page::rounded("kills-rho.svg.html", sizes_figure(&rho)),
        Page::rounded("kills-rho.md", sizes_table(&rho)?),
        Page::exact("kills-contrast.md", tolerances(&report)?),
        Page::exact("kills-contrast.svg.html", tolerances_figure(&report)?),
        Page::exact("kills-missed.md", missed(&report)?),
        Page::exact("kills.md", matrix(&report)?),
        Page::exact("confusion.svg.html", confusion_figure(&confusion)),
        Page::exact("confusion.md", confusion),
        Page::exact("confusion-others.md", others(&report)?),
    ])
}

/// The lines of `lowrank selftest --format json`: from the file that `cargo xtask` names, or made now.
fn report() -> Result<Vec<Value>> {
    let text = match std::env::var_os("LOWRANK_SELFTEST") {
        Some(file) => std::fs::read_to_string(file).context("LOWRANK_SELFTEST")?,
        None => crate::cargo_run(&[
            "--bin",
            "lowrank",
            "--",
            "selftest",
            "--no-generator",
            "--format",
            "json",
        ])?,
    };
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The matrix by mutants: how many cases each changes, and how many fail it.
fn matrix(report: &[Value]) -> Result<String> {
    let mut table =
        String::from("| mistake | seen in | cases | f32 | bf16 |\n|---|---|--:|--:|--:|\n");
    for row in report.iter().filter(|line| line["mutant"].is_string()) {
        let [what, seen] = ["what", "seen"].map(|key| row[key].as_str().unwrap_or_default());
        let bf16 = match row["honest_in_bf16"] == true {
            true => "honest".into(),
            false => row["bf16"]["killed"].to_string(),
        };
        let [cases, f32] = [&row["cases"], &row["f32"]["killed"]];
        writeln!(table, "| {what} | {seen} | {cases} | {f32} | {bf16} |")?;
    }
    Ok(table)
}

/// What the diagnosis calls each mistake, submitted as a whole: in each method, in f32 and in bf16.
fn confusion(report: &[Value]) -> Result<String> {
    let methods = ["lora", "lora-fa", "vera", "delta-lora", "lora-plus", "dora"];
    let mut table =
        format!("| mistake | {} |\n|---|{}\n", methods.join(" | "), ":-:|".repeat(methods.len()));
    for row in report.iter().filter(|line| line["mutant"].is_string()) {
        write!(table, "| {}", row["what"].as_str().unwrap_or_default())?;
        for method in methods {
            let cell = ["f32", "bf16"].map(|precision| {
                let is = |line: &&Value| {
                    line["submitted"] == row["mutant"]
                        && line["method"] == method
                        && line["precision"] == precision
                };
                let line = report.iter().find(is);
                match line.and_then(|line| line["called"].as_str()) {
                    Some("by its name") => "✓",
                    Some("by none") => "–",
                    Some(called) if called.starts_with("one of") => "(✓)",
                    Some(_) => "✗",
                    None => "",
                }
            });
            let cell = if cell == ["", ""] { String::new() } else { cell.join(" ") };
            write!(table, " | {cell}")?;
        }
        table += " |\n";
    }
    Ok(table)
}

/// How often it is called what, by method.
fn confusion_figure(table: &str) -> String {
    let methods = ["LoRA", "LoRA-FA", "VeRA", "Delta-LoRA", "LoRA+", "DoRA"];
    let called = [
        ("called by its name", "✓"),
        ("one of several that cannot be told apart", "(✓)"),
        ("called by no name", "–"),
        ("called by another name", "✗"),
    ];
    let count = |mark: &str, column: usize| {
        let cells = table.lines().skip(2).filter_map(|line| line.split('|').nth(column + 2));
        cells.flat_map(str::split_whitespace).filter(|cell| *cell == mark).count()
    };
    let panel = |(title, mark): (&str, &str)| Panel {
        title: title.into(),
        values: (0..methods.len())
            .map(|column| count(mark, column))
            .map(|count| (count as f64, count.to_string()))
            .collect(),
    };
    let bars = Bars {
        title: "What a submitted mistake is called".into(),
        names: methods.map(str::to_owned).into(),
        panels: called.map(panel).into(),
    };
    let caption = "The table of appendix C, counted: mistakes submitted in f32 and in bf16. The last panel is what must not happen. All bars have one scale. Drawn by \
                   <code>cargo xtask regen</code>.";
    figure("charts", &[bars.draw_counts("confusion")], caption)
}

/// What it calls two mistakes at once, and faults that are in no catalogue.
fn others(report: &[Value]) -> Result<String> {
    let mut table = String::from(
        "| submitted | submissions | cases that fail | silent | named | wrong |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let other = |line: &&Value| line["submitted"].is_string() && line["kind"] != "mistake";
    let mut names: Vec<&str> = Vec::new();
    for name in report.iter().filter(other).filter_map(|line| line["submitted"].as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let lines = || report.iter().filter(|line| line["submitted"] == name);
        let called = |what: &str| {
            let is = |line: &&Value| line["called"].as_str().is_some_and(|it| it.starts_with(what));
            lines().filter(is).count()
        };
        let failed: u64 = lines().filter_map(|line| line["failed"].as_u64()).sum();
        let (all, silent) = (lines().count(), called("by none"));
        let named = called("by its name") + called("one of");
        let wrong = all - silent - named;
        writeln!(table, "| {name} | {all} | {failed} | {silent} | {named} | {wrong} |")?;
    }
    Ok(table)
}

/// What a rule makes of ordinary layers in a precision.
fn ordinary<'r>(report: &'r [Value], precision: &str, rule: &str) -> Result<&'r Value> {
    let is_it = |line: &&Value| line["ordinary layers"] == precision && line["rule"] == rule;
    report.iter().find(is_it).with_context(|| format!("no line for {rule} in {precision}"))
}

/// How many mistakes a line says were missed.
fn misses(line: &Value) -> Result<&[Value]> {
    line["missed"].as_array().map(Vec::as_slice).context("`missed` is a list")
}

/// On ordinary layers: which share of the mutants each rule fails, and of the right results.
fn tolerances(report: &[Value]) -> Result<String> {
    let [f32, bf16] = [ordinary(report, "f32", "bound")?, ordinary(report, "bf16", "bound")?];
    let mut table = format!(
        "| rule | f32: mistakes failed, of {} | right ones failed, of {} | bf16: mistakes failed, of {} | right ones failed, of {} |\n|---|--:|--:|--:|--:|\n",
        f32["mutants"], f32["right"], bf16["mutants"], bf16["right"]
    );
    for rule in ["bound"].into_iter().chain(RULES.map(|(name, _)| name)) {
        write!(table, "| {}", if rule == "bound" { "the bound" } else { rule })?;
        for precision in ["f32", "bf16"] {
            let line = ordinary(report, precision, rule)?;
            let mutants = line["mutants"].as_u64().context("`mutants` is a number")?;
            let failed = mutants - misses(line)?.len() as u64;
            write!(table, " | {failed} | {}", line["right_failed"])?;
        }
        table += " |\n";
    }
    Ok(table)
}

/// The same as bars: what should fail and what should not, in both precisions.
fn tolerances_figure(report: &[Value]) -> Result<String> {
    let rules: Vec<&str> = ["bound"].into_iter().chain(RULES.map(|(name, _)| name)).collect();
    let names =
        rules.iter().map(|rule| if *rule == "bound" { "the bound" } else { rule }.to_owned());
    let names: Vec<String> = names.collect();
    let mut charts = Vec::new();
    for precision in ["f32", "bf16"] {
        let (mut wrong, mut right) = (Vec::new(), Vec::new());
        for rule in &rules {
            let line = ordinary(report, precision, rule)?;
            let number =
                |key: &str| line[key].as_u64().with_context(|| format!("`{key}` is a number"));
            let (passed, failed) = (misses(line)?.len(), number("right_failed")?);
            wrong.push((passed as f64, format!("{passed} of {}", number("mutants")?)));
            right.push((failed as f64, format!("{failed} of {}", number("right")?)));
        }
        let panels = [("mistakes that pass", wrong), ("right results that fail", right)];
        let panels = panels.map(|(title, values)| Panel { title: title.into(), values }).into();
        let bars = Bars { title: precision.into(), names: names.clone(), panels };
        charts.push(bars.draw(&format!("contrast-{precision}")));
    }
    let caption = "All bars should be empty. In f32 no rule fails a right result, and the bound lets the fewest mistakes pass; in bf16 the bound alone fails no right result, and lets some mistakes pass for it. \
                   Drawn by <code>cargo xtask regen</code>.";
    Ok(figure("charts", &charts, caption))
}

/// What `allclose` with 1e-3 lets pass in f32.
fn missed(report: &[Value]) -> Result<String> {
    let names = misses(ordinary(report, "f32", RULES[0].0)?)?;
    let what =
        |name: &Value| mutants().find(|mutant| *name == mutant.name).map(|mutant| mutant.what);
    Ok(names.iter().filter_map(what).map(|what| format!("- {what}\n")).collect())
}

/// Inputs, ρ, and ρ with √k.
type Size = (usize, f64, f64);

fn sizes_table(sizes: &[Size]) -> Result<String> {
    let mut table = String::from("| in | ρ | ρ with √k |\n|--:|--:|--:|\n");
    for (inputs, rho, rho_sqrt) in sizes {
        writeln!(table, "| {inputs} | {rho:.5} | {rho_sqrt:.4} |")?;
    }
    Ok(table)
}

fn sizes_figure(sizes: &[Size]) -> String {
    let line = |name: &str, of: fn(&Size) -> f64| Line {
        name: name.into(),
        points: sizes.iter().map(|size| ((size.0 as f64).log2(), of(size))).collect(),
    };
    let chart = Chart {
        title: "Honest code in ever wider layers".into(),
        axes: ["log₂ of the inputs".into(), "share of the bound".into()],
        ranges: [4.0..12.0, 1e-5..1.0],
        log: true,
        square: false,
        lines: vec![line("ρ", |size| size.1), line("ρ with √k", |size| size.2)],
    };
    let caption = "The error of an honest sum in f32, as a share of the bound for the worst case and of the bound by √k. The wider the layer, the more room the worst \
                   case leaves; 1 is where a result fails.";
    book::figure::figure("kills-rho", caption, &[chart])
}

/// y in f32, summed from the left, for ever wider layers.
fn sizes() -> Result<Vec<Size>> {
    let mut sizes = Vec::new();
    for inputs in [16, 64, 256, 1024, 4096] {
        let case = emit(&layer(inputs))?;
        let read = |name: &str| -> Result<Array2<f64>> {
            Ok(case.tensors[&format!("in.{name}")].to_f64()?.into_dimensionality()?)
        };
        let [x, w, a, b] = [read("x")?, read("weight")?, read("lora_A")?, read("lora_B")?];
        let times = |left: &Array2<f64>, right: &Array2<f64>| {
            Array2::from_shape_fn((left.nrows(), right.nrows()), |(i, j)| {
                let terms = left.row(i).into_iter().zip(right.row(j));
                f64::from(terms.fold(0.0_f32, |sum, (&l, &r)| sum + l as f32 * r as f32))
            })
        };
        let low_rank = times(&times(&x, &a), &b);
        // s = 2
        let y = (times(&x, &w) + low_rank * 2.0).mapv(|number| number as f32);
        let mut made = TensorFile::default();
        made.tensors.insert("out.y".into(), Tensor::f32(&y.mapv(f64::from).into_dyn()));
        let report = check(&case, Some(&made), Options::default())?;
        let finding = report.findings.first().context("y was judged")?;
        sizes.push((inputs, finding.rho, finding.rho_sqrt));
    }
    Ok(sizes)
}

/// 8 tokens, 16 outputs, rank 4, α = 8; f32 holds every number.
fn layer(inputs: usize) -> TensorFile {
    let text = r#"{"schema":"lowrank-case/1","id":"lora/forward/wide","method":"lora","op":"forward","params":{"alpha":8}}"#;
    let mut file = TensorFile::default();
    file.metadata.insert("case".into(), text.into());
    let mut state = 17_u64;
    let mut draw = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(((state >> 33) as f64 / 2.0_f64.powi(30) - 1.0) as f32)
    };
    for (name, shape) in
        [("x", (8, inputs)), ("weight", (16, inputs)), ("lora_A", (4, inputs)), ("lora_B", (16, 4))]
    {
        let array = Array2::from_shape_simple_fn(shape, &mut draw).into_dyn();
        file.tensors.insert(format!("in.{name}"), Tensor::f32(&array));
    }
    file
}
