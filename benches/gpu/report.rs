//! The rows of a run as tables.

use std::fmt::Write;

use super::row::{Row, Time};

/// Markdown: what it ran with, the times, what was checked, and how each part ended.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    let sections = [setting(rows), times(rows), products(rows), checks(rows), parts(rows)];
    for section in sections.iter().filter(|section| !section.is_empty()) {
        writeln!(text, "{section}").expect("a string grows");
    }
    text
}

/// A table, or nothing without rows.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    // A bar would begin another cell.
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace('\n', " "));
    let mut text = line(&head.map(str::to_owned));
    text += &format!("|{}\n", "---|".repeat(N));
    for row in rows {
        text += &line(&row.map(|cell| cell.replace('|', "\\|")));
    }
    text
}

fn setting(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    for row in rows {
        match row {
            Row::Run { date, device, .. } => {
                lines.push(["date".to_owned(), date.clone()]);
                lines.push(["device".to_owned(), device.clone()]);
            }
            Row::Versions(versions) => {
                lines.extend(versions.iter().map(|(what, which)| [what.clone(), which.clone()]));
            }
            _ => {}
        }
    }
    table(["", ""], lines)
}

fn all_times(rows: &[Row]) -> Vec<&Time> {
    rows.iter()
        .filter_map(|row| match row {
            Row::Time(time) => Some(time),
            _ => None,
        })
        .collect()
}

/// A line for each of our steps as a graph: against the base products, and PEFT's against it. A graph saves launches whatever it
/// holds, so PEFT's eager step is compared with our eager one too.
fn times(rows: &[Row]) -> String {
    let times = all_times(rows);
    let number = |value: Option<f64>, digits: usize| {
        value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let mut lines = Vec::new();
    for ours in times.iter().filter(|time| time.mode == "graph" && time.rank > 0) {
        let find = |implementation: &str, mode: &str, method: &str| {
            let found = times.iter().find(|time| {
                let key = |time: &Time| (time.tokens, time.out, time.inputs, time.rank);
                (time.implementation.as_str(), time.mode.as_str()) == (implementation, mode)
                    && time.method == method
                    && (key(time), &time.dtype) == (key(ours), &ours.dtype)
            });
            found.map(|time| (time.ms, time.of_base))
        };
        let eager = find("lowrank", "eager", &ours.method);
        // LoRA+, LoRA-FA and Delta-LoRA have no counterpart of their own; PEFT's LoRA stands for what their layer costs there.
        let peer = if ours.method == "vera" { "vera" } else { "lora" };
        let eager_ms = eager.map(|(ms, _)| ms);
        let theirs = |mode: &str, ours: Option<f64>| {
            find("peft", mode, peer).zip(ours).map(|((ms, _), ours)| ms / ours)
        };
        lines.push([
            ours.tokens.to_string(),
            format!("{} x {}", ours.out, ours.inputs),
            ours.dtype.clone(),
            ours.method.clone(),
            ours.rank.to_string(),
            number(eager_ms, 3),
            number(Some(ours.ms), 3),
            number(eager.and_then(|(_, of_base)| of_base), 3),
            number(ours.of_base, 3),
            number(theirs("eager", eager_ms), 2),
            number(theirs("eager", Some(ours.ms)), 2),
            number(theirs("eager-f32-adapters", Some(ours.ms)), 2),
            number(theirs("compile", Some(ours.ms)), 2),
            number(ours.rho, 3),
        ]);
    }
    table(
        [
            "tokens",
            "weight",
            "dtype",
            "method",
            "r",
            "eager ms",
            "graph ms",
            "eager ÷ base",
            "graph ÷ base",
            "PEFT eager ÷ our eager",
            "PEFT eager ÷ our graph",
            "PEFT's default, eager ÷ our graph",
            "PEFT compiled ÷ our graph",
            "largest error ÷ bound",
        ],
        lines,
    )
}

fn products(rows: &[Row]) -> String {
    let times = all_times(rows);
    let products = times.iter().filter(|time| time.mode == "product" || time.method == "base");
    let lines = products.map(|time| {
        let what = if time.method == "base" { "base, " } else { "" };
        let what = if what.is_empty() { time.method.clone() } else { what.to_owned() + &time.mode };
        let weight = format!("{} x {}", time.out, time.inputs);
        [time.tokens.to_string(), weight, time.dtype.clone(), what, format!("{:.4}", time.ms)]
    });
    table(["tokens", "weight", "dtype", "product", "ms"], lines.collect())
}

fn checks(rows: &[Row]) -> String {
    let lines = rows.iter().filter_map(|row| match row {
        Row::Check { check, dtype, passed, seconds, detail } => {
            let verdict = if *passed { "PASS" } else { "FAIL" };
            let seconds = format!("{seconds:.1}");
            Some([check.clone(), dtype.clone(), verdict.into(), seconds, detail.clone()])
        }
        _ => None,
    });
    table(["check", "dtype", "", "s", ""], lines.collect())
}

fn parts(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    // A part's own row comes after those that it wrote.
    let mut planned = None;
    for row in rows {
        match row {
            Row::Plans { cublaslt, cublas, invalid } => {
                let wrong = match invalid {
                    0 => String::new(),
                    _ => format!(", INVALID_VALUE of {invalid}"),
                };
                planned = Some(format!("{cublaslt} + {cublas}{wrong}"));
            }
            Row::Part { part, verdict, seconds, detail } => lines.push([
                part.clone(),
                verdict.to_string(),
                format!("{seconds:.1}"),
                planned.take().unwrap_or("-".into()),
                detail.clone(),
            ]),
            _ => {}
        }
    }
    table(["part", "", "s", "products by cuBLASLt + by cuBLAS", ""], lines)
}
