//! What neighbour search over the sentence vectors says about a candidate.

use serde::{Deserialize, Serialize};

use crate::json_float;

/// Neighbour statistics of the candidate's sentence vectors against the reference's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NeighbourStats {
    /// Rows searched among; 0 means nothing was measured.
    pub rows: u64,
    /// Share of rows whose nearest neighbour is the same, 0 to 1.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub top1_agreement: Option<f64>,
    /// Mean share of the ten nearest neighbours that are the same, 0 to 1.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub top10_overlap: Option<f64>,
    /// Rank correlation of all pairwise similarities.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub spearman: Option<f64>,
    /// Linear correlation of all pairwise similarities.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub pearson: Option<f64>,
    /// Root mean square change of all pairwise similarities over their standard deviation.
    #[serde(with = "json_float::optional", default)]
    #[schemars(with = "Option<json_float::Written>")]
    pub similarity_shift: Option<f64>,
    /// 99th percentile of how far a row's own vector moved, over the mean distance of two different rows.
    #[serde(with = "json_float::optional", default)]
    #[schemars(with = "Option<json_float::Written>")]
    pub relative_distance: Option<f64>,
}

impl NeighbourStats {
    /// Every statistic NaN: a vector that is zero or no number has no neighbours, and nothing is known of the others'.
    pub(super) fn unusable(self) -> Self {
        let nan = Some(f64::NAN);
        Self {
            rows: self.rows,
            top1_agreement: nan,
            top10_overlap: nan,
            spearman: nan,
            pearson: nan,
            similarity_shift: nan,
            relative_distance: nan,
        }
    }

    /// The statistic a gate calls `metric`; none when it was not measured.
    pub fn named(&self, metric: &str) -> Option<f64> {
        if self.rows == 0 {
            return None;
        }
        match metric {
            "top1_agreement" => self.top1_agreement,
            "top10_overlap" => self.top10_overlap,
            "spearman" => self.spearman,
            "pearson" => self.pearson,
            "similarity_shift" => self.similarity_shift,
            "relative_distance" => self.relative_distance,
            _ => None,
        }
    }
}
