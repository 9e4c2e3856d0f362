//! What a policy's gates see of the planted faults: a function of what was measured, so that other limits can
//! be asked later.

use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::Arm;
use crate::metrics::Measurements;
use crate::policy::{GateResult, Outcome, Place, Policy};
use crate::proof::null_baselines::every_arm;
use crate::report::{CanariesSection, CanarySection, MovedCodes};
use crate::weights::{TensorRow, WeightTotals, WeightsReport};

/// Asks the policy's own limits about every planted fault; what they do not see, a proof may.
pub(crate) fn judge(section: &mut CanariesSection, policy: &Policy, weights: &WeightsReport) {
    // Gates that fail without any fault show nothing.
    let of_weights = policy.evaluate_all(&Measurements::default(), weights, None).into_iter();
    let own: Vec<GateResult> = of_weights.filter(|g| g.outcome == Outcome::Fail).collect();
    let already = failing(policy, weights, &section.healthy, &own);
    for canary in section.canaries.iter_mut().filter(|c| c.not_planted.is_none()) {
        if canary.codes.is_empty() {
            let with = with_tensors(weights, &canary.tensors);
            let gates = failing(policy, &with, &canary.states, &already);
            canary.limits = gates.first().map(shown);
            canary.seen_by = canary.limits.clone().or_else(|| canary.stated.clone());
        } else {
            codes(canary, policy, &own);
        }
    }
    smallest(section);
}

/// The report with some tensors changed.
fn with_tensors(weights: &WeightsReport, changed: &[TensorRow]) -> WeightsReport {
    let mut with = weights.clone();
    for row in changed {
        if let Some(own) = with.tensors.iter_mut().find(|own| own.tensor == row.tensor) {
            *own = row.clone();
        }
    }
    with
}

/// Names the smallest fault that was seen.
pub(crate) fn smallest(section: &mut CanariesSection) {
    let seen = section.canaries.iter().filter(|c| c.seen_by.is_some());
    let moved = seen.filter_map(|c| Some((c.effect?, &c.id))).filter(|(e, _)| *e > 0.0);
    section.smallest = moved.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id.clone());
}

/// One group of one matrix moved by so few codes as a gate on weights sees.
fn codes(canary: &mut CanarySection, policy: &Policy, already: &[GateResult]) {
    let seen_by = |moved: &MovedCodes| {
        let all = policy.evaluate_all(&Measurements::default(), &alone(moved), None).into_iter();
        let mut failing =
            all.filter(|g| g.quantity.on == Place::Weights && g.outcome == Outcome::Fail && !policy.has_waiver(g));
        failing.find(|g| !already.iter().any(|a| a.same_gate(g))).map(|g| shown(&g))
    };
    let first = canary.codes.iter().find_map(|moved| Some((moved, seen_by(moved)?)));
    let (moved, seen_by) = match first {
        Some((moved, seen_by)) => (Some(moved), Some(seen_by)),
        None => (canary.codes.last(), None),
    };
    if let Some(moved) = moved {
        canary.fault = moved_words(moved);
        canary.effect = moved.effect;
    }
    canary.limits.clone_from(&seen_by);
    canary.seen_by = seen_by;
}

pub(crate) fn moved_words(moved: &MovedCodes) -> String {
    format!("+{} in the codes of one group of {}", moved.by, moved.row.tensor)
}

/// A weights report of one matrix.
fn alone(moved: &MovedCodes) -> WeightsReport {
    let row = moved.row.clone();
    let totals = WeightTotals {
        tensors: 1,
        matrix_elements: row.shape.iter().map(|n| *n as u64).product(),
        mse: row.mse,
        relative_error: row.relative_error,
        max_abs: row.max_abs,
        max_abs_tensor: Some(row.tensor.clone()),
        ..WeightTotals::default()
    };
    WeightsReport { totals, tensors: vec![row], ..WeightsReport::default() }
}

