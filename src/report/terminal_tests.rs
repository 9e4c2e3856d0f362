use super::*;
use crate::report::sample;
use crate::verdict::Reason;

#[test]
fn literal_text_for_each_verdict() {
    sample::golden("txt", |report| verdict_text(report, false, false));
}

#[test]
fn color_is_only_where_it_was_asked_for() {
    let colored = verdict_text(&sample::failing(), true, false);
    assert!(colored.starts_with("\u{1b}[1;31mFAIL\u{1b}[0m  MiniLM-8bit"));
    assert!(!verdict_text(&sample::failing(), false, true).contains('\u{1b}'));
}

#[test]
fn fifteen_lines_are_enough_and_explain_shows_the_rest() {
    let mut report = sample::failing();
    let mut measurements = report.measurements.to_vec();
    let template = measurements[1].clone();
    for i in 2..40 {
        measurements.push(crate::metrics::Measurement { tap: Tap::Layer(i), ..template.clone() });
        let (code, message) = ("gate.exceeded".into(), format!("reason {i}"));
        report.reasons.push(Reason { code, message, ..report.reasons[0].clone() });
    }
    measurements[3].p99 = Some(0.5);
    report.measurements = measurements.into();
    let short = verdict_text(&report, false, false);
    assert!(short.lines().count() <= 15, "{short}");
    assert!(short.contains("the error jumps at layer.1: 0.06 at layer.0 becomes 0.5"), "{short}");
    assert!(short.contains("… 37 more taps, 37 not ok") && short.contains("more reasons"), "{short}");
    assert!(short.contains("layer.0 ") && short.contains("layer.1 "), "the failing taps are shown: {short}");
    let long = verdict_text(&report, false, true);
    assert!(long.contains("layer.39") && long.contains("reason 39") && long.contains("measured 0.018"));
}

#[test]
fn a_limit_missed_by_a_hair_reads_as_missed() {
    let mut report = sample::failing();
    report.measurements.change(|m| {
        if m.arm == Arm::Quantization && m.metric == HEADLINE {
            m.p99 = Some(0.050_000_001);
        }
    });
    let text = verdict_text(&report, false, false);
    assert!(text.contains("       0.050000001      0.05            -           -  FAIL"), "{text}");
}

#[test]
fn hostile_text_is_never_printed_raw() {
    let mut report = sample::failing();
    let hostile = "::error::x\n\u{1b}[2J\u{202e}##[error]##vso[task.complete]".to_owned();
    report.alignment.candidate = hostile.clone();
    report.provenance.policy.name = hostile.clone();
    report.reasons[0].message = hostile.clone();
    report.worst_rows[0].text = hostile.clone();
    report.worst_rows[0].place = hostile.clone();
    report.weights.totals.worst_tensor = Some(hostile);
    let text = verdict_text(&report, false, true);
    assert!(!text.contains(['\u{1b}', '\u{202e}']) && !text.contains("##[") && !text.contains("##vso["));
    assert!(!text.lines().any(|l| l.trim_start().starts_with("::")), "{text}");
}
