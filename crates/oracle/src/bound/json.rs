//! `tests/vectors/bounds.json`: the constants of `constants.rs`, for other languages.
//!
//! A file has one gauge for an update where `ops/step` looks at each part of it. So the rows of `update` and `carried`
//! are sums of the constants of those parts, which cover them whatever their share is: somewhat more than the checker
//! allows, and the same verdict on every mutant (`tests/runners.rs`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::constants::{
    ADAMW, DECAY_LAST, DORA, LAYER, LENGTH, MOVE, PROJECTED_GRADIENT, SGD, VERA, layer,
};
use super::count::{Count, NONE, Row, ones, row};
use super::profile::Profile;
use crate::case::Method;

impl Count {
    fn json(&self) -> Value {
        let counts = [
            ("one", self.one),
            ("in", self.inputs),
            ("out", self.outputs),
            ("r", self.rank),
            ("tokens", self.tokens),
            ("dropout", self.dropout),
            ("bias", self.bias),
            ("rate", self.rate),
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("bias1", self.bias1),
            ("bias2", self.bias2),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(|(name, count)| (name.to_owned(), count.into())).collect::<Map<_, _>>().into()
    }
}

impl Row {
    fn json(&self) -> Value {
        let parts = [("u_a", self.accumulate), ("u_s", self.store)];
        let parts = parts.into_iter().filter(|(_, count)| *count != NONE);
        parts.map(|(unit, count)| (unit.to_owned(), count.json())).collect::<Map<_, _>>().into()
    }
}

/// `tests/vectors/bounds.json`: these constants, the units, and what its README needs of both.
pub fn bounds_json() -> String {
    let twice = |row: Row| row.plus(row);
    // A file has one gauge of a merged weight, and W is in it.
    let merged = |method| layer(method, "weight.base").max(layer(method, "weight.low_rank"));
    let mut of_layer: BTreeMap<&str, Row> = LAYER.into_iter().collect();
    let mut of_vera: BTreeMap<&str, Row> = VERA.into_iter().collect();
    for (rows, method) in [(&mut of_layer, Method::Lora), (&mut of_vera, Method::Vera)] {
        rows.retain(|name, _| !name.starts_with("weight"));
        rows.insert("weight.all", merged(method));
    }
    // Twice, since a solution that is off is multiplied by the residual's bound itself.
    let projected = twice(PROJECTED_GRADIENT).plus(layer(Method::Lora, "grad_lora_B.all"));
    of_layer.insert("projected_grad_lora_B.all", projected);

    let rate = Count { rate: 1, ..NONE };
    let sgd = row(NONE, ones(SGD[2]).plus(rate));
    let [of_m, of_v, of_q, _] = ADAMW;
    let exp_avg = row(Count { beta1: 1, ..NONE }, ones(of_m));
    let exp_avg_sq = row(Count { beta2: 2, ..NONE }, ones(of_v));
    // q, m⁺ and a root of v⁺, which leaves half of what v⁺ is off.
    let biases = Count { beta1: 1, beta2: 1, bias1: 1, bias2: 1, ..NONE };
    let adamw = row(biases, ones(of_q + of_m + of_v.div_ceil(2)).plus(rate));
    let hf = adamw.plus(row(NONE, ones(DECAY_LAST).plus(rate)));
    let moved = |p: Row| MOVE[0].max(MOVE[1]).plus(twice(p));
    let gradients = LAYER.iter().chain(&VERA).filter(|(name, _)| name.starts_with("grad_"));
    let gradients = gradients.filter(|(name, _)| name.ends_with(".all"));
    let most = |row: Option<Row>| row.expect("there are gradients");
    let carried = most(gradients.map(|(_, row)| *row).reduce(Row::max));
    let of_dora = dora();
    // A gradient of DoRA has several gauges, whose sum it is that an update has.
    let of_parameters = of_dora.iter().filter(|(name, _)| name.starts_with("grad_lora"));
    let carried_dora = most(of_parameters.map(|(_, row)| *row).reduce(Row::max));

    let adam = |p: Row| {
        json!({
            "p": p.json(), "exp_avg": exp_avg.json(), "exp_avg_sq": exp_avg_sq.json(), "weight": moved(p).json(),
        })
    };
    let rows = |rows: BTreeMap<&str, Row>| -> Value {
        rows.into_iter()
            .map(|(name, row)| (name.to_owned(), row.json()))
            .collect::<Map<_, _>>()
            .into()
    };
    let of_dora = of_dora.iter().map(|(name, row)| (name.as_str(), *row)).collect();
    let profiles = [Profile::F64, Profile::F32, Profile::Tf32, Profile::Bf16, Profile::Fp16];
    let profile = |profile: Profile| {
        let (kept, flushed) = (profile.units(false), profile.units(true));
        let units = json!({
            "u_a": kept.accumulate, "u_s": kept.store,
            "smallest_subnormal": kept.tiny_store, "smallest_normal": flushed.tiny_store,
        });
        (profile.to_string(), units)
    };
    let value = json!({
        "schema": "lowrank-bounds/2",
        "symbols": {
            "one": "1",
            "in": "columns of x, or of lora_A in a step",
            "out": "rows of lora_B, or the length of vera_lambda_b",
            "r": "columns of lora_B, or the length of vera_lambda_d",
            "tokens": "rows of x",
            "dropout": "1 where 0 < dropout_p < 1, else 0",
            "bias": "1 where there is in.bias, else 0",
            "rate": "3 for lora_B in lora-plus, else 1",
            "beta1": "1 / (1 - betas[0])",
            "beta2": "0.5 / (1 - betas[1])",
            "bias1": "(2 t + 1) b / (1 - b) with b = betas[0] to the power t, at update number t",
            "bias2": "half of the same with betas[1]",
        },
        "profiles": profiles.map(profile).into_iter().collect::<Map<_, _>>(),
        "layer": rows(of_layer),
        "vera": rows(of_vera),
        "dora": rows(of_dora),
        "update": {
            "sgd": { "p": sgd.json(), "weight": moved(sgd).json() },
            "adamw": adam(adamw),
            "adamw_hf": adam(hf),
        },
        "carried": {
            "times": { "p": 1, "exp_avg": 1, "exp_avg_sq": 2, "weight": 2 },
            "trajectory": carried.json(),
            "trajectory_dora": carried_dora.json(),
            "projected": twice(PROJECTED_GRADIENT).json(),
        },
    });
    written(&value, 0) + "\n"
}

/// DoRA's rows for whoever does not ask how far a length is off: 1/(1 − θ) is at most 2, and three of them 8.
fn dora() -> BTreeMap<String, Row> {
    let times = |name: &str| if name.ends_with("through") { 8 } else { 2 };
    let own = DORA.iter().map(|(name, row)| ((*name).to_owned(), row.times(times(name))));
    let outputs = DORA.iter().filter_map(|(name, _)| name.split('.').next());
    let lengths = outputs.map(|name| (format!("{name}.norm"), LENGTH.times(2)));
    own.chain(lengths).collect()
}

/// Indented, a row of numbers on one line.
fn written(value: &Value, depth: usize) -> String {
    let Value::Object(object) = value else { return value.to_string() };
    let flat = |value: &Value| match value {
        Value::Object(inner) => inner.values().all(|value| !value.is_object()),
        _ => true,
    };
    let item = |(key, value): (&String, &Value)| format!("{key:?}: {}", written(value, depth + 1));
    let items: Vec<String> = object.iter().map(item).collect();
    if depth > 1 && object.values().all(flat) {
        return format!("{{ {} }}", items.join(", "));
    }
    let indent = "  ".repeat(depth);
    let items: Vec<String> = items.iter().map(|item| format!("{indent}  {item}")).collect();
    format!("{{\n{}\n{indent}}}", items.join(",\n"))
}