/// Gates on the candidate that these measurements exceed, and that hold without a fault; widest excess first. The engine
/// arm judges the control, the device arm a recording: neither speaks of a fault in the candidate.
fn failing(
    policy: &Policy,
    weights: &WeightsReport,
    measured: &Measurements,
    already: &[GateResult],
) -> Vec<GateResult> {
    let results = policy.evaluate_all(&every_arm(measured), weights, None);
    let judges = |g: &GateResult| {
        g.quantity.on == Place::Weights || matches!(g.quantity.arm, Some(Arm::Quantization | Arm::Total))
    };
    let mut failing: Vec<GateResult> = results
        .into_iter()
        .filter(|g| judges(g) && g.outcome == Outcome::Fail)
        .filter(|g| !already.iter().any(|a| a.same_gate(g)) && !policy.has_waiver(g))
        .collect();
    failing.sort_by(|a, b| b.margin.unwrap_or(f64::INFINITY).total_cmp(&a.margin.unwrap_or(f64::INFINITY)));
    failing
}

fn shown(gate: &GateResult) -> String {
    let observed = gate.observed.map_or_else(|| "-".to_owned(), number);
    format!("{}: {observed} against {}", gate.quantity, number(gate.limit))
}

/// What a person should know: faults that no gate saw. They forbid a pass; what `failed` is not made less so.
pub(crate) fn findings(section: &CanariesSection, policy: &Policy, failed: bool) -> Vec<Finding> {
    let severity = if failed { Severity::Warning } else { Severity::Refusal };
    if !section.planted {
        let message = "no faults were planted (--no-canaries): that the gates would see one is not shown";
        return vec![Finding::new(Severity::Warning, &codes::CANARY_NONE, message)];
    }
    let unseen = section.canaries.iter().filter(|c| c.seen_by.is_none() && c.not_planted.is_none());
    let mut out: Vec<Finding> = unseen
        .map(|c| {
            if c.states.is_empty() && c.codes.is_empty() && c.tensors.is_empty() {
                let message = format!(
                    "this report does not hold what a planted fault did ({}), so these limits cannot be asked about it: run `parallax check` with them",
                    c.fault
                );
                return Finding::new(severity, &codes::CANARY_UNSEEN, message);
            }
            let message = format!(
                "a planted fault was seen by nothing that judges the candidate: {} (it moves the states by {}); a pass would prove nothing",
                c.fault,
                c.effect.map_or_else(|| "an unknown amount".to_owned(), number)
            );
            Finding::new(severity, &codes::CANARY_UNSEEN, message)
        })
        .collect();
    out.extend(blind(section, policy));
    if section.canaries.iter().all(|c| c.not_planted.is_some()) {
        let message = "not one fault could be planted in this model, so its gates are not shown to see any";
        out.push(Finding::new(Severity::Refusal, &codes::CANARY_NONE_PLANTED, message));
    }
    out
}

/// Faults that only a proof sees, because the limits on states are too wide for them. A policy without such limits leaves
/// states to the proofs, which no policy can loosen.
fn blind(section: &CanariesSection, policy: &Policy) -> Option<Finding> {
    let of_states = |arm| matches!(arm, Some(Arm::Quantization | Arm::Total));
    if !policy.gates.iter().any(|gate| of_states(gate.quantity.arm)) {
        return None;
    }
    let unseen = |c: &&CanarySection| c.not_planted.is_none() && c.limits.is_none() && c.seen_by.is_some();
    let blind: Vec<String> = section
        .canaries
        .iter()
        .filter(unseen)
        .map(|c| {
            format!("{} (moves states by {})", c.fault, c.effect.map_or_else(|| "an unknown amount".to_owned(), number))
        })
        .collect();
    let message = format!(
        "this policy's own limits are blind to {} of the planted faults, which only the proofs see: {}",
        blind.len(),
        blind.join("; ")
    );
    let planted = section.canaries.iter().filter(|c| c.not_planted.is_none()).count();
    // Built-in limits for few bits are wide, and miss some: said. Limits that miss most are no limits.
    let severity = if 2 * blind.len() > planted { Severity::Warning } else { Severity::Note };
    (!blind.is_empty()).then(|| Finding::new(severity, &codes::CANARY_BLIND, message))
}
