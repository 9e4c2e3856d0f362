//! A report that contradicts itself is no report: above all one that says PASS against its own gates.

use super::gates::{self, Limits};
use super::{LabelsSection, Report, ReportError, escape};
use crate::finding::{Severity, codes};
use crate::policy::{Date, GateResult, Outcome, WaiverRecord, may_be_waived, outward};
use crate::verdict::Verdict;

/// Taps a cross-match may have on one side; its matrix is the square of it.
const MOST_TAPS: usize = 4096;

/// Refuses sizes no run produces and verdicts the report's own contents do not carry.
pub(super) fn check(report: &Report) -> Result<(), ReportError> {
    match complaint(report) {
        Some(what) => Err(ReportError::Unreasonable { what: escape::plain(&what, 400) }),
        None => Ok(()),
    }
}

fn complaint(report: &Report) -> Option<String> {
    if report.exit_code != report.verdict.exit_code() {
        return Some(format!("exit code {} does not belong to verdict {}", report.exit_code, report.verdict));
    }
    let matrix = &report.alignment.cross_match;
    let (rows, columns) = (matrix.reference_taps.len(), matrix.candidate_taps.len());
    if rows.max(columns) > MOST_TAPS {
        return Some(format!("cross match of {rows} by {columns} taps, more than {MOST_TAPS}"));
    }
    if matrix.relative_l2.len() != rows || matrix.relative_l2.iter().any(|r| r.len() != columns) {
        return Some(format!("cross match is not the {rows} by {columns} matrix its taps name"));
    }
    if let Some(at) = report.gates.iter().position(|g| !is_true(g)) {
        return Some(format!("the outcome of gate {at} is not what its own numbers say"));
    }
    if let Some(what) = report.labels.as_ref().and_then(LabelsSection::contradiction) {
        return Some(what);
    }
    if let Some(at) = report.gates.iter().position(|g| !is_told_before(report, g)) {
        return Some(format!("the earlier value of gate {at} is not the one of the section that tells it"));
    }
    if report.verdict == Verdict::Pass
        && let Some(why) = unearned(report)
    {
        return Some(format!("it says PASS, but {why}"));
    }
    let denied = match gates::limits(report) {
        Err(what) => Some(what),
        Ok(Limits::Known(policy)) => gates::contradiction(report, &policy),
        Ok(Limits::Unknown(why)) if report.verdict == Verdict::Pass => {
            Some(format!("it says PASS, but {why}: nobody can see that every limit was held; run the check again"))
        }
        Ok(Limits::Unknown(_)) => gates::made_up(report),
    };
    let stale = || report.gates.iter().position(|g| !is_derived(g));
    denied.or_else(|| Some(format!("the margin of gate {} is not what its own numbers say", stale()?)))
}

/// What follows from the observed value was written with it.
fn is_derived(gate: &GateResult) -> bool {
    let bits = |v: Option<f64>| v.map(f64::to_bits);
    let margin = gate.observed.map(|v| gate.direction.margin(v, gate.limit));
    let passes = gate.observed.and_then(|v| outward(v, gate.direction));
    bits(margin) == bits(gate.margin) && bits(passes) == bits(gate.would_pass_at)
}

/// The outcome follows from the observed value and the limit, and from nothing else.
fn is_true(gate: &GateResult) -> bool {
    let earned = match gate.observed {
        None => Outcome::NotMeasured,
        Some(v) if gate.direction.keeps(v, gate.limit) => Outcome::Pass,
        Some(_) => Outcome::Fail,
    };
    if let Some(set) = &gate.regression {
        // A limit that an earlier run sets is that one; without an earlier run there is none, and nothing is measured.
        let limit = set.limit(&gate.quantity.metric, gate.direction);
        let same = limit.to_bits() == gate.limit.to_bits() || (limit.is_nan() && gate.limit.is_nan());
        if !same || (limit.is_nan() && gate.outcome != Outcome::NotMeasured) || !set.is_sensible() {
            return false;
        }
    }
    let waived = earned == Outcome::Fail && gate.outcome == Outcome::Waived && is_waived(gate);
    (gate.outcome == earned || waived) && (gate.limit.is_finite() || gate.lacks_baseline())
}

/// A value that an earlier run is said to have had stands in the section on that run, too.
fn is_told_before(report: &Report, gate: &GateResult) -> bool {
    let Some(before) = gate.regression.and_then(|set| set.before) else { return true };
    let told = report.regression.iter().flat_map(|section| &section.movements);
    told.filter(|m| m.quantity == gate.quantity).any(|m| m.before == Some(before))
}

/// Excused by what may be: a reason, a day that exists, and a gate that can be excused at all.
fn is_waived(gate: &GateResult) -> bool {
    let in_time = |w: &WaiverRecord| Some(Date::parse(&w.judged_on)? <= Date::parse(&w.expires)?);
    let dated = |w: &WaiverRecord| !w.reason.trim().is_empty() && in_time(w) == Some(true);
    may_be_waived(gate) && gate.waiver.as_ref().is_some_and(dated)
}

