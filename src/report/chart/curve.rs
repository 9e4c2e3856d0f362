//! The layer curve: how far apart the two sides are at every tap, and how far they may be.

use super::log::Log;
use super::{GRID, INK, at, label, line, open};
use crate::hidden_states::{Arm, Tap};
use crate::metrics::Mode;
use crate::policy::{GateResult, Outcome};
use crate::report::Report;
use crate::report::words::{HEADLINE, first_jump, limit, unlike};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
/// What names that lean take more.
const LEANING: f64 = 36.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 790.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 372.0;
/// Distance of two names at the right.
const NAME: f64 = 16.0;

/// One line of the chart.
struct Series {
    name: &'static str,
    arm: Arm,
    mode: Mode,
    class: &'static str,
    colour: &'static str,
    dash: &'static str,
    width: f64,
    mark: fn(f64, f64) -> String,
}

/// Every line, drawn in this order. To draw another arm, add a row.
const SERIES: &[Series] = &[
    Series {
        name: "total",
        arm: Arm::Total,
        mode: Mode::Accumulated,
        class: "s-total",
        colour: "#0072b2",
        dash: "",
        width: 7.0,
        mark: nothing,
    },
    Series {
        name: "engine",
        arm: Arm::Engine,
        mode: Mode::Accumulated,
        class: "s-engine",
        colour: "#00805d",
        dash: "6 3",
        width: 2.0,
        mark: diamond,
    },
    Series {
        name: "layer by itself",
        arm: Arm::Quantization,
        mode: Mode::Isolated,
        class: "s-alone",
        colour: "#a8547f",
        dash: "2 3",
        width: 2.0,
        mark: triangle,
    },
    Series {
        name: "half precision",
        arm: Arm::Compute,
        mode: Mode::Accumulated,
        class: "s-compute",
        colour: "#8a6d00",
        dash: "8 3 2 3",
        width: 2.0,
        mark: square,
    },
    Series {
        name: "device",
        arm: Arm::Device,
        mode: Mode::Accumulated,
        class: "s-device",
        colour: "#3a7fb5",
        dash: "10 4",
        width: 2.0,
        mark: square,
    },
    Series {
        name: "quantization",
        arm: Arm::Quantization,
        mode: Mode::Accumulated,
        class: "s-quantization",
        colour: "#c04f00",
        dash: "",
        width: 2.0,
        mark: circle,
    },
];

fn nothing(_: f64, _: f64) -> String {
    String::new()
}

fn circle(x: f64, y: f64) -> String {
    format!("<circle cx=\"{}\" cy=\"{}\" r=\"4\"/>", at(x), at(y))
}

fn diamond(x: f64, y: f64) -> String {
    format!("<path d=\"M{} {}l4 4 -4 4 -4 -4z\"/>", at(x), at(y - 4.0))
}

fn triangle(x: f64, y: f64) -> String {
    format!("<path d=\"M{} {}l4 7h-8z\"/>", at(x), at(y - 4.0))
}

fn square(x: f64, y: f64) -> String {
    format!("<rect x=\"{}\" y=\"{}\" width=\"7\" height=\"7\"/>", at(x - 3.5), at(y - 3.5))
}

