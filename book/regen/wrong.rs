//! The mistakes that were seen in the wild, by what one notices first. What they are and where they were seen is the
//! oracle's catalogue.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use oracle::mutants;

use book::Page;

/// Mistakes by their names in the catalogue, and how each is told from the others.
type Symptom = (&'static str, &'static [(&'static str, &'static str)]);

const SYMPTOMS: [Symptom; 6] = [
    (
        "wrong-nothing.md",
        &[
            (
                "b-frozen-at-zero",
                "In VeRA $A$ *and* $B$ are random, and $\\lambda_b$ starts at zero. Is any entry of $B$ other than zero?",
            ),
            (
                "never-trains",
                "Compare the parameter before and after a step, not only its gradient. LoRA on an embedding starts with $A = 0$; frozen, it stays there.",
            ),
        ],
    ),
    (
        "wrong-strong.md",
        &[
            (
                "alpha-for-scale",
                "With $r = 1$ nothing differs. Take $\\alpha = 16$, $r = 8$: the adapter must count twice, not 16 times.",
            ),
            (
                "init-wrong-fan",
                "The variance of a fresh $A$ must be $1/(3 \\cdot \\mathrm{in})$. From the wrong axis it is $1/(3r)$.",
            ),
            ("alpha-in-vera", "VeRA has no α. With $r = 8$ nothing differs; take $r = 16$."),
            (
                "lambda-b-missing",
                "A fresh VeRA adapter must change nothing. Without $\\lambda_b = 0$ it adds noise from the first token on.",
            ),
            (
                "base-scaled",
                "A fresh adapter must change nothing. Here $y$ is $s$ times the frozen layer's. With $\\alpha = r$ nothing differs.",
            ),
        ],
    ),
    (
        "wrong-weak.md",
        &[
            (
                "rslora-ignored",
                "Take $\\alpha = r = 16$: with rank stabilisation $s$ is 4, without it 1. With $r = 1$ nothing differs.",
            ),
            (
                "decay-missing",
                "Give a gradient of zero. One step must leave $p\\,(1 - \\eta \\lambda)$, with the decay $\\lambda$.",
            ),
            (
                "projection-global-scale",
                "Give two layers different $\\alpha/r$. LoRA-FA's $\\hat g$ of each must have its own $1/s^2$.",
            ),
            (
                "projection-in-bf16",
                "In f32 the first moment must be right to $10^{-6}$. Errors of $10^{-3}$ are bf16.",
            ),
            ("move-late", "Delta-LoRA with $K = 0$: $W$ must have moved after the first step."),
            (
                "move-off-at-zero",
                "The same test, and $K = 1$ beside it: here $W$ moves with $K = 1$ and never with $K = 0$.",
            ),
            (
                "move-of-differences",
                "After any number of steps $W_T - W_0$ must be $\\lambda s\\,(B_T A_T - B_K A_K)$.",
            ),
        ],
    ),
    (
        "wrong-merge.md",
        &[
            ("merged-twice", "Merge twice: the second must be refused, or change nothing."),
            (
                "merged-and-added",
                "After merging, the layer must give what it gave before. Here $\\Delta W$ counts twice.",
            ),
            (
                "delta-not-transposed",
                "Take a weight that is not square: it fails loudly. On a square one compare $W' - W$ with $s B A$, entry by entry.",
            ),
            (
                "unmerge-not-transposed",
                "Merge, unmerge, compare with $W$, on a square weight stored [in, out].",
            ),
            (
                "merge-in-bf16",
                "Merge in f32 and compare. `lowrank merge` prints how much of $\\Delta W$ the rounding lost.",
            ),
            (
                "merge-in-bf16-twice",
                "As above; the loss is larger again. Add in f32 and round once.",
            ),
        ],
    ),
    (
        "wrong-dropout.md",
        &[
            (
                "dropout-always",
                "Run the same input twice while evaluating: the two must have the same bits.",
            ),
            (
                "dropout-on-output",
                "Give a mask of your own. It has the shape of $x$, [tokens, in]; one of shape [tokens, out] is on the wrong side.",
            ),
        ],
    ),
    (
        "wrong-dora.md",
        &[
            (
                "norm-of-w",
                "Take $B \\ne 0$ and compare $y$. With $B = 0$, as at the start, nothing differs.",
            ),
            (
                "norm-of-columns",
                "Take a weight that is not square: $m$ must have `out` entries, the lengths of the rows of $W$ stored [out, in].",
            ),
            (
                "magnitude-along-columns",
                "Merge a square weight with $m$ = (1, 2, …): row $i$ of the result must have length $m_i$.",
            ),
            (
                "magnitude-missing",
                "Merge with every $m_i = 1$: each row of the result must have length 1.",
            ),
            (
                "base-term-undropped",
                "Give a mask of zeros, whose adapter sees nothing: $y$ must be the frozen layer's.",
            ),
            ("magnitude-gradient-scaled", "Double $m$: $\\partial L/\\partial m$ must not change."),
        ],
    ),
];

pub fn pages() -> Result<Vec<Page>> {
    let told = || SYMPTOMS.iter().flat_map(|(_, mistakes)| *mistakes).map(|(name, _)| *name);
    if let Some(left_out) =
        mutants().find(|m| !m.seen.is_empty() && !told().any(|name| name == m.name))
    {
        bail!("book/regen/wrong.rs does not say how {} is noticed", left_out.name);
    }
    SYMPTOMS.iter().map(|(page, mistakes)| Ok(Page::exact(page, table(mistakes)?))).collect()
}

fn table(mistakes: &[(&str, &str)]) -> Result<String> {
    let mut table = String::from("| mistake | seen in | how to tell |\n|---|---|---|\n");
    for (name, tell) in mistakes {
        let mistake = mutants().find(|mutant| mutant.name == *name);
        let mistake = mistake.with_context(|| format!("the catalogue has no {name}"))?;
        writeln!(table, "| {} | {} | {tell} |", mistake.what, mistake.seen)?;
    }
    Ok(table)
}