/// What speaks against a pass.
fn unearned(report: &Report) -> Option<&'static str> {
    if report.gates.is_empty() {
        return Some("no gate was evaluated");
    }
    if report.gates.iter().any(|g| !matches!(g.outcome, Outcome::Pass | Outcome::Waived)) {
        return Some("not every gate passed");
    }
    if report.gates.iter().any(|g| g.outcome == Outcome::Waived)
        && !report.findings.iter().any(|f| f.is(&codes::GATE_WAIVED))
    {
        return Some("what it waives is not said");
    }
    if report.findings.iter().any(|f| f.severity >= Severity::Failure) {
        return Some("a finding speaks against it");
    }
    if !report.reasons.is_empty() {
        return Some("it gives reasons against one");
    }
    if report.corpus.built_in {
        return Some("no corpus was given");
    }
    (report.corpus.rows == 0 || report.corpus.tokens == 0).then_some("nothing was compared")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;
    use crate::report::sample;

    fn refusal(change: impl FnOnce(&mut Report)) -> String {
        let mut report = sample::passing();
        check(&report).unwrap();
        change(&mut report);
        let error = Report::from_json(&report.to_json().unwrap()).unwrap_err();
        assert!(matches!(error, ReportError::Unreasonable { .. }), "{error}");
        error.to_string()
    }

    #[test]
    fn a_pass_that_its_own_contents_deny_is_refused() {
        assert!(refusal(|r| r.gates.clear()).contains("no gate"));
        assert!(refusal(|r| r.gates[0].observed = Some(0.5)).contains("gate 0"));
        assert!(refusal(|r| r.gates[1].observed = Some(f64::NAN)).contains("gate 1"));
        assert!(refusal(|r| r.gates[1].observed = None).contains("gate 1"));
        assert!(refusal(|r| r.gates[0].limit = f64::INFINITY).contains("gate 0"));
        let failed = sample::failing().gates;
        assert!(refusal(|r| r.gates = failed).contains("not every gate"));
        assert!(
            refusal(|r| r.findings.push(Finding::new(Severity::Refusal, &codes::SWEEP_IDS, "b"))).contains("finding")
        );
        assert!(refusal(|r| r.reasons = sample::failing().reasons).contains("reasons"));
        assert!(refusal(|r| r.corpus.built_in = true).contains("no corpus was given"));
        assert!(refusal(|r| r.corpus.rows = 0).contains("nothing was compared"));
        assert!(refusal(|r| r.exit_code = 1).contains("exit code 1"));
    }

    #[test]
    fn gates_that_the_measurements_deny_or_the_policy_lacks_are_refused() {
        assert!(refusal(|r| r.gates[1].observed = Some(1e-6)).contains("another number than its measurements"));
        assert!(refusal(|r| drop(r.gates.remove(1))).contains("asks for"));
        assert!(refusal(|r| r.gates.push(r.gates[0].clone())).contains("asks for"));
        assert!(refusal(|r| r.gates.swap(0, 1)).contains("gate 0"));
        assert!(refusal(|r| r.gates[2].limit = 1.0).contains("asks for"));
        let raise = |r: &mut Report| r.measurements.change(|m| m.p99 = Some(0.9));
        assert!(refusal(raise).contains("another number than its measurements"));
        // A NaN that was measured, and whose gate says zero.
        let broken = |r: &mut Report| {
            r.measurements.change(|m| m.max = if m.metric == "non_finite" { Some(3.0) } else { m.max });
        };
        assert!(refusal(broken).contains("non_finite max"));
        assert!(refusal(|r| r.gates[2].margin = Some(0.5)).contains("the margin of gate 2"));
        assert!(refusal(|r| r.gates[2].would_pass_at = None).contains("the margin of gate 2"));
    }

    #[test]
    fn a_pass_on_too_little_or_by_limits_nobody_sees_is_refused() {
        assert!(refusal(|r| r.corpus.unique_rows = 1).contains("evidence.rows"));
        assert!(refusal(|r| r.corpus.unique_tokens = 12).contains("evidence.tokens"));
        assert!(refusal(|r| r.corpus.vocabulary = 0).contains("evidence.vocabulary"));
        assert!(refusal(|r| r.provenance.policy.text.clear()).contains("does not hold the text"));
        assert!(refusal(|r| r.provenance.policy.text.push(' ')).contains("sha256"));
        assert!(refusal(|r| r.provenance.policy.name = "standard".into()).contains("not this version's"));
        // A laxer text with its own sha256: the gates are not those it asks for.
        let lax = |r: &mut Report| {
            let policy = &mut r.provenance.policy;
            policy.text = policy.text.replace("max = 0.05", "max = 0.5");
            policy.sha256 = crate::checkpoint::sha256_hex(policy.text.as_bytes());
        };
        assert!(refusal(lax).contains("asks for"));
    }

    #[test]
    fn an_older_report_without_its_limits_is_read_unless_it_says_pass() {
        let mut old = sample::failing();
        old.provenance.policy.text.clear();
        old.corpus.vocabulary = 0;
        check(&old).unwrap();
        old.gates[1].observed = Some(0.9);
        assert!(complaint(&old).is_some());
    }

    #[test]
    fn what_judges_make_is_consistent() {
        for report in [sample::passing(), sample::failing(), sample::inconclusive(), sample::broken()] {
            check(&report).unwrap();
        }
    }
}
