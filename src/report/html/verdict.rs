//! The top of the page: ship or not, and why.

use super::layers::measured;
use super::markup::{details, inline, list, section, text};
use crate::figures::number;
use crate::hidden_states::{Arm, Tap};
use crate::metrics::Mode;
use crate::policy::{GateResult, Outcome, Place};
use crate::report::Report;
use crate::report::words::{answers, caveats, compute, consequences, count, device, next_step, planted, used};
use crate::verdict::{Reason, Verdict};

/// Verdict, what was compared, and four numbers.
pub(super) fn head(report: &Report) -> String {
    let (class, icon, say) = match report.verdict {
        Verdict::Pass => (
            "v-pass",
            "M9 16.2 4.8 12l-1.4 1.4L9 19 21 7l-1.4-1.4z",
            if report.gates.iter().any(|g| g.outcome == Outcome::Waived) {
                "Every limit was measured, and met or waived (see below): within this policy, the candidate matches the reference."
            } else {
                "Every limit was measured and met: within this policy, the candidate matches the reference."
            },
        ),
        Verdict::Fail => (
            "v-fail",
            "M19 6.4 17.6 5 12 10.6 6.4 5 5 6.4 10.6 12 5 17.6 6.4 19 12 13.4 17.6 19 19 17.6 13.4 12z",
            "The comparison is sound, and the candidate is outside its limits: it should not be shipped as it is.",
        ),
        Verdict::Inconclusive => (
            "v-inconclusive",
            "M11 18h2v-2h-2zm1-12a4 4 0 0 0-4 4h2a2 2 0 1 1 4 0c0 2-3 1.8-3 5h2c0-2.3 3-2.500 3-5a4 4 0 0 0-4-4z",
            "Neither shown to be good nor to be bad: something needed for a verdict is missing or contradicts itself.",
        ),
    };
    let alignment = &report.alignment;
    let rows = &report.corpus;
    let answers: String =
        answers(report).iter().map(|a| format!("<p><strong>{}</strong></p>\n", text(&a.line))).collect();
    let caveats: String = caveats(report).map(|c| format!("<p class=\"unsure\">{}</p>\n", text(&c))).collect();
    format!(
        "<header>\n<p class=\"kicker\">parallax · does the candidate still match the reference?</p>\n\
         <div class=\"verdict {class}\" id=\"verdict\" role=\"status\">\n<h1 class=\"word\"><svg width=\"36\" height=\"36\" viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"{icon}\"/></svg>{}</h1>\n\
         <p class=\"say\">{say}</p>\n{answers}{caveats}<p><strong>{}</strong> against <strong>{}</strong>, policy <strong>{}</strong>; {} sentences, {} tokens{}.</p>\n</div>\n{}</header>\n",
        report.verdict,
        text(&alignment.candidate),
        text(&alignment.reference),
        text(&report.provenance.policy.name),
        count(rows.rows),
        count(rows.tokens),
        planted(report).map_or_else(String::new, |p| format!("; {}", text(&p))),
        tiles(report),
    )
}

/// The gate that is nearest its limit, or farthest beyond it, among some.
fn nearest(report: &Report, of: impl Fn(&GateResult) -> bool) -> Option<(usize, &GateResult)> {
    let gates = report.gates.iter().enumerate().filter(|(_, g)| of(g) && used(g).is_some());
    gates.max_by(|a, b| used(a.1).unwrap_or(0.0).total_cmp(&used(b.1).unwrap_or(0.0)).then(b.0.cmp(&a.0)))
}

