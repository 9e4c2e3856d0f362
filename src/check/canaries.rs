//! Canaries: faults planted in a copy of the model on every run, to see that this run's own gates see them.
//! A gate that cannot see a planted fault would not see a real one either, so it cannot pass anything.

mod faults;

use std::collections::BTreeMap;

use super::baselines::{every_arm, off_by_one};
use super::measure::{Accumulators, Scales, add_sentences};
use super::sample::Sample;
use super::sides::Sides;
use super::workers::Workers;
use crate::Error;
use crate::checkpoint::{Weight, WeightSet};
use crate::finding::{Finding, Severity};
use crate::hidden_states::{Arm, HiddenStates, TapStates};
use crate::metrics::Measurement;
use crate::policy::{GateResult, Outcome, Policy};
use crate::report::{CanariesSection, CanarySection};
use crate::runtimes::Encoder;
use crate::runtimes::native::NativeEncoder;
use crate::tokens::TokenBatch;
use crate::verdict::number;
use crate::weights::{self, WeightsReport};
use faults::{FAULTS, Fault, Plant};

/// Largest number of codes a group is moved by before it is given up.
const MOST_CODES: u32 = 16;

/// Everything a canary is judged with.
struct Cage<'a> {
    sides: &'a Sides,
    sample: &'a Sample,
    scales: &'a Scales,
    policy: &'a Policy,
    weights: &'a WeightsReport,
    /// Gates that fail without any fault: they show nothing.
    already: Vec<GateResult>,
}

/// Plants every fault in turn and asks the policy's gates.
pub(super) fn run(
    sides: &Sides,
    workers: &Workers,
    sample: &Sample,
    scales: &Scales,
    policy: &Policy,
    weights: &WeightsReport,
) -> Result<CanariesSection, Error> {
    let mut cage = Cage { sides, sample, scales, policy, weights, already: Vec::new() };
    if let Some(control) = &sample.seen.control {
        cage.already = cage.failing(&cage.measure(control)?);
    }
    let canaries = workers.map(FAULTS, |fault| cage.canary(fault))?;
    let seen = canaries.iter().filter(|c| c.seen_by.is_some());
    let smallest = seen.filter_map(|c| Some((c.effect?, &c.id))).filter(|(e, _)| *e > 0.0);
    let smallest = smallest.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id.clone());
    Ok(CanariesSection { planted: true, canaries, smallest })
}

/// What a person should know: faults that no gate saw. They forbid a pass; what `failed` is not made less so.
pub(super) fn findings(section: &CanariesSection, failed: bool) -> Vec<Finding> {
    let severity = if failed { Severity::Warning } else { Severity::Refusal };
    if !section.planted {
        let message = "no faults were planted (--no-canaries): that the gates would see one is not shown";
        return vec![Finding::new(Severity::Warning, "canary.none", message)];
    }
    let unseen = section.canaries.iter().filter(|c| c.seen_by.is_none() && c.not_planted.is_none());
    let mut out: Vec<Finding> = unseen
        .map(|c| {
            let message = format!(
                "a planted fault was seen by no gate of this policy: {} (it moves the states by {}); a pass would prove nothing",
                c.fault,
                c.effect.map_or_else(|| "an unknown amount".to_owned(), number)
            );
            Finding::new(severity, "canary.unseen", message)
        })
        .collect();
    if section.canaries.iter().all(|c| c.not_planted.is_some()) {
        let message = "not one fault could be planted in this model, so its gates are not shown to see any";
        out.push(Finding::new(Severity::Refusal, "canary.none_planted", message));
    }
    out
}

