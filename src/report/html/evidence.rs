//! What the verdict rests on: planted faults, the reference's own noise, facts of both sides, coverage, findings.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::markup::{cell, details, numbers, section, table, text, words};
use crate::align::Agreement;
use crate::report::Report;
use crate::report::words::count;

pub(super) fn evidence(report: &Report) -> Markup {
    let content = html! {
        (findings(report)) (canaries(report)) (floor(report))
        (details("Facts both sides had to agree on", preflight(report)))
        (details("Coverage", coverage(report)))
    };
    let about = "Why these numbers can be believed: faults planted on purpose are seen, the reference agrees with \
                 itself, and both sides state the same facts.";
    section("evidence", "Evidence and coverage", about, content)
}

fn findings(report: &Report) -> Markup {
    let rows = html! {
        @for f in &report.findings {
            tr { th scope="row" { code { (text(&f.code)) } } td { (f.severity) } td { (text(&f.message)) } }
        }
    };
    let heads = html! { (words("code")) (words("weight")) (words("what was noticed")) };
    table("Findings", "", heads, rows)
}

fn canaries(report: &Report) -> Markup {
    let rows = html! {
        @for (i, c) in report.alignment.canaries.canaries.iter().enumerate() {
            tr {
                th scope="row" { (text(&c.fault)) }
                (cell(&format!("/alignment/canaries/canaries/{i}/effect"), c.effect))
                td {
                    @if let Some(why) = &c.not_planted {
                        span.soft { "not planted: " (text(why)) }
                    } @else if let Some(by) = &c.seen_by {
                        span.ok { "seen" } " by " (text(by))
                        @if let Some(proof) = c.stated.as_ref().filter(|proof| *proof != by) { "; " (text(proof)) }
                    } @else {
                        span.bad { "SEEN BY NOTHING" }
                    }
                }
            }
        }
    };
    let heads = html! { (words("fault")) (numbers("moves states by")) (words("outcome")) };
    table("Faults planted in copies of the candidate", "", heads, rows)
}

fn floor(report: &Report) -> Markup {
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
    let rows = html! {
        @for (variation, (i, max)) in most {
            tr { th scope="row" { (text(variation)) } (cell(&format!("/alignment/floor/{i}/max"), max)) }
        }
    };
    let heads = html! { (words("another way")) (numbers("largest relative L2")) };
    table("The reference against itself, run another way", "", heads, rows)
}

fn preflight(report: &Report) -> Markup {
    let class = |outcome| match outcome {
        Agreement::Match => "ok",
        Agreement::Mismatch => "bad",
        Agreement::Unstated => "soft",
    };
    let rows = html! {
        @for p in &report.alignment.preflight {
            tr {
                th scope="row" { (text(&p.check)) }
                td { (text(&p.reference)) }
                td { (text(&p.candidate)) }
                td { span.(class(p.outcome)) { (p.outcome.name()) } }
            }
        }
    };
    let heads = html! { (words("fact")) (words("reference")) (words("candidate")) (words("outcome")) };
    table("Preflight", "", heads, rows)
}

fn coverage(report: &Report) -> Markup {
    let kinds = html! {
        @for c in &report.corpus.coverage {
            tr { th scope="row" { (text(&c.kind)) } td.n { (count(c.corpus)) } td.n { (count(c.probes)) } }
        }
    };
    let lengths = html! {
        @for l in &report.corpus.lengths {
            tr {
                th scope="row" { @if let Some(n) = l.up_to { "up to " (count(n)) } @else { "more" } }
                td.n { (count(l.rows)) }
            }
        }
    };
    html! {
        @let heads = html! { (words("kind")) (numbers("corpus")) (numbers("probes")) };
        (table("Kinds of rows and batches that errors hide in", "", heads, kinds))
        (table("Rows by length in tokens", "", html! { (words("tokens")) (numbers("rows")) }, lengths))
    }
}
