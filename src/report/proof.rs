//! The sections that show what the comparison is worth: the reference's own noise, faults planted on
//! purpose, and how much of the ground was covered.

use serde::{Deserialize, Serialize};

use crate::hidden_states::Tap;
use crate::metrics::number;

/// The reference against itself, run another way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FloorSection {
    /// The tap.
    pub tap: Tap,
    /// What was different: `2 threads`, `graph optimizations off`, …
    pub variation: String,
    /// 99th percentile of the relative L2 over tokens.
    #[serde(with = "number::optional")]
    #[schemars(with = "Option<number::Written>")]
    pub p99: Option<f64>,
    /// Its largest value.
    #[serde(with = "number::optional")]
    #[schemars(with = "Option<number::Written>")]
    pub max: Option<f64>,
}

/// Faults planted in a copy of the model, to see that the run's own gates see them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CanariesSection {
    /// False with `--no-canaries`.
    pub planted: bool,
    /// Each fault.
    pub canaries: Vec<CanarySection>,
    /// Id of the smallest fault that was seen.
    pub smallest: Option<String>,
}

/// One planted fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CanarySection {
    /// Stable: `swapped_layers`, `tanh_gelu`, …
    pub id: String,
    /// What was done, and where.
    pub fault: String,
    /// How far it moves the states: the largest 99th percentile over the taps of the relative L2 against the
    /// same model without the fault.
    #[serde(with = "number::optional")]
    #[schemars(with = "Option<number::Written>")]
    pub effect: Option<f64>,
    /// What saw it: a gate with the value observed, or the code of a finding. None: nothing did.
    pub seen_by: Option<String>,
    /// Why it could not be planted in this model.
    pub not_planted: Option<String>,
}

/// One kind of row or batch that errors have been known to hide in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CoverageSection {
    /// `rows of 31 to 33 tokens`, `a padded batch of mixed lengths`, …
    pub kind: String,
    /// How many the corpus had.
    pub corpus: u64,
    /// How many the built-in probes added.
    pub probes: u64,
}
