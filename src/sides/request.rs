//! What a user asks of a check.

use std::path::PathBuf;

use crate::Error;
use crate::checkpoint::PoolingMode;
use crate::corpus::CorpusOptions;
use crate::hidden_states::{RowId, RowSet};
use crate::labels::LabelFiles;
use crate::policy::{DEFAULT, Policy};
use crate::quantization::Dequantization;
use crate::runtimes::known::CANDIDATE;
use crate::runtimes::native::ops::Compute;

/// Padded tokens per batch unless told otherwise: ONNX Runtime is at its best between 192 and 512
/// (measured on MiniLM, 2 cores, interleaved runs).
pub const BATCH_TOKENS: usize = 512;

/// The control runs on every row below this number…
pub const CONTROL_FIRST: u64 = 256;

/// …and on about one row in this many beyond, chosen by the row's number alone, so that the sample
/// does not depend on shards, threads or the length of the corpus.
pub const CONTROL_EVERY: u64 = 32;

/// Rows the control runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlRows {
    /// [`CONTROL_FIRST`] rows, one in [`CONTROL_EVERY`] beyond, and every probe.
    #[default]
    Sample,
    /// Every row.
    All,
}

impl ControlRows {
    /// Does the control run on this row?
    pub fn contains(self, row: RowId) -> bool {
        match self {
            Self::All => true,
            Self::Sample => {
                row.set == RowSet::Probes || row.row < CONTROL_FIRST || splitmix(row.row).is_multiple_of(CONTROL_EVERY)
            }
        }
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014): spreads row numbers evenly.
fn splitmix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One check: [`CheckRequest::new`], then what differs from the defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckRequest {
    /// The reference: an `.onnx` file or a model folder.
    pub reference: PathBuf,
    /// The candidate's folder.
    pub candidate: PathBuf,
    /// The float32 checkpoint, when it is not beside the reference.
    pub original: Option<PathBuf>,
    /// Corpus; without files the built-in probes are the corpus.
    pub corpus: CorpusOptions,
    /// Labels that both sides are scored on.
    pub labels: LabelFiles,
    /// Policy name or file; [`DEFAULT`](crate::policy::DEFAULT) when absent.
    pub policy: Option<String>,
    /// Rows the control runs on.
    pub control: ControlRows,
    /// Pooling on both sides, overriding the models' files.
    pub pooling: Option<PoolingMode>,
    /// Text before every sentence.
    pub prompt: Option<String>,
    /// Name of the prompt of the models' files that is put before every sentence; their default one where absent.
    pub prompt_name: Option<String>,
    /// Dimensions of the sentence vectors that are kept.
    pub dim: Option<usize>,
    /// Tokens per row at most.
    pub max_length: Option<usize>,
    /// Padded tokens per batch.
    pub batch_tokens: usize,
    /// Threads.
    pub threads: usize,
    /// The ONNX Runtime library.
    pub ort_lib: Option<PathBuf>,
    /// Go on with a reference that is not exact float32.
    pub allow_inexact_reference: bool,
    /// Go on with a graph that has nodes whose place in an encoder is not known.
    pub allow_unaudited: bool,
    /// States recorded by another runtime on the candidate's weights.
    pub recording: Option<PathBuf>,
    /// Taps of the reference as a person states them.
    pub taps: Option<PathBuf>,
    /// Plant faults to see that the gates see them.
    pub canaries: bool,
    /// How a quantized weight is dequantized.
    pub weights: Dequantization,
    /// The program the candidate is used with, `NAME` or `NAME@VERSION` of the table of runtimes.
    pub runtime: String,
    /// Compute the candidate as that runtime does where it departs from the configuration.
    pub emulate_mlx: bool,
    /// What a device would hold its activations in; anything but float32 is one more arm.
    pub compute: Compute,
    /// Sweep the reference over every length and many batch sizes, not only a seeded few.
    pub thorough: bool,
    /// Folder in which clean sweeps are remembered; none remembers nothing.
    pub cache: Option<PathBuf>,
    /// Find the tensors behind the error, and what more bits for them would bring.
    pub explain: bool,
}

impl CheckRequest {
    /// A request with defaults for everything but the two models.
    pub fn new(reference: impl Into<PathBuf>, candidate: impl Into<PathBuf>) -> Self {
        Self {
            reference: reference.into(),
            candidate: candidate.into(),
            original: None,
            corpus: CorpusOptions::default(),
            labels: LabelFiles::default(),
            policy: None,
            control: ControlRows::Sample,
            pooling: None,
            prompt: None,
            prompt_name: None,
            dim: None,
            max_length: None,
            batch_tokens: BATCH_TOKENS,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            ort_lib: None,
            allow_inexact_reference: false,
            allow_unaudited: false,
            recording: None,
            taps: None,
            canaries: true,
            weights: Dequantization::default(),
            runtime: CANDIDATE.to_owned(),
            emulate_mlx: false,
            compute: Compute::F32,
            thorough: false,
            cache: None,
            explain: false,
        }
    }