/// The curve; none where nothing was measured at tokens.
pub(in crate::report) fn curve(report: &Report) -> Option<String> {
    let mut taps = report.measurements.taps();
    taps.retain(|t| !t.is_sentence_level());
    let p99 =
        |series: &Series, tap: Tap| report.measurements.of(tap, series.arm, series.mode, HEADLINE).and_then(|m| m.p99);
    let limits: Vec<(Tap, &GateResult)> =
        taps.iter().filter_map(|tap| Some((*tap, limit(report, *tap, HEADLINE)?.1))).collect();
    let nulls: Vec<(Tap, [Option<f64>; 2])> = taps.iter().map(|tap| (*tap, unlike(report, *tap))).collect();
    let values = SERIES.iter().flat_map(|s| taps.iter().filter_map(move |t| p99(s, *t)));
    let others = limits.iter().map(|(_, g)| g.limit).chain(nulls.iter().flat_map(|(_, null)| *null).flatten());
    let axis = Log::over(values.chain(others), BOTTOM, TOP)?;
    let step = (RIGHT - LEFT) / taps.len() as f64;
    let x_of = |tap: Tap| taps.iter().position(|t| *t == tap).map(|i| LEFT + (i as f64 + 0.5) * step);

    let leaning = taps.len() > 9;
    let mut out =
        open("curve", WIDTH, HEIGHT + if leaning { LEANING } else { 0.0 }, "Error at every tap", &described(report));
    for (y, name) in axis.decades() {
        out.push_str(&line([LEFT, y], [RIGHT, y], "grid", GRID, ""));
        out.push_str(&label(LEFT - 8.0, y + 4.0, "end", "ink", INK, &name));
    }
    out.push_str(&label(LEFT, TOP - 12.0, "start", "ink", INK, "relative L2 per token, 99th percentile (log scale)"));
    // Names of taps lean where they would run into each other.
    let every = (taps.len() as f64 / 30.0).ceil().max(1.0) as usize;
    for (i, tap) in taps.iter().enumerate().filter(|(i, _)| i % every == 0) {
        let (x, y) = (LEFT + (i as f64 + 0.5) * step, BOTTOM + 16.0);
        let lean = if leaning { format!(" transform=\"rotate(-40 {} {})\"", at(x), at(y)) } else { String::new() };
        let anchor = if lean.is_empty() { "middle" } else { "end" };
        out.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" class=\"ink\" fill=\"{INK}\"{lean}>{tap}</text>\n",
            at(x),
            at(y)
        ));
    }
    if let Some((tap, x)) = first(report).and_then(|tap| Some((tap, x_of(tap)?))) {
        let (from, width) = (at(x - step / 2.0), at(step));
        out.push_str(&format!(
            "<rect class=\"first\" x=\"{from}\" y=\"{TOP}\" width=\"{width}\" height=\"{}\" fill=\"#f2c14e\" fill-opacity=\"0.3\"/>\n",
            BOTTOM - TOP
        ));
        let anchor = if x > (LEFT + RIGHT) / 2.0 { "end" } else { "start" };
        out.push_str(&label(x, BOTTOM - 8.0, anchor, "ink strong", INK, &format!("{tap} grows more than expected")));
    }
    let mut names: Vec<(f64, &str, &str, &str)> = Vec::new();
    for (name, other_text) in [("other text", true), ("wrong layer", false)] {
        let points = nulls.iter().filter_map(|(tap, [layer, text])| {
            Some([x_of(*tap)?, axis.place(if other_text { (*text)? } else { (*layer)? })?])
        });
        let points: Vec<[f64; 2]> = points.collect();
        out.push_str(&path(&points, "s-null", "#77797d", 1.0, "1 4", ""));
        names.extend(points.last().map(|p| (p[1], name, "s-null-name", "#66686c")));
    }
    for series in SERIES {
        let points: Vec<[f64; 2]> =
            taps.iter().filter_map(|tap| Some([x_of(*tap)?, axis.place(p99(series, *tap)?)?])).collect();
        let faint = if series.width > 3.0 { " stroke-opacity=\"0.35\" stroke-linecap=\"round\"" } else { "" };
        out.push_str(&path(&points, series.class, series.colour, series.width, series.dash, faint));
        let marks: String = points.iter().map(|p| (series.mark)(p[0], p[1])).collect();
        out.push_str(&format!("<g class=\"{}\" fill=\"{}\">{marks}</g>\n", series.class, series.colour));
        names.extend(points.last().map(|p| (p[1], series.name, series.class, series.colour)));
    }
    for (tap, gate) in &limits {
        let (Some(x), Some(y)) = (x_of(*tap), axis.place(gate.limit)) else { continue };
        out.push_str(&line([x - step * 0.4, y], [x + step * 0.4, y], "limit", "#1c1e21", " stroke-width=\"2.5\""));
        if gate.outcome == Outcome::Fail
            && let Some(seen) = gate.observed.and_then(|v| axis.place(v))
        {
            out.push_str(&format!(
                "<circle class=\"beyond\" cx=\"{}\" cy=\"{}\" r=\"9\" fill=\"none\" stroke=\"#b00020\" stroke-width=\"2.5\"/>\n",
                at(x), at(seen)
            ));
        }
    }
    names.extend(
        limits.last().and_then(|(_, g)| Some((axis.place(g.limit)?, "limit of quantization", "limit-name", "#1c1e21"))),
    );
    out.push_str(&named(names));
    out.push_str("</svg>\n");
    Some(out)
}

