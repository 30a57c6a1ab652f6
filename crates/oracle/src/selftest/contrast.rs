//! For contrast: the mutants on ordinary layers, judged by the bound and by the usual tolerances.

use std::collections::BTreeMap;

use super::jobs::run;
use super::matrix::{CaseRow, Kill, honest_row, row};
use super::ordinary::{backward, layer};
use crate::case::{Case, Method, Op};
use crate::emit::emit;
use crate::error::{Error, Result};

/// What each rule says, over all mutants that change one of the layers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contrast {
    /// Mutants that change a layer.
    pub mutants: usize,
    /// Those that pass, by the bound and then by each of the [`RULES`](super::RULES).
    pub missed: [Vec<&'static str>; 4],
    /// Tests of right results: rounded once, and a backward pass of LoRA that rounds every result.
    pub honest: usize,
    /// How many of them fail.
    pub refused: [usize; 4],
}

/// The contrast in each of the [`PRECISIONS`](super::PRECISIONS).
///
/// # Errors
/// None that is known: the layers are made here.
pub fn contrast() -> Result<[Contrast; 2]> {
    let ops = [Op::Forward, Op::Backward, Op::Merge, Op::Unmerge, Op::Step];
    let layers: Vec<(Method, Op)> =
        Method::ALL.iter().flat_map(|method| ops.map(|op| (*method, op))).collect();
    let unmerged = |(method, op): &(Method, Op)| *method != Method::Dora || *op != Op::Unmerge;
    let layers: Vec<_> = layers.into_iter().filter(unmerged).collect();
    let rows = run(&layers, &|_, _| {}, |(method, op)| {
        let file = emit(&layer(*method, *op))?;
        let case = Case::of(&file)?;
        let mut rows = vec![row(&case, &file)?];
        if *op == Op::Backward
            && matches!(method, Method::Lora | Method::DeltaLora | Method::LoraPlus)
        {
            // The same test with another right answer; what mutants do was asked already.
            let honest = honest_row(&case, &file, backward)?;
            rows.push(CaseRow { honest, cells: Vec::new(), ..rows[0].clone() });
        }
        Ok::<_, Error>(rows)
    });
    let rows: Vec<CaseRow> = rows.into_iter().collect::<Result<Vec<_>>>()?.concat();
    Ok([0, 1].map(|precision| count(&rows, precision)))
}

fn count(rows: &[CaseRow], precision: usize) -> Contrast {
    let all = |kill: &Kill| [kill.killed, kill.rules[0], kill.rules[1], kill.rules[2]];
    let mut killed = BTreeMap::<&'static str, [bool; 4]>::new();
    let mut contrast = Contrast { honest: rows.len(), ..Contrast::default() };
    for row in rows {
        for (count, refused) in contrast.refused.iter_mut().zip(all(&row.honest[precision])) {
            *count += usize::from(refused);
        }
        for cell in &row.cells {
            // What is honest in bf16 is no mistake there.
            if precision == 1 && cell.mutant.honest_in_bf16 {
                continue;
            }
            let entry = killed.entry(cell.mutant.name).or_default();
            for (entry, killed) in entry.iter_mut().zip(all(&cell.kills[precision])) {
                *entry |= killed;
            }
        }
    }
    contrast.mutants = killed.len();
    for (name, entry) in killed {
        for (missed, _) in contrast.missed.iter_mut().zip(entry).filter(|(_, killed)| !killed) {
            missed.push(name);
        }
    }
    contrast
}

impl Contrast {
    /// How many mutants fail by this rule.
    pub fn killed(&self, rule: usize) -> usize {
        self.mutants - self.missed[rule].len()
    }
}
