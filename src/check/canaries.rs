//! Canaries: faults planted in a copy of the model on every run, to see that this run's own gates see them.
//! A gate that cannot see a planted fault would not see a real one either, so it cannot pass anything.

mod faults;
mod judge;

use std::collections::BTreeMap;

use super::baselines::{kept, off_by_one};
use super::measure::{Accumulators, Scales, add_sentences};
use super::sample::Sample;
use super::sides::Sides;
use super::workers::Workers;
use crate::Error;
use crate::checkpoint::{Weight, WeightSet};
use crate::hidden_states::{Arm, HiddenStates, TapStates};
use crate::metrics::Measurement;
use crate::report::{CanariesSection, CanarySection, MovedCodes};
use crate::runtimes::Encoder;
use crate::runtimes::native::NativeEncoder;
use crate::tokens::TokenBatch;
use crate::weights;
use faults::{FAULTS, Fault, Plant};
pub(super) use judge::{findings, judge};

/// Largest number of codes a group is moved by before it is given up.
const MOST_CODES: u32 = 16;

/// Everything a canary is measured with.
struct Cage<'a> {
    sides: &'a Sides,
    sample: &'a Sample,
    scales: &'a Scales,
}

/// Plants every fault in turn and measures what it does. What sees it is for [`judge`] to say.
pub(super) fn plant(
    sides: &Sides,
    workers: &Workers,
    sample: &Sample,
    scales: &Scales,
) -> Result<CanariesSection, Error> {
    let cage = Cage { sides, sample, scales };
    let healthy = sample.seen.control.as_ref().map_or_else(|| Ok(Vec::new()), |control| cage.measure(control))?;
    let canaries = workers.map(FAULTS, |fault| cage.canary(fault))?;
    Ok(CanariesSection { planted: true, canaries, smallest: None, healthy })
}

/// How far the moved codes that the limits see first move the candidate's states: one more pass, so only there.
pub(super) fn measure_codes(
    sides: &Sides,
    sample: &Sample,
    scales: &Scales,
    section: &mut CanariesSection,
) -> Result<(), Error> {
    let cage = Cage { sides, sample, scales };
    for canary in section.canaries.iter_mut().filter(|c| c.seen_by.is_some() && !c.codes.is_empty()) {
        let fault = &canary.fault;
        let chosen = canary.codes.iter_mut().find(|moved| *fault == judge::moved_words(moved));
        if let Some(moved) = chosen {
            moved.effect = cage.effect_of(&moved.row.tensor, moved.by)?;
            canary.effect = moved.effect;
        }
    }
    judge::smallest(section);
    Ok(())
}

