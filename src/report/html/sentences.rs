//! The worst sentences, token by token, and the sentence vectors.

use super::markup::{cell, details, html, inline, numbers, section, table, text, words};
use crate::report::{Report, WorstRowSection, chart};

/// Rows that are shown without being asked for.
const AT_ONCE: usize = 5;

/// Steps of the heat row: a token's error as a share of the row's largest.
const HEAT: [f64; 5] = [0.2, 0.35, 0.5, 0.7, 0.9];

pub(super) fn rows(report: &Report) -> String {
    let mut items: Vec<String> = report.worst_rows.iter().enumerate().map(|(i, row)| item(i, row)).collect();
    if items.is_empty() {
        return String::new();
    }
    let more = items.split_off(items.len().min(AT_ONCE)).concat();
    let more =
        if more.is_empty() { more } else { format!("<ol class=\"rows\" start=\"{}\">\n{more}</ol>\n", AT_ONCE + 1) };
    let content = format!("<ol class=\"rows\">\n{}</ol>\n{}", items.concat(), details("More of them", &more));
    let about = "The rows with the largest error of any token. The stronger a token is coloured, the farther it is off; the worst one is marked.";
    section("rows", "Worst sentences", about, &content)
}

fn item(i: usize, row: &WorstRowSection) -> String {
    let place = if row.place.is_empty() { row.row.to_string() } else { row.place.clone() };
    let token = match (&row.token_text, row.token) {
        (Some(token), Some(at)) => format!(", worst at token {at} <code>{}</code>", text(token)),
        _ => String::new(),
    };
    format!(
        "<li id=\"row-{}\"><code>{}</code> {} ({}) {} {}{token}<div dir=\"auto\">{}</div>{}</li>\n",
        i + 1,
        text(&place),
        row.tap,
        row.arm,
        text(&row.metric),
        inline(&format!("/worst_rows/{i}/value"), Some(row.value)),
        text(&row.text),
        heat(row)
    )
}

/// One box per token.
fn heat(row: &WorstRowSection) -> String {
    let most = row.tokens.iter().map(|t| t.relative_l2).fold(0.0, f64::max);
    let boxes: String = row
        .tokens
        .iter()
        .enumerate()
        .map(|(i, token)| {
            let step = HEAT.iter().filter(|share| token.relative_l2 >= **share * most).count();
            // A number that is none is as bad as can be.
            let step = if token.relative_l2.is_nan() { HEAT.len() } else { step };
            let name = if row.token == u32::try_from(i).ok() { "mark" } else { "span" };
            let value = crate::figures::number(token.relative_l2);
            format!("<{name} class=\"h{step}\" title=\"{value}\">{}</{name}> ", html(&token.text))
        })
        .collect();
    if boxes.is_empty() { boxes } else { format!("<div class=\"tokens\">{boxes}</div>") }
}

pub(super) fn sentences(report: &Report) -> String {
    let sentence = &report.sentence;
    let mut content =
        chart::histogram(report).map_or_else(String::new, |svg| format!("<div class=\"chart-box\">{svg}</div>\n"));
    if let Some(n) = &sentence.neighbours {
        let row = |name: &str, key: &str, v: Option<f64>| {
            format!("<tr><th scope=\"row\">{name}</th>{}</tr>\n", cell(&format!("/sentence/neighbours/{key}"), v))
        };
        let rows = row("same nearest neighbour", "top1_agreement", n.top1_agreement)
            + &row("overlap of the ten nearest", "top10_overlap", n.top10_overlap)
            + &row("Spearman of all similarities", "spearman", n.spearman)
            + &row("Pearson of all similarities", "pearson", n.pearson)
            + &row("change of similarities over their spread", "similarity_shift", n.similarity_shift)
            + &row("own distance p99 over that of two rows", "relative_distance", n.relative_distance);
        let caption = format!(
            "A search among {} of the sentences: share that stays the same",
            crate::report::words::count(n.rows)
        );
        content.push_str(&table(&caption, "", &[words("what a search would notice"), numbers("agreement")], &rows));
    }
    if content.is_empty() {
        return content;
    }
    let unit = if sentence.normalize { ", scaled to length 1" } else { "" };
    let about = format!(
        "One vector per sentence, {} dimensions, {} pooling{unit} (stated in {}). What your users get.",
        sentence.dimension, sentence.pooling, sentence.stated_in
    );
    section("sentences", "Sentence level", &about, &content)
}
