//! One limit, as a policy states it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Quantity;

/// Different tokens asked for unless a policy says otherwise: fewer show next to nothing of a model's embeddings, however
/// many rows they make. Measured: 404 in the shipped corpus (380 in its first 110 rows), 125 in the 104 sentences of the
/// recordings, 106 in those of the small models, and 27 in sentences of 24 words drawn at random, which is the least that
/// was ever meant as a corpus.
pub const MIN_VOCABULARY: u64 = 25;

/// How much a run must have looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// Different rows compared.
    pub min_rows: u64,
    /// Tokens of different rows compared.
    pub min_tokens: u64,
    /// Different tokens among them.
    pub min_vocabulary: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { min_rows: 100, min_tokens: 1000, min_vocabulary: MIN_VOCABULARY }
    }
}

/// Whether a limit bounds from above or from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The observed value must not be larger.
    Max,
    /// The observed value must not be smaller.
    Min,
}

impl Direction {
    /// True when `observed` keeps the limit; NaN never does.
    pub fn keeps(self, observed: f64, limit: f64) -> bool {
        match self {
            Self::Max => observed <= limit,
            Self::Min => observed >= limit,
        }
    }

    /// How far `observed` is from the limit, as a factor: above 1 exactly when the limit is broken.
    pub fn margin(self, observed: f64, limit: f64) -> f64 {
        let ratio = match self {
            Self::Max => observed / limit,
            Self::Min => limit / observed,
        };
        let kept = self.keeps(observed, limit);
        // Zeros, negative decibels and NaN have no factor; what they mean is still known.
        match (kept, ratio) {
            (true, r) if (0.0..=1.0).contains(&r) => r,
            (true, _) => 0.0,
            (false, r) if r > 1.0 => r,
            (false, _) => f64::INFINITY,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Max => "max",
            Self::Min => "min",
        })
    }
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// What it looks at.
    pub quantity: Quantity,
    /// Upper limit; one of `max` and `min` is there, unless `max_regression` stands alone.
    pub max: Option<f64>,
    /// Lower limit.
    pub min: Option<f64>,
    /// How much worse than an earlier run it may be, relative to the loss there.
    pub max_regression: Option<f64>,
    /// Holds only where it was measured: labels are not always given.
    pub if_given: bool,
    /// Where the limit comes from.
    pub why: Option<String>,
}

impl Gate {
    /// True when the gate states a limit by itself, whatever an earlier run measured.
    pub fn is_absolute(&self) -> bool {
        self.max.is_some() || self.min.is_some()
    }

    /// The side that is bounded: the stated one, else the one where the metric is worse.
    pub fn direction(&self) -> Direction {
        let known = || self.quantity.on.metrics().iter().find(|k| k.id == self.quantity.metric);
        match (self.max, self.min) {
            (Some(_), _) => Direction::Max,
            (None, Some(_)) => Direction::Min,
            _ if known().is_some_and(|k| k.bound == super::metrics::Bound::Below) => Direction::Min,
            _ => Direction::Max,
        }
    }

    /// The limit and its direction. A gate without one (no parsed gate is) can only be broken.
    pub fn limit(&self) -> (Direction, f64) {
        match (self.max, self.min) {
            (Some(max), None) => (Direction::Max, max),
            (None, Some(min)) => (Direction::Min, min),
            _ => (Direction::Max, f64::NAN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margin_is_above_one_exactly_when_the_limit_is_broken() {
        let values =
            [f64::NAN, f64::NEG_INFINITY, -3.0, -0.0, 0.0, 5e-324, 0.5, 1.0, 1.0 + f64::EPSILON, f64::INFINITY];
        for limit in values.into_iter().filter(|l| l.is_finite()) {
            for observed in values {
                for direction in [Direction::Max, Direction::Min] {
                    let margin = direction.margin(observed, limit);
                    assert_eq!(
                        margin > 1.0,
                        !direction.keeps(observed, limit),
                        "{direction} {observed} {limit}: {margin}"
                    );
                    assert!(!margin.is_nan());
                }
            }
        }
        assert!(!Direction::Max.keeps(f64::NAN, f64::INFINITY) && !Direction::Min.keeps(f64::NAN, 0.0));
        assert_eq!(Direction::Max.margin(0.1, 0.05), 2.0);
        assert_eq!(Direction::Min.margin(20.0, 40.0), 2.0);
    }

    #[test]
    fn a_kept_limit_has_its_factor_and_a_limit_broken_by_one_bit_has_more_than_one() {
        assert_eq!((Direction::Max.margin(0.125, 0.5), Direction::Min.margin(40.0, 20.0)), (0.25, 0.5));
        let limit = 2.0f64.next_down();
        assert!(Direction::Max.margin(2.0, limit) > 1.0);
        assert_eq!(format!("{}{:>4}", Direction::Max, Direction::Min), "max min");
    }
}