    /// Sentences from these files (`.txt`, `.jsonl`; `-` is stdin), added to those given already.
    #[must_use]
    pub fn corpus(mut self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.corpus.files.extend(files.into_iter().map(Into::into));
        self
    }

    /// At most so many rows of the corpus.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.corpus.limit = Some(rows);
        self
    }

    /// Limits: a built-in policy's name or a TOML file.
    #[must_use]
    pub fn policy(mut self, name_or_file: impl Into<String>) -> Self {
        self.policy = Some(name_or_file.into());
        self
    }

    /// The float32 checkpoint that both models were made from.
    #[must_use]
    pub fn original(mut self, path: impl Into<PathBuf>) -> Self {
        self.original = Some(path.into());
        self
    }

    /// Any other field.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The policy that judges this run, as it is written.
    pub(crate) fn limits(&self) -> Result<Policy, Error> {
        Ok(Policy::load(self.policy.as_deref().unwrap_or(DEFAULT))?)
    }
}

impl CheckRequest {
    /// Everything asked for that changes numbers, for the report.
    pub(crate) fn options(&self) -> std::collections::BTreeMap<String, String> {
        let mut options = std::collections::BTreeMap::new();
        let mut set = |key: &str, value: Option<String>| value.map(|v| options.insert(key.to_owned(), v));
        set("control", Some(if self.control == ControlRows::All { "all" } else { "sample" }.to_owned()));
        set("batch_tokens", Some(self.batch_tokens.to_string()));
        set("dim", self.dim.map(|n| n.to_string()));
        set("prompt_name", self.prompt_name.clone());
        set("pooling", self.pooling.map(|p| p.to_string()));
        set("max_length", self.max_length.map(|n| n.to_string()));
        set("limit", self.corpus.limit.map(|n| n.to_string()));
        set("recording", self.recording.as_ref().map(|p| p.display().to_string()));
        set("taps", self.taps.as_ref().map(|p| p.display().to_string()));
        set("pairs", self.labels.pairs.as_ref().map(|p| p.display().to_string()));
        set("queries", self.labels.retrieval.as_ref().map(|r| r.queries.display().to_string()));
        set("weights", Some(self.weights.name().to_owned()));
        set("compute", (self.compute != Compute::F32).then(|| self.compute.name().to_owned()));
        set("runtime", (self.runtime != CANDIDATE).then(|| self.runtime.clone()));
        set("emulate", self.emulate_mlx.then(|| "mlx".to_owned()));
        set("thorough", self.thorough.then(|| "true".to_owned()));
        set("canaries", (!self.canaries).then(|| "none".to_owned()));
        set("allow_inexact_reference", self.allow_inexact_reference.then(|| "true".to_owned()));
        set("allow_unaudited", self.allow_unaudited.then(|| "true".to_owned()));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_sample_is_dense_at_first_and_about_one_in_32_after() {
        let row = |row| RowId { set: RowSet::Corpus, row };
        assert!((0..CONTROL_FIRST).all(|r| ControlRows::Sample.contains(row(r))));
        let beyond = (CONTROL_FIRST..100_000).filter(|&r| ControlRows::Sample.contains(row(r))).count();
        let expected = (100_000 - CONTROL_FIRST) as f64 / CONTROL_EVERY as f64;
        assert!((beyond as f64 / expected - 1.0).abs() < 0.05, "{beyond}");
        assert!(ControlRows::Sample.contains(RowId { set: RowSet::Probes, row: 1_000_003 }));
        assert!((0..1000).all(|r| ControlRows::All.contains(row(r * 977))));
    }
}
