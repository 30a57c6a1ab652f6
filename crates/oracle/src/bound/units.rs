//! The units of rounding, and what k roundings come to.

/// What a profile rounds by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units {
    /// u_a, of sums.
    pub accumulate: f64,
    /// u_s, of what is stored.
    pub store: f64,
    /// The largest error of an underflow in a sum.
    pub tiny_accumulate: f64,
    /// The largest error of an underflow in what is stored.
    pub tiny_store: f64,
    /// The format does not hold every input of the case, so each factor of a term is rounded once more.
    pub inputs_round: bool,
    /// Count √k roundings instead of k: what independent errors come to. Reported, never judged by.
    pub square_root: bool,
}

/// How many roundings a term goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Roundings {
    /// k_a.
    pub accumulate: usize,
    /// k_s.
    pub store: usize,
    /// Inputs among its factors, rounded once more where the format does not hold them.
    pub inputs: usize,
}

// ANCHOR: growth
impl Units {
    /// (1 + u_a)^k_a (1 + u_s)^k_s − 1.
    pub fn growth(&self, roundings: Roundings) -> f64 {
        let stored = roundings.store + if self.inputs_round { roundings.inputs } else { 0 };
        let count = |k: usize| if self.square_root { (k as f64).sqrt() } else { k as f64 };
        let exponent = count(roundings.accumulate) * self.accumulate.ln_1p()
            + count(stored) * self.store.ln_1p();
        exponent.exp_m1()
    }

    /// (1 + u_s)^k − 1.
    pub fn stored(&self, k: usize) -> f64 {
        self.growth(Roundings { accumulate: 0, store: k, inputs: 0 })
    }
}
// ANCHOR_END: growth