/// The four numbers most asked for: the limit that is most used up, in per cent of it, then sentences, neighbours, weights.
fn tiles(report: &Report) -> String {
    let mut out = String::new();
    let mut tile = |name: &str, value: String, small: String| {
        out.push_str(&format!("<div><dt>{name}</dt><dd>{value}<br><small>{small}</small></dd></div>\n"));
    };
    let of_candidate = |g: &GateResult| g.quantity.arm != Some(Arm::Engine) && !g.is_non_finite();
    if let Some((i, gate)) = nearest(report, of_candidate) {
        let beyond = gate.outcome == Outcome::Fail;
        let name = if beyond { "Limit farthest exceeded" } else { "Limit nearest to be exceeded" };
        let place =
            if gate.quantity.on == Place::Neighbours { String::new() } else { format!("{}: ", gate.quantity.on) };
        let what = format!("{place}{} {}", gate.quantity.metric.replace('_', " "), gate.quantity.stat);
        let (observed, limit) = (format!("/gates/{i}/observed"), format!("/gates/{i}/limit"));
        tile(
            name,
            used(gate)
                .filter(|m| m.is_finite())
                .map_or_else(|| "beyond".to_owned(), |m| format!("{} %", number(100.0 * m))),
            format!("{} {}, limit {}", text(&what), inline(&observed, gate.observed), inline(&limit, Some(gate.limit))),
        );
    }
    if let Some((i, m)) = measured(report, Tap::Sentence, Arm::Total, Mode::Accumulated, "cosine_distance") {
        let most = inline(&format!("/measurements/{i}/max"), m.max);
        tile(
            "Sentence vectors, 1 − cos p99",
            inline(&format!("/measurements/{i}/p99"), m.p99),
            format!("at most {most}"),
        );
    }
    if let Some(n) = &report.sentence.neighbours {
        let overlap = inline("/sentence/neighbours/top10_overlap", n.top10_overlap);
        tile(
            "Same nearest neighbour",
            inline("/sentence/neighbours/top1_agreement", n.top1_agreement),
            format!("of 1; top-10 overlap {overlap}"),
        );
    }
    if report.weights.totals.matrix_elements > 0 {
        let bits = inline("/weights/totals/bits_per_weight", Some(report.weights.totals.bits_per_weight));
        tile(
            "Weights, relative error",
            inline("/weights/totals/relative_error", Some(report.weights.totals.relative_error)),
            format!("{bits} bits per weight"),
        );
    }
    if out.is_empty() { out } else { format!("<dl class=\"tiles\">\n{out}</dl>\n") }
}

/// The reasons; of a pass, how near the nearest limit is; where the error comes from.
pub(super) fn why(report: &Report) -> String {
    let (follow, causes): (Vec<&Reason>, Vec<&Reason>) = report.reasons.iter().partition(|r| r.follows);
    let told = |reasons: &[&Reason]| list("why", reasons.iter().map(|r| r.message.clone()).collect::<Vec<_>>());
    let mut content = told(&causes);
    if !follow.is_empty() {
        let about = format!("It follows: {}", consequences(follow.iter().copied()));
        content.push_str(&details(&about, &told(&follow)));
    }
    if let Some((todo, command)) = next_step(report) {
        content.push_str(&format!("<p>Next: {} <code>{}</code></p>\n", text(todo), text(&command)));
    }
    if report.verdict == Verdict::Pass {
        let met = report.gates.iter().filter(|g| g.outcome == Outcome::Pass).count();
        let waived = report.gates.iter().filter(|g| g.outcome == Outcome::Waived).count();
        let others = if waived > 0 {
            format!("{met} limits met, {waived} waived.")
        } else {
            format!("{met} limits, all of them met.")
        };
        content.push_str(&format!("<p>{others}"));
        if let Some((_, g)) = nearest(report, |g| used(g).is_some_and(|m| m > 0.0)) {
            let arm = g.quantity.shown_arm();
            content.push_str(&format!(
                " The nearest: {}{arm} {} {} at {} per cent of its limit.",
                text(&g.quantity.on.to_string()),
                text(&g.quantity.metric),
                g.quantity.stat,
                number(100.0 * used(g).unwrap_or(0.0))
            ));
        }
        content.push_str("</p>\n");
    }
    if report.explanation.is_told() {
        let mut story = report.explanation.story().into_iter();
        let first = story.next().map_or_else(String::new, |first| format!("<p>{}.</p>\n", capital(&first)));
        content.push_str(&format!("<h3>Where the error comes from</h3>\n{first}"));
        let about = match report.explanation.proven.is_empty() {
            true => "Which layers and tensors, and what more bits would bring",
            false => "Which layers and tensors",
        };
        content.push_str(&details(about, &list("why", story)));
    }
    content.push_str(&list("why", [compute(report), device(report)].into_iter().flatten()));
    section("why", "Why", "", &content)
}

/// Text that others wrote, as a sentence begins.
fn capital(raw: &str) -> String {
    let mut chars = raw.chars();
    let first = chars.next().map_or_else(String::new, |c| c.to_uppercase().collect());
    text(&(first + chars.as_str()))
}
