//! The layer curve with its table, and the cross-match.

use maud::{Markup, PreEscaped, html};

use super::markup::{cell, details, numbers, section, table, text, words};
use crate::hidden_states::{Arm, Tap};
use crate::metrics::{Measurement, Measurements, Mode};
use crate::policy::Outcome;
use crate::report::words::{HEADLINE, limit, outcome, taps};
use crate::report::{Report, chart};

/// How something came out, in one word that is also a colour.
pub(super) fn word(outcome: Option<Outcome>) -> Markup {
    let (class, word) = match outcome {
        Some(Outcome::Pass) => ("ok", "ok"),
        Some(Outcome::Fail) => ("bad", "FAIL"),
        Some(Outcome::Waived) => ("unsure", "waived"),
        Some(Outcome::NotMeasured) => ("unsure", "not measured"),
        None => ("soft", "no limit"),
    };
    html! { span.(class) { (word) } }
}

pub(super) fn layers(report: &Report) -> Markup {
    let Some(curve) = chart::curve(report) else { return html! {} };
    let about = "How far apart the two sides are after each layer. Engine is our encoder on float32 weights against \
                 ONNX Runtime: the noise of the instrument. Quantization is what the candidate's weights did; total is \
                 both. Dotted: what a wrong layer, or another sentence, would measure.";
    let heads = html! {
        (words("tap")) (words("gates")) (numbers("engine p99")) (numbers("quantization p99")) (numbers("max"))
        (numbers("limit of p99")) (numbers("by itself, mean")) (numbers("total p99")) (numbers("total max"))
        (numbers("wrong layer")) (numbers("other text"))
    };
    let rows = html! { @for tap in taps(report) { (row(report, tap)) } };
    let caption = "Relative L2 per token; cosine distance per row for sentence vectors";
    let content = html! {
        div.chart-box { (PreEscaped(curve)) }
        (table(caption, "sortable", heads, rows))
        (evidence(report))
    };
    section("layers", "Layer by layer", about, content)
}

fn row(report: &Report, tap: Tap) -> Markup {
    let metric = if tap.is_sentence_level() { "cosine_distance" } else { HEADLINE };
    // The cell of the first measurement of a list that is of these.
    let of = |list: &str, all: &Measurements, arm, mode, stat: &str, value: fn(&Measurement) -> Option<f64>| {
        let found = all.position(tap, arm, mode, metric);
        found.map_or_else(|| cell("", None), |i| cell(&format!("/{list}/{i}/{stat}"), value(&all[i])))
    };
    let measured = |arm, mode, stat, value| of("measurements", &report.measurements, arm, mode, stat, value);
    let p99 = |arm| measured(arm, Mode::Accumulated, "p99", |m| m.p99);
    let max = |arm| measured(arm, Mode::Accumulated, "max", |m| m.max);
    let unlike = &report.alignment.unlike;
    let null = |list, all| of(list, all, Arm::Total, Mode::Accumulated, "p99", |m| m.p99);
    let gate = limit(report, tap, metric);
    html! {
        // `layer.3` is linked to as `#layer-3`.
        tr id=(tap.to_string().replace('.', "-")) {
            th scope="row" { (tap) }
            td { (word(outcome(report, tap))) }
            (p99(Arm::Engine))
            (p99(Arm::Quantization))
            (max(Arm::Quantization))
            (gate.map_or_else(|| cell("", None), |(i, g)| cell(&format!("/gates/{i}/limit"), Some(g.limit))))
            (measured(Arm::Quantization, Mode::Isolated, "mean", |m| m.mean))
            (p99(Arm::Total))
            (max(Arm::Total))
            (null("alignment/unlike/wrong_layer", &unlike.wrong_layer))
            (null("alignment/unlike/mismatched_sentence", &unlike.mismatched_sentence))
        }
    }
}

/// Why each tap is where it is.
fn evidence(report: &Report) -> Markup {
    let rows = html! {
        @for t in &report.alignment.taps {
            tr {
                th scope="row" { (t.tap) }
                td { code { (text(&t.reference_tensor)) } }
                td { (text(&t.evidence)) @if let Some(m) = &t.matrices { "; " (text(m)) } }
            }
        }
    };
    let heads = html! { (words("tap")) (words("tensor of the graph")) (words("evidence")) };
    details("Why each tap is where it is", table("Taps of the reference", "", heads, rows))
}

pub(super) fn cross_match(report: &Report) -> Markup {
    let map = &report.alignment.cross_match;
    let Some(chart) = chart::heatmap(map) else { return html! {} };
    let about = "Every tap of the reference against every tap of the candidate. If the same points are compared, each \
                 is most like its own: a dark diagonal. What is most like another is outlined in red.";
    let table = html! {
        div.scroll role="region" tabindex="0" aria-label="Cross-match in numbers" {
            table {
                caption { "Relative L2; rows: reference, columns: candidate" }
                thead { tr { td {} @for tap in &map.candidate_taps { (numbers(&tap.to_string())) } } }
                tbody {
                    @for (i, (tap, values)) in map.reference_taps.iter().zip(&map.relative_l2).enumerate() {
                        tr {
                            th scope="row" { (tap) }
                            @for (j, value) in values.iter().enumerate() {
                                (cell(&format!("/alignment/cross_match/relative_l2/{i}/{j}"), Some(*value)))
                            }
                        }
                    }
                }
            }
        }
    };
    let content = html! { div.chart-box { (PreEscaped(chart)) } (details("In numbers", table)) };
    section("cross-match", "Are the same points compared?", about, content)
}
