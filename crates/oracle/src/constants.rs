//! How many roundings each output allows: the one place where these numbers stand. `ops/` proves them and computes with
//! them; `tests/vectors/bounds.json` has them for other languages ([`bounds_json`]).
//!
//! A file has one gauge for an update where `ops/step.rs` looks at each part of it. So the rows of `update` and `carried`
//! are sums of the constants of those parts, which cover them whatever their share is: somewhat more than the checker
//! allows, and the same verdict on every mutant (`tests/runners.rs`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bound::Profile;

/// A number of roundings that depends on the case.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    pub one: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub rank: usize,
    pub tokens: usize,
    /// Where there is a mask.
    pub dropout: usize,
    /// Where there is a bias.
    pub bias: usize,
    /// L: the roundings of a learning rate, 1, and 3 for B in LoRA+.
    pub rate: usize,
    /// 1/(1 − β₁): what a unit of β₁ is in 1 − β₁.
    pub beta1: usize,
    /// Half of 1/(1 − β₂), what a root leaves.
    pub beta2: usize,
    /// What a unit is in 1 − β₁ᵗ, and half of what it is in 1 − β₂ᵗ.
    pub bias1: usize,
    pub bias2: usize,
}

const NONE: Count = Count {
    one: 0,
    inputs: 0,
    outputs: 0,
    rank: 0,
    tokens: 0,
    dropout: 0,
    bias: 0,
    rate: 0,
    beta1: 0,
    beta2: 0,
    bias1: 0,
    bias2: 0,
};

const fn ones(one: usize) -> Count {
    Count { one, ..NONE }
}

/// With a mask.
const fn masked(one: usize) -> Count {
    Count { one, dropout: MASK, ..NONE }
}

/// Of the accumulator, and of what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub accumulate: Count,
    pub store: Count,
}

const fn row(accumulate: Count, store: Count) -> Row {
    Row { accumulate, store }
}

/// What a case has for the symbols, but for those of AdamW and LoRA+.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub inputs: usize,
    pub outputs: usize,
    pub rank: usize,
    pub tokens: usize,
    pub bias: bool,
}

impl Count {
    /// In this layer, without its mask.
    pub fn of(&self, sizes: Sizes) -> usize {
        self.one
            + self.inputs * sizes.inputs
            + self.outputs * sizes.outputs
            + self.rank * sizes.rank
            + self.tokens * sizes.tokens
            + self.bias * usize::from(sizes.bias)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            one: self.one + other.one,
            inputs: self.inputs + other.inputs,
            outputs: self.outputs + other.outputs,
            rank: self.rank + other.rank,
            tokens: self.tokens + other.tokens,
            dropout: self.dropout + other.dropout,
            bias: self.bias + other.bias,
            rate: self.rate + other.rate,
            beta1: self.beta1 + other.beta1,
            beta2: self.beta2 + other.beta2,
            bias1: self.bias1 + other.bias1,
            bias2: self.bias2 + other.bias2,
        }
    }

    /// At least as large as both.
    fn max(self, other: Self) -> Self {
        Self {
            one: self.one.max(other.one),
            inputs: self.inputs.max(other.inputs),
            outputs: self.outputs.max(other.outputs),
            rank: self.rank.max(other.rank),
            tokens: self.tokens.max(other.tokens),
            dropout: self.dropout.max(other.dropout),
            bias: self.bias.max(other.bias),
            rate: self.rate.max(other.rate),
            beta1: self.beta1.max(other.beta1),
            beta2: self.beta2.max(other.beta2),
            bias1: self.bias1.max(other.bias1),
            bias2: self.bias2.max(other.bias2),
        }
    }

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
    fn plus(self, other: Self) -> Self {
        row(self.accumulate.plus(other.accumulate), self.store.plus(other.store))
    }

    fn max(self, other: Self) -> Self {
        row(self.accumulate.max(other.accumulate), self.store.max(other.store))
    }

    fn json(&self) -> Value {
        let parts = [("u_a", self.accumulate), ("u_s", self.store)];
        let parts = parts.into_iter().filter(|(_, count)| *count != NONE);
        parts.map(|(unit, count)| (unit.to_owned(), count.json())).collect::<Map<_, _>>().into()
    }
}

/// 1 − p, and the product with x.
pub(crate) const MASK: usize = 2;

