//! Every limit and how it came out.

use super::layers::word;
use super::markup::{cell, details, numbers, section, table, text, words};
use crate::policy::{Direction, GateResult, Outcome};
use crate::report::Report;
use crate::report::words::used;

pub(super) fn gates(report: &Report) -> String {
    let mut order: Vec<usize> = (0..report.gates.len()).collect();
    // What speaks against a pass first; of each kind the nearest to its limit.
    let badness = |g: &GateResult| g.outcome.gravity();
    order.sort_by(|a, b| {
        let (a, b) = (&report.gates[*a], &report.gates[*b]);
        badness(b).cmp(&badness(a)).then(used(b).unwrap_or(0.0).total_cmp(&used(a).unwrap_or(0.0)))
    });
    let rows: String = order.iter().map(|i| row(*i, &report.gates[*i])).collect();
    let columns = [
        words("what"),
        words("arm"),
        words("statistic"),
        numbers("measured"),
        numbers("limit"),
        numbers("of the limit"),
        words("outcome"),
        words("where the limit comes from"),
    ];
    let table = table("Every limit, worst first", "sortable filterable", &columns, &rows);
    let policy = &report.provenance.policy.name;
    let bad = report.gates.iter().filter(|g| g.outcome != Outcome::Pass).count();
    let about = format!(
        "Policy {policy}: {} limits, {bad} not met. A limit is met when the measured value is on its right side. NaN meets none.",
        report.gates.len()
    );
    section("gates", "Gates", &about, &details("Every limit", &table))
}

fn row(i: usize, g: &GateResult) -> String {
    let share = match used(g) {
        Some(m) if m.is_finite() => format!("<td class=\"n\" data-v=\"{m:e}\">{:.0} %</td>", 100.0 * m),
        Some(_) => "<td class=\"n\" data-v=\"inf\">beyond</td>".to_owned(),
        None => "<td class=\"n\" data-v=\"\">–</td>".to_owned(),
    };
    let side = if g.direction == Direction::Min { " at least" } else { "" };
    let tensor = g.tensor.as_deref().map_or_else(String::new, |t| format!(" in <code>{}</code>", text(t)));
    let plain = if g.outcome == Outcome::Pass { "ok" } else { "not" };
    format!(
        "<tr data-outcome=\"{plain}\"><th scope=\"row\">{}</th><td>{}</td><td>{} {}{side}</td>{}{}{share}<td>{}{tensor}</td><td>{}</td></tr>\n",
        text(&g.quantity.on.to_string()),
        g.quantity.arm.map_or_else(String::new, |a| a.to_string()),
        text(&g.quantity.metric),
        g.quantity.stat,
        cell(&format!("/gates/{i}/observed"), g.observed),
        cell(&format!("/gates/{i}/limit"), Some(g.limit)),
        word(Some(g.outcome)),
        text(g.why.as_deref().unwrap_or("")),
    )
}
