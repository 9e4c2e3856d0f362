//! This run beside an earlier one.

use super::markup::{cell, details, html, numbers, section, table, text, words};
use crate::policy::Trend;
use crate::report::{Movement, Report};

pub(super) fn regression(report: &Report) -> String {
    let Some(beside) = &report.regression else { return String::new() };
    let row = |i: usize, m: &Movement| {
        let class = match m.trend {
            Trend::Better => "ok",
            Trend::Worse => "bad",
            Trend::Same => "soft",
            Trend::NotMeasured => "unsure",
        };
        let at = |key: &str, v| cell(&format!("/regression/movements/{i}/{key}"), v);
        let change = m.change.map_or_else(String::new, |c| format!("{c:e}"));
        format!(
            "<tr><th scope=\"row\">{}</th>{}{}<td class=\"n\" data-v=\"{change}\">{}</td><td><span class=\"{class}\">{}</span></td></tr>\n",
            text(&m.place()),
            at("before", m.before),
            at("now", m.now),
            html(&m.percent()),
            m.trend.name()
        )
    };
    let columns = || [words("what"), numbers("then"), numbers("now"), numbers("change"), words("trend")];
    let moved: String = beside.moved().into_iter().map(|i| row(i, &beside.movements[i])).collect();
    let same = beside.movements.iter().enumerate().filter(|(_, m)| m.trend == Trend::Same);
    let same: String = same.map(|(i, m)| row(i, m)).collect();
    let content = format!("<p>{}.</p>\n", text(&beside.sentence()))
        + &table("What moved, worst first", "sortable", &columns(), &moved)
        + &details(
            "What stayed the same",
            &table("Changes within 1 per cent, or within float32 noise", "", &columns(), &same),
        );
    let about = format!("The earlier run began {} and was judged by policy {}.", beside.started, beside.policy.name);
    section("release", "Against the last release", &about, &content)
}
