//! Markdown for a CI job's summary: the verdict first, then why, then the evidence.

use super::escape::{markdown, plain};
use super::markdown_text::{line, text};
use super::words::{
    HEADLINE, amount, answers, consequences, count, first_jump, measurement, next_step, outcome, taps, twin, unlike,
    value,
};
use super::{Report, ReportError, markdown_proof};
use crate::align::Agreement;
use crate::figures::number;
use crate::hidden_states::{Arm, Tap};
use crate::policy::Outcome;
use crate::weights::TensorRow;

/// GitHub takes a job summary of 1 MiB and drops it whole when it is larger.
const LARGEST: usize = 900 << 10;
/// Tensors of the weights table, worst first.
const WORST_TENSORS: usize = 10;
/// Rows of the table of sentences.
const WORST_ROWS: usize = 10;
/// Said where the document was cut.
const CUT: &str = "\n\n*Cut here: the summary would be too large. Everything is in report.json.*\n";

/// Renders the report.
pub(super) fn render(report: &Report) -> Result<Vec<u8>, ReportError> {
    let mut out = String::new();
    head(report, &mut out);
    tap_table(report, &mut out);
    markdown_proof::story(report, &mut out);
    markdown_proof::regression(report, &mut out);
    weights(report, &mut out);
    rows(report, &mut out);
    markdown_proof::proof(report, &mut out);
    evidence(report, &mut out);
    provenance(report, &mut out);
    if out.len() > LARGEST {
        let cut = out.floor_char_boundary(LARGEST - CUT.len());
        out.truncate(out[..cut].rfind('\n').unwrap_or(cut));
        out.push_str(CUT);
    }
    Ok(out.into_bytes())
}

fn head(report: &Report, out: &mut String) {
    let alignment = &report.alignment;
    line(out, &format!("# parallax: {}\n", report.verdict));
    let (candidate, reference) = (text(&alignment.candidate), text(&alignment.reference));
    let policy = text(&report.provenance.policy.name);
    line(out, &format!("**{candidate}** against **{reference}**, policy **{policy}**.\n"));
    let answers = answers(report);
    for answer in &answers {
        line(out, &format!("- {}", text(&answer.line)));
    }
    let told = |i: usize| answers.iter().any(|answer| answer.reason == Some(i));
    let untold = report.reasons.iter().enumerate().filter(|(i, _)| !told(*i)).map(|(_, reason)| reason);
    let (follow, others): (Vec<_>, Vec<_>) = untold.partition(|reason| reason.follows);
    for reason in others {
        line(out, &format!("- {}", text(&reason.message)));
    }
    out.push('\n');
    if !follow.is_empty() {
        line(out, &format!("<details><summary>It follows: {}</summary>\n", text(&consequences(follow.clone()))));
        follow.iter().for_each(|reason| line(out, &format!("- {}", text(&reason.message))));
        line(out, "\n</details>\n");
    }
    if let Some((todo, command)) = next_step(report) {
        line(out, &format!("Next: {todo} (`{}`)\n", command.replace('`', "'")));
    }
}

fn mark(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Fail) => "**FAIL**",
        Some(other) => other.name(),
        None => "no limit",
    }
}

fn tap_table(report: &Report, out: &mut String) {
    let taps = taps(report);
    if taps.is_empty() {
        return;
    }
    line(out, "## Taps\n");
    line(out, "Relative L2 per token (cosine distance per row for sentence vectors), 99th percentile and maximum.\n");
    line(
        out,
        "| tap | engine p99 | quantization p99 | quantization max | total p99 | total max | wrong layer p99 | other sentence p99 | gates |",
    );
    line(out, "|---|---:|---:|---:|---:|---:|---:|---:|---|");
    for tap in taps {
        line(out, &tap_row(report, tap));
    }
    let jump = || first_jump(report).map(|jump| jump.sentence());
    if let Some(grown) = report.explanation.sentence().or_else(jump) {
        line(out, &format!("\n**{}**", text(&grown)));
    }
    out.push('\n');
}

fn tap_row(report: &Report, tap: Tap) -> String {
    let metric = if tap.is_sentence_level() { "cosine_distance" } else { HEADLINE };
    let of = |arm| measurement(report, tap, arm, metric);
    let p99 = |arm| value(of(arm).and_then(|m| m.p99));
    let max = |arm| value(of(arm).and_then(|m| m.max));
    let [wrong_layer, other_text] = unlike(report, tap);
    format!(
        "| {tap} | {} | {} | {} | {} | {} | {} | {} | {} |",
        p99(Arm::Engine),
        p99(Arm::Quantization),
        max(Arm::Quantization),
        p99(Arm::Total),
        max(Arm::Total),
        value(wrong_layer),
        value(other_text),
        mark(outcome(report, tap))
    )
}

