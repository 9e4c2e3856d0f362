//! Gates against what was measured.

use super::{Gate, GateResult, Outcome, Place, Policy, Quantity, RegressionLimit, Stat, outward};
use crate::align::NeighbourStats;
use crate::hidden_states::Tap;
use crate::metrics::{LabelScore, Location, Measurement, Measurements, Mode};
use crate::weights::{TensorRow, WeightsReport};

/// What a gate looks at, once found.
#[derive(Clone, Default)]
struct Observed {
    observed: Option<f64>,
    worst: Option<Location>,
    tensor: Option<String>,
}

impl Policy {
    /// [`evaluate`](Self::evaluate) where there are no labels.
    pub fn evaluate_all(
        &self,
        measurements: &Measurements,
        weights: &WeightsReport,
        neighbours: Option<&NeighbourStats>,
    ) -> Vec<GateResult> {
        self.evaluate(&Measured { measurements, weights, neighbours, scores: &[] })
    }

    /// Every gate of the policy, then the built-in one (no NaN and no infinity anywhere), against what
    /// was measured. One result per gate and tap; a gate that matches nothing yields one result that is
    /// not measured. Measurements in isolated mode are not gated, except for the built-in gate.
    pub fn evaluate(&self, measured: &Measured<'_>) -> Vec<GateResult> {
        let mut results = Vec::new();
        for gate in &self.gates {
            match gate.quantity.on {
                Place::Tap(_) | Place::Glob(_) => self.taps(gate, measured, &mut results),
                Place::Weights | Place::Neighbours | Place::Task => {
                    self.limits(gate, gate.quantity.clone(), measured.seen(&gate.quantity), &mut results);
                }
            }
        }
        non_finite(measured.measurements, &mut results);
        results
    }

    /// One result per tap the gate matches.
    ///
    /// Taps are matched whatever their metrics: a tap that was compared but lacks the gate's metric is not
    /// measured, and does not vanish behind the taps that have it.
    fn taps(&self, gate: &Gate, measured: &Measured<'_>, results: &mut Vec<GateResult>) {
        let wanted = &gate.quantity;
        let here = wanted.arm.into_iter().flat_map(|arm| measured.measurements.accumulated_taps(arm));
        let matched: Vec<Tap> = here.filter(|tap| wanted.on.matches(*tap)).collect();
        if matched.is_empty() {
            self.limits(gate, wanted.clone(), Observed::default(), results);
        }
        for quantity in matched.into_iter().map(|tap| wanted.at(Place::Tap(tap))) {
            let seen = measured.seen(&quantity);
            self.limits(gate, quantity, seen, results);
        }
    }

    /// The gate's own limit there, and the one that an earlier run sets.
    fn limits(&self, gate: &Gate, quantity: Quantity, seen: Observed, results: &mut Vec<GateResult>) {
        if let Some(max_regression) = gate.max_regression {
            let before = self.before.as_ref().and_then(|b| b.observed(&quantity));
            let regression = RegressionLimit { max_regression, before };
            let limit = regression.limit(&quantity.metric, gate.direction());
            // Without an earlier run there is nothing to hold the value against: it is not judged.
            let seen = if before.is_some() { seen.clone() } else { Observed::default() };
            results.push(GateResult { regression: Some(regression), ..result(gate, quantity.clone(), limit, seen) });
        }
        if gate.max_regression.is_none() || gate.is_absolute() {
            results.push(result(gate, quantity, gate.limit().1, seen));
        }
    }
}

/// Everything that gates look at.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// Every metric at every tap of every arm.
    pub measurements: &'a Measurements,
    /// The stored weights.
    pub weights: &'a WeightsReport,
    /// Neighbour search.
    pub neighbours: Option<&'a NeighbourStats>,
    /// Scores on labels.
    pub scores: &'a [LabelScore],
}

impl Measured<'_> {
    /// The number that a gate on it looks at; none where it was not measured, or stands for several.
    pub fn observed(&self, quantity: &Quantity) -> Option<f64> {
        self.seen(quantity).observed
    }

    fn seen(&self, quantity: &Quantity) -> Observed {
        let Quantity { on, metric, stat, .. } = quantity;
        match on {
            Place::Weights => weights_observed(metric, *stat, self.weights),
            Place::Neighbours => {
                Observed { observed: self.neighbours.and_then(|n| n.named(metric)), ..Observed::default() }
            }
            Place::Task => {
                let found = self.scores.iter().find(|score| score.metric() == *metric);
                Observed { observed: found.and_then(|score| score.drop), ..Observed::default() }
            }
            Place::Tap(tap) => self.at_tap(*tap, quantity),
            Place::Glob(_) => Observed::default(),
        }
    }

    fn at_tap(&self, tap: Tap, Quantity { arm, metric, stat, .. }: &Quantity) -> Observed {
        let found = arm.and_then(|arm| self.measurements.only(tap, arm, Mode::Accumulated, metric));
        Observed { observed: found.and_then(|m| statistic(m, *stat)), worst: found.and_then(|m| m.worst), tensor: None }
    }
}

fn statistic(m: &Measurement, stat: Stat) -> Option<f64> {
    if m.count == 0 {
        return None;
    }
    match stat {
        Stat::Mean => m.mean,
        Stat::P50 => m.p50,
        Stat::P90 => m.p90,
        Stat::P99 => m.p99,
        Stat::P999 => m.p999,
        Stat::Min => m.min,
        Stat::Max => m.max,
        Stat::Total => None,
    }
}

