//! The book's chapters, so that `cargo test` runs their code.

#[cfg(doctest)]
#[doc = include_str!("src/introduction.md")]
struct Introduction;
