//! The gates of a report, evaluated again on the measurements beside them: no gate may be missing, added or say another
//! number, and the verdict must be the one they lead to.

use super::Report;
use crate::checkpoint::sha256_hex;
use crate::policy::{EMBEDDED, GateResult, Outcome, Policy, PolicyError};
use crate::verdict::{Answers, Verdict, judge};

/// What is known of the limits a report was judged by.
pub(super) enum Limits {
    /// All of them, as they judge.
    Known(Box<Policy>),
    /// Nothing: an older report under a file, or under another version's built-in policy.
    Unknown(String),
}

/// The limits that a report was judged by, with those that hold whatever a policy says.
pub(super) fn limits(report: &Report) -> Result<Limits, String> {
    let record = &report.provenance.policy;
    let built_in = EMBEDDED.iter().find(|(name, _)| *name == record.name).map(|(_, text)| *text);
    let told = Some(record.text.as_str()).filter(|text| !text.is_empty());
    let text = match (told, built_in) {
        (Some(text), _) if sha256_hex(text.as_bytes()) != record.sha256 => {
            return Err("the policy's text is not the one its sha256 names".to_owned());
        }
        (Some(text), Some(own)) if text != own => {
            return Ok(Limits::Unknown(format!("its policy {:?} is not this version's of that name", record.name)));
        }
        (None, Some(own)) if sha256_hex(own.as_bytes()) != record.sha256 => {
            return Ok(Limits::Unknown(format!("its policy {:?} is not this version's of that name", record.name)));
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Ok(Limits::Unknown("it does not hold the text of its policy".to_owned())),
    };
    let policy =
        Policy::parse(text, &record.name).map_err(|e: PolicyError| format!("its policy cannot be read: {e}"))?;
    Ok(Limits::Known(Box::new(policy.in_force(&report.terms()))))
}

/// What its gates say against its measurements.
pub(super) fn contradiction(report: &Report, policy: &Policy) -> Option<String> {
    let measured = policy.evaluate(&report.measured());
    if measured.len() != report.gates.len() {
        return Some(format!(
            "its policy {:?} asks for {} gates here and it has {}",
            policy.name,
            measured.len(),
            report.gates.len()
        ));
    }
    let place = |g: &GateResult| format!("{} {} {}", g.quantity.on, g.quantity.metric, g.quantity.stat);
    for (at, (own, gate)) in measured.iter().zip(&report.gates).enumerate() {
        if !same_gate(own, gate) {
            return Some(format!(
                "gate {at} is {} within {}, its policy {:?} asks for {} within {}",
                place(gate),
                gate.limit,
                policy.name,
                place(own),
                own.limit
            ));
        }
        if !same(observed(report, own, gate), gate.observed) {
            return Some(format!("gate {at} ({}) says another number than its measurements", place(gate)));
        }
    }
    verdict(report, policy)
}

/// The same limit at the same place. A limit that an earlier run sets follows from the value told of that run.
fn same_gate(own: &GateResult, gate: &GateResult) -> bool {
    let set = |g: &GateResult| g.regression.map(|set| set.max_regression.to_bits());
    let key = |g: &GateResult| (g.direction, set(g));
    let limit = |g: &GateResult| g.limit.to_bits();
    own.quantity == gate.quantity && key(own) == key(gate) && (own.regression.is_some() || limit(own) == limit(gate))
}

/// The same number to the last bit, or none on both sides.
fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// What the gate must have seen.
fn observed(report: &Report, own: &GateResult, gate: &GateResult) -> Option<f64> {
    match gate.regression {
        // Beside no earlier run such a gate looks at nothing.
        Some(set) => set.before.and_then(|_| report.measured().observed(&gate.quantity)),
        None => own.observed,
    }
}

/// The verdict that gates, findings and evidence lead to.
fn verdict(report: &Report, policy: &Policy) -> Option<String> {
    let earned = judge(policy, &report.gates, &report.findings, &report.corpus.amount());
    // Reports of before there was a vocabulary hold too little for a pass, and no less for another verdict.
    let older = report.corpus.vocabulary == 0 && report.verdict != Verdict::Pass && earned.verdict != Verdict::Pass;
    let why = || earned.reasons.first().map_or_else(String::new, |r| format!(": {}: {}", r.code, r.message));
    if earned.verdict != report.verdict && !older {
        return Some(format!(
            "it says {}, its gates, findings and evidence lead to {}{}",
            report.verdict,
            earned.verdict,
            why()
        ));
    }
    (earned.answers != report.answers && !older).then(|| {
        let said = |answers: Answers| format!("faithful: {}, fit: {}", answers.faithful, answers.fit);
        format!(
            "it says {}, its gates, findings and evidence lead to {}{}",
            said(report.answers),
            said(earned.answers),
            why()
        )
    })
}

/// What can be said without the limits: every gate that states a number has it from the measurements.
pub(super) fn made_up(report: &Report) -> Option<String> {
    let plain = |g: &&GateResult| !g.is_non_finite() && g.outcome != Outcome::NotMeasured;
    let own = |g: &GateResult| report.measured().observed(&g.quantity);
    let wrong = report.gates.iter().filter(plain).find(|g| !same(own(g), g.observed));
    wrong.map(|g| format!("the gate {} says another number than its measurements", g.quantity))
}
