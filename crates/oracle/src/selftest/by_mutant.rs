//! The kill matrix by mutants: how many cases fail each, and which live.

use std::collections::BTreeMap;
use std::fmt;

use super::matrix::CaseRow;
use super::precisions::PRECISIONS;
use crate::bound::Profile;
use crate::case::Method;
use crate::mutants::{Mutant, mutants};

/// One mutant on all cases.
#[derive(Clone, Debug)]
pub struct MutantRow {
    /// The mutant.
    pub mutant: &'static Mutant,
    /// How many cases it changes.
    pub changed: usize,
    /// How many of them kill it, in each precision.
    pub killed: [usize; 2],
    /// How many kill it however it rounds.
    pub certain: [usize; 2],
    /// How many each of the [`RULES`](super::RULES) would, in each precision.
    pub rules: [[usize; 3]; 2],
}

/// A mutant that lives.
#[derive(Clone, Copy, Debug)]
pub struct Survivor {
    /// The mutant.
    pub mutant: &'static Mutant,
    /// In which method.
    pub method: Method,
    /// In which precision; `None` where no case even changes.
    pub precision: Option<Profile>,
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, method) = (self.mutant.name, self.method);
        match self.precision {
            Some(precision) => {
                write!(f, "{name} in {method} can pass every case in {precision}")
            }
            None => write!(f, "{name} in {method} changes no case"),
        }
    }
}

/// The matrix by mutants, in the order of the catalogue.
pub fn rows(matrix: &[CaseRow]) -> Vec<MutantRow> {
    let empty = |mutant| MutantRow {
        mutant,
        changed: 0,
        killed: [0; 2],
        certain: [0; 2],
        rules: [[0; 3]; 2],
    };
    let mut rows: Vec<MutantRow> = mutants().map(empty).collect();
    for cell in matrix.iter().flat_map(|row| &row.cells) {
        let Some(row) = rows.iter_mut().find(|row| row.mutant.name == cell.mutant.name) else {
            continue;
        };
        row.changed += 1;
        for (precision, kill) in cell.kills.iter().enumerate() {
            row.killed[precision] += usize::from(kill.killed);
            row.certain[precision] += usize::from(kill.certain);
            for (count, killed) in row.rules[precision].iter_mut().zip(kill.rules) {
                *count += usize::from(killed);
            }
        }
    }
    rows
}

/// Every mutant that lives in a method: that, rounding as it may, no case is sure to fail. With `everything`, one that changes no case of a method that it applies to, too.
pub fn survivors(matrix: &[CaseRow], everything: bool) -> Vec<Survivor> {
    let mut killed = BTreeMap::<(&str, Method), [bool; 2]>::new();
    for row in matrix {
        for cell in &row.cells {
            let entry = killed.entry((cell.mutant.name, row.method)).or_default();
            for (entry, kill) in entry.iter_mut().zip(cell.kills) {
                *entry |= kill.killed && kill.certain;
            }
        }
    }
    let mut survivors = Vec::new();
    for mutant in mutants() {
        for &method in mutant.methods {
            let Some(killed) = killed.get(&(mutant.name, method)) else {
                if everything {
                    survivors.push(Survivor { mutant, method, precision: None });
                }
                continue;
            };
            for (precision, killed) in PRECISIONS.into_iter().zip(killed) {
                let honest = mutant.honest_in_bf16 && precision == Profile::Bf16;
                if !killed && !honest {
                    survivors.push(Survivor { mutant, method, precision: Some(precision) });
                }
            }
        }
    }
    survivors
}
