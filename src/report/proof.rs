//! The sections that show what the comparison is worth: the reference's own noise, faults planted on
//! purpose, and how much of the ground was covered.

use serde::{Deserialize, Serialize};

use crate::hidden_states::Tap;
use crate::json_float;
use crate::metrics::Measurements;
use crate::policy::{DeviceTerms, PredictedTap};
use crate::verdict::Amount;
use crate::weights::TensorRow;

/// The reference against itself, run another way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FloorSection {
    /// The tap.
    pub tap: Tap,
    /// What was different: `2 threads`, `graph optimizations off`, …
    pub variation: String,
    /// 99th percentile of the relative L2 over tokens.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub p99: Option<f64>,
    /// Its largest value.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub max: Option<f64>,
}

/// Faults planted in copies of the candidate, to see that what judges the candidate sees them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CanariesSection {
    /// False with `--no-canaries`.
    pub planted: bool,
    /// Each fault.
    pub canaries: Vec<CanarySection>,
    /// Id of the smallest fault that was seen.
    pub smallest: Option<String>,
    /// What the candidate measures on the same sample without any fault: a limit that this exceeds shows nothing.
    #[serde(default, skip_serializing_if = "Measurements::is_empty")]
    pub healthy: Measurements,
}

/// One planted fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CanarySection {
    /// Stable: `swapped_layers`, `tanh_gelu`, …
    pub id: String,
    /// What was done, and where.
    pub fault: String,
    /// How far it moves the candidate's states: the largest 99th percentile over the taps of the relative L2 against
    /// the candidate without the fault.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub effect: Option<f64>,
    /// What saw it: a limit of the policy with the value observed, else a proof. None: nothing did.
    pub seen_by: Option<String>,
    /// The policy's own limit that saw it, with the value observed. None: these limits are blind to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// Why it could not be planted in this model.
    pub not_planted: Option<String>,
    /// What sees it whatever the limits are: the weights against their twin, a setting that both sides state, the
    /// states over the twin's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<String>,
    /// The faulty candidate's states against the reference's, so that other limits can be asked later.
    #[serde(default, skip_serializing_if = "Measurements::is_empty")]
    pub states: Measurements,
    /// The tensors that were changed, against the original, so that other limits can be asked later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorRow>,
    /// For a fault in stored codes: the matrix with one group moved by 1, 2, … codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<MovedCodes>,
}

/// A matrix with one group moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MovedCodes {
    /// By so many codes.
    pub by: u32,
    /// Against its float32 twin.
    pub row: TensorRow,
    /// How far it moves the candidate's states; measured only where the limits first see it.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub effect: Option<f64>,
}

/// What unlike things measure, the same in every arm: the null baselines beside the gates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UnlikeSection {
    /// The candidate's neighbouring layer in place of the right one.
    pub wrong_layer: Measurements,
    /// Another sentence in place of the right one.
    pub mismatched_sentence: Measurements,
}

impl UnlikeSection {
    /// True when nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.wrong_layer.is_empty() && self.mismatched_sentence.is_empty()
    }
}

/// The recording behind the device arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RecordingSection {
    /// Its file.
    pub name: String,
    /// What it was computed in: `float32`, `float16`, `bfloat16`.
    pub compute: String,
    /// Its rows that were compared.
    pub rows: u64,
    /// Those that say different things to the model.
    #[serde(default)]
    pub distinct_rows: u64,
    /// Their tokens.
    #[serde(default)]
    pub distinct_tokens: u64,
    /// Different tokens among them.
    #[serde(default)]
    pub vocabulary: u64,
    /// What computing in that type is predicted to cost at each tap that was compared.
    #[serde(default)]
    pub predicted: Vec<PredictedTap>,
}

impl RecordingSection {
    /// What limits on the device arm follow from.
    pub fn terms(&self) -> DeviceTerms<'_> {
        DeviceTerms { compute: &self.compute, predicted: &self.predicted }
    }

    /// What of it is evidence.
    pub fn amount(&self) -> Amount {
        Amount { rows: self.distinct_rows.min(self.rows), tokens: self.distinct_tokens, vocabulary: self.vocabulary }
    }
}

/// One output that the untouched graph declares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OutputSection {
    /// Its name.
    pub name: String,
    /// What it is: a tap, the pooling that the files state, `unexplained`, `not compared`.
    pub is: String,
    /// Rows it was compared on; none where it is the tap's own tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The largest relative L2 from what it is, over all tokens or rows; none where it is the tap's own tensor.
    #[serde(default, with = "json_float::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<json_float::Written>")]
    pub distance: Option<f64>,
}

/// What the reference was swept over, against the control.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SweepSection {
    /// Vocabulary ids that went through `embeddings`.
    pub ids: u64,
    /// How often each of them did, each time at another position in another row.
    pub id_passes: u64,
    /// The largest relative L2 of an id that is right.
    #[serde(default, with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub ids_relative_l2: Option<f64>,
    /// Lengths of the rows of random ids, in tokens.
    pub lengths: Vec<u64>,
    /// Rows of the batches.
    pub batch_sizes: Vec<u64>,
    /// Batches with padding.
    pub padded_batches: u64,
    /// Rows in all.
    pub rows: u64,
    /// Their tokens.
    pub tokens: u64,
    /// The largest relative L2 over all taps of a row that is right.
    #[serde(default, with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub relative_l2: Option<f64>,
    /// With `--thorough`: every length, many batch sizes.
    pub thorough: bool,
}

/// The candidate's error beside the twin's on the same rows: what an honest conversion to the same format measures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TwinSection {
    /// Each batch they were compared on.
    pub batches: Vec<TwinBatch>,
    /// Every word of the vocabulary; none where the candidate is the twin, group for group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<TwinWords>,
}

/// Every vocabulary id, among others in a row: the farthest that a token's last state is from the control's, relative L2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TwinWords {
    /// Ids that were run.
    pub ids: u64,
    /// The id on which the candidate is farthest.
    pub worst_id: u64,
    /// Of the candidate.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub candidate: f64,
    /// Of the twin, on any id.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub twin: f64,
}

/// One batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TwinBatch {
    /// Its rows.
    pub rows: u64,
    /// Its longest row, in tokens.
    pub longest: u64,
    /// Each tap.
    pub taps: Vec<TwinTap>,
}

/// Mean relative L2 over the tokens of one batch (cosine distance over its rows, for sentence vectors), against the
/// control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TwinTap {
    /// The tap.
    pub tap: Tap,
    /// Of the candidate.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub candidate: f64,
    /// Of the twin.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub twin: f64,
    /// The candidate's over the twin's, both at least the noise of float32: 1 for an honest conversion.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub over_twin: f64,
}

/// One kind of row or batch that errors have been known to hide in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CoverageSection {
    /// `rows of 31 to 33 tokens`, `a padded batch of mixed lengths`, …
    pub kind: String,
    /// How many the corpus had: on these the candidate is judged by the policy's limits.
    pub corpus: u64,
    /// How many the built-in probes added, on which the candidate is held against its twin.
    pub probes: u64,
}
