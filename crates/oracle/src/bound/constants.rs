//! How many roundings each output allows: the one place where these numbers stand. `ops/` proves them and computes with
//! them; `tests/vectors/bounds.json` has them for other languages ([`bounds_json`](crate::bounds_json)).

use crate::case::Method;

use super::count::{Count, NONE, Row, ones, row};

/// 1 − p, and the product with x.
pub(crate) const MASK: usize = 2;

/// With a mask.
const fn masked(one: usize) -> Count {
    Count { one, dropout: MASK, ..NONE }
}

const N_R: Count = Count { inputs: 1, rank: 1, ..NONE };
const N2_R: Count = Count { inputs: 2, rank: 1, ..NONE };
const M_R: Count = Count { outputs: 1, rank: 1, ..NONE };
const M2_R: Count = Count { outputs: 2, rank: 1, ..NONE };
const M_B: Count = Count { outputs: 1, tokens: 1, ..NONE };
const N_B: Count = Count { inputs: 1, tokens: 1, ..NONE };
const N_R_B: Count = Count { inputs: 1, rank: 1, tokens: 1, ..NONE };
const N_M_B: Count = Count { inputs: 1, outputs: 1, tokens: 1, ..NONE };
const R: Count = Count { rank: 1, ..NONE };
const N2_R_B: Count = Count { inputs: 2, rank: 1, tokens: 1, ..NONE };
const N3_M_R2_B: Count = Count { inputs: 3, outputs: 1, rank: 2, tokens: 1, ..NONE };

// ANCHOR: layer
/// Passes and merges, by output and term. `ops/forward_backward.rs` and `ops/merge.rs` say which roundings these are.
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

// ANCHOR: dora
/// DoRA's own: `ops/dora/mod.rs`. `norm` is [`LENGTH`], whatever the output.
pub(crate) const DORA: [(&str, Row); 10] = [
    ("y.base", row(N_R, Count { bias: 1, ..masked(8) })),
    ("y.low_rank", row(N2_R, Count { bias: 1, ..masked(10) })),
    ("grad_x.base", row(M_R, masked(7))),
    ("grad_x.low_rank", row(M2_R, masked(10))),
    ("grad_lora_A.all", row(M_B, masked(8))),
    ("grad_lora_B.all", row(N_B, masked(8))),
    ("grad_lora_magnitude_vector.all", row(N2_R_B, Count { bias: 2, ..masked(10) })),
    ("weight.all", row(R, ones(10))),
    ("grad_lora_A.through", row(N3_M_R2_B, Count { bias: 2, ..masked(26) })),
    ("grad_lora_B.through", row(N3_M_R2_B, Count { bias: 2, ..masked(26) })),
];
/// The length of a row of W + s B A.
pub(crate) const LENGTH: Row = row(N_R, ones(8));
// ANCHOR_END: dora

/// LoRA-FA's linear system, of s² |ĝ| d dᵀ: see `ops/projected_gradient.rs`.
pub(crate) const PROJECTED_GRADIENT: Row = row(Count { inputs: 1, rank: 3, ..ones(4) }, ones(11));

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
pub(crate) fn layer(method: Method, term: &str) -> Row {
    let own: &[(&str, Row)] = match method {
        Method::Vera => &VERA,
        Method::Dora => &DORA,
        _ => &[],
    };
    let found = own.iter().chain(&LAYER).find(|(name, _)| *name == term);
    found.map(|(_, row)| *row).expect("every term of an output has a row")
}
