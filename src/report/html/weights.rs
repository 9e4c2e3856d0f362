//! Every matrix against its float32 twin.

use super::markup::{cell, details, list, numbers, section, table, text, words};
use crate::report::words::{count, twin};
use crate::report::{Report, chart};
use crate::weights::TensorRow;

pub(super) fn weights(report: &Report) -> String {
    let all = &report.weights.tensors;
    let is_matrix = |t: &TensorRow| t.shape.len() == 2;
    let most =
        all.iter().filter(|t| is_matrix(t)).map(|t| t.relative_error).filter(|e| e.is_finite()).fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..all.len()).collect();
    // A NaN is the worst there is; `total_cmp` puts it first when descending.
    order.sort_by(|a, b| {
        all[*b].relative_error.abs().total_cmp(&all[*a].relative_error.abs()).then(all[*a].tensor.cmp(&all[*b].tensor))
    });
    let rows = |wanted: fn(&TensorRow) -> bool| -> String {
        order.iter().filter(|i| wanted(&all[**i])).map(|i| row(*i, &all[*i], most)).collect()
    };
    let columns = || {
        [
            words("tensor"),
            words("stored"),
            numbers("relative error"),
            words("error, and theory"),
            numbers("max abs"),
            numbers("SQNR dB"),
            numbers("MSE"),
            numbers("group shift"),
            numbers("bytes"),
        ]
    };
    let matrices = table("Matrices, worst first", "sortable", &columns(), &rows(|t| t.shape.len() == 2));
    let others = rows(|t| t.shape.len() != 2);
    let others = details("Vectors: biases and norms", &table("Vectors, worst first", "sortable", &columns(), &others));
    let missing = list("why", report.weights.without_original.iter().map(|t| format!("no float32 twin: {t}")));
    let content = matrices + &others + &details("Tensors that were not compared", &missing);
    let totals = &report.weights.totals;
    let about = format!(
        "{} against {}. {} tensors, {} of {} bytes. {}The line across a bar is what rounding alone makes of normally distributed weights at these bits.",
        report.weights.candidate,
        report.weights.original,
        totals.tensors,
        count(totals.bytes),
        count(totals.float32_bytes),
        twin(report).map_or_else(String::new, |twin| format!("{twin}. "))
    );
    section("weights", "Weights", &about, &content)
}

fn row(i: usize, t: &TensorRow, most: f64) -> String {
    let number = |key: &str, v: Option<f64>| cell(&format!("/weights/tensors/{i}/{key}"), v);
    let stored = match (t.bits, t.group_size) {
        (Some(bits), Some(group)) => format!("{} {bits} bits, group {group}", t.mode.as_deref().unwrap_or("")),
        _ => t.dtype.clone(),
    };
    let shape: Vec<String> = t.shape.iter().map(usize::to_string).collect();
    let bar = if t.shape.len() == 2 { chart::bar(t, most) } else { String::new() };
    // Where the sort looks: errors against theory, not pixels.
    let beyond = chart::theory(t).map(|theory| t.relative_error / theory);
    let beyond = beyond.filter(|b| b.is_finite()).map_or_else(String::new, |b| format!("{b:e}"));
    format!(
        "<tr><th scope=\"row\"><code>{}</code> <span class=\"soft\">{}</span></th><td>{}</td>{}<td data-v=\"{beyond}\">{bar}</td>{}{}{}{}{}</tr>\n",
        text(&t.tensor).replace('.', ".<wbr>"),
        shape.join(" × "),
        text(&stored),
        number("relative_error", Some(t.relative_error)),
        number("max_abs", Some(t.max_abs)),
        number("sqnr_db", Some(t.sqnr_db)),
        number("mse", Some(t.mse)),
        number("group_shift", t.group_shift),
        format_args!(
            "<td class=\"n\" data-path=\"/weights/tensors/{i}/bytes\" data-v=\"{}\">{}</td>",
            t.bytes,
            count(t.bytes)
        ),
    )
}