/// The quantized matrices; of a candidate that is not quantized at all, every matrix.
fn matrices(weights: &WeightsReport) -> Vec<&TensorRow> {
    let all = || weights.tensors.iter().filter(|t| t.shape.len() == 2);
    let quantized: Vec<&TensorRow> = all().filter(|t| t.bits.is_some()).collect();
    if quantized.is_empty() { all().collect() } else { quantized }
}

fn weights_observed(metric: &str, stat: Stat, weights: &WeightsReport) -> Observed {
    let rows = matrices(weights);
    if stat == Stat::Total {
        let totals = &weights.totals;
        let value = match metric {
            "mse" => Some(totals.mse),
            "rmse" => Some(totals.mse.sqrt()),
            "relative_error" => Some(totals.relative_error),
            "max_abs" => Some(totals.max_abs),
            "sqnr_db" => Some(-20.0 * totals.relative_error.log10()),
            // 0 of 0 is no number, and so never within a limit.
            "twin_equal" => Some(totals.twin.equal as f64 / totals.twin.groups as f64),
            _ => None,
        };
        let tensor = (metric == "max_abs").then(|| totals.max_abs_tensor.clone()).flatten();
        return Observed { observed: value.filter(|_| totals.matrix_elements > 0), worst: None, tensor };
    }
    let values: Option<Vec<f64>> = rows.iter().map(|row| column(row, metric)).collect();
    let Some(values) = values.filter(|v| !v.is_empty()) else {
        return Observed { observed: None, worst: None, tensor: None };
    };
    // A NaN is worse than any number, whichever way the metric points.
    let extreme = |rank: fn(f64, f64) -> bool| {
        let mut best = 0;
        for (i, v) in values.iter().enumerate() {
            if !values[best].is_nan() && (v.is_nan() || rank(*v, values[best])) {
                best = i;
            }
        }
        Observed { observed: Some(values[best]), worst: None, tensor: Some(rows[best].tensor.clone()) }
    };
    match stat {
        Stat::Max => extreme(|a, b| a > b),
        Stat::Min => extreme(|a, b| a < b),
        Stat::Mean => {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            Observed { observed: Some(mean), worst: None, tensor: None }
        }
        _ => Observed { observed: None, worst: None, tensor: None },
    }
}

fn column(row: &TensorRow, metric: &str) -> Option<f64> {
    match metric {
        "mse" => Some(row.mse),
        "rmse" => Some(row.rmse),
        "relative_error" => Some(row.relative_error),
        "max_abs" => Some(row.max_abs),
        "sqnr_db" => Some(row.sqnr_db),
        "group_shift" => row.group_shift,
        "twin_equal" => row.twin.as_ref().map(|t| t.equal as f64 / t.groups as f64),
        "changed_groups" => row.twin.as_ref().map(|t| t.changed as f64),
        "over_twin" => row.twin.as_ref().map(|t| t.over_twin),
        "row_over_twin" => row.twin.as_ref().map(|t| t.row_over_twin),
        "group_error" => row.twin.as_ref().map(|t| t.group_error),
        "largest_error" => row.twin.as_ref().map(|t| t.largest_error),
        _ => None,
    }
}

fn result(gate: &Gate, quantity: Quantity, limit: f64, seen: Observed) -> GateResult {
    let direction = gate.direction();
    let outcome = match seen.observed {
        None => Outcome::NotMeasured,
        Some(v) if direction.keeps(v, limit) => Outcome::Pass,
        Some(_) => Outcome::Fail,
    };
    GateResult {
        quantity,
        direction,
        limit,
        observed: seen.observed,
        margin: seen.observed.map(|v| direction.margin(v, limit)),
        outcome,
        would_pass_at: seen.observed.and_then(|v| outward(v, direction)),
        worst: seen.worst,
        tensor: seen.tensor,
        null_baseline: None,
        regression: None,
        waiver: None,
        why: gate.why.clone(),
    }
}

/// `non_finite max 0` for every tap and arm that was measured, over both modes.
fn non_finite(measurements: &Measurements, results: &mut Vec<GateResult>) {
    for (arm, tap) in measurements.arms_and_taps() {
        let gate = Gate {
            quantity: Quantity {
                on: Place::Tap(tap),
                arm: Some(arm),
                metric: "non_finite".to_owned(),
                stat: Stat::Max,
            },
            max: Some(0.0),
            min: None,
            max_regression: None,
            if_given: false,
            why: Some("built in: a NaN or an infinity in a hidden state is never acceptable".to_owned()),
        };
        let found = measurements.of_arm(arm, "non_finite").filter(|m| m.tap == tap);
        let counts: Option<Vec<_>> = found.map(|m| Some((statistic(m, Stat::Max)?, m.worst))).collect();
        // `total_cmp` ranks NaN above every number.
        let worst = counts.unwrap_or_default().into_iter().max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        let observed = worst.map(|(count, _)| count);
        let worst = worst.and_then(|(count, place)| place.filter(|_| count != 0.0));
        results.push(result(&gate, gate.quantity.clone(), 0.0, Observed { observed, worst, tensor: None }));
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
