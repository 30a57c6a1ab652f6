//! What the papers of the five methods claim, and what comes out when it is computed.
//!
//! Only claims that arithmetic, algebra or a small experiment can settle: parameter counts, bytes, identities, ranks,
//! exponents. Scores of trained language models are not among them.
//!
//! - `lora.rs`, `vera.rs`, `lora_fa.rs`, `delta_lora.rs`, `lora_plus.rs`, `lora_analysis.rs`: the claims, by paper.
//! - `finding.rs`: when a printed number and a computed one agree.
//! - `targets.rs`: parameters counted on real adapters. `problem.rs`: a layer to train.
//!
//! ```
//! let claims = claims::all()?;
//! let gpt3 = &claims[3 - 1];
//! assert_eq!(gpt3.findings[0].printed, Some("18.8M"));
//! assert_eq!(gpt3.findings[0].values, [18_874_368.0]);
//! # Ok::<(), adapter::Error>(())
//! ```

mod delta_lora;
mod finding;
mod lora;
mod lora_analysis;
mod lora_fa;
mod lora_plus;
mod problem;
mod targets;
mod vera;

use adapter::Result;
use methods::Method;

pub use finding::{Finding, Verdict};

/// A claim of a paper.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// From 1; [`all`] has them in this order.
    pub number: usize,
    /// Whose.
    pub paper: Method,
    /// What it says.
    pub statement: &'static str,
    /// The numbers and equations it is about, each with its verdict.
    pub findings: Vec<Finding>,
    /// The reason, where there is one to give: why a printed value differs, or what to read into a measured one.
    pub note: Option<&'static str>,
}

impl Claim {
    /// The worst verdict of its findings; [`Verdict::Measured`] if the paper prints none of them.
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().expect("a claim is about something")
    }
}

/// Every claim, in order of its number. Random numbers come from fixed seeds; it takes a second or two.
///
/// # Errors
/// None that is expected: the methods refuse what makes no sense, and nothing here does.
pub fn all() -> Result<Vec<Claim>> {
    Ok([
        lora::claims()?,
        vera::claims()?,
        lora_fa::claims()?,
        delta_lora::claims()?,
        lora_plus::claims()?,
        lora_analysis::claims()?,
    ]
    .concat())
}
