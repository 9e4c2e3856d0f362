//! Preflight: what both sides say about themselves, compared before a single number is.
//!
//! A fact that both sides state must agree; one that only one side states is said to be unstated, never
//! assumed to match. What follows by number (the control equals the reference at every tap) covers the
//! rest.

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Severity, codes};

/// How one fact came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// Both sides state it and agree.
    Match,
    /// Both sides state it and differ.
    Mismatch,
    /// At least one side does not state it.
    Unstated,
}

impl Agreement {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Mismatch => "mismatch",
            Self::Unstated => "unstated",
        }
    }
}

/// One fact, as each side states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PreflightCheck {
    /// What is compared: `layers`, `hidden_size`, `pooling`, …
    pub check: String,
    /// What the reference says, and where.
    pub reference: String,
    /// What the candidate says, and where.
    pub candidate: String,
    /// How it came out.
    pub outcome: Agreement,
}

/// Collects facts from both sides.
#[derive(Clone, Debug, Default)]
pub struct Preflight {
    checks: Vec<PreflightCheck>,
    /// Checks whose difference is told elsewhere.
    told: std::collections::BTreeSet<String>,
}

/// How a fact that one side does not state is shown.
const UNSTATED: &str = "unstated";

impl Preflight {
    /// Nothing compared yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compares one fact; `None` is unstated.
    pub fn fact<T: PartialEq + ToString>(&mut self, check: &str, reference: Option<T>, candidate: Option<T>) {
        let outcome = match (&reference, &candidate) {
            (Some(r), Some(c)) if r == c => Agreement::Match,
            (Some(_), Some(_)) => Agreement::Mismatch,
            _ => Agreement::Unstated,
        };
        self.push(check, reference.map(|r| r.to_string()), candidate.map(|c| c.to_string()), outcome);
    }

    /// Compares two numbers that were rounded to float32 on the way: equal within one part in a million.
    pub fn close(&mut self, check: &str, reference: Option<f64>, candidate: Option<f64>) {
        let outcome = match (reference, candidate) {
            (Some(r), Some(c)) if (r - c).abs() <= 1e-6 * r.abs().max(c.abs()) => Agreement::Match,
            (Some(_), Some(_)) => Agreement::Mismatch,
            _ => Agreement::Unstated,
        };
        let shown = |v: Option<f64>| v.map(|v| format!("{v:e}"));
        self.push(check, shown(reference), shown(candidate), outcome);
    }

    /// A fact whose difference has a finding of its own.
    pub fn told(&mut self, check: &str, reference: Option<String>, candidate: Option<String>) {
        self.told.insert(check.to_owned());
        self.fact(check, reference, candidate);
    }

    /// Two values that differ and mean the same, and why.
    pub fn agreed(&mut self, check: &str, reference: impl ToString, candidate: impl ToString, why: impl ToString) {
        let shown = |value: String| Some(format!("{value} ({})", why.to_string()));
        self.push(check, shown(reference.to_string()), shown(candidate.to_string()), Agreement::Match);
    }

    fn push(&mut self, check: &str, reference: Option<String>, candidate: Option<String>, outcome: Agreement) {
        let shown = |s: Option<String>| s.unwrap_or_else(|| UNSTATED.to_owned());
        let (reference, candidate) = (shown(reference), shown(candidate));
        self.checks.push(PreflightCheck { check: check.to_owned(), reference, candidate, outcome });
    }

    /// All facts, in the order they were compared.
    pub fn checks(&self) -> &[PreflightCheck] {
        &self.checks
    }

    /// A failure for every fact on which the two sides differ: they contradict each other.
    pub fn findings(&self) -> Vec<Finding> {
        self.checks
            .iter()
            .filter(|c| c.outcome == Agreement::Mismatch && !self.told.contains(&c.check))
            .map(|c| {
                let message = format!(
                    "{}: the reference says {}, the candidate says {}; these are not the same encoder",
                    c.check, c.reference, c.candidate
                );
                Finding::of(Severity::Failure, &codes::PREFLIGHT_FACT, &c.check, message)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_difference_and_silence_are_three_things() {
        let mut p = Preflight::new();
        p.fact("layers", Some(6), Some(6));
        p.fact("hidden_size", Some(384), Some(128));
        p.fact("heads", None, Some(12));
        p.close("layer_norm_eps", Some(f64::from(1e-12_f32)), Some(1e-12));
        p.close("layer_norm_eps", Some(1e-5), Some(1e-12));
        p.close("layer_norm_eps", Some(f64::NAN), Some(f64::NAN));
        let outcomes: Vec<_> = p.checks().iter().map(|c| c.outcome).collect();
        use Agreement::*;
        assert_eq!(outcomes, [Match, Mismatch, Unstated, Match, Mismatch, Mismatch]);
        let findings = p.findings();
        assert_eq!(findings.len(), 3);
        assert_eq!(findings[0].code, "preflight.hidden_size");
        assert!(findings[0].message.contains("384") && findings[0].message.contains("128"));
    }

    #[test]
    fn outcomes_have_names() {
        assert_eq!(
            [Agreement::Match, Agreement::Mismatch, Agreement::Unstated].map(Agreement::name),
            ["match", "mismatch", "unstated"]
        );
    }
}
