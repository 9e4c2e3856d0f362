//! `--explain`: which stage, which tensors, and what more bits for them would bring, each measured by doing
//! it: the changed model is built and run, nothing is extrapolated.

use std::sync::Arc;

use super::causes::{kind, settle, stage_of};
use crate::Error;
use crate::checkpoint::{ModelConfig, Weight, WeightSet};
use crate::hidden_states::{Arm, HiddenStates, RowId, Tap};
use crate::quantization::requantized;
use crate::report::{Advice, Explanation, InnerError, ProvenCause, StageEffect, TensorEffect, Undone};
use crate::rows::measure::{Accumulators, Scales, add_sentences, batches};
use crate::runtimes::Encoder;
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::sides::Sides;
use crate::sides::request::CheckRequest;
use crate::tokens::{TokenBatch, TokenRow};
use crate::verdict::causes::Kind;
use crate::weights::twin;

/// Rows of the corpus the trials run on.
pub(super) const ROWS: usize = 32;
/// Stages whose tensors are tried with more bits.
const STAGES: usize = 3;
/// Tensors advised on, and combined.
const ADVISED: usize = 3;
/// Proven defects that are undone, one run each.
const UNDONE: usize = 8;
/// More bits than these are no quantization.
const MOST_BITS: u32 = 8;
/// Advice that brings less than this share of the error is none.
const WORTHWHILE: f64 = 0.01;

/// One changed tensor.
type Change = (String, Arc<Weight>);

/// What every trial is run on, and held against.
struct Bench<'a> {
    sides: &'a Sides,
    batches: Vec<TokenBatch>,
    control: Vec<HiddenStates>,
    scales: &'a Scales,
}

/// Fills in what undoing proven defects brings, stages, inner taps, tensors and, where bits may be what is missing
/// (`advise`), advice.
pub(super) fn measure(
    sides: &mut Sides,
    request: &CheckRequest,
    rows: &[(RowId, TokenRow)],
    scales: &Scales,
    advise: bool,
    explanation: &mut Explanation,
) -> Result<(), Error> {
    // Every trial is held against the control: of a wrong original, or beside a wrong graph, it proves nothing.
    if explanation.proven.iter().any(|cause| kind(cause) == Some(Kind::Reference)) {
        return Ok(());
    }
    let batches = batches(rows, request.batch_tokens);
    let mut control = Vec::with_capacity(batches.len());
    for batch in &batches {
        let mut states = sides.control.encode(batch)?;
        add_sentences(&sides.reference_head, &mut states)?;
        control.push(states);
    }
    let bench = Bench { sides, batches, control, scales };
    let Some(before) = bench.sentence_error(&[])? else { return Ok(()) };
    for cause in explanation.proven.iter_mut().take(UNDONE) {
        cause.undone = bench.undone(before, cause)?;
    }
    // What cures most is nearest; what could not be undone stays behind it, in its order.
    let after = |cause: &ProvenCause| cause.undone.as_ref().map_or(f64::INFINITY, |undone| undone.after);
    explanation.proven.sort_by(|a, b| after(a).total_cmp(&after(b)));
    settle(explanation);
    // With another configuration or other modules, weights are not what to look at.
    if explanation.proven.first().is_some_and(|nearest| kind(nearest) != Some(Kind::Weights)) {
        return Ok(());
    }

    let mut stages: Vec<Tap> = sides.candidate_weights.tensors().keys().filter_map(|n| stage_of(n)).collect();
    stages.sort_unstable();
    stages.dedup();
    for tap in stages {
        if let Some(after) = bench.sentence_error(&bench.restored(tap))? {
            explanation.stages.push(StageEffect { tap, before, after });
        }
    }
    explanation.stages.sort_by(|a, b| a.after.total_cmp(&b.after).then(a.tap.cmp(&b.tap)));
    let Some(most) = explanation.stages.first().map(|s| s.tap) else { return Ok(()) };
    let guilty = if explanation.proven.is_empty() { Some(most) } else { explanation.cause };
    explanation.cause = guilty;
    if let Some(guilty) = guilty {
        explanation.inside = bench.inside(guilty)?;
        let wrong: Vec<&String> = explanation.proven.iter().flat_map(|cause| &cause.tensors).collect();
        explanation.tensors = bench.tensors(guilty, &wrong)?;
    }
    if advise {
        let worst: Vec<Tap> = explanation.stages.iter().take(STAGES).map(|s| s.tap).collect();
        explanation.advice = bench.advice(before, &worst)?;
    }
    Ok(())
}

