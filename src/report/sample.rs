//! A small hand-made report for each verdict.

use super::*;
use crate::align::{Agreement, CrossMatchReport, NeighbourStats, PreflightCheck};
use crate::finding::{Severity, codes};
use crate::hidden_states::{Arm, RowId, RowSet, Tap};
use crate::metrics::{Location, Measurement, Mode};
use crate::policy::Policy;
use crate::verdict::{Answers, judge};
use crate::weights::WeightTotals;

const POLICY: &str = r#"
schema = 1
evidence = { min_rows = 100, min_tokens = 1000 }
[[gate]]
on = "layer.*"
arm = "engine"
metric = "relative_l2"
stat = "p99"
max = 2e-5
why = "two float32 engines"
[[gate]]
on = "layer.*"
arm = "quantization"
metric = "relative_l2"
stat = "p99"
max = 0.05
why = "measured 0.018; three times that"
[[gate]]
on = "sentence"
arm = "total"
metric = "cosine_distance"
stat = "p99"
max = 0.001
why = "measured 0.0003"
"#;

fn measurement(tap: Tap, arm: Arm, metric: &str, p99: f64) -> Measurement {
    let at = RowId { set: RowSet::Corpus, row: 17 };
    Measurement {
        tap,
        arm,
        mode: Mode::Accumulated,
        metric: metric.to_owned(),
        count: 31_245,
        mean: Some(p99 / 4.0),
        p50: None,
        p90: None,
        p99: Some(p99),
        p999: None,
        min: Some(0.0),
        max: Some(p99 * 2.0),
        worst: Some(Location {
            row: at,
            token: (!tap.is_sentence_level()).then_some(3),
            dimension: None,
            reference: None,
        }),
    }
}

fn report(quantization: [f64; 2], rows: u64, findings: Vec<Finding>) -> Report {
    let mut measurements = Vec::new();
    for (i, q) in quantization.into_iter().enumerate() {
        measurements.push(measurement(Tap::Layer(i), Arm::Engine, "relative_l2", 1.5e-6));
        measurements.push(measurement(Tap::Layer(i), Arm::Quantization, "relative_l2", q));
    }
    measurements.push(measurement(Tap::Sentence, Arm::Total, "cosine_distance", 0.0004));
    for (tap, arm) in [(Tap::Layer(0), Arm::Engine), (Tap::Layer(0), Arm::Quantization)].into_iter().chain([
        (Tap::Layer(1), Arm::Engine),
        (Tap::Layer(1), Arm::Quantization),
        (Tap::Sentence, Arm::Total),
    ]) {
        measurements.push(measurement(tap, arm, "non_finite", 0.0));
    }
    let totals = WeightTotals {
        matrix_elements: 1024,
        relative_error: 0.0054,
        worst_tensor: Some("encoder.w".into()),
        ..Default::default()
    };
    let weights = WeightsReport { totals, ..Default::default() };
    judged(Report {
        schema: SCHEMA,
        tool: Tool { name: "parallax".into(), version: "0.1.0".into() },
        verdict: Verdict::Inconclusive,
        exit_code: 3,
        answers: Answers::default(),
        reasons: Vec::new(),
        findings,
        gates: Vec::new(),
        provenance: Provenance {
            policy: PolicyRecord {
                name: "mine.toml".into(),
                sha256: crate::checkpoint::sha256_hex(POLICY.as_bytes()),
                text: POLICY.into(),
            },
            inputs: vec![InputRecord {
                role: "reference".into(),
                file: "model.onnx".into(),
                sha256: "cd".repeat(32),
                bytes: 90,
            }],
            threads: 2,
            ..Default::default()
        },
        corpus: CorpusSection {
            rows,
            unique_rows: rows,
            tokens: 31_245,
            unique_tokens: 31_245,
            vocabulary: 2_000,
            probes: 24,
            ..Default::default()
        },
        alignment: AlignmentSection {
            cross_match: CrossMatchReport {
                reference_taps: vec![Tap::Layer(0), Tap::Layer(1)],
                candidate_taps: vec![Tap::Layer(0), Tap::Layer(1)],
                relative_l2: vec![vec![0.01, f64::INFINITY], vec![0.9, 0.02]],
                ..Default::default()
            },
            reference: "MiniLM (float32 ONNX)".into(),
            candidate: "MiniLM-8bit (8-bit, group 64)".into(),
            taps: [Tap::Layer(0), Tap::Layer(1)].map(aligned).into(),
            preflight: vec![
                preflight("heads", "12", Agreement::Match),
                preflight("max_seq_length", "-", Agreement::Unstated),
            ],
            ..Default::default()
        },
        weights,
        measurements: measurements.into(),
        sentence: SentenceSection {
            pooling: "mean".into(),
            neighbours: Some(NeighbourStats {
                rows: 2000,
                top1_agreement: Some(0.99),
                top10_overlap: Some(0.97),
                ..Default::default()
            }),
            ..Default::default()
        },
        labels: None,
        worst_rows: vec![WorstRowSection {
            row: RowId { set: RowSet::Corpus, row: 17 },
            place: "corpus.txt:18".into(),
            text: "OK.".into(),
            tap: Tap::Layer(1),
            arm: Arm::Quantization,
            metric: "relative_l2".into(),
            value: 0.12,
            token: Some(3),
            token_text: Some(".".into()),
            tokens: vec![],
        }],
        regression: None,
        explanation: Default::default(),
    })
}

