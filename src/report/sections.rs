//! The sections of a report. Plain data: whoever runs a check fills them in.

use std::collections::BTreeMap;

use super::tokenizers::TokenizersSection;
use serde::{Deserialize, Serialize};

use super::{
    CanariesSection, CoverageSection, FloorSection, GraphAuditSection, OutputSection, RecordingSection, SweepSection,
    TwinSection, UnlikeSection,
};
use crate::align::{CrossMatchReport, Flip, NeighbourStats, PreflightCheck};
use crate::corpus::SourceRecord;
use crate::hidden_states::{Arm, RowId, Tap};
use crate::json_float;
use crate::runtimes::onnx::ObserverEffect;
use crate::verdict::Amount;

/// The program that wrote the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tool {
    /// `parallax`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Everything that decides the result: the same provenance gives the same report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Provenance {
    /// Every file that was read.
    pub inputs: Vec<InputRecord>,
    /// The runtime of the reference.
    pub runtime: RuntimeRecord,
    /// How the candidate's weights are stored: `affine, 8 bits, group 64, float16`, and the widths found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub candidate_format: String,
    /// Instruction sets the machine offered.
    pub cpu_features: Vec<String>,
    /// Threads used.
    pub threads: usize,
    /// Seed of the sampling.
    pub seed: u64,
    /// The limits.
    pub policy: PolicyRecord,
    /// Options as they were in force.
    pub options: BTreeMap<String, String>,
    /// What differs between two identical runs, all of it.
    pub run: RunRecord,
}

/// One file that was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InputRecord {
    /// What it is to the run: `reference`, `candidate`, `tokenizer`, `corpus`, …
    pub role: String,
    /// Its name.
    pub file: String,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// The runtime that ran the reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RuntimeRecord {
    /// As it reports itself.
    pub onnxruntime_version: String,
    /// Path of the library that really loaded.
    pub library: String,
    /// Its SHA-256.
    pub sha256: String,
    /// `cpu`.
    pub execution_provider: String,
    /// Graph optimization level.
    pub optimization: String,
}

/// The policy that was applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PolicyRecord {
    /// Embedded name or file.
    pub name: String,
    /// SHA-256 of its TOML text.
    pub sha256: String,
    /// That text, so that a reader can see that every limit it asks for was held.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// When and how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunRecord {
    /// Start, RFC 3339.
    pub started: String,
    /// Wall-clock seconds.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub seconds: f64,
    /// Sweeps that an earlier run had made of the same files: `ids`, `shapes`. A second run has them, a first one has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps_cached: Vec<String>,
    /// SHA-256 of this report without this line, in the file alone: a report changed since it was written is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// What was said to both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CorpusSection {
    /// The files.
    pub sources: Vec<SourceRecord>,
    /// True when no corpus was given and the built-in probes stood in.
    pub built_in: bool,
    /// Rows compared.
    pub rows: u64,
    /// Rows the control ran too.
    pub control_rows: u64,
    /// Tokens compared.
    pub tokens: u64,
    /// Rows that say different things to the model: of token ids, not of text, and whatever their punctuation and case.
    pub unique_rows: u64,
    /// Tokens of these rows, each row counted once.
    #[serde(default)]
    pub unique_tokens: u64,
    /// Different token ids.
    #[serde(default)]
    pub vocabulary: u64,
    /// Different texts.
    #[serde(default)]
    pub unique_texts: u64,
    /// Lines without text.
    pub empty_lines: u64,
    /// Lines that are not UTF-8.
    pub invalid_utf8: u64,
    /// Rows cut at the maximum length.
    pub truncated_rows: u64,
    /// Rows with no token but special and unknown ones, or one token over and over.
    pub degenerate_rows: u64,
    /// Unknown tokens in all rows.
    pub unknown_tokens: u64,
    /// Rows by length in tokens.
    pub lengths: Vec<LengthBucket>,
    /// The maximum length in tokens.
    pub max_length: usize,
    /// Text put before every row.
    pub prompt: Option<String>,
    /// Probe sentences run along.
    pub probes: u64,
    /// Their tokens.
    pub probe_tokens: u64,
    /// What rows and batches there were of the kinds that errors hide in.
    #[serde(default)]
    pub coverage: Vec<CoverageSection>,
}

