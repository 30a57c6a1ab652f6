//! Numbers of roundings that depend on the sizes of a case.

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

    pub fn times(self, factor: usize) -> Self {
        Self {
            one: self.one * factor,
            inputs: self.inputs * factor,
            outputs: self.outputs * factor,
            rank: self.rank * factor,
            tokens: self.tokens * factor,
            dropout: self.dropout * factor,
            bias: self.bias * factor,
            rate: self.rate * factor,
            beta1: self.beta1 * factor,
            beta2: self.beta2 * factor,
            bias1: self.bias1 * factor,
            bias2: self.bias2 * factor,
        }
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
    pub fn times(self, factor: usize) -> Self {
        row(self.accumulate.times(factor), self.store.times(factor))
    }

    pub fn plus(self, other: Self) -> Self {
        row(self.accumulate.plus(other.accumulate), self.store.plus(other.store))
    }

    pub fn max(self, other: Self) -> Self {
        row(self.accumulate.max(other.accumulate), self.store.max(other.store))
    }
}
