//! The device arm: states that another runtime recorded, against the candidate on the same ids; and beside them what
//! computing in that runtime's type is predicted to cost, which is what a device is allowed a multiple of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alike::Alike;
use crate::Error;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::{Arm, HiddenStates, RowId, RowSet, Tap, TapStates};
use crate::metrics::{Measurement, Measurements, Mode};
use crate::policy::{Policy, PredictedTap};
use crate::report::RecordingSection;
use crate::rows::measure::{Accumulators, Scales, add_sentences};
use crate::runtimes::native::SentenceHead;
use crate::runtimes::recorded::{Compute, Recording};
use crate::tokens::{DistinctRows, TokenBatch, TokenRow};

/// Rows the candidate is run on in the recording's type: enough for a 99th percentile over some thousand tokens, few enough
/// to cost a second.
const PREDICTED_ROWS: usize = 128;

/// Times that a recording may be nearer to the float32 states than predicted: measured 0.3 to 0.6 times with MLX in half
/// precision on a CPU, which is farther; a device that fuses operations rounds less often, but not ten times less.
const TOO_NEAR: f64 = 10.0;

/// What a recording showed so far.
pub(crate) struct Device {
    recording: Recording,
    pub(crate) arms: Accumulators,
    predicted: Accumulators,
    alike: BTreeMap<Tap, Alike>,
    /// Numbers of the rows that are run in the recording's type.
    sample: Arc<BTreeSet<u64>>,
    rows: u64,
    missing: u64,
    /// What of it is evidence.
    distinct: DistinctRows,
    /// The first row whose ids are others, in words.
    other_ids: Option<String>,
}

impl Device {
    pub(crate) fn new(recording: Recording, scales: Scales) -> Self {
        let sample = Arc::new(recording.numbers().take(PREDICTED_ROWS).collect());
        let (arms, predicted) = (Accumulators::new(scales.clone()), Accumulators::new(scales));
        let (alike, distinct) = (BTreeMap::new(), DistinctRows::default());
        Self { recording, arms, predicted, alike, sample, rows: 0, missing: 0, distinct, other_ids: None }
    }

    /// Numbers of the rows that are run in the recording's type, for threads.
    pub(crate) fn sample(&self) -> Arc<BTreeSet<u64>> {
        Arc::clone(&self.sample)
    }

    /// Counts what a row of the corpus adds to the recording's evidence.
    pub(crate) fn offer(&mut self, id: RowId, row: &TokenRow, words: &str) {
        if self.recording.ids(id.row).is_some_and(|ids| id.set == RowSet::Corpus && ids == row.ids) {
            self.distinct.see(row, words);
        }
    }

