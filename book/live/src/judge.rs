//! The oracle: a case and somebody's answer to it, judged.

use anyhow::{Context, Result, bail};
use oracle::{Options, TensorFile};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Experiment;

/// The two files lie one after the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The bytes of the case, which come first.
    pub case_bytes: usize,
}

/// For the verdict.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Is the answer right?
    Verdict,
}

/// What `lowrank check` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The case's id.
    pub case: String,
    /// PASS, FAIL or NOT_RUN.
    pub verdict: String,
    /// The report as text.
    pub report: String,
    /// A line of JSON for each tensor.
    pub tensors: Vec<Value>,
}

/// A case and a submission.
pub struct Judge {
    case: TensorFile,
    submission: TensorFile,
}

impl Experiment for Judge {
    type Settings = Settings;
    type Question = Question;
    type Answer = Answer;

    fn start(Settings { case_bytes }: Settings, file: &[u8]) -> Result<Self> {
        let Some((case, submission)) = file.split_at_checked(case_bytes) else {
            bail!("{} bytes hold no case of {case_bytes}", file.len());
        };
        Ok(Self {
            case: TensorFile::parse(case).context("the case")?,
            submission: TensorFile::parse(submission).context("the answer")?,
        })
    }

    fn ask(&mut self, _: Question) -> Result<Answer> {
        let report = oracle::check(&self.case, Some(&self.submission), Options::default())?;
        Ok(Answer {
            case: report.case.clone(),
            verdict: report.verdict.to_string(),
            report: report.to_string(),
            tensors: oracle::json(&report),
        })
    }
}
