//! Mistakes that were made, or could be: the catalogue of mutants. Each is a change of the problem that is computed, or of
//! what is made of right results.
//!
//! Two use it. [`diagnosis`](crate::diagnosis) computes a case that failed once more with each of them, and names the one
//! that gives the submission's numbers. [`selftest`](crate::selftest) submits each of them, and every one must fail.
//!
//! Left out, since the contract has no such layers: convolutions (candle-lora's untransposed delta is
//! `delta-not-transposed`, on a weight stored \[in, out\]) and embeddings (PEFT #3499, a group that stays empty, is
//! `ratio-missing`; LoRA-FA on embedding targets is `never-trains`).

mod adamw;
mod change;
mod dora;
mod dropout;
mod gradients;
mod init;
mod moves;
mod mutant;
mod projected_gradient;
mod scale;
mod trajectory;
mod transposed;
mod update;
mod vera;

use mutant::Change;
pub use mutant::Mutant;

use crate::case::{Method, Op};

/// All of them, in the order in which they are listed.
pub fn mutants() -> impl Iterator<Item = &'static Mutant> {
    let groups = [
        scale::MUTANTS,
        dropout::MUTANTS,
        transposed::MUTANTS,
        vera::MUTANTS,
        dora::MUTANTS,
        moves::MUTANTS,
        projected_gradient::MUTANTS,
        update::MUTANTS,
        adamw::MUTANTS,
        trajectory::MUTANTS,
        gradients::MUTANTS,
        init::MUTANTS,
        REFUSALS,
    ];
    groups.into_iter().flatten()
}

/// The mistake of whoever gives numbers where these must be refused.
pub(crate) fn careless(method: Method, op: Op) -> Option<&'static Mutant> {
    mutants().find(|mutant| mutant.ignores_errors_of(method, op))
}

const REFUSALS: &[Mutant] =
    &[Mutant::new("no-refusal", "numbers where the input must be refused", Change::NoRefusal)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_kebab_case() {
        let mut names: Vec<_> = mutants().map(|mutant| mutant.name).collect();
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        assert!(names.iter().all(|name| name.bytes().all(plain)), "{names:?}");
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.len() >= 40, "{}", names.len());
    }
}
