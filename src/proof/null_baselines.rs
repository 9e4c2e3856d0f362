//! Null baselines: what each gate would observe if unlike things were compared. A cosine of 0.95 looks
//! different once it is known that another sentence reaches 0.93.

use std::sync::Arc;

use crate::Error;
use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{Arm, HiddenStates, RowId, Tap, TapStates};
use crate::metrics::{Measurement, Measurements};
use crate::policy::loss::is_relative;
use crate::policy::{GateResult, NullBaseline, Policy};
use crate::report::UnlikeSection;
use crate::rows::measure::{Accumulators, Scales, add_sentences};
use crate::rows::sample::Sample;
use crate::runtimes::native::SentenceHead;
use crate::sides::Sides;
use crate::tokens::TokenBatch;
use crate::weights::WeightsReport;

/// The arms a gate may name.
const ARMS: [Arm; 5] = [Arm::Engine, Arm::Quantization, Arm::Total, Arm::Device, Arm::Compute];

/// Measures both on the sample: the candidate's neighbouring layers, and its rows one further on.
pub(crate) fn measure(sides: &Sides, sample: &Sample, scales: &Scales) -> Result<UnlikeSection, Error> {
    let Sample { batch, seen, .. } = sample;
    let shifted = off_by_one(&seen.candidate, &sides.candidate_head)?;
    let mut wrong_layer = Accumulators::new(scales.clone());
    wrong_layer.add(Arm::Total, batch, &seen.reference, &shifted, |_, _, _| ())?;
    let (cut, base, other) = mismatch(batch, &seen.reference, &seen.candidate)?;
    let mut mismatched = Accumulators::new(scales.clone());
    mismatched.add(Arm::Total, &cut, &base, &other, |_, _, _| ())?;
    Ok(UnlikeSection { wrong_layer: kept(&wrong_layer), mismatched_sentence: kept(&mismatched) })
}

/// The numbers that limits are held against, without the places they were seen at.
pub(crate) fn kept(accumulators: &Accumulators) -> Measurements {
    accumulators.finish().into_iter().map(|m| Measurement { worst: None, ..m }).collect()
}

/// The same numbers under every arm: what is compared wrongly is wrong in all of them.
pub(crate) fn every_arm(measured: &Measurements) -> Measurements {
    ARMS.iter().flat_map(|&arm| measured.iter().cloned().map(move |m| Measurement { arm, ..m })).collect()
}

/// Every tap with the states of its neighbour: the next one, or the one before for the last.
pub(crate) fn off_by_one(states: &HiddenStates, head: &SentenceHead) -> Result<HiddenStates, Error> {
    let stages: Vec<(Tap, &Arc<TapStates>)> =
        states.iter().filter(|(tap, _)| matches!(tap, Tap::Embeddings | Tap::Layer(_))).collect();
    let last = stages.len().saturating_sub(1);
    let mut shifted = HiddenStates::new();
    for (i, (tap, _)) in stages.iter().enumerate() {
        let neighbour = if i < last { i + 1 } else { i.saturating_sub(1) };
        shifted.insert(*tap, Arc::clone(stages[neighbour].1));
    }
    if let Some((_, before_last)) = stages.get(last.saturating_sub(1)).filter(|_| states.get(Tap::Final).is_some()) {
        shifted.insert(Tap::Final, Arc::clone(before_last));
    }
    add_sentences(head, &mut shifted)?;
    Ok(shifted)
}

/// The candidate's next row beside each row of the reference, both cut to the shorter of the two.
fn mismatch(
    batch: &TokenBatch,
    reference: &HiddenStates,
    candidate: &HiddenStates,
) -> Result<(TokenBatch, HiddenStates, HiddenStates), Error> {
    let rows = batch.rows();
    let partner = |r: usize| (r + 1) % rows;
    let kept: Vec<usize> = (0..rows).map(|r| batch.len(r).min(batch.len(partner(r)))).collect();
    let mut cut = TokenBatch::new();
    for (r, &n) in kept.iter().enumerate() {
        let id: RowId = batch.row_id(r);
        cut.push(id, &batch.ids(r)[..n], &batch.type_ids(r)[..n]);
    }
    let pick = |states: &HiddenStates, row: &dyn Fn(usize) -> usize| -> Result<HiddenStates, Error> {
        let mut picked = HiddenStates::new();
        for (tap, all) in states.iter() {
            let (mut offsets, mut values) = (vec![0], Vec::new());
            for (r, &n) in kept.iter().enumerate() {
                let n = if tap.is_sentence_level() { 1 } else { n };
                values.extend_from_slice(&all.row(row(r))[..n * all.hidden()]);
                offsets.push(offsets[r] + n);
            }
            picked.insert(tap, Arc::new(TapStates::ragged(all.hidden(), &offsets, values)?));
        }
        Ok(picked)
    };
    Ok((cut, pick(reference, &|r| r)?, pick(candidate, &partner)?))
}

/// Writes beside each gate what unlike things would have measured.
pub(crate) fn fill(unlike: &UnlikeSection, policy: &Policy, weights: &WeightsReport, gates: &mut [GateResult]) {
    let wrong_layer = policy.evaluate_all(&every_arm(&unlike.wrong_layer), weights, None);
    let mismatched = policy.evaluate_all(&every_arm(&unlike.mismatched_sentence), weights, None);
    for gate in gates.iter_mut().filter(|g| g.quantity.arm.is_some() && !g.is_non_finite()) {
        let of = |all: &[GateResult]| all.iter().find(|g| g.same_gate(gate)).and_then(|g| g.observed);
        let baseline = NullBaseline { wrong_layer: of(&wrong_layer), mismatched_sentence: of(&mismatched) };
        gate.null_baseline = Some(baseline).filter(|b| *b != NullBaseline::default());
    }
}

/// Gates on likeness whose limit another sentence, or another layer, would have kept.
pub(crate) fn findings(gates: &[GateResult]) -> Vec<Finding> {
    let likeness = |g: &&GateResult| is_relative(&g.quantity.metric);
    let mut out = Vec::new();
    for gate in gates.iter().filter(likeness) {
        let Some(baseline) = gate.null_baseline else { continue };
        let kinds =
            [("another sentence", baseline.mismatched_sentence), ("the neighbouring layer", baseline.wrong_layer)];
        let kept = kinds
            .into_iter()
            .find_map(|(what, seen)| Some((what, seen.filter(|s| gate.direction.keeps(*s, gate.limit))?)));
        if let Some((what, seen)) = kept {
            let message = format!(
                "the limit {} on {} {} {} would let {what} pass ({})",
                number(gate.limit),
                gate.quantity.on,
                gate.quantity.metric,
                gate.quantity.stat,
                number(seen)
            );
            out.push(Finding::new(Severity::Warning, &codes::POLICY_BLIND_GATE, message));
        }
    }
    out
}
