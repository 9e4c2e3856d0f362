//! The top of the page: ship or not, and why.

use maud::{Markup, html};

use super::markup::{details, inline, list, section, text};
use crate::figures::number;
use crate::hidden_states::{Arm, Tap};
use crate::metrics::Mode;
use crate::policy::{GateResult, Outcome, Place};
use crate::report::Report;
use crate::report::words::{answers, caveats, compute, consequences, count, device, next_step, planted, used};
use crate::verdict::{Answer, Reason, Verdict};

/// Verdict, what was compared, and four numbers.
pub(super) fn head(report: &Report) -> Markup {
    let (class, icon, say) = match report.verdict {
        Verdict::Pass => (
            "v-pass",
            "M9 16.2 4.8 12l-1.4 1.4L9 19 21 7l-1.4-1.4z",
            if report.gates.iter().any(|g| g.outcome == Outcome::Waived) {
                "Every limit was measured, and met or waived (see below): \
                 within this policy, the candidate matches the reference."
            } else {
                "Every limit was measured and met: within this policy, the candidate matches the reference."
            },
        ),
        Verdict::Fail => (
            "v-fail",
            "M19 6.4 17.6 5 12 10.6 6.4 5 5 6.4 10.6 12 5 17.6 6.4 19 12 13.4 17.6 19 19 17.6 13.4 12z",
            match report.answers.faithful {
                Answer::No => {
                    "The candidate is not what it is said to be made from: it should not be shipped as it is."
                }
                _ => {
                    "The comparison is sound, and the candidate is outside its limits: it should not be shipped as it is."
                }
            },
        ),
        Verdict::Inconclusive => (
            "v-inconclusive",
            "M11 18h2v-2h-2zm1-12a4 4 0 0 0-4 4h2a2 2 0 1 1 4 0c0 2-3 1.8-3 5h2c0-2.3 3-2.500 3-5a4 4 0 0 0-4-4z",
            "Neither shown to be good nor to be bad: something needed for a verdict is missing or contradicts itself.",
        ),
    };
    let (alignment, corpus) = (&report.alignment, &report.corpus);
    html! {
        header {
            p.kicker { "parallax · does the candidate still match the reference?" }
            div.verdict.(class) #verdict role="status" {
                h1.word {
                    svg width="36" height="36" viewBox="0 0 24 24" aria-hidden="true" { path d=(icon) {} }
                    (report.verdict)
                }
                p.say { (say) }
                @for answer in answers(report) { p { strong { (text(&answer.line)) } } }
                @for caveat in caveats(report) { p.unsure { (text(&caveat)) } }
                p {
                    strong { (text(&alignment.candidate)) } " against " strong { (text(&alignment.reference)) }
                    ", policy " strong { (text(&report.provenance.policy.name)) } "; "
                    (count(corpus.rows)) " sentences, " (count(corpus.tokens)) " tokens"
                    @if let Some(faults) = planted(report) { "; " (text(&faults)) } "."
                }
            }
            @let tiles = tiles(report);
            @if !tiles.0.is_empty() { dl.tiles { (tiles) } }
        }
    }
}

/// The gate that is nearest its limit, or farthest beyond it, among some.
fn nearest(report: &Report, of: impl Fn(&GateResult) -> bool) -> Option<(usize, &GateResult)> {
    let gates = report.gates.iter().enumerate().filter(|(_, g)| of(g) && used(g).is_some());
    gates.max_by(|a, b| used(a.1).unwrap_or(0.0).total_cmp(&used(b.1).unwrap_or(0.0)).then(b.0.cmp(&a.0)))
}