impl Cage<'_> {
    fn canary(&self, fault: &Fault) -> Result<CanarySection, Error> {
        let id = fault.id.to_owned();
        let not = |why: &str| CanarySection {
            fault: id.clone(),
            not_planted: Some(why.to_owned()),
            id: id.clone(),
            ..CanarySection::default()
        };
        let sides = self.sides;
        let mut config = sides.facts.control_config.clone();
        let batch = &self.sample.batch;
        let (what, states) = match fault.plant {
            Plant::Weights(plant) => {
                let mut planted = Err("nothing was planted");
                let weights =
                    sides.original.changed(|tensors| planted = plant(&config, tensors)).map_err(weight_error)?;
                match planted {
                    Ok(what) => (what, self.encode(&config, &weights, batch)?),
                    Err(why) => return Ok(not(why)),
                }
            }
            Plant::Config(plant) => match plant(&mut config) {
                Ok(what) => (what, self.encode(&config, &sides.original, batch)?),
                Err(why) => return Ok(not(why)),
            },
            Plant::Pooling(plant) => {
                let mut modules = sides.facts.modules.clone();
                match (plant(&mut modules), &self.sample.seen.control) {
                    (Ok(what), Some(control)) => {
                        let mut states = control.clone();
                        add_sentences(&sides.reference_head.with_pooling(modules.pooling)?, &mut states)?;
                        (what, states)
                    }
                    (Err(why), _) => return Ok(not(why)),
                    (_, None) => return Ok(not("there is no control")),
                }
            }
            Plant::Taps => match &self.sample.seen.control {
                Some(control) => {
                    ("every tap holds its neighbour's states".to_owned(), off_by_one(control, &sides.reference_head)?)
                }
                None => return Ok(not("there is no control")),
            },
            Plant::Padding => {
                let padded = self.encode(&config, &sides.original, &padded(batch))?;
                let mut states = trimmed(&padded, batch)?;
                if self.sample.seen.control.as_ref().is_some_and(|control| same_tokens(control, &states)) {
                    return Ok(not("tokens behind a row's own change nothing in a model that looks back only"));
                }
                add_sentences(&sides.reference_head, &mut states)?;
                ("padding attended to".to_owned(), states)
            }
            Plant::Codes => {
                return Ok(match self.codes()? {
                    Some(codes) => CanarySection { id, codes, ..CanarySection::default() },
                    None => not("the candidate has no quantized matrix"),
                });
            }
        };
        let effect = match &self.sample.seen.control {
            Some(control) => self.distance(control, &states)?,
            None => None,
        };
        let stated = self.preflight(fault, &config);
        let states = self.measure(&states)?;
        Ok(CanarySection { id, fault: what, effect, stated, states, ..CanarySection::default() })
    }

    /// Facts of the two sides are gates too: a setting that is mistaken in config.json is seen there.
    fn preflight(&self, fault: &Fault, config: &crate::checkpoint::ModelConfig) -> Option<String> {
        let Plant::Config(_) = fault.plant else { return None };
        let own = &self.sides.facts.control_config;
        let known =
            |check: &str| self.sides.facts.preflight.iter().any(|c| c.check == check && c.outcome.name() == "match");
        let eps = (config.layer_norm_eps != own.layer_norm_eps && known("layer_norm_eps")).then_some("layer_norm_eps");
        let act = (config.hidden_act != own.hidden_act && known("activation")).then_some("activation");
        eps.or(act).map(|fact| format!("preflight.{fact}: read from the graph, it would not match"))
    }

    /// A model with the fault in it, over a batch.
    fn encode(
        &self,
        config: &crate::checkpoint::ModelConfig,
        weights: &WeightSet,
        batch: &TokenBatch,
    ) -> Result<HiddenStates, Error> {
        let encoder = NativeEncoder::build(config, weights, "the control with a planted fault")?;
        let mut states = encoder.encode(batch)?;
        add_sentences(&self.sides.reference_head, &mut states)?;
        Ok(states)
    }

    /// States against the reference's.
    fn measure(&self, states: &HiddenStates) -> Result<Vec<Measurement>, Error> {
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
            let Some(twin) = original.get(name) else { break };
            let report = weights::compare(&one(twin)?, &one(&moved)?)?;
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
        let encoder =
            NativeEncoder::build(&sides.facts.candidate_config, &weights, "the candidate with a planted fault")?;
        let mut states = encoder.encode(&self.sample.batch)?;
        add_sentences(&sides.candidate_head, &mut states)?;
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

/// Rows filled up to the longest with the id padding has, as if it were text.
fn padded(batch: &TokenBatch) -> TokenBatch {
    let longest = batch.longest();
    let mut out = TokenBatch::new();
    for r in 0..batch.rows() {
        let fill = |values: &[u32]| [values, &vec![0; longest - values.len()]].concat();
        out.push(batch.row_id(r), &fill(batch.ids(r)), &fill(batch.type_ids(r)));
    }
    out
}

/// True when every tap of every token is the same to the bit.
fn same_tokens(a: &HiddenStates, b: &HiddenStates) -> bool {
    b.iter().filter(|(tap, _)| !tap.is_sentence_level()).all(|(tap, states)| {
        a.get(tap).is_some_and(|own| {
            own.rows() == states.rows()
                && (0..own.rows())
                    .all(|r| own.row(r).iter().map(|x| x.to_bits()).eq(states.row(r).iter().map(|x| x.to_bits())))
        })
    })
}

/// The states of the rows' own tokens.
fn trimmed(states: &HiddenStates, batch: &TokenBatch) -> Result<HiddenStates, Error> {
    let mut out = HiddenStates::new();
    for (tap, all) in states.iter().filter(|(tap, _)| !tap.is_sentence_level()) {
        let values: Vec<f32> =
            (0..batch.rows()).flat_map(|r| &all.row(r)[..batch.len(r) * all.hidden()]).copied().collect();
        out.insert(tap, std::sync::Arc::new(TapStates::ragged(all.hidden(), batch.offsets(), values)?));
    }
    Ok(out)
}
