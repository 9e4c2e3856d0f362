//! The built-in probes, before the corpus: is the tapped reference the untouched one, are the taps the
//! same points of the computation on both sides, and how wide does each dimension spread there?

use std::collections::BTreeMap;

use super::CheckRequest;
use super::measure::{Accumulators, Scales, add_sentences, batches, encode_batch};
use super::sides::Sides;
use crate::Error;
use crate::align::{CrossMatch, CrossMatchReport};
use crate::corpus::probes::probes;
use crate::finding::{Finding, Severity};
use crate::hidden_states::{Arm, RowId, RowSet, Tap};
use crate::metrics::ScaleAccumulator;
use crate::runtimes::onnx::ObserverEffect;
use crate::tokens::TokenBatch;

/// Most of the final states' difference that exposing taps may cause, as a share of the untouched
/// output's norm. Measured: 0 (bit-identical) on MiniLM and the shipped model at every optimization
/// level; 3e-6 when 160 tensors are exposed and fusions break. Ten times that is another computation.
pub(super) const OBSERVER_LIMIT: f64 = 3e-5;

/// What the probes showed.
pub(super) struct Probed {
    /// Per tap, each dimension's standard deviation on the reference side.
    pub(super) scales: Scales,
    /// Engine arm over the probes; the stream adds the sample's rows to it.
    pub(super) engine: Accumulators,
    /// Every reference tap against every candidate tap.
    pub(super) cross_match: CrossMatchReport,
    /// The untouched reference against the tapped one.
    pub(super) observer: Option<ObserverEffect>,
    /// Probes on which the two tokenizers part.
    pub(super) disagreements: Vec<String>,
    /// Probes run, and their tokens.
    pub(super) rows: u64,
    pub(super) tokens: u64,
}

/// Runs all three encoders over the probes.
pub(super) fn run(sides: &mut Sides, request: &CheckRequest) -> Result<Probed, Error> {
    let mut rows = Vec::new();
    let mut disagreements = Vec::new();
    for (i, text) in probes().iter().enumerate() {
        match sides.tokenizers.encode(&request.prompted(text))? {
            Ok(row) => rows.push((RowId { set: RowSet::Probes, row: i as u64 }, row)),
            Err(where_) => disagreements.push(format!("probe {i}: {where_}")),
        }
    }
    let batches = batches(&rows, request.batch_tokens);
    let observer = match batches.iter().max_by_key(|b| b.rows()) {
        Some(batch) => sides.observer_effect(batch)?,
        None => None,
    };

    let scales = spread(sides, &batches)?;
    let mut engine = Accumulators::new(scales.clone());
    let mut cross = CrossMatch::new(sides.reference.taps(), sides.candidate.taps(), &sides.facts.same_point);
    let mut count = (0u64, 0u64);
    for batch in &batches {
        let seen = encode_batch(sides, batch, true)?;
        if let Some(control) = &seen.control {
            engine.add(Arm::Engine, batch, &seen.reference, control, |_, _, _| ())?;
        }
        cross.add(&seen.reference, &seen.candidate)?;
        count = (count.0 + batch.rows() as u64, count.1 + batch.tokens() as u64);
    }
    Ok(Probed { scales, engine, cross_match: cross.finish(), observer, disagreements, rows: count.0, tokens: count.1 })
}

/// How far each dimension of the reference spreads at each tap: what standardised errors are measured in.
/// A pass of its own, so that the states of one batch at a time are held.
fn spread(sides: &mut Sides, batches: &[TokenBatch]) -> Result<Scales, Error> {
    let mut spread: BTreeMap<Tap, ScaleAccumulator> = BTreeMap::new();
    for batch in batches {
        let mut states = sides.reference.encode(batch)?;
        add_sentences(&sides.reference_head, &mut states)?;
        for (tap, tap_states) in states.iter() {
            let scale = spread.entry(tap).or_insert_with(|| ScaleAccumulator::new(tap_states.hidden()));
            for r in 0..tap_states.rows() {
                scale.add_row(tap_states.row(r))?;
            }
        }
    }
    Ok(spread.into_iter().filter_map(|(tap, s)| Some((tap, s.finish()?))).collect())
}

impl Probed {
    /// What a person should know of it.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut out = self.cross_match.findings();
        if let Some(first) = self.disagreements.first() {
            let message = format!(
                "the two tokenizers give different ids on {} of the built-in probes; {first}",
                self.disagreements.len()
            );
            out.push(Finding::new(Severity::Refusal, "preflight.token_ids", message));
        }
        // Written so that NaN is a refusal.
        let unchanged = |e: &ObserverEffect| e.relative_l2 <= OBSERVER_LIMIT;
        if let Some(effect) = self.observer.as_ref().filter(|e| !unchanged(e)) {
            let message = format!(
                "exposing the taps changes the reference's own output by {:.1e} (limit {OBSERVER_LIMIT:.0e}); the tapped graph is not the graph users run",
                effect.relative_l2
            );
            out.push(Finding::new(Severity::Refusal, "alignment.observer_effect", message));
        }
        out
    }
}