/// The limit that is most used up, in per cent of it, then sentences, neighbours, weights.
fn tiles(report: &Report) -> Markup {
    let tile =
        |name: &str, value: Markup, small: Markup| html! { div { dt { (name) } dd { (value) br; small { (small) } } } };
    let of_sentences = report.measurements.position(Tap::Sentence, Arm::Total, Mode::Accumulated, "cosine_distance");
    let of_candidate = |g: &GateResult| g.quantity.arm != Some(Arm::Engine) && !g.is_non_finite();
    html! {
        @if let Some((i, gate)) = nearest(report, of_candidate) {
            @let beyond = gate.outcome == Outcome::Fail;
            @let name = if beyond { "Limit farthest exceeded" } else { "Limit nearest to be exceeded" };
            @let value = match used(gate).filter(|m| m.is_finite()) {
                Some(used) => format!("{} %", number(100.0 * used)),
                None => "beyond".to_owned(),
            };
            @let small = html! {
                @if !matches!(gate.quantity.on, Place::Neighbours | Place::Task) { (text(&gate.quantity.on.to_string())) ": " }
                (text(&gate.quantity.metric.replace('_', " "))) " " (gate.quantity.stat) " "
                (inline(&format!("/gates/{i}/observed"), gate.observed)) ", limit "
                (inline(&format!("/gates/{i}/limit"), Some(gate.limit)))
            };
            (tile(name, html! { (value) }, small))
        }
        @if let Some(i) = of_sentences {
            @let m = &report.measurements[i];
            @let value = inline(&format!("/measurements/{i}/p99"), m.p99);
            @let small = html! { "at most " (inline(&format!("/measurements/{i}/max"), m.max)) };
            (tile("Sentence vectors, 1 − cos p99", value, small))
        }
        @if let Some(n) = &report.sentence.neighbours {
            @let overlap = inline("/sentence/neighbours/top10_overlap", n.top10_overlap);
            @let small = html! { "of 1; top-10 overlap " (overlap) };
            @let value = inline("/sentence/neighbours/top1_agreement", n.top1_agreement);
            (tile("Same nearest neighbour", value, small))
        }
        @let totals = &report.weights.totals;
        @if totals.matrix_elements > 0 {
            @let bits = inline("/weights/totals/bits_per_weight", Some(totals.bits_per_weight));
            @let value = inline("/weights/totals/relative_error", Some(totals.relative_error));
            (tile("Weights, relative error", value, html! { (bits) " bits per weight" }))
        }
    }
}

/// The reasons; of a pass, how near the nearest limit is; where the error comes from.
pub(super) fn why(report: &Report) -> Markup {
    let (follow, causes): (Vec<&Reason>, Vec<&Reason>) = report.reasons.iter().partition(|r| r.follows);
    let told = |reasons: &[&Reason]| list("why", reasons.iter().map(|r| r.message.clone()));
    let content = html! {
        (told(&causes))
        @if !follow.is_empty() {
            (details(&format!("It follows: {}", consequences(follow.iter().copied())), told(&follow)))
        }
        @if let Some((todo, command)) = next_step(report) { p { "Next: " (text(todo)) " " code { (text(&command)) } } }
        @if report.verdict == Verdict::Pass { (met(report)) }
        @if report.explanation.is_told() { (explanation(report)) }
        (list("why", [compute(report), device(report)].into_iter().flatten()))
    };
    section("why", "Why", "", content)
}

/// Of a pass, how many limits were met, and the one that came nearest.
fn met(report: &Report) -> Markup {
    let of = |outcome: Outcome| report.gates.iter().filter(|g| g.outcome == outcome).count();
    let (met, waived) = (of(Outcome::Pass), of(Outcome::Waived));
    html! {
        p {
            (met) @if waived > 0 { " limits met, " (waived) " waived." } @else { " limits, all of them met." }
            @if let Some((_, g)) = nearest(report, |g| used(g).is_some_and(|m| m > 0.0)) {
                " The nearest: " (text(&g.quantity.on.to_string())) (g.quantity.shown_arm()) " "
                (text(&g.quantity.metric)) " " (g.quantity.stat)
                " at " (number(100.0 * used(g).unwrap_or(0.0))) " per cent of its limit."
            }
        }
    }
}

fn explanation(report: &Report) -> Markup {
    let mut story = report.explanation.story().into_iter();
    let first = story.next();
    let about = match report.explanation.proven.is_empty() {
        true => "Which layers and tensors, and what more bits would bring",
        false => "Which layers and tensors",
    };
    html! {
        h3 { "Where the error comes from" }
        @if let Some(first) = first { p { (text(&capital(&first))) "." } }
        (details(about, list("why", story)))
    }
}

/// As a sentence begins.
fn capital(raw: &str) -> String {
    let mut chars = raw.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    first + chars.as_str()
}
