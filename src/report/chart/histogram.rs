//! How many sentences are how far apart.

use super::{GRID, INK, at, label, line, open};
use crate::figures::number;
use crate::metrics::STEPS;
use crate::policy::{GateResult, Outcome, Stat};
use crate::report::words::{SENTENCE, count};
use crate::report::{DistanceBucket, Report};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 24.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 212.0;
/// Empty bars on each side at most.
const EMPTY: usize = 24;
/// Narrowest bar that has room for its number.
const ROOM: f64 = 24.0;
/// Widest bar.
const BAR: f64 = 48.0;

/// The bars, with the limits on sentences where they fall; none where nothing was measured.
pub(in crate::report) fn histogram(report: &Report) -> Option<String> {
    let buckets = &report.sentence.distances;
    let most = buckets.iter().map(|b| b.rows).max().filter(|m| *m > 0)?;
    let limits: Vec<&GateResult> = report
        .gates
        .iter()
        .filter(|g| {
            g.quantity.on == SENTENCE
                && g.quantity.metric == "cosine_distance"
                && matches!(g.quantity.stat, Stat::P99 | Stat::Max)
        })
        .collect();
    // Limits may lie beyond the last bar.
    let steps = steps(buckets, limits.iter().map(|g| g.limit));
    let bar = ((WIDTH - 2.0 * LEFT) / steps.len() as f64).min(BAR);
    let mut out =
        open("distances", WIDTH, HEIGHT, "Cosine distances of the sentence vectors", &described(report, &limits));
    out.push_str(&line([LEFT, BOTTOM], [LEFT + bar * steps.len() as f64, BOTTOM], "grid", GRID, ""));
    for (i, (up_to, rows)) in steps.iter().enumerate() {
        let (x, height) = (LEFT + i as f64 * bar, (BOTTOM - TOP - 16.0) * *rows as f64 / most as f64);
        let height = if *rows > 0 { height.max(2.0) } else { 0.0 };
        out.push_str(&format!(
            "<rect class=\"s-total\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#0072b2\"/>\n",
            at(x + 2.0),
            at(BOTTOM - height),
            at(bar - 4.0),
            at(height)
        ));
        if *rows > 0 && bar >= ROOM {
            out.push_str(&label(x + bar / 2.0, BOTTOM - height - 5.0, "middle", "ink", INK, &count(*rows)));
        }
        if is_named(*up_to) {
            out.push_str(&label(x + bar, BOTTOM + 16.0, "middle", "ink", INK, &number(*up_to)));
        }
    }
    for (i, gate) in limits.iter().enumerate() {
        let Some(share) = place(&steps, gate.limit) else { continue };
        let x = LEFT + share * bar;
        let stroke = if gate.outcome == Outcome::Fail { "#b00020" } else { "#1c1e21" };
        let y = TOP - 22.0 + 14.0 * i as f64;
        out.push_str(&line([x, y + 4.0], [x, BOTTOM], "limit", stroke, " stroke-width=\"2\" stroke-dasharray=\"5 3\""));
        let anchor = if x > WIDTH * 0.6 { "end" } else { "start" };
        let nudge = if anchor == "end" { -5.0 } else { 5.0 };
        let text = format!(
            "{} limit {}, measured {}",
            gate.quantity.stat,
            number(gate.limit),
            gate.observed.map_or_else(|| "-".to_owned(), number)
        );
        out.push_str(&label(x + nudge, y + 8.0, anchor, "limit-name", stroke, &text));
    }
    out.push_str(&label(
        LEFT,
        HEIGHT - 12.0,
        "start",
        "ink",
        INK,
        "1 − cos between candidate and reference, up to (sentences above each bar)",
    ));
    out.push_str("</svg>\n");
    Some(out)
}

