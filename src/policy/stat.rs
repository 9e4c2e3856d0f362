//! The number of a summary that a gate looks at.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which number of a summary a gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stat {
    /// Mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Over all matrices together (weights only).
    Total,
}

impl Stat {
    /// Every statistic, in the order of the reports.
    pub const ALL: &[Self] =
        &[Self::Mean, Self::P50, Self::P90, Self::P99, Self::P999, Self::Min, Self::Max, Self::Total];

    /// Its name in policies and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Min => "min",
            Self::Max => "max",
            Self::Total => "total",
        }
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
