//! Everything that the limits decide, from what a report has measured and from nothing else: a check asks it at its end,
//! and a saved report can be asked again under other limits.

use super::growth;
use crate::checkpoint::sha256_hex;
use crate::finding::{Finding, codes};
use crate::policy::{Date, Outcome, Policy};
use crate::proof::{canaries, device, floor, null_baselines};
use crate::report::{PolicyRecord, Report};
use crate::verdict::{Judgement, judge};

/// True for findings that depend on limits: they are made here and nowhere else.
pub(super) fn by_limits(finding: &Finding) -> bool {
    codes::find(&finding.code).is_some_and(|row| row.by_limits)
}

/// Judges what a report has measured, and writes down how: limits, findings, verdict, and what sees the planted faults.
/// `findings` are those that no limit changes; `today` is the day it is judged on: waivers end.
pub(super) fn decide(policy: &Policy, report: &mut Report, mut findings: Vec<Finding>, today: Date) {
    // Where no sample could be taken, which is a refusal of its own, there is nothing to hold limits against.
    let sampled = findings.iter().all(|f| !f.is(&codes::ALIGNMENT_NO_SAMPLE));
    let mut gates = policy.evaluate(&report.measured());
    let alignment = &mut report.alignment;
    findings.extend(alignment.recording.iter().flat_map(|r| device::too_little(r, policy)));
    findings.extend(floor::findings(&alignment.floor, &gates));
    if sampled {
        null_baselines::fill(&alignment.unlike, policy, &report.weights, &mut gates);
        findings.extend(null_baselines::findings(&gates));
    }
    // Before anything asks what failed: a pass with a waiver needs all the proof that any pass needs.
    findings.extend(policy.waive(&mut gates, today));
    if sampled {
        canaries::judge(&mut alignment.canaries, policy, &report.weights);
        // A limit that is exceeded already cannot show that it sees a fault planted on top.
        let failed = gates.iter().any(|g| g.outcome == Outcome::Fail);
        findings.extend(canaries::findings(&alignment.canaries, policy, failed));
    }
    findings.extend(growth::engine_culprits(&report.measurements, &gates));
    let Judgement { verdict, exit_code, answers, reasons } = judge(policy, &gates, &findings, &report.corpus.amount());
    (report.verdict, report.exit_code, report.answers, report.reasons) = (verdict, exit_code, answers, reasons);
    (report.gates, report.findings) = (gates, findings);
    report.provenance.policy = PolicyRecord {
        name: policy.name.clone(),
        sha256: sha256_hex(policy.source.as_bytes()),
        text: policy.source.clone(),
    };
}