impl CorpusSection {
    /// What of it is evidence.
    pub fn amount(&self) -> Amount {
        Amount {
            rows: self.unique_rows.min(self.rows),
            tokens: self.unique_tokens.min(self.tokens),
            vocabulary: self.vocabulary.min(self.tokens),
        }
    }
}

/// Rows with at most so many tokens (and more than the bucket before).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LengthBucket {
    /// Largest length; none for the last bucket.
    pub up_to: Option<u64>,
    /// Rows.
    pub rows: u64,
}

/// Why the two sides are the same point of the same computation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AlignmentSection {
    /// Name of the reference's graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// Each tap and its evidence.
    pub taps: Vec<AlignedTap>,
    /// Every reference tap against every candidate tap.
    pub cross_match: CrossMatchReport,
    /// What tapping the reference changed.
    pub observer_effect: Option<ObserverEffect>,
    /// The reference's graph, node by node; none in reports of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_audit: Option<GraphAuditSection>,
    /// Every output that the reference's graph declares, and what it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputSection>,
    /// What the reference was swept over; none in reports of versions that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweeps: Option<SweepSection>,
    /// The reference against itself.
    #[serde(default)]
    pub floor: Vec<FloorSection>,
    /// Faults planted on purpose.
    #[serde(default)]
    pub canaries: CanariesSection,
    /// The candidate beside an honest conversion, on rows of every kind.
    #[serde(default)]
    pub twin: TwinSection,
    /// What unlike things would measure.
    #[serde(default, skip_serializing_if = "UnlikeSection::is_empty")]
    pub unlike: UnlikeSection,
    /// The recording behind the device arm, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingSection>,
    /// Facts both sides had to agree on.
    pub preflight: Vec<PreflightCheck>,
    /// The two tokenizers, compared as data.
    #[serde(default)]
    pub tokenizers: TokenizersSection,
    /// The control, in words.
    pub control: String,
    /// The reference, in words.
    pub reference: String,
    /// The candidate, in words.
    pub candidate: String,
}

/// One tap and what proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AlignedTap {
    /// The tap.
    pub tap: Tap,
    /// Tensor of the reference graph.
    pub reference_tensor: String,
    /// Name of the node that computes it, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How it was found.
    pub evidence: String,
    /// What the weights say of its layer's number: `6 of 6 matrices are layer 0 (correlation at least 0.997) of …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrices: Option<String>,
    /// 99th percentile of the engine arm there.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub engine_relative_l2: Option<f64>,
}

/// How sentences become vectors, and what became of their neighbours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SentenceSection {
    /// Pooling mode.
    pub pooling: String,
    /// True when vectors are scaled to length 1.
    pub normalize: bool,
    /// The file that says so.
    pub stated_in: String,
    /// Width of a sentence vector.
    pub dimension: usize,
    /// Cosine distances between the two sides' sentence vectors, total arm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distances: Vec<DistanceBucket>,
    /// Neighbour search, where there were rows enough.
    pub neighbours: Option<NeighbourStats>,
    /// Rows whose nearest neighbour changed, most painful first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flips: Vec<Flip>,
}

/// One of the rows with the largest error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WorstRowSection {
    /// The row.
    #[serde(flatten)]
    pub row: RowId,
    /// Where it comes from: `file:line`.
    pub place: String,
    /// Its text, escaped and cut.
    pub text: String,
    /// The tap.
    pub tap: Tap,
    /// The comparison.
    pub arm: Arm,
    /// Id of the metric.
    pub metric: String,
    /// Its value.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub value: f64,
    /// Token position, at token level.
    pub token: Option<u32>,
    /// The token's text, escaped.
    pub token_text: Option<String>,
    /// Every token of the row, there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenSection>,
}

/// One token of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenSection {
    /// Its text, escaped and cut.
    pub text: String,
    /// Its relative L2.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub relative_l2: f64,
}

/// Rows whose sentence vectors are at most so far apart (and farther than the bucket before).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DistanceBucket {
    /// Largest cosine distance, 1 − cos; of the last bucket there is, infinity where anything was not finite.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub up_to: f64,
    /// Rows.
    pub rows: u64,
}
