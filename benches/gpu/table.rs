//! The rows as a table of ratios.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

/// A line for each of our steps: its times, against the base products, and PEFT's against it.
pub fn of(rows: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "tokens",
        "weight",
        "dtype",
        "method",
        "r",
        "base ms",
        "eager ms",
        "graph ms",
        "eager ÷ base",
        "graph ÷ base",
        "PEFT ÷ eager",
        "PEFT default ÷ eager",
        "compiled ÷ eager",
        "PEFT ÷ graph",
    ]);
    for ours in rows.iter().filter(|row| is(row, "lowrank", "eager") && row["method"] != "base") {
        let same =
            |row: &&Value| ["tokens", "out", "in", "dtype"].iter().all(|key| row[key] == ours[key]);
        let find = |implementation: &str, mode: &str, method: &Value, rank: &Value| {
            let found = rows.iter().filter(same).find(|row| {
                is(row, implementation, mode) && row["method"] == *method && row["rank"] == *rank
            });
            found.and_then(|row| row["ms"].as_f64())
        };
        let (method, rank) = (&ours["method"], &ours["rank"]);
        let eager = ours["ms"].as_f64();
        let base = find("lowrank", "eager", &"base".into(), &0.into());
        let graph = find("lowrank", "graph", method, rank);
        // LoRA+ and Delta-LoRA have no counterpart of their own; PEFT's LoRA stands for what their layer costs there.
        let peer = if *method == "vera" { "vera" } else { "lora" };
        let theirs = |mode: &str| find("peft", mode, &peer.into(), rank);
        let ms = |value: Option<f64>| value.map_or("-".into(), |ms| format!("{ms:.3}"));
        let ratio = |a: Option<f64>, b: Option<f64>| match a.zip(b) {
            Some((a, b)) => format!("{:.2}", a / b),
            None => "-".into(),
        };
        let text = |value: &Value| value.to_string().trim_matches('"').to_owned();
        table.add_row([
            text(&ours["tokens"]),
            format!("{}x{}", ours["out"], ours["in"]),
            text(&ours["dtype"]),
            text(method),
            text(rank),
            ms(base),
            ms(eager),
            ms(graph),
            ratio(eager, base),
            ratio(graph, base),
            ratio(theirs("eager"), eager),
            ratio(theirs("eager-f32-adapters"), eager),
            ratio(theirs("compile"), eager),
            ratio(theirs("eager"), graph),
        ]);
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn is(row: &Value, implementation: &str, mode: &str) -> bool {
    row["implementation"] == implementation && row["mode"] == mode
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ratios_are_against_the_same_layer() {
        let row = |implementation: &str, mode: &str, method: &str, rank: usize, ms: f64| {
            json!({ "implementation": implementation, "mode": mode, "method": method, "rank": rank, "ms": ms,
                "tokens": 8, "out": 4, "in": 2, "dtype": "bf16" })
        };
        let mut other = row("peft", "eager", "lora", 8, 99.0);
        other["tokens"] = 16.into();
        let rows = [
            row("lowrank", "eager", "base", 0, 2.0),
            row("lowrank", "eager", "lora", 8, 3.0),
            row("lowrank", "graph", "lora", 8, 2.5),
            other,
            row("peft", "eager", "lora", 8, 6.0),
        ];
        let text = of(&rows).to_string();
        let line = text.lines().last().unwrap();
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[6..13], ["2.000", "3.000", "2.500", "1.50", "1.25", "2.00", "-"]);
        assert_eq!(cells[14], "2.40");
    }
}
