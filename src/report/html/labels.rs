//! What both sides score on labels, and the rows that lost most.

use maud::{Markup, html};

use super::markup::{cell, numbers, section, table, text, words};
use crate::report::{LabelsSection, Report};

pub(super) fn labels(report: &Report) -> Markup {
    let Some(labels) = &report.labels else { return html! {} };
    let about = format!(
        "What people said of {}, and how well each side agrees with it. Lost is the reference's score minus the candidate's; \
         the interval holds 95 % of what other rows like these would show.",
        labels.amount()
    );
    let content = html! { (scores(labels)) (queries(labels)) (pairs(labels)) };
    section("labels", "Labels", &about, content)
}

fn scores(labels: &LabelsSection) -> Markup {
    let rows = html! {
        @for (i, score) in labels.scores.iter().enumerate() {
            @let at = |key: &str| format!("/labels/scores/{i}/{key}");
            tr {
                th scope="row" { (text(&score.score.replace('_', " "))) }
                (cell(&at("reference"), score.reference)) (cell(&at("candidate"), score.candidate))
                (cell(&at("drop"), score.drop)) (cell(&at("low"), score.low)) (cell(&at("high"), score.high))
            }
        }
    };
    let heads = html! {
        (words("score")) (numbers("reference")) (numbers("candidate")) (numbers("lost")) (numbers("from")) (numbers("to"))
    };
    table("Scores on labels", "", heads, rows)
}

fn queries(labels: &LabelsSection) -> Markup {
    let rows = html! {
        @for (i, query) in labels.lost_queries.iter().enumerate() {
            @let at = |key: &str| format!("/labels/lost_queries/{i}/{key}");
            tr {
                th scope="row" dir="auto" { (text(&query.text)) }
                (cell(&at("reference"), Some(query.reference))) (cell(&at("candidate"), Some(query.candidate)))
            }
        }
    };
    let heads = html! { (words("query")) (numbers("reference nDCG@10")) (numbers("candidate")) };
    html! { @if !labels.lost_queries.is_empty() { (table("Queries that lost most", "", heads, rows)) } }
}

fn pairs(labels: &LabelsSection) -> Markup {
    let rows = html! {
        @for (i, pair) in labels.moved_pairs.iter().enumerate() {
            @let at = |key: &str| format!("/labels/moved_pairs/{i}/{key}");
            tr {
                th scope="row" dir="auto" { (text(&pair.texts[0])) " / " (text(&pair.texts[1])) }
                (cell(&at("label"), Some(pair.label)))
                (cell(&at("reference"), Some(pair.reference))) (cell(&at("candidate"), Some(pair.candidate)))
            }
        }
    };
    let heads = html! { (words("pair")) (numbers("label")) (numbers("reference cosine")) (numbers("candidate")) };
    html! { @if !labels.moved_pairs.is_empty() { (table("Pairs that moved farthest", "", heads, rows)) } }
}