    /// Compares the rows of a batch that the recording has. `predicted` are the candidate's states in its type.
    pub(crate) fn batch(
        &mut self,
        batch: &TokenBatch,
        candidate: &HiddenStates,
        predicted: Option<&HiddenStates>,
        head: &SentenceHead,
    ) -> Result<(), Error> {
        let mut kept = Vec::new();
        for r in 0..batch.rows() {
            let id = batch.row_id(r);
            match self.recording.ids(id.row).filter(|_| id.set == RowSet::Corpus) {
                None => self.missing += 1,
                Some(ids) if ids == batch.ids(r) => kept.push(r),
                Some(ids) => {
                    let ours = batch.ids(r);
                    let at = ids.iter().zip(ours).position(|(a, b)| a != b).unwrap_or(ids.len().min(ours.len()));
                    let said = format!(
                        "{id} was recorded on other ids: from token {at} on ({} tokens there, {} here)",
                        ids.len(),
                        ours.len()
                    );
                    self.other_ids.get_or_insert(said);
                }
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let numbers: Vec<u64> = kept.iter().map(|&r| batch.row_id(r).row).collect();
        let recorded = self.recording.states(&numbers)?;
        let base = rows_of(candidate, &kept)?;
        let predicted = predicted.map(|states| rows_of(states, &kept)).transpose()?;
        for (tap, theirs) in recorded.iter() {
            let compute = self.recording.compute();
            let alike = self.alike.entry(tap).or_insert_with(|| Alike::new(compute));
            alike.add(base.get(tap), predicted.as_ref().and_then(|p| p.get(tap)), theirs);
        }
        // The runtime's own vectors, where it recorded them, are what its users get; the others follow from its last state.
        let mut other = recorded.clone();
        add_sentences(head, &mut other)?;
        for (tap, own) in recorded.iter().filter(|(tap, _)| tap.is_sentence_level()) {
            other.insert(tap, Arc::clone(own));
        }
        let mut part = TokenBatch::new();
        kept.iter().for_each(|&r| part.push(batch.row_id(r), batch.ids(r), batch.type_ids(r)));
        self.rows += kept.len() as u64;
        if let Some(predicted) = &predicted {
            self.predicted.add(Arm::Compute, &part, &base, predicted, |_, _, _| ())?;
        }
        self.arms.add(Arm::Device, &part, &base, &other, |_, _, _| ())
    }

    /// What a person should know of the recording.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let name = self.recording.name();
        let mut out = Vec::new();
        let mut say = |severity, code: &Code, message: String| out.push(Finding::new(severity, code, message));
        let by = format!("{name} ({})", self.recording.producer());
        say(Severity::Note, &codes::RECORDING_COMPARED, format!("{} rows recorded by {by} were compared", self.rows));
        if let Some(other) = &self.other_ids {
            let message = format!("{name}: {other}; states of another text cannot be compared");
            say(Severity::Refusal, &codes::RECORDING_IDS, message);
        }
        if self.missing > 0 {
            let message =
                format!("{} rows of the corpus are not in {name} and were not compared with it", self.missing);
            say(Severity::Note, &codes::RECORDING_MISSING_ROWS, message);
        }
        let recorded = self.recording.rows() as u64;
        if recorded > self.rows && self.other_ids.is_none() {
            let message = format!("{name}: {} of its {recorded} rows are not in this corpus", recorded - self.rows);
            say(Severity::Warning, &codes::RECORDING_OTHER_ROWS, message);
        }
        if self.recording.rounded() && self.recording.compute() == Compute::Float32 {
            let message = format!(
                "{name}: states were rounded to half precision before they were saved; differences below that are not seen"
            );
            say(Severity::Warning, &codes::RECORDING_ROUNDED, message);
        }
        out.extend(self.alike.iter().find_map(|(tap, alike)| alike.is_ours(name, *tap)));
        out.extend(self.alike.iter().find_map(|(tap, alike)| alike.is_of_another_type(name, *tap)));
        out.extend(self.too_near());
        out
    }

    /// A device that is much nearer to the float32 states than its type allows did not compute in it.
    fn too_near(&self) -> Option<Finding> {
        if self.recording.compute() == Compute::Float32 {
            return None;
        }
        let (device, predicted) = (self.arms.finish().into(), self.predicted.finish().into());
        let p99 =
            |all: &Measurements, tap: Tap| summary(all, Arm::Device, tap).or(summary(all, Arm::Compute, tap))?.p99;
        let layers = self.alike.keys().copied().filter(|tap| matches!(tap, Tap::Layer(_) | Tap::Final));
        layers.into_iter().find_map(|tap| {
            let (seen, predicted) = (p99(&device, tap)?, p99(&predicted, tap)?);
            (seen * TOO_NEAR < predicted).then(|| {
                let (name, compute) = (self.recording.name(), self.recording.compute().name());
                let message = format!(
                    "{name} says it was computed in {compute}, but at {tap} it is {:.0} times nearer to the float32 states than computing in {compute} is predicted to leave it ({} in place of {}): state the type it was computed in",
                    predicted / seen,
                    crate::figures::number(seen),
                    crate::figures::number(predicted)
                );
                Finding::new(Severity::Refusal, &codes::RECORDING_COMPUTE, message)
            })
        })
    }

    /// What the report keeps of it; `measured` holds the engine arm, from which float32 is predicted.
    pub(crate) fn section(&self, measured: &Measurements) -> RecordingSection {
        let compute = self.recording.compute();
        let own = self.predicted.finish().into();
        let (arm, from) = match compute {
            Compute::Float32 => (Arm::Engine, measured),
            _ => (Arm::Compute, &own),
        };
        RecordingSection {
            name: self.recording.name().to_owned(),
            compute: compute.name().to_owned(),
            rows: self.rows,
            distinct_rows: self.distinct.rows(),
            distinct_tokens: self.distinct.tokens(),
            vocabulary: self.distinct.vocabulary(),
            predicted: predicted_from(&self.arms.finish().into(), from, arm),
        }
    }
}

/// The headline error of a tap in an arm.
fn summary(all: &Measurements, arm: Arm, tap: Tap) -> Option<&Measurement> {
    all.of(tap, arm, Mode::Accumulated, "relative_l2")
}

/// What `from` predicts at every tap the device arm has.
fn predicted_from(device: &Measurements, from: &Measurements, arm: Arm) -> Vec<PredictedTap> {
    let taps = device.accumulated_taps(Arm::Device);
    taps.map(|tap| {
        let found = summary(from, arm, tap);
        PredictedTap { tap, p99: found.and_then(|m| m.p99), max: found.and_then(|m| m.max) }
    })
    .collect()
}

/// A recording of less than the policy asks for.
pub(crate) fn too_little(recording: &RecordingSection, policy: &Policy) -> Vec<Finding> {
    let short = recording.amount().short_of(&policy.evidence);
    short
        .into_iter()
        .map(|short| {
            let (name, asking) = (&recording.name, &policy.name);
            let message = format!(
                "{name}: {} {} were compared, policy {asking} asks for at least {}",
                short.seen, short.what, short.least
            );
            Finding::of(Severity::Refusal, &codes::RECORDING_EVIDENCE, short.code, message)
        })
        .collect()
}

/// Some rows of every tap.
fn rows_of(states: &HiddenStates, rows: &[usize]) -> Result<HiddenStates, Error> {
    let mut out = HiddenStates::new();
    for (tap, all) in states.iter() {
        let (mut offsets, mut values) = (vec![0], Vec::new());
        for &r in rows {
            offsets.push(offsets[offsets.len() - 1] + all.tokens(r));
            values.extend_from_slice(all.row(r));
        }
        out.insert(tap, Arc::new(TapStates::ragged(all.hidden(), &offsets, values)?));
    }
    Ok(out)
}
