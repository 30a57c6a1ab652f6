//! Reports for programs: a JSON object a line, and JUnit's XML.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::many::Tally;
use super::verdict::{Finding, Report, Verdict};

/// One line for each tensor; a case that was not run has one line without a tensor.
pub fn json(report: &Report) -> Vec<Value> {
    let divergence = report.divergence().map(|finding| finding.tensor.as_str());
    let line = |finding: Option<&Finding>| {
        let worst = finding.and_then(|finding| finding.worst.as_ref());
        // The hypothesis explains the first tensor that is wrong, and the text is about the whole case.
        let first = finding.is_some_and(|finding| Some(finding.tensor.as_str()) == divergence);
        json!({
            "case": report.case,
            "tensor": finding.map(|finding| &finding.tensor),
            "verdict": finding.map_or(report.verdict, |finding| finding.verdict).to_string(),
            "rho": finding.map(|finding| number(finding.rho)),
            "rho_sqrt": finding.map(|finding| number(finding.rho_sqrt)),
            "index": worst.map(|worst| &worst.index),
            "got": worst.map(|worst| number(worst.got)),
            "want": worst.map(|worst| number(worst.want)),
            "bound": worst.map(|worst| number(worst.bound)),
            "profile": finding.and_then(|finding| finding.profile).map(|profile| profile.to_string()),
            "note": finding.and_then(|finding| finding.note.as_ref()),
            "hypothesis": if first { report.hypothesis.as_ref() } else { None },
            "report": first.then(|| report.to_string()),
            "digest": report.digest,
        })
    };
    if report.findings.is_empty() {
        return vec![line(None)];
    }
    report.findings.iter().map(|finding| line(Some(finding))).collect()
}

/// JSON has no NaN and no infinity: they are strings.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}

/// A `testsuite` with a `testcase` for each case, and one with an `error` for each file that could not be judged. The
/// diagnosis is its property `diagnosis`.
pub fn junit(tally: &Tally) -> String {
    let count = |verdict| tally.count(verdict);
    let (failures, skipped) = (count(Verdict::Fail), count(Verdict::NotRun));
    let corrupt =
        |path: &PathBuf| (path.clone(), "not the case that index.json lists: corrupt".into());
    let errors: Vec<(PathBuf, String)> = tally
        .errors
        .iter()
        .map(|error| (error.path().to_owned(), error.to_string()))
        .chain(tally.corrupt.iter().map(corrupt))
        .collect();
    let (tests, broken) = (tally.reports.len() + errors.len(), errors.len());
    let diagnosis = escaped(&tally.diagnosis.to_string());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"lowrank check\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{broken}\" skipped=\"{skipped}\">\n  <properties>\n    \
         <property name=\"diagnosis\" value=\"{diagnosis}\"/>\n  </properties>\n"
    );
    for report in &tally.reports {
        let (class, name) = report.case.rsplit_once('/').unwrap_or(("", &report.case));
        let head = format!(
            "  <testcase classname=\"{}\" name=\"{}\"",
            escaped(&class.replace('/', ".")),
            escaped(name)
        );
        xml += &match report.verdict {
            Verdict::Pass => format!("{head}/>\n"),
            Verdict::NotRun => format!("{head}><skipped/></testcase>\n"),
            Verdict::Fail => {
                let message = report.divergence().map(ToString::to_string).unwrap_or_default();
                let (message, text) = (escaped(&message), escaped(&report.to_string()));
                format!("{head}><failure message=\"{message}\">{text}</failure></testcase>\n")
            }
        };
    }
    for (path, message) in errors {
        let (name, message) = (escaped(&path.to_string_lossy()), escaped(&message));
        xml += &format!(
            "  <testcase classname=\"unreadable\" name=\"{name}\"><error message=\"{message}\"/></testcase>\n"
        );
    }
    xml + "</testsuite>\n"
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // XML 1.0 has no other control characters, not even escaped.
            c if c < ' ' && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}  {}", self.tensor, self.verdict)?;
        if let Some(worst) = &self.worst {
            let index: Vec<_> = worst.index.iter().map(ToString::to_string).collect();
            write!(
                f,
                "  rho {} (√k {}) at ({}): got {:e}, want {:e}, bound {:.2e}",
                short(self.rho),
                short(self.rho_sqrt),
                index.join(","),
                worst.got,
                worst.want,
                worst.bound
            )?;
        }
        if let Some(profile) = self.profile {
            write!(f, " [{profile}]")?;
        }
        match &self.note {
            Some(note) => write!(f, "  {note}"),
            None => Ok(()),
        }
    }
}

/// ρ to three digits.
fn short(rho: f64) -> String {
    match rho {
        rho if rho.is_infinite() => "∞".into(),
        rho if (0.01..1000.0).contains(&rho) || rho == 0.0 => format!("{rho:.3}"),
        rho => format!("{rho:.2e}"),
    }
}

impl std::fmt::Display for Report {
    /// What failed, where it goes wrong, and what would explain it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.case)?;
        if !self.flags.is_empty() {
            write!(f, " [{}]", self.flags.join(", "))?;
        }
        if self.findings.is_empty() {
            return write!(f, "  {}", self.verdict);
        }
        for finding in self.findings.iter().filter(|finding| finding.verdict != Verdict::Pass) {
            write!(f, "\n  {finding}")?;
        }
        if let Some(first) = self.divergence() {
            let before = self.findings.iter().take_while(|f| f.verdict != Verdict::Fail);
            let before = before.filter(|f| f.verdict == Verdict::Pass);
            let before: Vec<_> = before.map(|f| f.tensor.as_str()).collect();
            write!(f, "\n  first divergence: {}", first.tensor)?;
            match before.len() {
                0 => {}
                1 => write!(f, " ({} passes)", before[0])?,
                _ => write!(f, " ({} pass)", before.join(", "))?,
            }
        }
        match &self.hypothesis {
            Some(text) => write!(f, "\n  looks like: {text}"),
            None => Ok(()),
        }
    }
}
