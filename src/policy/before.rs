//! Limits relative to an earlier release: what may be lost since then.

use serde::{Deserialize, Serialize};

use super::{Direction, Measured, Policy, Quantity, RegressionLimit, loss};
use crate::align::NeighbourStats;
use crate::metrics::Measurements;
use crate::weights::WeightsReport;

/// A `max_regression` past this passes anything: 1 is twice the error.
pub const LARGEST_REGRESSION: f64 = 1.0;

/// A loss that changed by no more than this is the same. A percentile is the upper end of a histogram's bucket, 1/128
/// (0.8 %) of its value wide, so a smaller change may be the bucket's and not the model's.
pub const SAME: f64 = 0.01;

/// What an earlier run measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    /// Every metric at every tap of every arm.
    pub measurements: Measurements,
    /// The stored weights.
    pub weights: WeightsReport,
    /// Neighbour search.
    pub neighbours: Option<NeighbourStats>,
}

impl Before {
    /// The number that a gate there would have looked at; none when it was not measured, or was no number.
    pub fn observed(&self, quantity: &Quantity) -> Option<f64> {
        let (weights, neighbours) = (&self.weights, self.neighbours.as_ref());
        let seen = Measured { measurements: &self.measurements, weights, neighbours, scores: &[] }.observed(quantity);
        seen.filter(|v| loss::loss(&quantity.metric, *v).is_finite())
    }
}

impl RegressionLimit {
    /// The limit in the metric's own terms; NaN without an earlier run.
    pub fn limit(&self, metric: &str, direction: Direction) -> f64 {
        let allowed = |before| loss::loss(metric, before).max(loss::noise(metric)) * (1.0 + self.max_regression);
        self.before.map_or(f64::NAN, |before| loss::at_loss(metric, direction, allowed(before)))
    }

    /// True for what a policy may ask for.
    pub fn is_sensible(&self) -> bool {
        (0.0..=LARGEST_REGRESSION).contains(&self.max_regression)
    }
}

/// How a number moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// Nearer to perfect.
    Better,
    /// Within [`SAME`], or within what two float32 engines differ by.
    Same,
    /// Further from perfect.
    Worse,
    /// One of the two was not measured.
    NotMeasured,
}

impl Trend {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
            Self::NotMeasured => "not measured",
        }
    }
}

/// The relative change of the loss (above 0: worse) and what it amounts to.
pub fn change(metric: &str, before: Option<f64>, now: Option<f64>) -> (Option<f64>, Trend) {
    let (Some(before), Some(now)) = (before, now) else { return (None, Trend::NotMeasured) };
    let (was, is) = (loss::loss(metric, before), loss::loss(metric, now));
    if was.is_nan() {
        return (None, Trend::NotMeasured);
    }
    let noise = loss::noise(metric);
    if was == is || (was <= noise && is <= noise) {
        return (Some(0.0), Trend::Same);
    }
    let relative = (is - was) / was.max(noise);
    // Written so that NaN is worse.
    let trend = match relative {
        r if r.abs() <= SAME => Trend::Same,
        r if r < 0.0 => Trend::Better,
        _ => Trend::Worse,
    };
    (Some(relative), trend)
}

impl Policy {
    /// The policy beside an earlier run: its `max_regression` gates have something to be held against.
    pub fn with_before(self, before: Before) -> Self {
        Self { before: Some(std::sync::Arc::new(before)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::QUANTILE_ERROR;

    #[test]
    fn a_change_smaller_than_a_bucket_is_none() {
        const { assert!(SAME > QUANTILE_ERROR) };
        let trend = |metric: &str, before: f64, now: f64| change(metric, Some(before), Some(now)).1;
        assert_eq!(trend("relative_l2", 0.1, 0.1009), Trend::Same);
        assert_eq!(trend("relative_l2", 0.1, 0.102), Trend::Worse);
        assert_eq!(trend("relative_l2", 0.1, 0.098), Trend::Better);
        assert_eq!(trend("relative_l2", 1e-6, 1.9e-5), Trend::Same, "float32 noise on both sides");
        assert_eq!(trend("relative_l2", 1e-6, 3e-5), Trend::Worse);
        assert_eq!(trend("sqnr_db", 40.0, 39.0), Trend::Worse);
        assert_eq!(trend("top10_overlap", 0.99, 0.98), Trend::Worse);
        assert_eq!(trend("norm_ratio", 0.99, 1.02), Trend::Worse);
        assert_eq!(trend("non_finite", 0.0, 3.0), Trend::Worse);
        assert_eq!(trend("relative_l2", 0.1, f64::NAN), Trend::Worse, "NaN is never the same and never better");
        assert_eq!(trend("relative_l2", f64::NAN, 0.1), Trend::NotMeasured);
        assert_eq!(change("mse", None, Some(1.0)), (None, Trend::NotMeasured));
    }

    #[test]
    fn ten_per_cent_worse_is_of_the_loss() {
        let limit = |metric, direction, before| {
            RegressionLimit { max_regression: 0.1, before: Some(before) }.limit(metric, direction)
        };
        assert!((limit("relative_l2", Direction::Max, 0.02) - 0.022).abs() < 1e-15);
        assert!((limit("top10_overlap", Direction::Min, 0.9) - 0.89).abs() < 1e-12);
        assert!((limit("sqnr_db", Direction::Min, 40.0) - 39.172_146).abs() < 1e-5);
        assert!(limit("relative_l2", Direction::Max, 0.0) > 0.0, "an exact copy may become float32 noise");
        assert!(RegressionLimit { max_regression: 0.1, before: None }.limit("mse", Direction::Max).is_nan());
        for (value, sensible) in [(0.0, true), (1.0, true), (1.1, false), (-0.1, false), (f64::NAN, false)] {
            assert_eq!(RegressionLimit { max_regression: value, before: None }.is_sensible(), sensible, "{value}");
        }
    }
}
