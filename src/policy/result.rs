//! How one gate came out at one place.

use serde::{Deserialize, Serialize};

use super::{Direction, Quantity};
use crate::json_float;
use crate::metrics::Location;

/// How a gate came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Measured, and within the limit.
    Pass,
    /// Measured, and not within the limit (NaN never is).
    Fail,
    /// Measured, not within the limit, and excused by a waiver for now.
    Waived,
    /// Nothing was measured that the gate could look at.
    NotMeasured,
}

impl Outcome {
    /// From a pass, which speaks for nothing worse, to a fail.
    pub const fn gravity(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Waived => 1,
            Self::NotMeasured => 2,
            Self::Fail => 3,
        }
    }

    /// In one or two words, for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "ok",
            Self::Waived => "waived",
            Self::NotMeasured => "not measured",
            Self::Fail => "FAIL",
        }
    }
}

/// One gate at one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GateResult {
    /// What was looked at; the gate's own pattern when it matched nothing.
    #[serde(flatten)]
    pub quantity: Quantity,
    /// Whether the limit is an upper or a lower one.
    pub direction: Direction,
    /// The limit.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub limit: f64,
    /// What was measured.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub observed: Option<f64>,
    /// `observed / limit` (`limit / observed` for a lower limit): above 1 exactly when it failed.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub margin: Option<f64>,
    /// How it came out.
    pub outcome: Outcome,
    /// The tightest limit of 3 digits that would have passed; none when none would.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub would_pass_at: Option<f64>,
    /// Where the worst value of the metric was seen.
    pub worst: Option<Location>,
    /// The tensor that decided it, for a `max` or `min` over the weights.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tensor: Option<String>,
    /// What the same number would be for two things that are not the same.
    #[serde(skip_serializing_if = "Option::is_none", default, alias = "baseline")]
    pub null_baseline: Option<NullBaseline>,
    /// The earlier value that the limit is relative to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub regression: Option<RegressionLimit>,
    /// What excuses it, where it is waived.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiver: Option<WaiverRecord>,
    /// Where the limit comes from.
    pub why: Option<String>,
}

impl GateResult {
    /// The same limit's kind at another place.
    pub(super) fn states_with(&self, other: &Self) -> bool {
        self.quantity.same_elsewhere(&other.quantity) && self.direction == other.direction
    }

    /// Same limit on the same thing.
    pub fn same_gate(&self, other: &Self) -> bool {
        let key = |g: &Self| (g.direction, g.limit.to_bits());
        key(self) == key(other) && self.quantity == other.quantity
    }

    /// True for the built-in kind of gate that no refusal can excuse.
    pub fn is_non_finite(&self) -> bool {
        self.quantity.metric == "non_finite"
    }

    /// True for a limit that an earlier run was to set, and none was there.
    pub fn lacks_baseline(&self) -> bool {
        self.regression.is_some_and(|r| r.before.is_none())
    }
}

/// What a gate would observe if unlike things were compared, so that its limit is seen for what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NullBaseline {
    /// The candidate's neighbouring layer in place of the right one.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub wrong_layer: Option<f64>,
    /// Another sentence in place of the right one.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub mismatched_sentence: Option<f64>,
}

/// A limit that an earlier run sets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RegressionLimit {
    /// How much worse the loss may be, relative to the earlier one.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub max_regression: f64,
    /// What the earlier run measured; none without one.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub before: Option<f64>,
}

/// What a waived gate carries in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WaiverRecord {
    /// Why.
    pub reason: String,
    /// The last day it holds, `2027-01-31`.
    pub expires: String,
    /// The day it was looked at.
    pub judged_on: String,
}
