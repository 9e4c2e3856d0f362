//! The layer curve with its table, and the cross-match.

use super::markup::{cell, details, numbers, section, table, text, words};
use crate::hidden_states::{Arm, Tap};
use crate::metrics::{Measurement, Mode};
use crate::policy::{GateResult, Outcome, Stat};
use crate::report::words::{HEADLINE, outcome, taps};
use crate::report::{Report, chart};

/// The measurement of a metric there, with its place in the report.
pub(super) fn measured<'a>(
    report: &'a Report,
    tap: Tap,
    arm: Arm,
    mode: Mode,
    metric: &str,
) -> Option<(usize, &'a Measurement)> {
    report.measurements.iter().enumerate().find(|(_, m)| m.is_of(tap, arm, mode, metric))
}

/// How something came out, in one word that is also a colour.
pub(super) fn word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Pass) => "<span class=\"ok\">ok</span>",
        Some(Outcome::Fail) => "<span class=\"bad\">FAIL</span>",
        Some(Outcome::Waived) => "<span class=\"unsure\">waived</span>",
        Some(Outcome::NotMeasured) => "<span class=\"unsure\">not measured</span>",
        None => "<span class=\"soft\">no gate</span>",
    }
}

/// The id of a tap's row: `layer.3` is linked to as `#layer-3`.
fn anchor(tap: Tap) -> String {
    tap.to_string().replace('.', "-")
}

pub(super) fn layers(report: &Report) -> String {
    let Some(curve) = chart::curve(report) else { return String::new() };
    let about = "How far apart the two sides are after each layer. Engine is our encoder on float32 weights against ONNX Runtime: the noise of the instrument. \
                 Quantization is what the candidate's weights did; total is both. Dotted: what a wrong layer, or another sentence, would measure.";
    let rows: String = taps(report).into_iter().map(|tap| row(report, tap)).collect();
    let columns = [
        words("tap"),
        words("gates"),
        numbers("engine p99"),
        numbers("quantization p99"),
        numbers("max"),
        numbers("limit of p99"),
        numbers("by itself, mean"),
        numbers("total p99"),
        numbers("total max"),
        numbers("wrong layer"),
        numbers("other text"),
    ];
    let table =
        table("Relative L2 per token; cosine distance per row for sentence vectors", "sortable", &columns, &rows);
    let content = format!("<div class=\"chart-box\">{curve}</div>\n{table}{}", evidence(report));
    section("layers", "Layer by layer", about, &content)
}

fn row(report: &Report, tap: Tap) -> String {
    let metric = if tap.is_sentence_level() { "cosine_distance" } else { HEADLINE };
    let of = |arm, mode, stat: &str, value: fn(&Measurement) -> Option<f64>| match measured(
        report, tap, arm, mode, metric,
    ) {
        Some((i, m)) => cell(&format!("/measurements/{i}/{stat}"), value(m)),
        None => cell("", None),
    };
    let p99 = |arm| of(arm, Mode::Accumulated, "p99", |m| m.p99);
    let max = |arm| of(arm, Mode::Accumulated, "max", |m| m.max);
    let is = |g: &GateResult| g.quantity.is_at(tap, Arm::Quantization) && g.quantity.is_of(metric, Stat::P99);
    let gate = report.gates.iter().enumerate().find(|(_, g)| is(g));
    let limit = gate.map_or_else(|| cell("", None), |(i, g)| cell(&format!("/gates/{i}/limit"), Some(g.limit)));
    let unlike = &report.alignment.unlike;
    let null = |key: &str, all: &[Measurement]| {
        let is = |m: &Measurement| m.is_of(tap, Arm::Total, Mode::Accumulated, metric);
        let found = all.iter().enumerate().find(|(_, m)| is(m));
        found.map_or_else(|| cell("", None), |(i, m)| cell(&format!("/alignment/unlike/{key}/{i}/p99"), m.p99))
    };
    format!(
        "<tr id=\"{}\"><th scope=\"row\">{tap}</th><td>{}</td>{}{}{}{limit}{}{}{}{}{}</tr>\n",
        anchor(tap),
        word(outcome(report, tap)),
        p99(Arm::Engine),
        p99(Arm::Quantization),
        max(Arm::Quantization),
        of(Arm::Quantization, Mode::Isolated, "mean", |m| m.mean),
        p99(Arm::Total),
        max(Arm::Total),
        null("wrong_layer", &unlike.wrong_layer),
        null("mismatched_sentence", &unlike.mismatched_sentence),
    )
}

/// Why each tap is where it is.
fn evidence(report: &Report) -> String {
    let rows: String = report
        .alignment
        .taps
        .iter()
        .map(|t| {
            let matrices = t.matrices.as_deref().map_or_else(String::new, |m| format!("; {}", text(m)));
            format!(
                "<tr><th scope=\"row\">{}</th><td><code>{}</code></td><td>{}{matrices}</td></tr>\n",
                t.tap,
                text(&t.reference_tensor),
                text(&t.evidence)
            )
        })
        .collect();
    let columns = [words("tap"), words("tensor of the graph"), words("evidence")];
    details("Why each tap is where it is", &table("Taps of the reference", "", &columns, &rows))
}

pub(super) fn cross_match(report: &Report) -> String {
    let map = &report.alignment.cross_match;
    let Some(chart) = chart::heatmap(map) else { return String::new() };
    let about = "Every tap of the reference against every tap of the candidate. If the same points are compared, each is most like its own: \
                 a dark diagonal. What is most like another is outlined in red.";
    let rows: String = map
        .reference_taps
        .iter()
        .zip(&map.relative_l2)
        .enumerate()
        .map(|(i, (tap, values))| {
            let cells: String = values
                .iter()
                .enumerate()
                .map(|(j, v)| cell(&format!("/alignment/cross_match/relative_l2/{i}/{j}"), Some(*v)))
                .collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", tap)
        })
        .collect();
    let heads: String =
        map.candidate_taps.iter().map(|t| format!("<th scope=\"col\" class=\"n\">{}</th>", t)).collect();
    let table = format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Cross-match in numbers\"><table><caption>Relative L2; rows: reference, columns: candidate</caption>\
         <thead><tr><td></td>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    );
    section(
        "cross-match",
        "Are the same points compared?",
        about,
        &format!("<div class=\"chart-box\">{chart}</div>\n{}", details("In numbers", &table)),
    )
}