fn weights(report: &Report, out: &mut String) {
    let totals = &report.weights.totals;
    if totals.matrix_elements == 0 {
        return;
    }
    line(out, "## Weights\n");
    let bits = number(totals.bits_per_weight);
    let error = number(totals.relative_error);
    line(
        out,
        &format!("{} tensors, {bits} bits per weight, relative error {error} over all matrices.\n", totals.tensors),
    );
    if let Some(twin) = twin(report) {
        line(out, &format!("{twin}.\n"));
    }
    // A NaN is the worst there is; `total_cmp` puts it first when descending.
    let mut worst: Vec<&TensorRow> = report.weights.tensors.iter().filter(|t| t.shape.len() == 2).collect();
    worst.sort_by(|a, b| {
        b.relative_error.abs().total_cmp(&a.relative_error.abs()).then_with(|| a.tensor.cmp(&b.tensor))
    });
    if worst.is_empty() {
        return;
    }
    line(out, "| tensor | bits | group | relative error | max abs | SQNR dB |");
    line(out, "|---|---:|---:|---:|---:|---:|");
    for row in worst.into_iter().take(WORST_TENSORS) {
        let or_dash = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (bits, group) = (or_dash(row.bits), or_dash(row.group_size));
        let numbers = [row.relative_error, row.max_abs, row.sqnr_db].map(number);
        line(out, &format!("| {} | {bits} | {group} | {} |", text(&row.tensor), numbers.join(" | ")));
    }
    out.push('\n');
}

fn rows(report: &Report, out: &mut String) {
    if report.worst_rows.is_empty() {
        return;
    }
    line(out, "## Worst rows\n");
    line(out, "| row | tap | arm | metric | value | text |");
    line(out, "|---|---|---|---|---:|---|");
    for row in report.worst_rows.iter().take(WORST_ROWS) {
        let place = if row.place.is_empty() { row.row.to_string() } else { text(&row.place) };
        let (metric, value, said) = (text(&row.metric), number(row.value), text(&row.text));
        line(out, &format!("| {place} | {} | {} | {metric} | {value} | {said} |", row.tap, row.arm));
    }
    out.push('\n');
}

fn evidence(report: &Report, out: &mut String) {
    let corpus = &report.corpus;
    line(out, "## Evidence\n");
    let probes = count(corpus.probes);
    line(out, &format!("- {}, {probes} probe sentences", amount(report)));
    line(out, &format!("- {} different tokens", count(corpus.vocabulary)));
    if corpus.built_in {
        line(out, "- no corpus was given: only the built-in probe sentences were compared");
    }
    alignment(report, out);
    let gates = |outcome| report.gates.iter().filter(|g| g.outcome == outcome).count();
    let (met, broken, blind) = (gates(Outcome::Pass), gates(Outcome::Fail), gates(Outcome::NotMeasured));
    line(out, &format!("- {met} gates met, {broken} exceeded, {blind} not measured"));
    if let Some(n) = &report.sentence.neighbours {
        let (top1, top10) = (value(n.top1_agreement), value(n.top10_overlap));
        line(out, &format!("- same nearest neighbour {top1}, top-10 overlap {top10} among {} rows", count(n.rows)));
    }
    if let Some(labels) = &report.labels {
        let scores = labels.sentences().into_iter();
        scores.for_each(|score| line(out, &format!("- {}: {}", labels.amount(), text(&score))));
    }
    if let Some(o) = &report.alignment.observer_effect {
        let same = if o.bit_identical { "bit for bit the same" } else { "not bit-identical" };
        line(out, &format!("- tapped and untouched reference: {same}, largest difference {}", number(o.max_abs)));
    }
    for finding in &report.findings {
        let severity = finding.severity;
        line(out, &format!("- {severity} {}: {}", text(&finding.code), text(&finding.message)));
    }
    out.push('\n');
}

