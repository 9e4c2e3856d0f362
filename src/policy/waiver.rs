//! Waivers: a limit that may be exceeded for a reason, until a day. What is waived is said in the verdict; what is
//! not a number, the engine arm and what was not measured cannot be waived.

use super::{Date, GateResult, Outcome, Policy, Quantity, WaiverRecord};
use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::Arm;

/// One waiver, as a policy states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// What it excuses.
    pub quantity: Quantity,
    /// Why.
    pub reason: String,
    /// The last day it holds.
    pub expires: Date,
}

/// True for a result that a waiver may excuse: a limit of the candidate's, exceeded by a number.
pub fn may_be_waived(gate: &GateResult) -> bool {
    let measured = gate.observed.is_some_and(f64::is_finite);
    measured && gate.quantity.arm != Some(Arm::Engine) && !gate.is_non_finite()
}

impl Waiver {
    /// Speaks of this result.
    pub fn covers(&self, gate: &GateResult) -> bool {
        self.quantity.covers(&gate.quantity)
    }
}

impl Policy {
    /// True for a result that a waiver of the policy speaks of, exceeded or not: it stops nothing.
    pub fn has_waiver(&self, gate: &GateResult) -> bool {
        self.waivers.iter().any(|w| w.covers(gate))
    }

    /// Turns exceeded gates into waived ones where a waiver holds `today`, and says what became of each waiver.
    pub fn waive(&self, gates: &mut [GateResult], today: Date) -> Vec<Finding> {
        self.waivers.iter().map(|waiver| one(waiver, gates, today)).collect()
    }
}

fn one(waiver: &Waiver, gates: &mut [GateResult], today: Date) -> Finding {
    let (named, reason, expires) = (&waiver.quantity, &waiver.reason, waiver.expires);
    if !gates.iter().any(|g| waiver.covers(g)) {
        let message = format!("the waiver on {named} speaks of no gate of this run: remove it ({reason})");
        return Finding::new(Severity::Refusal, &codes::WAIVER_NO_GATE, message);
    }
    if today > expires {
        let message = format!(
            "the waiver on {named} expired on {expires}, it is {today}: remove it or renew it; its reason was: {reason}"
        );
        return Finding::new(Severity::Failure, &codes::WAIVER_EXPIRED, message);
    }
    let mut worst: Option<(f64, String)> = None;
    let mut more = 0;
    let exceeded = |g: &&mut GateResult| waiver.covers(g) && g.outcome == Outcome::Fail && may_be_waived(g);
    for gate in gates.iter_mut().filter(exceeded) {
        gate.outcome = Outcome::Waived;
        gate.waiver =
            Some(WaiverRecord { reason: reason.clone(), expires: expires.to_string(), judged_on: today.to_string() });
        let margin = gate.margin.unwrap_or(f64::INFINITY);
        more += 1;
        if worst.as_ref().is_none_or(|(most, _)| margin > *most) {
            let observed = gate.observed.unwrap_or(f64::NAN);
            worst = Some((
                margin,
                format!("{}: {} where {} is the limit", gate.quantity.on, number(observed), number(gate.limit)),
            ));
        }
    }
    let Some((_, worst)) = worst else {
        let message = format!("the waiver on {named} excuses nothing in this run, remove it ({reason})");
        return Finding::new(Severity::Note, &codes::WAIVER_UNUSED, message);
    };
    let others = if more > 1 { format!(" and {} more", more - 1) } else { String::new() };
    let message = format!("{named} is exceeded at {worst}{others}; excused until {expires}: {reason}");
    Finding::new(Severity::Warning, &codes::GATE_WAIVED, message)
}

#[cfg(test)]
#[path = "waiver_tests.rs"]
mod tests;
