//! Words and numbers that several formats share.

use super::Report;
use crate::hidden_states::{Arm, Tap};
use crate::metrics::{Measurement, Mode};
use crate::policy::{Direction, GateResult, Outcome};

/// The metric of the per-tap table.
pub(super) const HEADLINE: &str = "relative_l2";

/// Taps that hold measurements, in the order of the forward pass.
pub(super) fn taps(report: &Report) -> Vec<Tap> {
    let mut taps: Vec<Tap> = report.measurements.iter().map(|m| m.tap).collect();
    taps.sort_unstable();
    taps.dedup();
    taps
}

/// The accumulated measurement of a metric there.
pub(super) fn measurement<'a>(report: &'a Report, tap: Tap, arm: Arm, metric: &str) -> Option<&'a Measurement> {
    let is = |m: &&Measurement| m.tap == tap && m.arm == arm && m.mode == Mode::Accumulated && m.metric == metric;
    report.measurements.iter().find(is)
}

/// `12,345`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A number of a report, or a dash where nothing was measured.
pub(super) fn value(v: Option<f64>) -> String {
    v.map_or_else(|| "-".to_owned(), crate::verdict::number)
}

/// How all gates on a tap came out: the worst of them; none without gates.
pub(super) fn outcome(report: &Report, tap: Tap) -> Option<Outcome> {
    let name = tap.to_string();
    let here = report.gates.iter().filter(|g| g.on == name);
    here.map(|g| g.outcome).max_by_key(|o| match o {
        Outcome::Pass => 0,
        Outcome::NotMeasured => 1,
        Outcome::Fail => 2,
    })
}

/// A gate's name: unique within a policy, the same from run to run.
pub(super) fn gate_name(gate: &GateResult) -> String {
    let side = if gate.direction == Direction::Min { " (lower limit)" } else { "" };
    format!("{} {} {}{side}", gate.on, gate.metric, gate.stat)
}
