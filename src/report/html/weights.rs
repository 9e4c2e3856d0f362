//! Every matrix against its float32 twin.

use maud::{Markup, PreEscaped, html};

use super::markup::{cell, details, list, numbers, section, table, text, words};
use crate::report::words::{count, twin};
use crate::report::{Report, chart};
use crate::weights::TensorRow;

pub(super) fn weights(report: &Report) -> Markup {
    let is_matrix = |t: &TensorRow| t.shape.len() == 2;
    let mut all: Vec<(usize, &TensorRow)> = report.weights.tensors.iter().enumerate().collect();
    let errors = all.iter().filter(|(_, t)| is_matrix(t)).map(|(_, t)| t.relative_error);
    let most = errors.filter(|e| e.is_finite()).fold(0.0, f64::max);
    // A NaN is the worst there is; `total_cmp` puts it first when descending.
    all.sort_by(|(_, a), (_, b)| {
        b.relative_error.abs().total_cmp(&a.relative_error.abs()).then(a.tensor.cmp(&b.tensor))
    });
    let of = |caption: &str, matrices: bool| {
        let heads = html! {
            (words("tensor")) (words("stored")) (numbers("relative error")) (words("error, and theory"))
            (numbers("max abs")) (numbers("SQNR dB")) (numbers("MSE")) (numbers("group shift")) (numbers("bytes"))
        };
        let wanted = all.iter().filter(|(_, t)| is_matrix(t) == matrices);
        table(caption, "sortable", heads, html! { @for (i, t) in wanted { (row(*i, t, most)) } })
    };
    let missing = list("why", report.weights.without_original.iter().map(|t| format!("no float32 twin: {t}")));
    let content = html! {
        (of("Matrices, worst first", true))
        (details("Vectors: biases and norms", of("Vectors, worst first", false)))
        (details("Tensors that were not compared", missing))
    };
    let totals = &report.weights.totals;
    let about = format!(
        "{} against {}. {} tensors, {} of {} bytes. {}The line across a bar is what rounding alone makes of normally \
         distributed weights at these bits.",
        report.weights.candidate,
        report.weights.original,
        totals.tensors,
        count(totals.bytes),
        count(totals.float32_bytes),
        twin(report).map_or_else(String::new, |twin| format!("{twin}. "))
    );
    section("weights", "Weights", &about, content)
}

fn row(i: usize, t: &TensorRow, most: f64) -> Markup {
    let number = |key: &str, v: Option<f64>| cell(&format!("/weights/tensors/{i}/{key}"), v);
    let stored = match (t.bits, t.group_size) {
        (Some(bits), Some(group)) => format!("{} {bits} bits, group {group}", t.mode.as_deref().unwrap_or("")),
        _ => t.dtype.clone(),
    };
    let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
    // Where the sort looks: errors against theory, not pixels.
    let beyond = chart::theory(t).map(|theory| t.relative_error / theory);
    let beyond = beyond.filter(|b| b.is_finite()).map_or_else(String::new, |b| format!("{b:e}"));
    html! {
        tr {
            th scope="row" {
                code { @for part in text(&t.tensor).split_inclusive('.') { (part) @if part.ends_with('.') { wbr; } } }
                " " span.soft { (shape.join(" × ")) }
            }
            td { (text(&stored)) }
            (number("relative_error", Some(t.relative_error)))
            td data-v=(beyond) { @if t.shape.len() == 2 { (PreEscaped(chart::bar(t, most))) } }
            (number("max_abs", Some(t.max_abs)))
            (number("sqnr_db", Some(t.sqnr_db)))
            (number("mse", Some(t.mse)))
            (number("group_shift", t.group_shift))
            td.n data-path={ "/weights/tensors/" (i) "/bytes" } data-v=(t.bytes) { (count(t.bytes)) }
        }
    }
}
