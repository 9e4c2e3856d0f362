//! This run beside an earlier one.

use maud::{Markup, html};

use super::markup::{cell, details, numbers, section, table, text, words};
use crate::policy::Trend;
use crate::report::{Movement, Report};

pub(super) fn regression(report: &Report) -> Markup {
    let Some(beside) = &report.regression else { return html! {} };
    let heads = html! {
        (words("what")) (numbers("then")) (numbers("now")) (numbers("change")) (words("trend"))
    };
    let moved = html! { @for i in beside.moved() { (row(i, &beside.movements[i])) } };
    let same = beside.movements.iter().enumerate().filter(|(_, m)| m.trend == Trend::Same);
    let same = html! { @for (i, m) in same { (row(i, m)) } };
    let same = table("Changes within 1 per cent, or within float32 noise", "", heads.clone(), same);
    let content = html! {
        p { (text(&beside.sentence())) "." }
        (table("What moved, worst first", "sortable", heads, moved))
        (details("What stayed the same", same))
    };
    let about = format!("The earlier run began {} and was judged by policy {}.", beside.started, beside.policy.name);
    section("release", "Against the last release", &about, content)
}

fn row(i: usize, m: &Movement) -> Markup {
    let class = match m.trend {
        Trend::Better => "ok",
        Trend::Worse => "bad",
        Trend::Same => "soft",
        Trend::NotMeasured => "unsure",
    };
    html! {
        tr {
            th scope="row" { (text(&m.place())) }
            (cell(&format!("/regression/movements/{i}/before"), m.before))
            (cell(&format!("/regression/movements/{i}/now"), m.now))
            td.n data-v=(m.change.map_or_else(String::new, |c| format!("{c:e}"))) { (m.percent()) }
            td { span.(class) { (m.trend.name()) } }
        }
    }
}