impl Bench<'_> {
    /// The float32 weights of one stage.
    fn restored(&self, stage: Tap) -> Vec<Change> {
        self.of_stage(&self.sides.original, stage)
    }

    /// The tensors of a stage that both sides have, as `from` has them.
    fn of_stage(&self, from: &WeightSet, stage: Tap) -> Vec<Change> {
        let both = |n: &&String| {
            self.sides.original.tensors().contains_key(*n) && self.sides.candidate_weights.tensors().contains_key(*n)
        };
        let mine = from.tensors().keys().filter(|n| stage_of(n) == Some(stage)).filter(both);
        mine.filter_map(|n| Some((n.clone(), Arc::clone(from.tensors().get(n)?)))).collect()
    }

    /// A model on `base` with some tensors changed.
    fn encoder(&self, config: &ModelConfig, base: &WeightSet, changes: &[Change]) -> Result<NativeEncoder, Error> {
        let weights = base
            .changed(|tensors| tensors.extend(changes.iter().cloned()))
            .map_err(|e| Error::Quantization(e.into()))?;
        Ok(NativeEncoder::build(config, &weights, "a trial of other weights")?)
    }

    /// Mean cosine distance between the sentence vectors of the control and of the changed candidate.
    fn sentence_error(&self, changes: &[Change]) -> Result<Option<f64>, Error> {
        let (config, base) = (&self.sides.facts.candidate_config, &self.sides.candidate_weights);
        let mut encoder = self.encoder(config, base, changes)?;
        self.mean(&mut encoder, &self.sides.candidate_head, Tap::Sentence, "cosine_distance")
    }

    /// The mean of a metric at one tap, an encoder against the control.
    fn mean(
        &self,
        encoder: &mut NativeEncoder,
        head: &SentenceHead,
        tap: Tap,
        metric: &str,
    ) -> Result<Option<f64>, Error> {
        let mut accumulators = Accumulators::new(self.scales.clone());
        for (batch, control) in self.batches.iter().zip(&self.control) {
            let mut states = encoder.encode(batch)?;
            add_sentences(head, &mut states)?;
            accumulators.add(Arm::Quantization, batch, &only(control, tap), &only(&states, tap), |_, _, _| ())?;
        }
        Ok(accumulators.finish().into_iter().find(|m| m.metric == metric).and_then(|m| m.mean))
    }

    /// The finer taps of a layer whose input is the control's own.
    fn inside(&self, stage: Tap) -> Result<Vec<InnerError>, Error> {
        let Tap::Layer(k) = stage else { return Ok(Vec::new()) };
        let config = &self.sides.facts.control_config;
        let plain = self.encoder(config, &self.sides.original, &[])?.with_inner_taps();
        let changed = self.of_stage(&self.sides.candidate_weights, stage);
        let hybrid = self.encoder(config, &self.sides.original, &changed)?.with_inner_taps();
        let taps = [Tap::Attention(k), Tap::Ffn(k), stage];
        let mut sums = Accumulators::new(Scales::new());
        for batch in &self.batches {
            let (base, other) = (plain.encode(batch)?, hybrid.encode(batch)?);
            let pick = |states: &HiddenStates| {
                let mut picked = HiddenStates::new();
                taps.iter()
                    .filter_map(|t| Some((*t, states.get(*t)?)))
                    .for_each(|(t, s)| picked.insert(t, Arc::clone(s)));
                picked
            };
            sums.add(Arm::Quantization, batch, &pick(&base), &pick(&other), |_, _, _| ())?;
        }
        let all = sums.finish().into_iter().filter(|m| m.metric == "relative_l2");
        Ok(all.filter_map(|m| Some(InnerError { tap: m.tap, isolated: m.mean? })).collect())
    }

    /// A defect taken back, and what comes of it; none where that cannot be done.
    fn undone(&self, before: f64, cause: &ProvenCause) -> Result<Option<Undone>, Error> {
        let (facts, base) = (&self.sides.facts, &self.sides.candidate_weights);
        let run = |config: &ModelConfig, head: &SentenceHead, changes: &[Change]| {
            // Tensors of one configuration need not fit another.
            let Ok(mut encoder) = self.encoder(config, base, changes) else { return Ok(None) };
            self.mean(&mut encoder, head, Tap::Sentence, "cosine_distance")
        };
        let (with, after) = match kind(cause) {
            Some(Kind::Weights) => {
                let pair = |name: &String| {
                    let (original, own) = (self.sides.original.tensors().get(name)?, base.tensors().get(name)?);
                    let honest = twin(original, own).map_or_else(|| Arc::clone(original), Arc::new);
                    (original.shape == own.shape).then(|| (name.clone(), honest))
                };
                let changes: Vec<Change> = cause.tensors.iter().filter_map(pair).collect();
                if changes.is_empty() || changes.len() < cause.tensors.len() {
                    return Ok(None);
                }
                let with = "the original's values there, in the candidate's format,";
                (with, run(&facts.candidate_config, &self.sides.candidate_head, &changes)?)
            }
            Some(Kind::Configuration) => {
                ("the reference's config.json", run(&facts.control_config, &self.sides.candidate_head, &[])?)
            }
            Some(Kind::Modules) => {
                ("the reference's modules", run(&facts.candidate_config, &self.sides.reference_head, &[])?)
            }
            Some(Kind::Reference) | None => return Ok(None),
        };
        Ok(after.map(|after| Undone { with: with.to_owned(), before, after }))
    }

    /// Each tensor of a stage, alone in an otherwise float32 model: those that are `wrong` first, then the worst.
    fn tensors(&self, stage: Tap, wrong: &[&String]) -> Result<Vec<TensorEffect>, Error> {
        let config = &self.sides.facts.control_config;
        let mut effects = Vec::new();
        for (tensor, weight) in self.of_stage(&self.sides.candidate_weights, stage) {
            let original = self.sides.original.tensors().get(&tensor);
            if original.is_some_and(|o| o.shape == weight.shape && o.rows() == weight.rows()) {
                continue;
            }
            let wrong = wrong.iter().any(|name| **name == tensor);
            let bits = weight.storage.bits;
            let mut encoder = self.encoder(config, &self.sides.original, &[(tensor.clone(), weight)])?;
            if let Some(alone) = self.mean(&mut encoder, &self.sides.reference_head, stage, "relative_l2")? {
                effects.push(TensorEffect { tensor, bits, alone, wrong });
            }
        }
        effects.sort_by(|a, b| {
            b.wrong.cmp(&a.wrong).then(b.alone.total_cmp(&a.alone)).then_with(|| a.tensor.cmp(&b.tensor))
        });
        Ok(effects)
    }

    /// Tries more bits for every quantized matrix of these stages; what helps most, and the best together.
    fn advice(&self, before: f64, stages: &[Tap]) -> Result<Vec<Advice>, Error> {
        let mut tried = Vec::new();
        for stage in stages {
            for (tensor, weight) in self.of_stage(&self.sides.candidate_weights, *stage) {
                let Some((better, bits, extra)) = self.with_more_bits(&tensor, &weight) else { continue };
                let change = (tensor.clone(), Arc::new(better));
                if let Some(after) = self.sentence_error(std::slice::from_ref(&change))? {
                    tried.push((Advice { tensors: vec![tensor], bits, before, after, extra_bytes: extra }, change));
                }
            }
        }
        tried.retain(|(a, _)| a.after < (1.0 - WORTHWHILE) * before);
        tried.sort_by(|a, b| a.0.after.total_cmp(&b.0.after).then_with(|| a.0.tensors.cmp(&b.0.tensors)));
        tried.truncate(ADVISED);
        let changes: Vec<Change> = tried.iter().map(|(_, c)| c.clone()).collect();
        let mut advice: Vec<Advice> = tried.into_iter().map(|(a, _)| a).collect();
        if advice.len() > 1
            && let Some(after) = self.sentence_error(&changes)?
        {
            advice.push(Advice {
                tensors: advice.iter().flat_map(|a| a.tensors.clone()).collect(),
                bits: advice[0].bits,
                before,
                after,
                extra_bytes: advice.iter().map(|a| a.extra_bytes).sum(),
            });
        }
        Ok(advice)
    }

    /// The matrix at 8 bits, or unquantized where it has them; its bits then, and the bytes that costs.
    fn with_more_bits(&self, tensor: &str, weight: &Weight) -> Option<(Weight, u32, u64)> {
        let original = self.sides.original.tensors().get(tensor)?;
        let (bits, group) = (weight.storage.bits?, weight.storage.group_size?);
        if bits < MOST_BITS {
            let better = requantized(original, MOST_BITS, group, &weight.storage.dtype)?;
            let extra = better.storage.bytes.saturating_sub(weight.storage.bytes);
            return Some((better, MOST_BITS, extra));
        }
        let width = if matches!(weight.storage.dtype.as_str(), "F16" | "BF16") { 2 } else { 4 };
        let extra = (width * original.len() as u64).saturating_sub(weight.storage.bytes);
        Some(((**original).clone(), 32, extra))
    }
}

/// The states at one tap.
fn only(states: &HiddenStates, tap: Tap) -> HiddenStates {
    let mut one = HiddenStates::new();
    if let Some(there) = states.get(tap) {
        one.insert(tap, Arc::clone(there));
    }
    one
}
