//! A case made ready to judge submissions by.

use ndarray::ArrayD;

use super::expected::expected;
use super::tensor::{Judge, Options};
use crate::case::{Case, Class, Op};
use crate::error::Result;
use crate::mutants::Mutant;
use crate::ops::{Output, Problem};
use crate::tensors::TensorFile;

/// What is computed, what is expected, and how far off it may be.
pub(crate) struct Bench {
    pub op: Op,
    pub class: Class,
    pub problem: Problem,
    /// Each output as it is computed here, and the value that is expected.
    pub expected: Vec<(Output, ArrayD<f64>)>,
    pub judge: Judge,
    /// What is odd about the case.
    pub warnings: Vec<String>,
}

impl Bench {
    /// # Errors
    /// The case is wrong.
    pub fn read(case: &Case, file: &TensorFile, options: Options) -> Result<Self> {
        let problem = Problem::read(case, file)?;
        let mut warnings = Vec::new();
        let expected = expected(case, file, &problem, &mut warnings)?;
        let judge = Judge::new(case, &problem, options)?;
        let class = case.class.unwrap_or_default();
        Ok(Self { op: case.op, class, problem, expected, judge, warnings })
    }

    /// The right results.
    pub fn right(&self) -> Vec<Output> {
        self.expected.iter().map(|(output, _)| output.clone()).collect()
    }

    /// What each mistake gives in the place of the `right` results, where it applies.
    pub fn mistaken<'a>(
        &'a self,
        mutants: impl Iterator<Item = &'static Mutant> + 'a,
        right: &'a [Output],
    ) -> impl Iterator<Item = (&'static Mutant, Vec<Output>)> + 'a {
        mutants.filter_map(|mutant| Some((mutant, mutant.outputs(self.op, &self.problem, right)?)))
    }
}
