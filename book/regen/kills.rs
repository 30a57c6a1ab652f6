//! How near is near enough: what the bound allows as a layer grows, and which mistakes it and the usual tolerances fail.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ndarray::Array2;
use oracle::selftest::{Contrast, RULES, Settings, contrast, rows, selftest};
use oracle::{Mutant, Options, Tensor, TensorFile, check, emit, mutants};

use crate::Page;

pub fn pages() -> Result<Vec<Page>> {
    let contrasts = contrast()?;
    Ok(vec![
        Page::rounded("kills-rho.md", sizes()?),
        Page::exact("kills-contrast.md", tolerances(&contrasts)),
        Page::exact("kills-missed.md", missed(&contrasts[0])),
        Page::exact("kills.md", matrix()?),
    ])
}

/// The matrix by mutants: how many cases each changes, and how many fail it.
fn matrix() -> Result<String> {
    let settings = Settings {
        vectors: Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors"),
        generator: None,
        no_generator: true,
        methods: Vec::new(),
        ops: Vec::new(),
    };
    let test = selftest(&settings, &|_, _| {})?;
    if !test.passed() {
        bail!("the self-test fails: run `lowrank selftest`");
    }
    let mut table =
        String::from("| mistake | seen in | cases | f32 | bf16 |\n|---|---|--:|--:|--:|\n");
    for row in rows(&test.matrix) {
        let Mutant { what, seen, honest_in_bf16, .. } = row.mutant;
        let bf16 = if *honest_in_bf16 { "honest".into() } else { row.killed[1].to_string() };
        writeln!(table, "| {what} | {seen} | {} | {} | {bf16} |", row.changed, row.killed[0])?;
    }
    Ok(table)
}

/// On ordinary layers: which share of the mutants each rule fails, and of the right results.
fn tolerances([f32, bf16]: &[Contrast; 2]) -> String {
    let mut table = format!(
        "| rule | f32: mistakes failed, of {} | right ones failed, of {} | bf16: mistakes failed, of {} | right ones failed, of {} |\n|---|--:|--:|--:|--:|\n",
        f32.mutants, f32.honest, bf16.mutants, bf16.honest
    );
    let names = ["the bound"].into_iter().chain(RULES.map(|(name, _)| name));
    for (rule, name) in names.enumerate() {
        let cells = [f32, bf16]
            .map(|contrast| format!("{} | {}", contrast.killed(rule), contrast.refused[rule]));
        table += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    table
}

/// What `allclose` with 1e-3 lets pass in f32.
fn missed(f32: &Contrast) -> String {
    let what =
        |name: &&str| mutants().find(|mutant| mutant.name == *name).map(|mutant| mutant.what);
    let lines = f32.missed[1].iter().filter_map(what).map(|what| format!("- {what}\n"));
    lines.collect()
}

/// y in f32, summed from the left, for ever wider layers: ρ, and ρ with √k.
fn sizes() -> Result<String> {
    let mut table = String::from("| in | ρ | ρ with √k |\n|--:|--:|--:|\n");
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
        writeln!(table, "| {inputs} | {:.5} | {:.4} |", finding.rho, finding.rho_sqrt)?;
    }
    Ok(table)
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
