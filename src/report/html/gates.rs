//! Every limit and how it came out.

use maud::{Markup, html};

use super::layers::word;
use super::markup::{cell, details, numbers, section, table, text, words};
use crate::policy::{Direction, GateResult, Outcome};
use crate::report::Report;
use crate::report::words::used;

pub(super) fn gates(report: &Report) -> Markup {
    let mut order: Vec<(usize, &GateResult)> = report.gates.iter().enumerate().collect();
    // What speaks against a pass first; of each kind the nearest to its limit.
    order.sort_by(|(_, a), (_, b)| {
        let nearer = || used(b).unwrap_or(0.0).total_cmp(&used(a).unwrap_or(0.0));
        b.outcome.gravity().cmp(&a.outcome.gravity()).then_with(nearer)
    });
    let rows = html! { @for (i, gate) in order { (row(i, gate)) } };
    let heads = html! {
        (words("what")) (words("arm")) (words("statistic")) (numbers("measured")) (numbers("limit"))
        (numbers("of the limit")) (words("outcome")) (words("where the limit comes from"))
    };
    let about = format!(
        "Policy {}: {} limits, {} not met. A limit is met when the measured value is on its right side. \
         NaN meets none.",
        report.provenance.policy.name,
        report.gates.len(),
        report.gates.iter().filter(|g| g.outcome != Outcome::Pass).count()
    );
    let table = table("Every limit, worst first", "sortable filterable", heads, rows);
    section("gates", "Gates", &about, details("Every limit", table))
}

fn row(i: usize, g: &GateResult) -> Markup {
    let (exact, share) = match used(g) {
        Some(m) if m.is_finite() => (format!("{m:e}"), format!("{:.0} %", 100.0 * m)),
        Some(_) => ("inf".to_owned(), "beyond".to_owned()),
        None => (String::new(), "–".to_owned()),
    };
    html! {
        tr data-outcome=(if g.outcome == Outcome::Pass { "ok" } else { "not" }) {
            th scope="row" { (text(&g.quantity.on.to_string())) }
            td { @if let Some(arm) = g.quantity.arm { (arm) } }
            td { (text(&g.quantity.metric)) " " (g.quantity.stat) @if g.direction == Direction::Min { " at least" } }
            (cell(&format!("/gates/{i}/observed"), g.observed))
            (cell(&format!("/gates/{i}/limit"), Some(g.limit)))
            td.n data-v=(exact) { (share) }
            td { (word(Some(g.outcome))) @if let Some(t) = &g.tensor { " in " code { (text(t)) } } }
            td { (text(g.why.as_deref().unwrap_or(""))) }
        }
    }
}
