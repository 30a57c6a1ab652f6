//! The picture grammar: matrices whose areas are true to the shapes of a real layer, and charts, as plain SVG.
//!
//! | here | what |
//! |---|---|
//! | [`Svg`] | a drawing: rectangles, paths, texts; inside a page, or as a file of its own |
//! | [`Role`], [`Svg::tensor`] | a matrix or vector: frozen, trained, kept for the backward pass, … |
//! | [`Chart`], [`Bars`] | curves with their names beside them; bars with their values |
//! | [`style`] | every colour, on white and on near-black, and the style sheet made of them |
//!
//! A colour is never the only mark: each role has a pattern, each method a dash of its own. The book's page *Notation* says what
//! the marks mean.

mod bars;
mod chart;
mod matrix;
pub mod style;
mod svg;

pub use bars::{Bars, Panel};
pub use chart::{Chart, Line};
pub use matrix::{LEAST, Role, thickness};
pub use svg::{Anchor, Svg, figure};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
