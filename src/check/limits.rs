//! Everything that the limits decide, from what was measured and from nothing else: a check asks it at its end,
//! and a saved report can be asked again under other limits.

use super::growth;
use crate::finding::{Finding, codes};
use crate::metrics::Measurement;
use crate::policy::{Date, GateResult, NeighbourStats, Outcome, Policy};
use crate::proof::{canaries, device, floor, null_baselines};
use crate::report::{CanariesSection, FloorSection, RecordingSection, UnlikeSection};
use crate::verdict::{Amount, Judgement, judge};
use crate::weights::WeightsReport;

/// What limits are held against.
pub(super) struct Held<'a> {
    pub(super) measurements: &'a [Measurement],
    pub(super) weights: &'a WeightsReport,
    pub(super) neighbours: Option<&'a NeighbourStats>,
    pub(super) floor: &'a [FloorSection],
    pub(super) unlike: &'a UnlikeSection,
    pub(super) recording: Option<&'a RecordingSection>,
    /// False where no sample could be taken, which is a refusal of its own.
    pub(super) sampled: bool,
    pub(super) amount: Amount,
    /// The day it is judged on: waivers end.
    pub(super) today: Date,
}

/// What they decide.
pub(super) struct Decided {
    pub(super) gates: Vec<GateResult>,
    /// Those that do not depend on limits, then those that do.
    pub(super) findings: Vec<Finding>,
    pub(super) judgement: Judgement,
}

/// True for findings that depend on limits: they are made here and nowhere else.
pub(super) fn by_limits(finding: &Finding) -> bool {
    codes::find(&finding.code).is_some_and(|row| row.by_limits)
}

/// Judges. `findings` are those that no limit changes; what sees the planted faults is written into `planted`.
pub(super) fn decide(
    policy: &Policy,
    held: &Held<'_>,
    planted: &mut CanariesSection,
    mut findings: Vec<Finding>,
) -> Decided {
    let mut gates = policy.evaluate_all(held.measurements, held.weights, held.neighbours);
    findings.extend(held.recording.iter().flat_map(|r| device::too_little(r, policy)));
    findings.extend(floor::findings(held.floor, &gates));
    if held.sampled {
        null_baselines::fill(held.unlike, policy, held.weights, &mut gates);
        findings.extend(null_baselines::findings(&gates));
    }
    // Before anything asks what failed: a pass with a waiver needs all the proof that any pass needs.
    findings.extend(policy.waive(&mut gates, held.today));
    if held.sampled {
        canaries::judge(planted, policy, held.weights);
        // A limit that is exceeded already cannot show that it sees a fault planted on top.
        let failed = gates.iter().any(|g| g.outcome == Outcome::Fail);
        findings.extend(canaries::findings(planted, policy, failed));
    }
    findings.extend(growth::engine_culprits(held.measurements, &gates));
    let judgement = judge(policy, &gates, &findings, &held.amount);
    Decided { gates, findings, judgement }
}
