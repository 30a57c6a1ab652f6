//! The book's chapters and the README, so that `cargo test` runs their code, and what of `regen` is tested by itself.

pub mod compare;
pub mod costs;
pub mod figure;
pub mod numbers;
pub mod parallel;

pub use compare::Page;

/// One item for each page: its fences become doctests.
macro_rules! chapters {
    ($($name:ident = $file:literal;)*) => {
        $(#[cfg(doctest)] #[doc = include_str!($file)] struct $name;)*
    };
}

chapters! {
    Readme = "../README.md";
    Introduction = "src/introduction.md";
    Notation = "src/notation.md";
    Why = "src/why.md";
    Matrices = "src/matrices.md";
    Rank = "src/rank.md";
    Svd = "src/svd.md";
    Linear = "src/linear.md";
    Lora = "src/lora.md";
    LoraFa = "src/lora-fa.md";
    Vera = "src/vera.md";
    DeltaLora = "src/delta-lora.md";
    LoraPlus = "src/lora-plus.md";
    Dora = "src/dora.md";
    SideBySide = "src/side-by-side.md";
    Story = "src/story.md";
    Practice = "src/practice.md";
    Wrong = "src/wrong.md";
    Claims = "src/claims.md";
    Quantised = "src/quantised.md";
    Gpu = "src/gpu.md";
    Judge = "src/judge.md";
    Differs = "src/differs.md";
    Bounds = "src/bounds.md";
    Kills = "src/kills.md";
    Adapters = "src/adapters.md";
    Kernels = "src/kernels.md";
    Solutions = "src/solutions.md";
    Glossary = "src/glossary.md";
    Bibliography = "src/bibliography.md";
}
