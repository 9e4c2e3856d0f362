//! The noise floor: how far the reference is from itself when nothing about it has changed but the way
//! it is run. A limit that is not well above that measures the machine.

use std::collections::BTreeMap;

use crate::Error;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{Arm, HiddenStates, Tap};
use crate::policy::{Direction, GateResult, Stat};
use crate::report::FloorSection;
use crate::rows::measure::{Accumulators, Scales, add_sentences};
use crate::rows::sample::Sample;
use crate::rows::workers::Workers;
use crate::sides::{Encoders, Sides, Variation};
use crate::tokens::TokenBatch;

/// A limit must be this many times the floor.
const HEADROOM: f64 = 4.0;

/// The metric floors are measured in.
const METRIC: &str = "relative_l2";

/// Runs the sample every other way there is.
pub(crate) fn measure(
    sides: &Sides,
    workers: &Workers,
    sample: &Sample,
    scales: &Scales,
) -> Result<Vec<FloorSection>, Error> {
    let on = sides.encoders();
    let ways: Vec<Option<&Variation>> = std::iter::once(None).chain(sides.variations.iter().map(Some)).collect();
    let floors = workers.map(&ways, |way| match way {
        Some(variation) => varied(on, variation, sample, scales),
        None => alone(on, sample, scales),
    })?;
    Ok(floors.into_iter().flatten().collect())
}

/// The sample's rows, each as a batch of its own.
fn alone(on: Encoders<'_>, sample: &Sample, scales: &Scales) -> Result<Vec<FloorSection>, Error> {
    let mut alone = Accumulators::new(scales.clone());
    for r in 0..sample.batch.rows() {
        let one = row(&sample.batch, r);
        let base = row_states(&sample.seen.reference, r)?;
        let mut other = on.reference.encode(&one)?;
        add_sentences(on.reference_head, &mut other)?;
        alone.add(Arm::Engine, &one, &base, &other, |_, _, _| ())?;
    }
    Ok(sections("each row alone, not in a padded batch", &alone))
}

/// The sample as it is, on the reference run another way.
fn varied(
    on: Encoders<'_>,
    variation: &Variation,
    sample: &Sample,
    scales: &Scales,
) -> Result<Vec<FloorSection>, Error> {
    let mut other = (variation.open)()?.encode(&sample.batch)?;
    add_sentences(on.reference_head, &mut other)?;
    let mut accumulators = Accumulators::new(scales.clone());
    accumulators.add(Arm::Engine, &sample.batch, &sample.seen.reference, &other, |_, _, _| ())?;
    Ok(sections(&variation.name, &accumulators))
}

/// The most a row's states may differ between a padded batch and a batch of its own, on our own sides. Theirs
/// are bit-identical by construction; ONNX Runtime itself stays below 2e-6.
pub(crate) const ALONE: f64 = 1e-5;

/// Rows whose states depend on which other rows they are batched with: padding that is looked at, or a kernel
/// that errs at some lengths. Needs no reference, so no quantization error hides it.
pub(crate) fn batch_dependence(sides: &Sides, sample: &Sample) -> Result<Option<Finding>, Error> {
    let mut accumulators = Accumulators::new(Scales::new());
    for r in 0..sample.batch.rows() {
        let one = row(&sample.batch, r);
        let mut alone = sides.candidate.encode(&one)?;
        add_sentences(&sides.candidate_head, &mut alone)?;
        accumulators.add(Arm::Total, &one, &row_states(&sample.seen.candidate, r)?, &alone, |_, _, _| ())?;
    }
    let all = accumulators.finish();
    // Written so that NaN is a dependence.
    let steady = |m: &&crate::metrics::Measurement| m.max.is_some_and(|max| max <= ALONE);
    let first = all.iter().filter(|m| m.metric == METRIC).find(|m| !steady(m));
    Ok(first.map(|m| {
        let message = format!(
            "the candidate's states depend on the rows beside them: from {} on, a row in a padded batch differs from the same row alone by {}",
            m.tap,
            m.max.map_or_else(|| "an unknown amount".to_owned(), crate::figures::number)
        );
        Finding::new(Severity::Failure, &codes::ALIGNMENT_BATCH_DEPENDENCE, message)
    }))
}

/// Row `r` as a batch of its own.
fn row(batch: &TokenBatch, r: usize) -> TokenBatch {
    let mut one = TokenBatch::new();
    one.push(batch.row_id(r), batch.ids(r), batch.type_ids(r));
    one
}

