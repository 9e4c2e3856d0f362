//! What the gates are worth: limits well above the noise, below what unlike things measure, and exceeded
//! by faults planted on purpose.

use super::evidence::Measured;
use super::sides::Sides;
use super::workers::Workers;
use super::{baselines, canaries, floor};
use crate::Error;
use crate::finding::Finding;
use crate::policy::{GateResult, Outcome, Policy};
use crate::report::CanariesSection;
use crate::weights::WeightsReport;

/// What was shown, and what was not.
pub(super) struct Proof {
    pub(super) canaries: CanariesSection,
    pub(super) findings: Vec<Finding>,
}

/// Fills the baselines in beside the gates, and plants the faults if they are to be `planted`.
pub(super) fn of(
    sides: &Sides,
    workers: &Workers,
    planted: bool,
    policy: &Policy,
    weights: &WeightsReport,
    measured: &Measured,
    gates: &mut [GateResult],
) -> Result<Proof, Error> {
    let mut findings = floor::findings(&measured.floor, gates);
    let Some(sample) = &measured.sample else {
        // The probes have said so already, and refused.
        return Ok(Proof { canaries: CanariesSection::default(), findings });
    };
    baselines::measure(sides, sample, &measured.scales)?.fill(policy, weights, gates);
    findings.extend(baselines::findings(gates));
    let canaries = if planted {
        canaries::run(sides, workers, sample, &measured.scales, policy, weights)?
    } else {
        CanariesSection::default()
    };
    // A limit that is exceeded already cannot show that it sees a fault planted on top.
    let failed = gates.iter().any(|g| g.outcome == Outcome::Fail);
    findings.extend(canaries::findings(&canaries, failed));
    Ok(Proof { canaries, findings })
}
