//! The device arm: states that another runtime recorded, against the candidate on the same ids.

use std::sync::Arc;

use super::measure::{Accumulators, Scales, add_sentences};
use crate::Error;
use crate::finding::{Finding, Severity};
use crate::hidden_states::{Arm, HiddenStates, RowSet, Tap, TapStates};
use crate::policy::Policy;
use crate::report::RecordingSection;
use crate::runtimes::native::SentenceHead;
use crate::runtimes::recorded::Recording;
use crate::tokens::TokenBatch;

/// What a recording showed so far.
pub(super) struct Device {
    recording: Recording,
    pub(super) arms: Accumulators,
    rows: u64,
    missing: u64,
    /// The first row whose ids are others, in words.
    other_ids: Option<String>,
}

impl Device {
    pub(super) fn new(recording: Recording, scales: Scales) -> Self {
        Self { recording, arms: Accumulators::new(scales), rows: 0, missing: 0, other_ids: None }
    }

    /// Compares the rows of a batch that the recording has.
    pub(super) fn batch(
        &mut self,
        batch: &TokenBatch,
        candidate: &HiddenStates,
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
        let mut other = self.recording.states(&numbers)?;
        // The runtime's own sentence vectors, where it recorded them, are what its users get.
        let own = other.get(Tap::Sentence).cloned();
        add_sentences(head, &mut other)?;
        if let Some(own) = own {
            other.insert(Tap::Sentence, own);
        }
        let mut part = TokenBatch::new();
        kept.iter().for_each(|&r| part.push(batch.row_id(r), batch.ids(r), batch.type_ids(r)));
        let base = rows_of(candidate, &kept)?;
        self.rows += kept.len() as u64;
        self.arms.add(Arm::Device, &part, &base, &other, |_, _, _| ())
    }

    /// What a person should know of the recording.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let name = self.recording.name();
        let mut out = Vec::new();
        let mut say = |severity, code: &str, message: String| out.push(Finding::new(severity, code, message));
        let by = format!("{name} ({})", self.recording.producer());
        say(Severity::Note, "recording.compared", format!("{} rows recorded by {by} were compared", self.rows));
        if let Some(other) = &self.other_ids {
            let message = format!("{name}: {other}; states of another text cannot be compared");
            say(Severity::Refusal, "recording.ids", message);
        }
        if self.missing > 0 {
            let message =
                format!("{} rows of the corpus are not in {name} and were not compared with it", self.missing);
            say(Severity::Note, "recording.missing_rows", message);
        }
        let recorded = self.recording.rows() as u64;
        if recorded > self.rows && self.other_ids.is_none() {
            let message = format!("{name}: {} of its {recorded} rows are not in this corpus", recorded - self.rows);
            say(Severity::Warning, "recording.other_rows", message);
        }
        if self.recording.rounded() {
            let message = format!(
                "{name}: states were rounded to half precision before they were saved; differences below that are not seen"
            );
            say(Severity::Warning, "recording.rounded", message);
        }
        out
    }

    /// What the report keeps of it.
    pub(super) fn section(&self) -> RecordingSection {
        let compute = self.recording.compute().name().to_owned();
        RecordingSection { name: self.recording.name().to_owned(), compute, rows: self.rows }
    }
}

/// A recording of fewer rows than the policy asks for.
pub(super) fn too_few_rows(recording: &RecordingSection, policy: &Policy) -> Option<Finding> {
    let (least, rows) = (policy.evidence.min_rows.max(1), recording.rows);
    (rows < least).then(|| {
        let (name, asking) = (&recording.name, &policy.name);
        let message = format!("{name}: {rows} rows were compared, policy {asking} asks for at least {least}");
        Finding::new(Severity::Refusal, "recording.rows", message)
    })
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