/// Row `r` of every tap.
fn row_states(states: &HiddenStates, r: usize) -> Result<HiddenStates, Error> {
    let mut one = HiddenStates::new();
    for (tap, all) in states.iter() {
        let offsets = [0, all.tokens(r)];
        let states = crate::hidden_states::TapStates::ragged(all.hidden(), &offsets, all.row(r).to_vec())?;
        one.insert(tap, std::sync::Arc::new(states));
    }
    Ok(one)
}

fn sections(name: &str, accumulators: &Accumulators) -> Vec<FloorSection> {
    let all = accumulators.finish();
    let of_metric = all.into_iter().filter(|m| m.metric == METRIC);
    of_metric.map(|m| FloorSection { tap: m.tap, variation: name.to_owned(), p99: m.p99, max: m.max }).collect()
}

/// Limits that are not [`HEADROOM`] times the floor at their tap, one refusal per variation.
pub(crate) fn findings(floors: &[FloorSection], gates: &[GateResult]) -> Vec<Finding> {
    let mut worst: BTreeMap<&str, (f64, String)> = BTreeMap::new();
    for floor in floors {
        for gate in gates.iter().filter(|g| speaks_of(g, floor.tap)) {
            let seen = if gate.quantity.stat == Stat::Max { floor.max } else { floor.p99 };
            let seen = seen.unwrap_or(f64::NAN);
            // Written so that NaN is too much.
            if HEADROOM * seen <= gate.limit {
                continue;
            }
            let excess = if seen.is_nan() { f64::INFINITY } else { seen / gate.limit };
            let arm = gate.quantity.shown_arm();
            let message = format!(
                "the reference differs from itself by {} at {} ({}): more than a quarter of the limit {} on {METRIC} {}{arm}; numbers that small say nothing about a model",
                crate::figures::number(seen),
                floor.tap,
                floor.variation,
                crate::figures::number(gate.limit),
                gate.quantity.stat,
            );
            let slot = worst.entry(&floor.variation).or_insert((f64::NEG_INFINITY, String::new()));
            if excess > slot.0 {
                *slot = (excess, message);
            }
        }
    }
    worst.into_values().map(|(_, m)| Finding::new(Severity::Refusal, &codes::ALIGNMENT_FLOOR, m)).collect()
}

/// An upper limit on the floor's metric at this tap, over single tokens.
fn speaks_of(gate: &GateResult, tap: Tap) -> bool {
    gate.quantity.metric == METRIC
        && gate.direction == Direction::Max
        && matches!(gate.quantity.stat, Stat::P99 | Stat::P999 | Stat::Max)
        && gate.quantity.tap() == Some(tap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Outcome, Place, Quantity};

    fn gate(stat: Stat, limit: f64) -> GateResult {
        GateResult {
            quantity: Quantity {
                on: Place::Tap(Tap::Layer(1)),
                arm: Some(Arm::Engine),
                metric: METRIC.to_owned(),
                stat,
            },
            direction: Direction::Max,
            limit,
            observed: Some(0.0),
            margin: Some(0.0),
            outcome: Outcome::Pass,
            would_pass_at: None,
            worst: None,
            tensor: None,
            null_baseline: None,
            regression: None,
            waiver: None,
            why: None,
        }
    }

    fn floor(p99: f64, max: f64) -> FloorSection {
        FloorSection { tap: Tap::Layer(1), variation: "2 threads".to_owned(), p99: Some(p99), max: Some(max) }
    }

    #[test]
    fn a_limit_needs_four_times_the_floor() {
        let said = |f: FloorSection, g| findings(&[f], &[g]).len();
        assert_eq!(said(floor(2.5e-6, 1.0), gate(Stat::P99, 1e-5)), 0, "a quarter is enough");
        assert_eq!(said(floor(2.6e-6, 0.0), gate(Stat::P99, 1e-5)), 1);
        assert_eq!(said(floor(0.0, 2.6e-5), gate(Stat::Max, 1e-4)), 1);
        assert_eq!(said(floor(f64::NAN, 0.0), gate(Stat::P99, 1e-5)), 1, "no number is no floor");
        let elsewhere = FloorSection { tap: Tap::Layer(2), ..floor(1.0, 1.0) };
        assert_eq!(said(elsewhere, gate(Stat::P99, 1e-5)), 0);
        let unmeasured = FloorSection { p99: None, ..floor(0.0, 0.0) };
        assert_eq!(said(unmeasured, gate(Stat::P99, 1e-5)), 1);
        let finding = &findings(&[floor(1e-5, 0.0)], &[gate(Stat::P99, 1e-5)])[0];
        assert_eq!(finding.severity, Severity::Refusal);
        assert!(finding.message.contains("layer.1") && finding.message.contains("2 threads"), "{}", finding.message);
    }
}