fn alignment(report: &Report, out: &mut String) {
    let alignment = &report.alignment;
    if !alignment.taps.is_empty() {
        line(
            out,
            &format!("- {} taps found in the reference's graph, each with its own evidence", alignment.taps.len()),
        );
    }
    if let Some(audit) = &alignment.graph_audit {
        let known = audit.nodes.saturating_sub(audit.unaudited.len());
        line(out, &format!("- {known} of {} nodes of the graph belong to known blocks", audit.nodes));
    }
    if let Some(weights) = alignment.graph_audit.as_ref().and_then(|audit| audit.weights.as_ref()) {
        line(out, &format!("- {}", text(&weights.sentence())));
        for difference in weights.different.iter().take(WORST_TENSORS) {
            line(out, &format!("  - {}", text(difference)));
        }
    }
    facts(report, out);
}

/// What both sides state.
fn facts(report: &Report, out: &mut String) {
    let alignment = &report.alignment;
    if !alignment.preflight.is_empty() {
        let agreed = alignment.preflight.iter().filter(|row| row.outcome == Agreement::Match).count();
        line(out, &format!("- {agreed} of {} facts stated alike by both sides", alignment.preflight.len()));
    }
    for row in alignment.preflight.iter().filter(|row| row.outcome != Agreement::Match) {
        let [check, ours, theirs] = [&row.check, &row.reference, &row.candidate].map(|words| text(words));
        let outcome = row.outcome.name();
        line(out, &format!("  - {check}: {outcome}, reference {ours}, candidate {theirs}"));
    }
}

fn provenance(report: &Report, out: &mut String) {
    let p = &report.provenance;
    line(out, "## Provenance\n");
    line(out, &format!("- {} {}", text(&report.tool.name), text(&report.tool.version)));
    if !p.runtime.onnxruntime_version.is_empty() {
        let (version, provider) = (text(&p.runtime.onnxruntime_version), text(&p.runtime.execution_provider));
        line(out, &format!("- ONNX Runtime {version}, {provider}, {} threads, seed {}", p.threads, p.seed));
    }
    line(out, &format!("- policy {}, sha256 {}", text(&p.policy.name), digest(&p.policy.sha256)));
    for input in &p.inputs {
        let (role, file, bytes) = (text(&input.role), text(&input.file), count(input.bytes));
        line(out, &format!("- {role}: {file}, {bytes} bytes, sha256 {}", digest(&input.sha256)));
    }
}

fn digest(sha256: &str) -> String {
    markdown(&plain(sha256, 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn rendered(report: &Report) -> String {
        String::from_utf8(render(report).unwrap()).unwrap()
    }

    #[test]
    fn literal_markdown_for_each_verdict() {
        sample::golden("md", rendered);
    }

    #[test]
    fn a_jump_is_pointed_at() {
        let mut report = sample::failing();
        report.measurements.change(|m| {
            if m.tap == Tap::Layer(1) && m.arm == Arm::Quantization && m.metric == HEADLINE {
                m.p99 = Some(0.5);
            }
        });
        assert!(rendered(&report).contains("\n**the error jumps at layer.1&#58; 0.06 at layer.0 becomes 0.5**\n"));
    }

    #[test]
    fn hostile_text_neither_formats_nor_breaks_tables() {
        let mut report = sample::failing();
        let hostile = "##[error]a|b\n# h <img src=x> [l](http://e) `c` @all \u{202e}\u{1b}[1m".to_owned();
        report.worst_rows[0].text = hostile.clone();
        report.alignment.candidate = hostile.clone();
        report.reasons[0].message = hostile.clone();
        report.provenance.inputs[0].file = hostile.clone();
        for row in &mut report.alignment.preflight {
            (row.check, row.reference) = (hostile.clone(), hostile.clone());
        }
        let clean = rendered(&sample::failing());
        let dirty = rendered(&report);
        assert_eq!(dirty.lines().count(), clean.lines().count());
        assert_eq!(dirty.matches('|').count(), clean.matches('|').count());
        assert!(!dirty.contains(['<', '\u{202e}', '\u{1b}', '@']));
        assert!(dirty.contains("\\`c\\`"));
    }

    #[test]
    fn a_huge_report_is_cut_at_a_line_and_says_so() {
        let mut report = sample::failing();
        let reason = report.reasons[0].clone();
        report.reasons = vec![crate::verdict::Reason { message: "ü".repeat(400), ..reason }; 4000];
        let out = rendered(&report);
        assert!(out.len() <= LARGEST && out.ends_with(CUT));
        assert!(out.starts_with("# parallax: FAIL\n"));
    }
}
