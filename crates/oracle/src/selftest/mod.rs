//! The oracle proves itself: the cases are regenerated, recomputed, and every mutant must fail.
//!
//! | part | what must hold |
//! |---|---|
//! | digests | every file is the one that `index.json` lists, and every one listed is there |
//! | exact arithmetic | the second generator, in Python, makes the same bytes again |
//! | reference | the crates agree with every case within the bound of `f64`, and refuse what must be refused |
//! | honest | the right results, rounded once to f32 and to bf16, pass |
//! | mutants | each mistake, in each method it applies to, fails at least one case in f32 and one in bf16, however it rounds |
//! | diagnosis | whole submissions with a mistake are called by its name, and no other one by any |

mod by_mutant;
mod case;
mod confusion;
mod contrast;
mod generator;
mod jobs;
mod matrix;
mod ordinary;
mod precisions;
mod run;
mod settings;
mod submission;

pub use by_mutant::{MutantRow, Survivor, rows, survivors};
pub use confusion::{Called, Confusion, FAULTS, Fault, IN_RULES, Made, PAIRS};
pub use contrast::{Contrast, contrast};
pub use matrix::{CaseRow, Cell, Kill, RULES};
pub use precisions::PRECISIONS;
pub use run::selftest;
pub use settings::{Outcome, SelfTest, Settings};
pub use submission::submission;
