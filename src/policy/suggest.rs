//! A policy out of what was measured: the same gates, with limits a margin away.

use std::collections::BTreeSet;

use super::GateResult;
use super::metrics::GateMetric;
use super::{Direction, Place, Policy, Stat, loss, outward};
use crate::hidden_states::{Arm, Tap};

/// Margins below this would fail the run they come from, and beyond it would pass anything.
pub const MARGINS: std::ops::RangeInclusive<f64> = 1.0..=100.0;

/// What several results of one limit have in common.
struct Group<'a> {
    on: Place,
    first: &'a GateResult,
    /// The one with the largest loss.
    worst: &'a GateResult,
}

/// TOML text of a policy that `gates` (as a report holds them) would pass, each limit `margin` times the loss
/// measured. Limits that no measurement moves (on the engine arm, on group shifts) stay as they are.
///
/// # Errors
/// In words: a margin out of range, a result that was not measured or is no number, limits that could judge nothing.
pub fn suggest(gates: &[GateResult], margin: f64, measured_on: &str) -> Result<String, String> {
    if !MARGINS.contains(&margin) {
        return Err(format!(
            "a margin of {margin} makes no limits: it must be between {} and {}",
            MARGINS.start(),
            MARGINS.end()
        ));
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    let layer = |g: &GateResult| matches!(g.quantity.on, Place::Tap(Tap::Layer(_)));
    // NaN is looked for at every tap, so these are all the layers there are.
    let layers: BTreeSet<&Place> = gates.iter().filter(|g| layer(g)).map(|g| &g.quantity.on).collect();
    for gate in gates.iter().filter(|g| !g.is_non_finite() && g.regression.is_none()) {
        let observed = gate.observed.filter(|v| loss::loss(&gate.quantity.metric, *v).is_finite());
        if observed.is_none() {
            let seen = gate.observed.map_or_else(|| "was not measured".to_owned(), |v| format!("is {v}"));
            return Err(format!("{} {seen}: no limit can be made of it", gate.quantity));
        }
        let stated = |on: &Place| gates.iter().any(|g| g.quantity.on == *on && g.states_with(gate));
        let on = match layer(gate) && layers.iter().all(|on| stated(on)) {
            true => Place::Glob("layer.*".to_owned()),
            // A limit on some layers says nothing of the others.
            false => gate.quantity.on.clone(),
        };
        let same = |g: &&mut Group<'_>| g.on == on && g.first.states_with(gate);
        let far = |g: &GateResult| loss::loss(&g.quantity.metric, g.observed.unwrap_or(f64::NAN));
        match groups.iter_mut().find(same) {
            Some(group) if far(gate) > far(group.worst) => group.worst = gate,
            Some(_) => {}
            None => groups.push(Group { on, first: gate, worst: gate }),
        }
    }
    let mut text = format!("# Limits {} times what was measured on {}.\nschema = 1\n", margin, one_line(measured_on));
    for group in &groups {
        text.push_str(&entry(group, margin, measured_on));
    }
    // What is written must be a policy, and one that says yes to what it comes from.
    Policy::parse(&text, "the suggested policy").map_err(|e| e.to_string())?;
    Ok(text)
}

fn entry(group: &Group<'_>, margin: f64, measured_on: &str) -> String {
    let gate = group.worst;
    let (quantity, direction) = (&gate.quantity, gate.direction);
    let (metric, stat) = (&quantity.metric, quantity.stat);
    let observed = gate.observed.unwrap_or(f64::NAN);
    let fixed = quantity.arm == Some(Arm::Engine) || ["group_shift", "changed_groups"].contains(&metric.as_str());
    let limit = if fixed {
        gate.limit
    } else {
        let allowed = loss::at_loss(metric, direction, loss::loss(metric, observed).max(loss::noise(metric)) * margin);
        within(&group.on, metric, stat, direction, outward(allowed, direction).unwrap_or(allowed))
    };
    let at = if group.on == quantity.on { String::new() } else { format!(" at {}", quantity.on) };
    let why = match (&gate.why, fixed) {
        (Some(why), true) => why.clone(),
        (None, true) => "stands whatever is measured".to_owned(),
        _ => format!("measured {observed:.3e}{at} on {measured_on}; {margin} times that loss"),
    };
    let arm = quantity.arm.map_or_else(String::new, |arm| format!("arm = \"{arm}\"\n"));
    let side = if direction == Direction::Max { "max" } else { "min" };
    format!(
        "\n[[gate]]\non = \"{}\"\n{arm}metric = {}\nstat = \"{}\"\n{side} = {limit:?}\nwhy = {}\n",
        group.on,
        quoted(metric),
        stat,
        quoted(&why)
    )
}

/// A limit that could pass anything is held where one still can judge.
fn within(on: &Place, metric: &str, stat: Stat, direction: Direction, limit: f64) -> f64 {
    let known: Option<&GateMetric> = on.metrics().iter().find(|k| k.id == metric);
    match (direction, known.and_then(|k| k.loosest(stat)), known.and_then(|k| k.limits.loosest_min)) {
        (Direction::Max, Some(loosest), _) => limit.min(loosest),
        (Direction::Min, _, Some(loosest)) if limit <= loosest => loosest + 1e-3,
        _ => limit,
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(one_line(text)).to_string()
}

/// What others wrote, on one line of visible characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Quantity;

    fn gate(on: &str, arm: Option<Arm>, metric: &str, stat: Stat, observed: Option<f64>, limit: f64) -> GateResult {
        let direction = if metric == "top10_overlap" { Direction::Min } else { Direction::Max };
        GateResult {
            quantity: Quantity { on: Place::parse(on).unwrap(), arm, metric: metric.into(), stat },
            direction,
            limit,
            observed,
            margin: None,
            outcome: crate::policy::Outcome::Pass,
            would_pass_at: None,
            worst: None,
            tensor: None,
            null_baseline: None,
            regression: None,
            waiver: None,
            why: None,
        }
    }

    #[test]
    fn limits_are_a_margin_away_and_the_worst_layer_sets_theirs() {
        let quantization = Some(Arm::Quantization);
        let gates = [
            gate("layer.0", quantization, "relative_l2", Stat::P99, Some(0.01), 9.0),
            gate("layer.1", quantization, "relative_l2", Stat::P99, Some(0.0251), 9.0),
            gate("layer.0", Some(Arm::Engine), "relative_l2", Stat::P99, Some(1e-6), 1e-5),
            gate("neighbours", None, "top10_overlap", Stat::Mean, Some(0.95), 0.1),
            gate("layer.0", quantization, "non_finite", Stat::Max, Some(0.0), 0.0),
        ];
        let text = suggest(&gates, 2.0, "\"mine\"\n= 3").unwrap();
        let policy = Policy::parse(&text, "x").unwrap();
        assert_eq!(policy.gates.len(), 3, "{text}");
        assert_eq!((policy.gates[0].max, policy.gates[1].max), (Some(0.0502), Some(1e-5)));
        // 1 − 2·(1 − 0.95), rounded to the side that passes.
        assert!(policy.gates[2].min.is_some_and(|min| (0.899..=0.9).contains(&min)), "{text}");
        assert!(policy.gates[0].why.as_ref().unwrap().contains("at layer.1 on \"mine\""), "{text}");
        // A loss so large that twice that would pass anything is held where it still judges.
        let far = [gate("final", quantization, "relative_l2", Stat::P99, Some(0.9), 9.0)];
        assert!(suggest(&far, 100.0, "x").is_ok_and(|text| Policy::parse(&text, "x").is_ok()));
    }

    #[test]
    fn a_limit_on_one_layer_stays_there() {
        let of = |on: &str, metric: &str| gate(on, Some(Arm::Quantization), metric, Stat::Max, Some(0.0), 1.0);
        let text = suggest(&[of("layer.1", "mse"), of("layer.0", "non_finite"), of("layer.1", "non_finite")], 2.0, "x");
        assert!(text.unwrap().contains("on = \"layer.1\""));
        let both = [of("layer.0", "mse"), of("layer.1", "mse"), of("layer.0", "non_finite")];
        assert!(suggest(&both, 2.0, "x").unwrap().contains("on = \"layer.*\""));
    }

    #[test]
    fn nothing_is_made_of_what_is_no_number() {
        let of =
            |observed| suggest(&[gate("final", Some(Arm::Total), "relative_l2", Stat::P99, observed, 1.0)], 2.0, "x");
        assert!(of(None).unwrap_err().contains("not measured"));
        assert!(of(Some(f64::NAN)).unwrap_err().contains("NaN") && of(Some(f64::INFINITY)).is_err());
        for margin in [0.5, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            let gates = [gate("final", Some(Arm::Total), "relative_l2", Stat::P99, Some(0.1), 1.0)];
            assert!(suggest(&gates, margin, "x").unwrap_err().contains("margin"), "{margin}");
        }
        assert!(suggest(&[], 2.0, "x").is_err(), "a policy without gates passes everything");
    }
}