impl Cage<'_> {
    fn canary(&self, fault: &Fault) -> Result<CanarySection, Error> {
        let section = |fault_text: String, effect, seen_by| CanarySection {
            id: fault.id.to_owned(),
            fault: fault_text,
            effect,
            seen_by,
            not_planted: None,
        };
        let not =
            |why: &str| CanarySection { not_planted: Some(why.to_owned()), ..section(fault.id.to_owned(), None, None) };
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
            Plant::Codes => return self.codes(fault.id),
        };
        let measured = self.measure(&states)?;
        let effect = match &self.sample.seen.control {
            Some(control) => self.distance(control, &states)?,
            None => None,
        };
        let seen_by = self
            .failing(&measured)
            .into_iter()
            .next()
            .map(|gate| shown(&gate))
            .or_else(|| self.preflight(fault, &config));
        Ok(section(what, effect, seen_by))
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

    /// Faulty states against the reference, as every arm would see them.
    fn measure(&self, states: &HiddenStates) -> Result<Vec<Measurement>, Error> {
        let mut accumulators = Accumulators::new(self.scales.clone());
        accumulators.add(Arm::Total, &self.sample.batch, &self.sample.seen.reference, states, |_, _, _| ())?;
        Ok(every_arm(&accumulators))
    }

    /// Gates on taps that these measurements exceed, and that hold without a fault; widest excess first.
    fn failing(&self, measured: &[Measurement]) -> Vec<GateResult> {
        let results = self.policy.evaluate_all(measured, self.weights, None);
        let mut failing: Vec<GateResult> = results
            .into_iter()
            .filter(|g| g.arm.is_some_and(|a| ![Arm::Device, Arm::Compute].contains(&a)) && g.outcome == Outcome::Fail)
            .filter(|g| !self.already.iter().any(|a| a.same_gate(g)))
            .collect();
        failing.sort_by(|a, b| b.margin.unwrap_or(f64::INFINITY).total_cmp(&a.margin.unwrap_or(f64::INFINITY)));
        failing
    }

    /// One group of one matrix moved by so few codes as a gate on weights sees.
    fn codes(&self, id: &str) -> Result<CanarySection, Error> {
        let section = |fault: String, effect, seen_by, not_planted| CanarySection {
            id: id.to_owned(),
            fault,
            effect,
            seen_by,
            not_planted,
        };
        let candidate = self.sides.candidate_weights.tensors();
        let quantized: Vec<&String> = candidate
            .iter()
            .filter(|(n, w)| {
                w.storage.mode.is_some() && w.shape.len() == 2 && self.sides.original.tensors().contains_key(*n)
            })
            .map(|(n, _)| n)
            .collect();
        let Some(name) = quantized.get(quantized.len() / 2).copied() else {
            return Ok(section(id.to_owned(), None, None, Some("the candidate has no quantized matrix".to_owned())));
        };
        let (Some(own), Some(original)) = (candidate.get(name), self.sides.original.tensors().get(name)) else {
            return Ok(section(id.to_owned(), None, None, Some("the candidate has no quantized matrix".to_owned())));
        };
        let mut said = (String::new(), None);
        for codes in 1..=MOST_CODES {
            let Some(moved) = weights::moved_by_codes(original, own, codes) else { break };
            let one = |w: &Weight| {
                WeightSet::new("one matrix", BTreeMap::from([(name.clone(), w.clone())])).map_err(weight_error)
            };
            let report = weights::compare(&one(original)?, &one(&moved)?)?;
            let failing = self.policy.evaluate_all(&[], &report, None).into_iter();
            let healthy = |g: &GateResult| !self.policy_fails_already(g);
            let seen = failing.filter(|g| g.on == "weights" && g.outcome == Outcome::Fail).find(healthy);
            said = (format!("+{codes} in the codes of one group of {name}"), seen.map(|g| shown(&g)));
            if said.1.is_some() {
                let effect = self.effect_of(name, moved)?;
                return Ok(section(said.0, effect, said.1, None));
            }
        }
        Ok(section(said.0, None, said.1, None))
    }

    /// The real run's own outcome of this gate on weights.
    fn policy_fails_already(&self, gate: &GateResult) -> bool {
        let all = self.policy.evaluate_all(&[], self.weights, None);
        all.iter().any(|g| g.same_gate(gate) && g.outcome == Outcome::Fail)
    }

    /// How far the changed matrix moves the candidate's states.
    fn effect_of(&self, name: &str, moved: Weight) -> Result<Option<f64>, Error> {
        let sides = self.sides;
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

fn shown(gate: &GateResult) -> String {
    let arm = gate.arm.map_or_else(String::new, |a| format!(" ({a})"));
    let observed = gate.observed.map_or_else(|| "-".to_owned(), number);
    format!("{}{arm} {} {}: {observed} against {}", gate.on, gate.metric, gate.stat, number(gate.limit))
}
