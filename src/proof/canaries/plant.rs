//! Planting one fault in a copy of the candidate.

use std::sync::Arc;

use super::faults::{Fault, Plant};
use super::{Harness, weight_error};
use crate::Error;
use crate::checkpoint::{ModelConfig, WeightSet};
use crate::figures::number;
use crate::finding::Severity;
use crate::hidden_states::{HiddenStates, TapStates};
use crate::proof::floor;
use crate::proof::null_baselines::off_by_one;
use crate::report::CanarySection;
use crate::rows::measure::add_sentences;
use crate::tokens::TokenBatch;
use crate::weights::{self, TensorRow};

impl Harness<'_> {
    pub(crate) fn canary(&self, fault: &Fault) -> Result<CanarySection, Error> {
        let id = fault.id;
        let not = |why: &str| CanarySection {
            fault: id.to_owned(),
            not_planted: Some(why.to_owned()),
            id: id.to_owned(),
            ..CanarySection::default()
        };
        let (sides, batch) = (self.sides, &self.sample.batch);
        let own = &sides.facts.candidate_config;
        match fault.plant {
            Plant::Weights(plant) => {
                let mut planted = Err("nothing was planted");
                let faulty = sides.candidate_weights.changed(|t| planted = plant(own, t)).map_err(weight_error)?;
                let what = match planted {
                    Ok(what) => what,
                    Err(why) => return Ok(not(why)),
                };
                let (proof, tensors) = self.weights(&faulty)?;
                let states = self.encode(own, &faulty, batch)?;
                Ok(CanarySection { tensors, ..self.seen(id, what, &states, proof)? })
            }
            Plant::Config(plant) => {
                let mut config = own.clone();
                let what = match plant(&mut config) {
                    Ok(what) => what,
                    Err(why) => return Ok(not(why)),
                };
                let states = self.encode(&config, &sides.candidate_weights, batch)?;
                self.seen(id, what, &states, self.setting(&config))
            }
            Plant::Pooling(plant) => {
                let mut modules = sides.candidate_head.modules().clone();
                let what = match plant(&mut modules) {
                    Ok(what) => what,
                    Err(why) => return Ok(not(why)),
                };
                let mut states = self.sample.seen.candidate.clone();
                add_sentences(&sides.candidate_head.with_pooling(modules.pooling)?, &mut states)?;
                let stated =
                    self.agreed("pooling").then_some("pooling: both sides' files state it, it would not match");
                self.seen(id, what, &states, stated.map(str::to_owned))
            }
            Plant::Taps => {
                let states = off_by_one(&self.sample.seen.candidate, &sides.candidate_head)?;
                self.seen(id, "every tap holds its neighbour's states".to_owned(), &states, None)
            }
            Plant::Padding => {
                let mut states = trimmed(&self.encode(own, &sides.candidate_weights, &padded(batch))?, batch)?;
                if same_tokens(&self.sample.seen.candidate, &states) {
                    return Ok(not("tokens behind a row's own change nothing in a model that looks back only"));
                }
                add_sentences(&sides.candidate_head, &mut states)?;
                let alone = self.distance(&self.sample.seen.candidate, &states)?;
                // Each row is run alone, too, and must give the same.
                let proof = alone.filter(|moved| *moved > floor::ALONE).map(|moved| {
                    format!("batch_dependence: a row would differ by {} from the same row alone", number(moved))
                });
                self.seen(id, "padding attended to".to_owned(), &states, proof)
            }
            Plant::Codes => Ok(match self.codes()? {
                Some(codes) => CanarySection { id: id.to_owned(), codes, ..CanarySection::default() },
                None => not("the candidate has no quantized matrix"),
            }),
        }
    }

    /// The changed tensors against the original, and what the comparison says of them that it does not say of the
    /// candidate as it is.
    fn weights(&self, faulty: &WeightSet) -> Result<(Option<String>, Vec<TensorRow>), Error> {
        let (own, original) = (self.sides.candidate_weights.tensors(), self.sides.original.tensors());
        let changed: Vec<&String> = faulty
            .tensors()
            .iter()
            .filter(|(name, weight)| {
                original.contains_key(*name) && own.get(*name).is_none_or(|before| !Arc::ptr_eq(before, weight))
            })
            .map(|(name, _)| name)
            .collect();
        if changed.is_empty() {
            return Ok((None, Vec::new()));
        }
        let of = |set: &WeightSet| set.only(|name| changed.iter().any(|c| *c == name));
        let (original, before, after) = (of(&self.sides.original), of(&self.sides.candidate_weights), of(faulty));
        let said = |candidate: &WeightSet| -> Result<_, Error> {
            let report = weights::compare(&original, candidate)?;
            let findings = weights::findings(&original, candidate, &report, &|_, _| None);
            let grave = findings.into_iter().filter(|f| f.severity >= Severity::Failure).map(|f| f.message).collect();
            Ok((report.tensors, grave))
        };
        let (_, already): (_, Vec<String>) = said(&before)?;
        let (tensors, now): (_, Vec<String>) = said(&after)?;
        let new = now.into_iter().find(|message| !already.contains(message));
        Ok((new.map(|message| format!("weights: {message}")), tensors))
    }

    /// A setting that both sides state and that would no longer match.
    fn setting(&self, config: &ModelConfig) -> Option<String> {
        let own = &self.sides.facts.candidate_config;
        let eps =
            (config.layer_norm_eps != own.layer_norm_eps).then_some(["layer_norm_eps", "layer_norm_eps_in_config"]);
        let act = (config.hidden_act != own.hidden_act).then_some(["activation", "activation_in_config"]);
        let changed = eps.or(act)?;
        let fact = changed.into_iter().find(|fact| self.agreed(fact))?;
        Some(format!("{fact}: both sides state it, it would not match"))
    }

    /// True where both sides state that fact and agree on it.
    fn agreed(&self, check: &str) -> bool {
        self.sides.facts.preflight.iter().any(|c| c.check == check && c.outcome.name() == "match")
    }
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
        out.insert(tap, Arc::new(TapStates::ragged(all.hidden(), batch.offsets(), values)?));
    }
    Ok(out)
}
