//! What the verdict rests on: planted faults, the reference's own noise, facts of both sides, coverage, findings.

use std::collections::BTreeMap;

use super::markup::{cell, details, numbers, section, table, text, words};
use crate::align::Agreement;
use crate::report::Report;
use crate::report::words::count;

pub(super) fn evidence(report: &Report) -> String {
    let content = findings(report) + &canaries(report) + &floor(report) + &preflight(report) + &coverage(report);
    let about = "Why these numbers can be believed: faults planted on purpose are seen, the reference agrees with itself, and both sides state the same facts.";
    section("evidence", "Evidence and coverage", about, &content)
}

fn findings(report: &Report) -> String {
    let rows: String = report
        .findings
        .iter()
        .map(|f| {
            let severity = f.severity;
            format!(
                "<tr><th scope=\"row\"><code>{}</code></th><td>{severity}</td><td>{}</td></tr>\n",
                text(&f.code),
                text(&f.message)
            )
        })
        .collect();
    table("Findings", "", &[words("code"), words("weight"), words("what was noticed")], &rows)
}

fn canaries(report: &Report) -> String {
    let rows: String = report
        .alignment
        .canaries
        .canaries
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let seen = match (&c.seen_by, &c.not_planted) {
                (_, Some(why)) => format!("<span class=\"soft\">not planted: {}</span>", text(why)),
                (Some(by), None) => {
                    let proof = c.stated.as_ref().filter(|proof| *proof != by);
                    let proof = proof.map_or_else(String::new, |proof| format!("; {}", text(proof)));
                    format!("<span class=\"ok\">seen</span> by {}{proof}", text(by))
                }
                (None, None) => "<span class=\"bad\">SEEN BY NOTHING</span>".to_owned(),
            };
            format!(
                "<tr><th scope=\"row\">{}</th>{}<td>{seen}</td></tr>\n",
                text(&c.fault),
                cell(&format!("/alignment/canaries/canaries/{i}/effect"), c.effect)
            )
        })
        .collect();
    table(
        "Faults planted in copies of the candidate",
        "",
        &[words("fault"), numbers("moves states by"), words("outcome")],
        &rows,
    )
}

fn floor(report: &Report) -> String {
    let mut most: BTreeMap<&str, (usize, Option<f64>)> = BTreeMap::new();
    for (i, floor) in report.alignment.floor.iter().enumerate() {
        let slot = most.entry(&floor.variation).or_insert((i, floor.max));
        // `total_cmp` ranks NaN above every number.
        if let (Some(new), Some(old)) = (floor.max, slot.1)
            && new.total_cmp(&old).is_gt()
        {
            *slot = (i, floor.max);
        }
    }
    let rows: String = most
        .into_iter()
        .map(|(variation, (i, max))| {
            format!(
                "<tr><th scope=\"row\">{}</th>{}</tr>\n",
                text(variation),
                cell(&format!("/alignment/floor/{i}/max"), max)
            )
        })
        .collect();
    table(
        "The reference against itself, run another way",
        "",
        &[words("another way"), numbers("largest relative L2")],
        &rows,
    )
}

fn preflight(report: &Report) -> String {
    let rows: String = report
        .alignment
        .preflight
        .iter()
        .map(|p| {
            let class = match p.outcome {
                Agreement::Match => "ok",
                Agreement::Mismatch => "bad",
                Agreement::Unstated => "soft",
            };
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td><span class=\"{class}\">{}</span></td></tr>\n",
                text(&p.check),
                text(&p.reference),
                text(&p.candidate),
                p.outcome.name()
            )
        })
        .collect();
    let columns = [words("fact"), words("reference"), words("candidate"), words("outcome")];
    details("Facts both sides had to agree on", &table("Preflight", "", &columns, &rows))
}

fn coverage(report: &Report) -> String {
    let corpus = &report.corpus;
    let rows: String = corpus
        .coverage
        .iter()
        .map(|c| {
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
                text(&c.kind),
                count(c.corpus),
                count(c.probes)
            )
        })
        .collect();
    let kinds = table(
        "Kinds of rows and batches that errors hide in",
        "",
        &[words("kind"), numbers("corpus"), numbers("probes")],
        &rows,
    );
    let lengths: String = corpus
        .lengths
        .iter()
        .map(|l| {
            let up_to = l.up_to.map_or_else(|| "more".to_owned(), |n| format!("up to {}", count(n)));
            format!("<tr><th scope=\"row\">{up_to}</th><td class=\"n\">{}</td></tr>\n", count(l.rows))
        })
        .collect();
    let lengths = table("Rows by length in tokens", "", &[words("tokens"), numbers("rows")], &lengths);
    details("Coverage", &(kinds + &lengths))
}
