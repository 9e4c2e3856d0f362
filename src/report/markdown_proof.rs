//! The Markdown sections on where the error comes from and what the planted faults showed.

use std::collections::BTreeMap;

use super::Report;
use super::markdown_text::{line, text};
use super::words::{canaries, caveats, compute, count, device, value};

/// The story of the error, layer by layer; empty without layers.
pub(super) fn story(report: &Report, out: &mut String) {
    let told = &report.explanation;
    if !told.is_told() {
        return;
    }
    line(out, "## Where the error comes from\n");
    for sentence in told.story() {
        line(out, &format!("- {}", text(&sentence)));
    }
    if told.layers.is_empty() {
        out.push('\n');
        return;
    }
    line(out, "\nMean relative L2 of the quantization arm: as it arrives, and of each layer by itself.\n");
    line(out, "| tap | as it arrives | expected | by itself |");
    line(out, "|---|---:|---:|---:|");
    for l in &told.layers {
        let (arrives, expected, own) = (value(l.accumulated), value(l.expected), value(l.isolated));
        line(out, &format!("| {} | {arrives} | {expected} | {own} |", l.tap));
    }
    out.push('\n');
}

/// Movements listed.
const MOVED: usize = 40;

/// How the numbers moved since an earlier run; empty without one.
pub(super) fn regression(report: &Report, out: &mut String) {
    let Some(beside) = &report.regression else { return };
    line(out, "## Against the earlier run\n");
    line(out, &format!("{}.\n", text(&beside.sentence())));
    let moved = beside.moved();
    if !moved.is_empty() {
        line(out, "| what | then | now | change | trend |");
        line(out, "|---|---:|---:|---:|---|");
    }
    for m in moved.iter().take(MOVED).map(|i| &beside.movements[*i]) {
        let (then, now) = m.values();
        line(out, &format!("| {} | {then} | {now} | {} | {} |", text(&m.place()), m.percent(), m.trend.name()));
    }
    out.push('\n');
}

/// Noise floor, planted faults and coverage; nothing where nothing was measured.
pub(super) fn proof(report: &Report, out: &mut String) {
    let alignment = &report.alignment;
    let waived: Vec<String> = caveats(report).collect();
    if alignment.floor.is_empty()
        && alignment.canaries.canaries.is_empty()
        && waived.is_empty()
        && device(report).is_none()
        && compute(report).is_none()
    {
        return;
    }
    line(out, "## What the gates are worth\n");
    for caveat in waived {
        line(out, &format!("- **{}**", text(&caveat)));
    }
    if let Some(compute) = compute(report) {
        line(out, &format!("- {}", text(&compute)));
    }
    if let Some(device) = device(report) {
        line(out, &format!("- {}", text(&device)));
    }
    let mut floors: BTreeMap<&str, Option<f64>> = BTreeMap::new();
    for floor in &alignment.floor {
        let slot = floors.entry(&floor.variation).or_default();
        // `total_cmp` ranks NaN above every number.
        *slot = slot.iter().copied().chain(floor.max).max_by(f64::total_cmp);
    }
    for (variation, most) in floors {
        let most = value(most);
        line(out, &format!("- the reference against itself, {}: differs by at most {most}", text(variation)));
    }
    for canary in canaries(report) {
        line(out, &format!("- {}", text(canary.trim_start())));
    }
    for kind in &report.corpus.coverage {
        let (corpus, probes) = (count(kind.corpus), count(kind.probes));
        line(out, &format!("- {}: {corpus} in the corpus, {probes} among the probes", text(&kind.kind)));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use crate::hidden_states::Tap;
    use crate::report::{CanarySection, CoverageSection, FloorSection, LayerErrors, sample};

    #[test]
    fn everything_measured_is_shown_and_a_blind_gate_cries_out() {
        let mut report = sample::passing();
        let floor = |max| FloorSection { tap: Tap::Layer(0), variation: "2 threads".into(), p99: None, max };
        report.alignment.floor = vec![floor(Some(1e-7)), floor(Some(f64::NAN))];
        report.alignment.canaries.canaries = vec![CanarySection {
            id: "x".into(),
            fault: "a|b\nc".into(),
            effect: Some(0.5),
            ..CanarySection::default()
        }];
        report.corpus.coverage = vec![CoverageSection { kind: "rows".into(), corpus: 1234, probes: 2 }];
        let layer = LayerErrors { tap: Tap::Layer(3), accumulated: Some(0.25), isolated: None, expected: Some(0.125) };
        report.explanation.layers = vec![layer];
        let mut out = String::new();
        super::story(&report, &mut out);
        super::proof(&report, &mut out);
        assert!(out.contains("| layer.3 | 0.25 | 0.125 | - |"), "{out}");
        assert!(out.contains("differs by at most NaN") && out.contains("SEEN BY NOTHING"), "{out}");
        assert!(out.contains("1,234 in the corpus") && !out.contains("a|b"), "{out}");
    }
}