/// The first tap whose error grows out of proportion.
fn first(report: &Report) -> Option<Tap> {
    report.explanation.first.or_else(|| first_jump(report).map(|jump| jump.to))
}

fn described(report: &Report) -> String {
    let grown =
        first(report).map_or_else(String::new, |tap| format!(" The error first grows more than expected at {tap}."));
    let beyond =
        report.gates.iter().filter(|g| g.outcome == Outcome::Fail && g.quantity.arm == Some(Arm::Quantization)).count();
    format!(
        "Lines of the 99th percentile of the relative L2 at each tap, one per arm, with the limits of the quantization arm; {beyond} of its limits are exceeded.{grown} The table below holds the numbers."
    )
}

fn path(points: &[[f64; 2]], class: &str, colour: &str, width: f64, dash: &str, more: &str) -> String {
    if points.len() < 2 {
        return String::new();
    }
    let points: Vec<String> = points.iter().map(|[x, y]| format!("{},{}", at(*x), at(*y))).collect();
    let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
    format!(
        "<polyline class=\"{class}\" points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}{more}/>\n",
        points.join(" ")
    )
}

/// Names beside the ends of their lines, moved apart where they would lie over each other.
fn named(mut names: Vec<(f64, &str, &str, &str)>) -> String {
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = f64::NEG_INFINITY;
    let mut placed = Vec::new();
    for (y, name, class, colour) in names {
        let own = y.max(free);
        free = own + NAME;
        placed.push((y, own, name, class, colour));
    }
    let over = (free - NAME - BOTTOM).max(0.0);
    let mut out = String::new();
    for (y, own, name, class, colour) in placed {
        let own = own - over;
        out.push_str(&line([RIGHT + 2.0, y], [RIGHT + 14.0, own], class, colour, " stroke-width=\"1\""));
        out.push_str(&label(RIGHT + 18.0, own + 4.0, "start", class, colour, name));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_arm_every_limit_and_what_exceeds_it_is_drawn() {
        let svg = curve(&sample::failing()).unwrap();
        assert_eq!(svg.matches("class=\"limit\"").count(), 2);
        assert_eq!(svg.matches("class=\"beyond\"").count(), 2);
        assert_eq!(curve(&sample::passing()).unwrap().matches("class=\"beyond\"").count(), 0);
        for name in ["engine", "quantization", "limit of quantization"] {
            assert!(svg.contains(&format!(">{name}</text>")), "{name}");
        }
        let mut empty = sample::passing();
        empty.measurements = Default::default();
        empty.gates.clear();
        assert!(curve(&empty).is_none());
    }

    #[test]
    fn what_is_no_number_is_left_out_of_the_line_and_kept_in_the_table() {
        let mut report = sample::failing();
        report.measurements.change(|m| m.p99 = Some(f64::NAN));
        let svg = curve(&report).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn names_do_not_lie_over_each_other_nor_outside() {
        let svg = named((0..8).map(|_| (BOTTOM, "a", "b", "c")).collect());
        let mut ys: Vec<f64> = svg
            .split("<text ")
            .skip(1)
            .map(|t| t.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        ys.sort_by(f64::total_cmp);
        assert!(ys.windows(2).all(|w| w[1] - w[0] >= NAME - 0.2) && ys[7] <= BOTTOM + 5.0, "{ys:?}");
    }
}
