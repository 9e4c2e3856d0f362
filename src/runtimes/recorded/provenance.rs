//! What a recording says of itself, and what in it cannot be judged: facts that need no comparison.

use std::collections::BTreeSet;

use super::{COMPUTE_KEY, PRODUCER_KEY, Recording, VERSION_KEY, WEIGHTS_KEY};
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::Tap;

/// How a recording is made that says everything.
const AGAIN: &str = "record again with scripts/record_mlx.py, or have the device's own program write these keys";

/// What parallax's own recordings have for a producer.
pub const OWN_PRODUCER: &str = "parallax";

/// What a recording says of itself. Every fact must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) producer: String,
    pub(super) version: String,
    pub(super) device: String,
    /// The type it was computed in; none where it does not say.
    pub(super) compute: Option<super::Compute>,
    pub(super) weights: Vec<String>,
}

impl Stated {
    /// The keys that say nothing.
    fn missing(&self) -> Vec<&'static str> {
        let blank = |text: &str| text.trim().is_empty();
        [
            (PRODUCER_KEY, blank(&self.producer)),
            (VERSION_KEY, blank(&self.version)),
            (COMPUTE_KEY, self.compute.is_none()),
            (WEIGHTS_KEY, self.weights.is_empty() || !self.weights.iter().all(|w| is_sha256(w))),
        ]
        .into_iter()
        .filter_map(|(key, missing)| missing.then_some(key))
        .collect()
    }

    /// `mlx 0.32.4 on Device(cpu, 0)`.
    pub(super) fn in_words(&self) -> String {
        let named = |text: &str, none: &str| if text.trim().is_empty() { none.to_owned() } else { text.to_owned() };
        let on = if self.device.is_empty() { String::new() } else { format!(" on {}", self.device) };
        format!("{} {}{on}", named(&self.producer, "unnamed"), named(&self.version, "of no version"))
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Recording {
    /// Leaves out the taps that the candidate does not report; they are told by [`Recording::findings`].
    pub fn judge_only(&mut self, taps: &[Tap]) {
        let judged = |tap: &Tap| tap.is_sentence_level() || taps.contains(tap);
        let others: Vec<Tap> = self.taps.keys().copied().filter(|tap| !judged(tap)).collect();
        for tap in others {
            self.taps.remove(&tap);
            self.unjudged.push(format!("{}{tap}", super::TAP_PREFIX));
        }
    }

    /// What speaks against it before anything is compared; `files` are the sha256 of the candidate's weight files.
    pub fn findings(&self, files: &[String]) -> Vec<Finding> {
        let name = &self.name;
        let mut out = Vec::new();
        let mut say = |severity, code: &Code, message: String| out.push(Finding::new(severity, code, message));
        let missing = self.stated.missing();
        if !missing.is_empty() {
            let keys: Vec<String> = missing.iter().map(|key| format!("`{key}`")).collect();
            let message = format!(
                "{name} does not say who computed it, in which type and from which weights: its metadata lacks {}; {AGAIN}",
                keys.join(", ")
            );
            say(Severity::Refusal, &codes::RECORDING_UNSTATED, message);
        }
        let producer = self.stated.producer.to_lowercase();
        if producer.contains(OWN_PRODUCER) {
            let message = format!(
                "{name} was made by {:?}, this program: its states are the candidate's own and show nothing of a device; record with the runtime that is to be shown",
                self.stated.producer
            );
            say(Severity::Refusal, &codes::RECORDING_NOT_ANOTHER_RUNTIME, message);
        }
        let sorted = |files: &[String]| files.iter().map(|f| f.to_lowercase()).collect::<BTreeSet<_>>();
        if !missing.contains(&WEIGHTS_KEY) && sorted(&self.stated.weights) != sorted(files) {
            let message = format!(
                "{name} was made from other weights than the candidate's (sha256 {:.12}… there, {:.12}… here): record the candidate",
                self.stated.weights.first().map_or("none", String::as_str),
                files.first().map_or("none", String::as_str)
            );
            say(Severity::Refusal, &codes::RECORDING_WEIGHTS, message);
        }
        if !self.unjudged.is_empty() {
            let names: Vec<String> = self.unjudged.iter().map(|n| format!("{n:?}")).collect();
            let message = format!(
                "{name} holds {}, which nothing here judges; leave out what the candidate has no tap for",
                names.join(", ")
            );
            say(Severity::Refusal, &codes::RECORDING_UNJUDGED, message);
        }
        for (tap, (count, first)) in &self.broken {
            let message = format!(
                "{name}: {count} values of `{}{tap}` are NaN or infinite, first in row {first}",
                super::TAP_PREFIX
            );
            say(Severity::Failure, &codes::RECORDING_NON_FINITE, message);
        }
        out
    }
}
