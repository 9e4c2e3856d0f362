//! New limits on old measurements: what a check decides at its end, decided again from its report.
//!
//! The report holds everything that limits are held against, so the result is the report a check under these
//! limits would have written. What a report does not hold (an older one, a gate on something never measured) is
//! not measured, which is never a pass.

use super::limits::{CODES, Held, decide};
use super::regression;
use super::write_up::policy_record;
use crate::fault::Fault;
use crate::hidden_states::Arm;
use crate::policy::{Date, Policy, PolicyError};
use crate::report::Report;
use crate::verdict::Amount;

/// A report that cannot be judged again.
#[derive(Debug, thiserror::Error)]
pub enum RecheckError {
    /// It was judged by a file.
    #[error("this report was judged by `{name}`, which is not built in: give the file with --policy")]
    NoPolicy {
        /// The policy the report names.
        name: String,
    },
    /// The limits cannot be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl RecheckError {
    /// The class of the error.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoPolicy { .. } => Fault::Usage,
            Self::Policy(e) => e.fault(),
        }
    }
}

/// The policy to judge a report by: the one named, else the built-in one that the report itself names.
///
/// # Errors
/// A policy that cannot be read, or a report that names no built-in one.
pub fn policy_of(report: &Report, name: Option<&str>) -> Result<Policy, RecheckError> {
    let own = &report.provenance.policy.name;
    let built_in = || crate::policy::EMBEDDED.iter().any(|(known, _)| known == own);
    let policy = match name {
        Some(name) => Policy::load(name)?,
        None if built_in() => Policy::load(own)?,
        None => return Err(RecheckError::NoPolicy { name: crate::report::escape::plain(own, 300) }),
    };
    let quantized = report.weights.tensors.iter().any(|t| t.mode.is_some());
    Ok(policy.with_engine_floor().with_twin_floor(quantized).with_device_limits(compute(report)))
}

/// What the recording behind the device arm was computed in. Where older reports do not say, the strictest limits hold.
fn compute(report: &Report) -> Option<&str> {
    let recorded = || report.measurements.iter().any(|m| m.arm == Arm::Device).then_some("float32");
    report.alignment.recording.as_ref().map(|r| r.compute.as_str()).or_else(recorded)
}

/// The report under these limits on that day, and beside an earlier run where one is given. Nothing is run.
pub fn recheck(report: &Report, policy: &Policy, today: Date, earlier: Option<&Report>) -> Report {
    let mut report = report.clone();
    let mut findings: Vec<_> = report.findings.drain(..).filter(|f| !CODES.contains(&f.code.as_str())).collect();
    let beside = earlier.map(|earlier| policy.clone().with_before(regression::before(earlier)));
    let policy = beside.as_ref().unwrap_or(policy);
    findings.extend(earlier.map(|earlier| regression::comparable(&report, earlier)).into_iter().flatten());
    let corpus = &report.corpus;
    let held = Held {
        measurements: &report.measurements,
        weights: &report.weights,
        neighbours: report.sentence.neighbours.as_ref(),
        floor: &report.alignment.floor,
        unlike: &report.alignment.unlike,
        recording: report.alignment.recording.as_ref(),
        sampled: findings.iter().all(|f| f.code != "alignment.no_sample"),
        amount: Amount { rows: corpus.rows.min(corpus.unique_rows), tokens: corpus.tokens },
        today,
    };
    let decided = decide(policy, &held, &mut report.alignment.canaries, findings);
    report.gates = decided.gates;
    report.findings = decided.findings;
    report.verdict = decided.judgement.verdict;
    report.exit_code = decided.judgement.exit_code;
    report.reasons = decided.judgement.reasons;
    report.provenance.policy = policy_record(policy);
    report.regression = earlier.map(|earlier| regression::section(&report, earlier));
    report
}
