//! New limits on old measurements: what a check decides at its end, decided again from its report.
//!
//! The report holds everything that limits are held against, so the result is the report a check under these
//! limits would have written. What a report does not hold (an older one, a gate on something never measured) is
//! not measured, which is never a pass.

use super::limits::{by_limits, decide};
use super::regression::{self, Earlier};
use crate::fault::Fault;
use crate::finding::Severity;
use crate::policy::{Date, Gate, Policy, PolicyError};
use crate::report::Report;
use crate::verdict::Verdict;

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
        None if !report.provenance.policy.text.is_empty() => Policy::parse(&report.provenance.policy.text, own)?,
        None => return Err(RecheckError::NoPolicy { name: crate::report::escape::plain(own, 300) }),
    };
    Ok(policy.in_force(&report.terms()))
}

/// The report under these limits on that day, and beside an earlier run where one is given. Nothing is run.
pub fn recheck(report: &Report, policy: &Policy, today: Date, earlier: Option<Earlier<'_>>) -> Report {
    let mut report = report.clone();
    let mut findings: Vec<_> = report.findings.drain(..).filter(|f| !by_limits(f)).collect();
    // What no policy can drop holds for one that was read from a file, too.
    let in_force = policy.clone().in_force(&report.terms());
    let beside = earlier.map(|earlier| in_force.clone().with_before(regression::before(earlier.report)));
    let policy = beside.as_ref().unwrap_or(&in_force);
    findings.extend(earlier.map(|earlier| regression::comparable(&report, earlier)).into_iter().flatten());
    decide(policy, &mut report, findings, today);
    report.regression = earlier.map(|earlier| regression::section(&report, earlier.report));
    report
}

/// What a report that says PASS leaves unsaid: a finding that its own limits lead to and that is not among its findings.
/// Gates and verdict are seen to when the report is read; this is what limits say of noise floors, planted faults,
/// recordings and layers.
pub fn contradiction(report: &Report) -> Option<String> {
    if report.verdict != Verdict::Pass {
        return None;
    }
    let mut policy = policy_of(report, None).ok()?;
    // What an earlier run allows is not known here; limits of their own are.
    policy.gates.retain(Gate::is_absolute);
    policy.gates.iter_mut().for_each(|gate| gate.max_regression = None);
    let again = recheck(report, &policy, judged_on(report), None);
    let told = |code: &str| report.findings.iter().any(|f| f.code == code);
    let own = again.findings.iter().filter(|f| f.severity >= Severity::Warning && by_limits(f));
    let untold = own.into_iter().find(|f| !told(&f.code));
    untold.map(|f| format!("it says PASS and does not say {}: {}", f.code, f.message))
}

/// The day that waivers were held against, else the day of the run.
fn judged_on(report: &Report) -> Date {
    let waived = report.gates.iter().filter_map(|g| g.waiver.as_ref());
    let days = waived.map(|w| w.judged_on.as_str()).chain(report.provenance.run.started.get(..10));
    days.filter_map(Date::parse).next().unwrap_or_else(Date::today)
}