const N_R: Count = Count { inputs: 1, rank: 1, ..NONE };
const N2_R: Count = Count { inputs: 2, rank: 1, ..NONE };
const M_R: Count = Count { outputs: 1, rank: 1, ..NONE };
const M2_R: Count = Count { outputs: 2, rank: 1, ..NONE };
const M_B: Count = Count { outputs: 1, tokens: 1, ..NONE };
const N_B: Count = Count { inputs: 1, tokens: 1, ..NONE };
const N_R_B: Count = Count { inputs: 1, rank: 1, tokens: 1, ..NONE };
const N_M_B: Count = Count { inputs: 1, outputs: 1, tokens: 1, ..NONE };
const R: Count = Count { rank: 1, ..NONE };

// ANCHOR: layer
/// Passes and merges, by output and term. `ops/pass.rs` and `ops/merge.rs` say which roundings these are.
const LAYER: [(&str, Row); 8] = [
    ("y.base", row(N_R, ones(3))),
    ("y.low_rank", row(N2_R, Count { bias: 1, ..masked(7) })),
    ("grad_x.base", row(M_R, ones(3))),
    ("grad_x.low_rank", row(M2_R, masked(7))),
    ("grad_lora_A.all", row(M_B, masked(6))),
    ("grad_lora_B.all", row(N_B, masked(6))),
    ("weight.base", row(R, ones(1))),
    ("weight.low_rank", row(R, ones(6))),
];

/// Where VeRA, which has no s, differs.
const VERA: [(&str, Row); 5] = [
    ("y.low_rank", row(N2_R, Count { bias: 1, ..masked(5) })),
    ("grad_x.low_rank", row(M2_R, masked(5))),
    ("grad_vera_lambda_b.all", row(N_R_B, masked(5))),
    ("grad_vera_lambda_d.all", row(N_M_B, masked(5))),
    ("weight.low_rank", row(R, ones(4))),
];
// ANCHOR_END: layer

/// LoRA-FA's linear system, of s² |ĝ| d dᵀ: see `ops/projection.rs`.
pub(crate) const PROJECTION: Row = row(Count { inputs: 1, rank: 3, ..ones(4) }, ones(11));

/// SGD: of p (with decay or without), of η λ p, of η g; each of the last two and L.
pub(crate) const SGD: [usize; 4] = [1, 3, 5, 3];
/// AdamW: of m⁺, of v⁺, of q and of p, each of the last two and L.
pub(crate) const ADAMW: [usize; 4] = [4, 5, 10, 5];
/// What hf's decay, which comes last, adds to q, beside L.
pub(crate) const DECAY_LAST: usize = 4;
/// Delta-LoRA's W and its move.
pub(crate) const MOVE: [Row; 2] =
    [row(Count { rank: 2, ..NONE }, ones(2)), row(Count { rank: 2, ..NONE }, ones(10))];

/// The roundings of an output's term.
pub(crate) fn layer(vera: bool, term: &str) -> Row {
    let own: &[(&str, Row)] = if vera { &VERA } else { &[] };
    let found = own.iter().chain(&LAYER).find(|(name, _)| *name == term);
    found.map(|(_, row)| *row).expect("every term of an output has a row")
}

/// `tests/vectors/bounds.json`: these constants, the units, and what its README needs of both.
pub fn bounds_json() -> String {
    let twice = |row: Row| row.plus(row);
    // A file has one gauge of a merged weight, and W is in it.
    let merged = |vera| layer(vera, "weight.base").max(layer(vera, "weight.low_rank"));
    let mut of_layer: BTreeMap<&str, Row> = LAYER.into_iter().collect();
    let mut of_vera: BTreeMap<&str, Row> = VERA.into_iter().collect();
    for (rows, vera) in [(&mut of_layer, false), (&mut of_vera, true)] {
        rows.retain(|name, _| !name.starts_with("weight"));
        rows.insert("weight.all", merged(vera));
    }
    // Twice, since a solution that is off is multiplied by the residual's bound itself.
    let projected = twice(PROJECTION).plus(layer(false, "grad_lora_B.all"));
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
    let carried = gradients.map(|(_, row)| *row).reduce(Row::max).expect("there are gradients");

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
        "update": {
            "sgd": { "p": sgd.json(), "weight": moved(sgd).json() },
            "adamw": adam(adamw),
            "adamw_hf": adam(hf),
        },
        "carried": {
            "times": { "p": 1, "exp_avg": 1, "exp_avg_sq": 2, "weight": 2 },
            "trajectory": carried.json(),
            "projected": twice(PROJECTION).json(),
        },
    });
    written(&value, 0) + "\n"
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