/// The bars, and empty ones as far as the limits: a few at most, since a limit far away is no reason to shrink what was
/// measured.
fn steps(buckets: &[DistanceBucket], limits: impl Iterator<Item = f64> + Clone) -> Vec<(f64, u64)> {
    let mut steps: Vec<(f64, u64)> = buckets.iter().map(|b| (b.up_to, b.rows)).collect();
    let usable = || limits.clone().filter(|l| l.is_finite() && *l > 0.0);
    let (least, most) = (usable().fold(f64::INFINITY, f64::min), usable().fold(0.0, f64::max));
    while let Some(next) =
        steps.last().filter(|s| s.0 < most && steps.len() < buckets.len() + EMPTY).and_then(|s| beside(s.0, 1))
    {
        steps.push((next, 0));
    }
    let known = steps.len();
    while let Some(next) =
        steps.first().filter(|s| s.0 > least && steps.len() < known + EMPTY).and_then(|s| beside(s.0, -1))
    {
        steps.insert(0, (next, 0));
    }
    steps
}

/// The step before or behind one; none beside what is none.
fn beside(step: f64, by: i32) -> Option<f64> {
    let text = format!("{step:e}");
    let (digits, power) = text.split_once('e')?;
    let i = i32::try_from(STEPS.iter().position(|s| *s == digits)?).ok()? + by;
    let (decade, i) = (i.div_euclid(10), usize::try_from(i.rem_euclid(10)).ok()?);
    format!("{}e{}", STEPS[i], power.parse::<i32>().ok()? + decade)
        .parse()
        .ok()
        .filter(|v: &f64| v.is_finite() && *v > 0.0)
}

/// True for the steps that are named: 1, 2 and 5 of a decade, and what is no step.
fn is_named(step: f64) -> bool {
    let text = format!("{step:e}");
    text.split_once('e').is_none_or(|(digits, _)| matches!(digits, "1" | "2" | "5" | "0"))
}

/// Where a value lies, in bars from the left; none beyond the last.
fn place(steps: &[(f64, u64)], value: f64) -> Option<f64> {
    let i = steps.iter().position(|(up_to, _)| value <= *up_to)?;
    let (top, low) = (steps[i].0, if i > 0 { steps[i - 1].0 } else { steps[i].0 / 2.0 });
    let share = if low > 0.0 && top.is_finite() { (value / low).ln() / (top / low).ln() } else { 1.0 };
    Some(i as f64 + share.clamp(0.0, 1.0))
}

fn described(report: &Report, limits: &[&GateResult]) -> String {
    let rows: u64 = report.sentence.distances.iter().map(|b| b.rows).sum();
    let limits: Vec<String> =
        limits.iter().map(|g| format!("{} at most {}", g.quantity.stat, number(g.limit))).collect();
    format!(
        "{} sentences by their cosine distance. Limits: {}.",
        count(rows),
        if limits.is_empty() { "none".to_owned() } else { limits.join(", ") }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn bars_and_limits_are_drawn_where_they_belong() {
        let mut report = sample::passing();
        assert!(histogram(&report).is_none());
        report.sentence.distances =
            vec![DistanceBucket { up_to: 2e-4, rows: 1500 }, DistanceBucket { up_to: 2.5e-4, rows: 500 }];
        let svg = histogram(&report).unwrap();
        assert!(svg.contains(">1,500</text>") && svg.contains("p99 limit 0.001, measured 0.0004"), "{svg}");
        let steps = super::steps(&report.sentence.distances, [0.001].into_iter());
        assert_eq!(steps[..3], [(2e-4, 1500), (2.5e-4, 500), (3.15e-4, 0)]);
        assert_eq!((steps.len(), steps[7], place(&steps, 0.001)), (8, (1e-3, 0), Some(8.0)));
        assert_eq!(place(&steps, 0.002), None);
        assert_eq!(
            (beside(1e-3, -1), beside(8e-4, 1), beside(0.0, 1), beside(f64::INFINITY, 1)),
            (Some(8e-4), Some(1e-3), None, None)
        );
        report.sentence.distances.push(DistanceBucket { up_to: f64::INFINITY, rows: 1 });
        assert!(histogram(&report).unwrap().contains(">infinity</text>"));
    }
}
