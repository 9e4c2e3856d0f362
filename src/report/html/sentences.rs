//! The worst sentences, token by token, and the sentence vectors.

use maud::{Markup, PreEscaped, html};

use super::markup::{cell, details, inline, numbers, section, table, text, whole, words};
use crate::figures::number;
use crate::report::words::count;
use crate::report::{Report, WorstRowSection, chart};

/// Rows that are shown without being asked for.
const AT_ONCE: usize = 5;

/// Steps of the heat row: a token's error as a share of the row's largest.
const HEAT: [f64; 5] = [0.2, 0.35, 0.5, 0.7, 0.9];

pub(super) fn rows(report: &Report) -> Markup {
    let (first, more) = report.worst_rows.split_at(report.worst_rows.len().min(AT_ONCE));
    let items = |from: usize, rows: &[WorstRowSection]| {
        html! { @for (i, row) in rows.iter().enumerate() { (item(from + i, row)) } }
    };
    let more = html! { @if !more.is_empty() { ol.rows start=(AT_ONCE + 1) { (items(AT_ONCE, more)) } } };
    let content = html! {
        @if !first.is_empty() { ol.rows { (items(0, first)) } (details("More of them", more)) }
    };
    let about = "The rows with the largest error of any token. The stronger a token is coloured, the farther it is \
                 off; the worst one is marked.";
    section("rows", "Worst sentences", about, content)
}

fn item(i: usize, row: &WorstRowSection) -> Markup {
    let place = if row.place.is_empty() { row.row.to_string() } else { row.place.clone() };
    html! {
        li id={ "row-" (i + 1) } {
            code { (text(&place)) } " " (row.tap) " (" (row.arm) ") " (text(&row.metric)) " "
            (inline(&format!("/worst_rows/{i}/value"), Some(row.value)))
            @if let (Some(token), Some(at)) = (&row.token_text, row.token) {
                ", worst at token " (at) " " code { (text(token)) }
            }
            div dir="auto" { (text(&row.text)) }
            @if !row.tokens.is_empty() { (heat(row)) }
        }
    }
}

/// One box per token.
fn heat(row: &WorstRowSection) -> Markup {
    let most = row.tokens.iter().map(|t| t.relative_l2).fold(0.0, f64::max);
    let step = |error: f64| match error.is_nan() {
        // A number that is none is as bad as can be.
        true => HEAT.len(),
        false => HEAT.iter().filter(|share| error >= **share * most).count(),
    };
    html! {
        div.tokens {
            @for (i, token) in row.tokens.iter().enumerate() {
                @let (class, error) = (format!("h{}", step(token.relative_l2)), number(token.relative_l2));
                @if row.token == u32::try_from(i).ok() {
                    mark.(class) title=(error) { (whole(&token.text)) }
                } @else {
                    span.(class) title=(error) { (whole(&token.text)) }
                }
                " "
            }
        }
    }
}

pub(super) fn sentences(report: &Report) -> Markup {
    let sentence = &report.sentence;
    let content = html! {
        @if let Some(svg) = chart::histogram(report) { div.chart-box { (PreEscaped(svg)) } }
        @if let Some(n) = &sentence.neighbours {
            @let rows = html! {
                @for (name, key, v) in [
                    ("same nearest neighbour", "top1_agreement", n.top1_agreement),
                    ("overlap of the ten nearest", "top10_overlap", n.top10_overlap),
                    ("Spearman of all similarities", "spearman", n.spearman),
                    ("Pearson of all similarities", "pearson", n.pearson),
                    ("change of similarities over their spread", "similarity_shift", n.similarity_shift),
                    ("own distance p99 over that of two rows", "relative_distance", n.relative_distance),
                ] {
                    tr { th scope="row" { (name) } (cell(&format!("/sentence/neighbours/{key}"), v)) }
                }
            };
            @let caption = format!("A search among {} of the sentences: share that stays the same", count(n.rows));
            @let heads = html! { (words("what a search would notice")) (numbers("agreement")) };
            (table(&caption, "", heads, rows))
        }
    };
    let unit = if sentence.normalize { ", scaled to length 1" } else { "" };
    let about = format!(
        "One vector per sentence, {} dimensions, {} pooling{unit} (stated in {}). What your users get.",
        sentence.dimension, sentence.pooling, sentence.stated_in
    );
    section("sentences", "Sentence level", &about, content)
}
