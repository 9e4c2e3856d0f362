//! What a summary looks like once it is finished: the rows of `measurements[]` in the report.

use serde::{Deserialize, Serialize};

use crate::hidden_states::{Arm, RowId, Tap};
use crate::json_float;

/// How the error came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As it arrives through all layers before.
    Accumulated,
    /// Of a layer fed with the other side's own input.
    Isolated,
}

/// Where a value was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Location {
    /// The row.
    #[serde(flatten)]
    pub row: RowId,
    /// Token position within the row; none at sentence level.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<u32>,
    /// Dimension, for element-wise metrics.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dimension: Option<u32>,
    /// The reference side's value there, for element-wise metrics.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub reference: Option<f64>,
}

/// One metric at one tap of one arm, summarised over all tokens (rows, at sentence level).
///
/// A statistic that does not exist for the metric (quantiles of a ratio of sums) is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Measurement {
    /// Where.
    pub tap: Tap,
    /// Which comparison.
    pub arm: Arm,
    /// Accumulated or isolated.
    pub mode: Mode,
    /// Id in the METRICS table.
    pub metric: String,
    /// Tokens (rows, at sentence level) behind the numbers.
    pub count: u64,
    /// Mean.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub mean: Option<f64>,
    /// Median.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub p50: Option<f64>,
    /// 90th percentile.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub p90: Option<f64>,
    /// 99th percentile.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub p99: Option<f64>,
    /// 99.9th percentile.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub p999: Option<f64>,
    /// Smallest value.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub min: Option<f64>,
    /// Largest value.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub max: Option<f64>,
    /// Where the worst value is.
    pub worst: Option<Location>,
}
