//! The verdict as a person at a terminal reads it: at most fifteen lines, the answer first.

use super::escape::plain;
use super::words::{
    AnswerLine, HEADLINE, amount, answers, canaries, caveats, compute, consequences, count, device, first_jump, limit,
    measurement, next_step, outcome, over_twin, planted, taps, unlike, used, value, worst_outcome,
};
use super::{Report, WorstRowSection};
use crate::figures::{apart, number};
use crate::hidden_states::{Arm, Tap};
use crate::policy::{Outcome, Place};
use crate::verdict::{Reason, Verdict};

/// Lines without `explain`: the worst row is told where there is room.
const LINES: usize = 15;
/// Rows of the tap table without `explain`; the taps nearest to their limits are kept.
const TABLE_ROWS: usize = 3;
/// Reasons without `explain`.
const REASONS: usize = 3;
/// Characters of text that others wrote, per line.
const TEXT: usize = 300;
/// Characters of a row's text.
const ROW_TEXT: usize = 60;

struct Paint(bool);

impl Paint {
    fn in_code(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn verdict(&self, verdict: Verdict) -> String {
        let code = match verdict {
            Verdict::Pass => "1;32",
            Verdict::Fail => "1;31",
            Verdict::Inconclusive => "1;33",
        };
        self.in_code(code, &verdict.to_string())
    }

    fn outcome(&self, outcome: Option<Outcome>) -> String {
        let Some(outcome) = outcome else { return "no limit".to_owned() };
        let code = match outcome {
            Outcome::Pass => "32",
            Outcome::Fail => "31",
            Outcome::Waived | Outcome::NotMeasured => "33",
        };
        self.in_code(code, outcome.name())
    }
}

/// The verdict, what was compared, a table of the taps, the reasons. `explain` shows every tap, every
/// reason, every finding and where each broken limit comes from. Ends with a newline.
pub fn verdict_text(report: &Report, color: bool, explain: bool) -> String {
    let paint = Paint(color);
    let mut lines = vec![format!(
        "{}  {} against {}, policy {}",
        paint.verdict(report.verdict),
        plain(&report.alignment.candidate, TEXT),
        plain(&report.alignment.reference, TEXT),
        plain(&report.provenance.policy.name, TEXT)
    )];
    let answers = answers(report);
    lines.extend(answers.iter().map(|answer| format!("      {}", plain(&answer.line, TEXT))));
    lines.push(evidence(report));
    lines.extend(caveats(report).map(|c| format!("      {}", plain(&c, TEXT))));
    lines.extend(table(report, &paint, explain));
    let jump = || first_jump(report).map(|jump| jump.sentence());
    lines.extend(report.explanation.sentence().or_else(jump).map(|s| format!("      {s}")));
    lines.extend(sentence(report));
    lines.extend(labels(report));
    lines.extend(weights(report));
    lines.extend(report.regression.as_ref().map(|r| format!("      {}", plain(&r.sentence(), TEXT))));
    lines.extend(device(report).map(|d| format!("      {}", plain(&d, TEXT))));
    lines.extend(compute(report).map(|c| format!("      {}", plain(&c, TEXT))));
    lines.extend(reasons(report, &answers, explain));
    lines.extend(next_step(report).map(|(todo, command)| format!("  next {todo} ({command})")));
    if explain || lines.len() < LINES {
        lines.extend(report.worst_rows.first().map(worst_row));
    }
    if explain {
        lines.extend(explanation(report));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn evidence(report: &Report) -> String {
    let corpus = &report.corpus;
    let mut line = format!("      {}", amount(report));
    if corpus.probes > 0 {
        line.push_str(&format!(", {} probes", count(corpus.probes)));
    }
    line.push_str(&planted(report).map_or_else(String::new, |p| format!("; {p}")));
    if corpus.built_in {
        line.push_str("; no corpus was given: only the built-in probe sentences were compared");
    }
    line
}

/// How near the tap's worst gate is to its limit.
fn closeness(report: &Report, tap: Tap) -> f64 {
    let margins = report.gates.iter().filter(|g| g.quantity.tap() == Some(tap)).filter_map(used);
    margins.fold(0.0, f64::max)
}

fn table(report: &Report, paint: &Paint, explain: bool) -> Vec<String> {
    let all: Vec<Tap> = taps(report).into_iter().filter(|t| !t.is_sentence_level()).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let mut shown = all.clone();
    if !explain && shown.len() > TABLE_ROWS {
        shown.sort_by(|a, b| closeness(report, *b).total_cmp(&closeness(report, *a)).then(a.cmp(b)));
        shown.truncate(TABLE_ROWS);
        shown.sort_unstable();
    }
    let width = shown.iter().map(|t| t.to_string().len()).max().unwrap_or(0).max(10);
    // Where the policy states no limit on states, the yardstick is an honest conversion.
    let limited = shown.iter().any(|tap| limit(report, *tap, HEADLINE).is_some());
    let bound = if limited { "limit" } else { "of twin" };
    let mut lines = vec![format!(
        "      {:width$}  {:>10}  {:>16}  {:>8}  {:>11}  {:>10}",
        "tap", "engine p99", "quantization p99", bound, "wrong layer", "other text"
    )];
    for tap in &shown {
        let p99 = |arm| measurement(report, *tap, arm, HEADLINE).and_then(|m| m.p99);
        let gate = limit(report, *tap, HEADLINE).map(|(_, g)| g);
        let [wrong_layer, other_text] = unlike(report, *tap);
        let limit = gate.map(|g| g.limit);
        // A limit missed by a hair must not read as one that was met.
        let (seen, limit) = match (p99(Arm::Quantization), limit) {
            (Some(seen), Some(limit)) => apart(seen, limit),
            (seen, None) if !limited => {
                (value(seen), over_twin(report, *tap).map_or("-".to_owned(), |x| format!("x {}", number(x))))
            }
            (seen, limit) => (value(seen), value(limit)),
        };
        lines.push(format!(
            "      {:width$}  {:>10}  {seen:>16}  {limit:>8}  {:>11}  {:>10}  {}",
            tap.to_string(),
            value(p99(Arm::Engine)),
            value(wrong_layer),
            value(other_text),
            paint.outcome(outcome(report, *tap))
        ));
    }
    let hidden: Vec<&Tap> = all.iter().filter(|t| !shown.contains(t)).collect();
    if !hidden.is_empty() {
        let bad = hidden.iter().filter(|t| worst_outcome(report, ***t) != Some(Outcome::Pass)).count();
        let state = match bad {
            0 if hidden.iter().any(|t| outcome(report, **t).is_none()) => "none beyond a limit".to_owned(),
            0 => "all ok".to_owned(),
            bad => format!("{bad} not ok"),
        };
        lines.push(format!("      … {} more taps, {state} (--explain shows them)", hidden.len()));
    }
    lines
}

fn sentence(report: &Report) -> Option<String> {
    let tap = taps(report).into_iter().rfind(|t| t.is_sentence_level())?;
    let m = measurement(report, tap, Arm::Total, "cosine_distance")?;
    let mut line = format!("      {tap}: cosine distance p99 {}, max {}", value(m.p99), value(m.max));
    let told = report.gates.iter().any(|g| g.quantity.on == Place::Neighbours && g.observed.is_some());
    if let Some(n) = report.sentence.neighbours.as_ref().filter(|_| !told) {
        line.push_str(&format!(", same nearest neighbour {}", value(n.top1_agreement)));
        line.push_str(&format!(", top-10 overlap {}", value(n.top10_overlap)));
    }
    Some(line)
}

fn labels(report: &Report) -> Vec<String> {
    let Some(labels) = &report.labels else { return Vec::new() };
    let of = format!("      labels, {}:", labels.amount());
    let told = labels.sentences().into_iter().map(|score| format!("        {}", plain(&score, TEXT)));
    std::iter::once(of).chain(told).collect()
}

fn weights(report: &Report) -> Option<String> {
    let totals = &report.weights.totals;
    (totals.matrix_elements > 0).then(|| {
        let mut line = format!("      weights: relative error {}", number(totals.relative_error));
        if let Some(worst) = &totals.worst_tensor {
            line.push_str(&format!(", worst in {}", plain(worst, TEXT)));
        }
        line
    })
}

/// Those that the two answers do not tell already; what follows from a nearer cause is counted, or told last.
fn reasons(report: &Report, answers: &[AnswerLine], explain: bool) -> Vec<String> {
    let told = |i: &usize| answers.iter().any(|answer| answer.reason == Some(*i));
    let untold = (0..report.reasons.len()).filter(|i| !told(i)).map(|i| &report.reasons[i]);
    let (follow, all): (Vec<&Reason>, Vec<&Reason>) = untold.partition(|r| r.follows);
    let most = REASONS.saturating_sub(report.reasons.len() - all.len() - follow.len()).max(1);
    let shown = if explain || all.len() <= most { all.len() } else { most - 1 };
    let mut lines: Vec<String> = all[..shown].iter().map(|r| format!("  why {}", plain(&r.message, TEXT))).collect();
    if shown < all.len() {
        lines.push(format!("  why … and {} more reasons (--explain shows them)", all.len() - shown));
    }
    if explain {
        lines.extend(follow.iter().map(|r| format!("  it follows: {}", plain(&r.message, TEXT))));
    } else if !follow.is_empty() {
        lines.push(format!("  it follows: {} (--explain tells more)", consequences(follow)));
    }
    lines
}

fn worst_row(row: &WorstRowSection) -> String {
    let place = if row.place.is_empty() { row.row.to_string() } else { plain(&row.place, TEXT) };
    let metric = plain(&row.metric, TEXT);
    let value = number(row.value);
    format!("      worst row: {place} {} {metric} {value}: {}", row.tap, plain(&row.text, ROW_TEXT))
}

fn explanation(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if report.explanation.is_told() {
        lines.push("  where the error comes from".to_owned());
        let told = report.explanation.story();
        lines.extend(told.iter().map(|l| format!("    {}", plain(l, TEXT))));
    }
    lines.extend(canaries(report));
    for finding in &report.findings {
        let severity = finding.severity;
        lines.push(format!("  {severity} {}: {}", plain(&finding.code, TEXT), plain(&finding.message, TEXT)));
    }
    let mut said: Vec<&str> = Vec::new();
    for gate in report.gates.iter().filter(|g| g.outcome != Outcome::Pass) {
        if let Some(why) = gate.why.as_deref().filter(|w| !said.contains(w)) {
            said.push(why);
            let (metric, limit) = (plain(&gate.quantity.metric, TEXT), number(gate.limit));
            lines.push(format!("  limit {limit} of {metric} {}: {}", gate.quantity.stat, plain(why, TEXT)));
        }
    }
    lines
}

#[cfg(test)]
#[path = "terminal_tests.rs"]
mod tests;