fn aligned(tap: Tap) -> AlignedTap {
    let (reference_tensor, evidence) = (format!("/encoder/{tap}"), "fork of the next attention block".to_owned());
    AlignedTap { tap, reference_tensor, node: None, evidence, matrices: None, engine_relative_l2: Some(1.5e-6) }
}

fn preflight(check: &str, reference: &str, outcome: Agreement) -> PreflightCheck {
    PreflightCheck { check: check.into(), reference: reference.into(), candidate: "12".into(), outcome }
}

/// Holds a rendering of each verdict against its golden file; `cargo insta review` shows what differs and accepts it.
pub(super) fn golden(extension: &str, rendered: impl Fn(&Report) -> String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("expected");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let reports = [("pass", passing()), ("fail", failing()), ("inconclusive", inconclusive()), ("broken", broken())];
    for (name, report) in reports {
        let text = rendered(&report);
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}: {text:?}");
        settings.bind(|| insta::assert_snapshot!(format!("{name}.{extension}"), text));
    }
}

/// The report with the verdict its own numbers lead to.
fn judged(mut report: Report) -> Report {
    let policy = Policy::parse(POLICY, "mine.toml").unwrap();
    let policy = policy.in_force(&report.terms());
    report.gates = policy.evaluate(&report.measured());
    let amount = report.corpus.amount();
    let judgement = judge(&policy, &report.gates, &report.findings, &amount);
    (report.verdict, report.exit_code, report.answers) = (judgement.verdict, judgement.exit_code, judgement.answers);
    report.reasons = judgement.reasons;
    report
}

/// Everything met.
pub(crate) fn passing() -> Report {
    report([0.01, 0.02], 2000, Vec::new())
}

/// Both layers over their limit.
pub(crate) fn failing() -> Report {
    report([0.06, 0.07], 2000, Vec::new())
}

/// The failing one with a control that is off at the second layer: nothing is known of the candidate.
pub(crate) fn broken() -> Report {
    let mut report = failing();
    report.measurements.change(|m| {
        if m.arm == Arm::Engine && m.tap == Tap::Layer(1) && m.metric == "relative_l2" {
            *m = measurement(Tap::Layer(1), Arm::Engine, "relative_l2", 0.003);
        }
    });
    judged(report)
}

/// A refusal and too few rows.
pub(crate) fn inconclusive() -> Report {
    let refusal = Finding::new(
        Severity::Refusal,
        &codes::ALIGNMENT_CROSS_MATCH,
        "candidate layer.0 looks like reference layer.1",
    );
    report([0.01, 0.02], 12, vec![refusal])
}
