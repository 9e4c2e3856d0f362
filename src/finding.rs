//! Findings: what a run noticed that a person should know, each with a stable code.

use serde::{Deserialize, Serialize};

/// What a finding does to the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; changes nothing.
    Note,
    /// Worth acting on; changes nothing today.
    Warning,
    /// The comparison is valid and something is wrong: the verdict is fail.
    Failure,
    /// What was compared is not proven to be the same thing: the verdict is inconclusive.
    Refusal,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Stable, dotted, lower case: `alignment.cross_match`, `corpus.empty_lines`.
    pub code: String,
    /// Its weight.
    pub severity: Severity,
    /// One sentence that names the subject and, where there is one, the fix.
    pub message: String,
}

impl Finding {
    /// A finding of the given severity.
    pub fn new(severity: Severity, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity, message: message.into() }
    }
}
