//! How many roundings each output allows: the one place where these numbers stand. `ops/` proves them and computes with
//! them; `tests/vectors/bounds.json` has them for other languages ([`bounds_json`](crate::bounds_json)).

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

pub(crate) const NONE: Count = Count {
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

pub(crate) const fn ones(one: usize) -> Count {
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

pub(crate) const fn row(accumulate: Count, store: Count) -> Row {
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

    pub fn plus(self, other: Self) -> Self {
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
    pub fn max(self, other: Self) -> Self {
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
}

impl Row {
    pub fn plus(self, other: Self) -> Self {
        row(self.accumulate.plus(other.accumulate), self.store.plus(other.store))
    }

    pub fn max(self, other: Self) -> Self {
        row(self.accumulate.max(other.accumulate), self.store.max(other.store))
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
pub(crate) const LAYER: [(&str, Row); 8] = [
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
pub(crate) const VERA: [(&str, Row); 5] = [
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
