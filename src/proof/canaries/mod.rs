//! Canaries: faults planted in copies of the candidate on every run, to see that what judges the candidate sees them.
//! What cannot see a planted fault would not see a real one either, so it cannot pass anything.
//!
//! Two kinds of judges are asked. *Proofs* hold whatever the limits are: the weights against their twin, the settings
//! that both sides state, the states over the twin's. *Limits* are the policy's own; a policy that is blind to faults
//! is told so in the verdict.

mod faults;
mod judge;
mod plant;

use std::collections::BTreeMap;

use super::cross;
use super::null_baselines::kept;
use super::over_twin;
use crate::Error;
use crate::checkpoint::{ModelConfig, Weight, WeightSet};
use crate::hidden_states::{Arm, HiddenStates};
use crate::metrics::Measurements;
use crate::report::{CanariesSection, CanarySection, MovedCodes};
use crate::rows::measure::{Accumulators, Scales, add_sentences};
use crate::rows::sample::Sample;
use crate::rows::workers::Workers;
use crate::runtimes::Encoder;
use crate::runtimes::native::NativeEncoder;
use crate::sides::Sides;
use crate::tokens::TokenBatch;
use crate::weights;
use faults::FAULTS;
pub(crate) use judge::{findings, judge};

/// Largest number of codes a group is moved by before it is given up.
const MOST_CODES: u32 = 16;

/// Everything a canary is measured with.
struct Harness<'a> {
    sides: &'a Sides,
    sample: &'a Sample,
    scales: &'a Scales,
    /// The twin's states of the same rows.
    twin: Option<&'a HiddenStates>,
}

/// Plants every fault in turn and measures what it does. What sees it is for [`judge`] to say.
pub(crate) fn plant(
    sides: &Sides,
    workers: &Workers,
    sample: &Sample,
    scales: &Scales,
    twin: &HiddenStates,
) -> Result<CanariesSection, Error> {
    let harness = Harness { sides, sample, scales, twin: Some(twin) };
    let healthy = harness.measure(&sample.seen.candidate)?;
    let canaries = workers.map(FAULTS, |fault| harness.canary(fault))?;
    Ok(CanariesSection { planted: true, canaries, smallest: None, healthy })
}

/// How far the moved codes that are seen first move the candidate's states: one more pass, so only there.
pub(crate) fn measure_codes(
    sides: &Sides,
    sample: &Sample,
    scales: &Scales,
    section: &mut CanariesSection,
) -> Result<(), Error> {
    let harness = Harness { sides, sample, scales, twin: None };
    for canary in section.canaries.iter_mut().filter(|c| c.seen_by.is_some() && !c.codes.is_empty()) {
        let fault = &canary.fault;
        let chosen = canary.codes.iter_mut().find(|moved| *fault == judge::moved_words(moved));
        if let Some(moved) = chosen {
            moved.effect = harness.effect_of(&moved.row.tensor, moved.by)?;
            canary.effect = moved.effect;
        }
    }
    judge::smallest(section);
    Ok(())
}

impl Harness<'_> {
    /// The candidate with another configuration or other weights, over a batch.
    fn encode(&self, config: &ModelConfig, weights: &WeightSet, batch: &TokenBatch) -> Result<HiddenStates, Error> {
        let encoder = NativeEncoder::build(config, weights, "the candidate with a planted fault")?;
        let mut states = encoder.encode(batch)?;
        add_sentences(&self.sides.candidate_head, &mut states)?;
        Ok(states)
    }

    /// What was planted, with everything that judges it.
    fn seen(
        &self,
        id: &str,
        fault: String,
        states: &HiddenStates,
        proof: Option<String>,
    ) -> Result<CanarySection, Error> {
        let effect = self.distance(&self.sample.seen.candidate, states)?;
        let stated = match (proof, self.twin, &self.sample.seen.control) {
            (None, Some(twin), Some(control)) => {
                let errors = over_twin::compare(&self.sample.batch, control, states, twin)?;
                match over_twin::exceeded(&errors) {
                    Some(said) => Some(said),
                    None => cross::beside(self.sides, [(twin, states)])?.first().map(|f| f.message.clone()),
                }
            }
            (proof, ..) => proof,
        };
        let states = self.measure(states)?;
        Ok(CanarySection { id: id.to_owned(), fault, effect, stated, states, ..CanarySection::default() })
    }

    /// States against the reference's.
    fn measure(&self, states: &HiddenStates) -> Result<Measurements, Error> {
        let mut accumulators = Accumulators::new(self.scales.clone());
        accumulators.add(Arm::Total, &self.sample.batch, &self.sample.seen.reference, states, |_, _, _| ())?;
        Ok(kept(&accumulators))
    }

    /// The matrix in the middle of the quantized ones with one group moved by 1, 2, … codes; none where there is none.
    fn codes(&self) -> Result<Option<Vec<MovedCodes>>, Error> {
        let (own, original) = (self.sides.candidate_weights.tensors(), self.sides.original.tensors());
        let is_matrix = |w: &Weight| w.storage.mode.is_some() && w.shape.len() == 2;
        let quantized: Vec<&String> =
            own.iter().filter(|(n, w)| is_matrix(w) && original.contains_key(*n)).map(|(n, _)| n).collect();
        let Some(name) = quantized.get(quantized.len() / 2).copied() else { return Ok(None) };
        let mut codes = Vec::new();
        for by in 1..=MOST_CODES {
            let Some(moved) = self.moved(name, by) else { break };
            let one = |w: &Weight| {
                WeightSet::new("one matrix", BTreeMap::from([(name.clone(), w.clone())])).map_err(weight_error)
            };
            let Some(original) = original.get(name) else { break };
            let report = weights::compare(&one(original)?, &one(&moved)?)?;
            codes.extend(report.tensors.into_iter().map(|row| MovedCodes { by, row, effect: None }));
        }
        Ok(Some(codes).filter(|c| !c.is_empty()))
    }

    fn moved(&self, name: &str, by: u32) -> Option<Weight> {
        let own = self.sides.candidate_weights.tensors().get(name)?;
        weights::moved_by_codes(self.sides.original.tensors().get(name)?, own, by)
    }

    /// How far the matrix with one group moved moves the candidate's states.
    fn effect_of(&self, name: &str, by: u32) -> Result<Option<f64>, Error> {
        let sides = self.sides;
        let Some(moved) = self.moved(name, by) else { return Ok(None) };
        let change = |tensors: &mut BTreeMap<_, _>| drop(tensors.insert(name.to_owned(), std::sync::Arc::new(moved)));
        let weights = sides.candidate_weights.changed(change).map_err(weight_error)?;
        let states = self.encode(&sides.facts.candidate_config, &weights, &self.sample.batch)?;
        self.distance(&self.sample.seen.candidate, &states)
    }

    /// The largest 99th percentile over the taps of the relative L2 between the two.
    fn distance(&self, base: &HiddenStates, other: &HiddenStates) -> Result<Option<f64>, Error> {
        let mut accumulators = Accumulators::new(self.scales.clone());
        accumulators.add(Arm::Total, &self.sample.batch, base, other, |_, _, _| ())?;
        let all = accumulators.finish();
        Ok(all.iter().filter(|m| m.metric == "relative_l2").filter_map(|m| m.p99).max_by(f64::total_cmp))
    }
}

fn weight_error(e: crate::checkpoint::WeightError) -> Error {
    Error::Quantization(e.into())
}
