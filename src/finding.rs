//! Findings: what a run noticed that a person should know, each with a stable code.

mod code;
pub mod codes;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use code::{Code, Ground};

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

impl Severity {
    /// What a finding of this severity does to the verdict.
    pub const fn effect(self) -> &'static str {
        match self {
            Self::Note => "changes nothing",
            Self::Warning => "changes no verdict",
            Self::Failure => "makes the verdict FAIL",
            Self::Refusal => "makes the verdict INCONCLUSIVE",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Refusal => "refusal",
        })
    }
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
    pub fn new(severity: Severity, code: &Code, message: impl Into<String>) -> Self {
        Self { code: code.code.to_owned(), severity, message: message.into() }
    }

    /// One of a family: `name` is the setting or part that it speaks of.
    pub fn of(severity: Severity, family: &Code, name: &str, message: impl Into<String>) -> Self {
        let code = format!("{}{name}", family.family().unwrap_or(family.code));
        Self { code, severity, message: message.into() }
    }

    /// True for a finding of this code, or of this family.
    pub fn is(&self, code: &Code) -> bool {
        code.covers(&self.code)
    }
}
