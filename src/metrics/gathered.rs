//! What one metric has gathered at a tap; how it merges.

use serde::{Deserialize, Serialize};

use super::distribution::{Distribution, Total};
use super::{ExactSum, Formula, Metric};

/// What one metric has gathered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Gathered {
    PerToken(Box<Distribution>),
    /// Reads the tap's Σr² and Σ(c−r)², which are kept once.
    WholeTap,
    Count(Total),
    Rows(Box<Rows>),
}

/// Sums over rows, and how many rows added to them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rows {
    pub(super) rows: u64,
    pub(super) sums: [ExactSum; 3],
}

impl Rows {
    pub(super) fn add(&mut self, sums: [f64; 3]) {
        self.rows = self.rows.saturating_add(1);
        self.sums.iter_mut().zip(sums).for_each(|(sum, x)| sum.add(x));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.sums.iter_mut().zip(&other.sums).for_each(|(mine, theirs)| mine.merge(theirs));
    }
}

impl Gathered {
    pub(super) fn of(metric: &Metric) -> Self {
        match metric.formula {
            Formula::Token(_) => Self::PerToken(Box::default()),
            Formula::Whole(_) => Self::WholeTap,
            Formula::Count(_) => Self::Count(Total::default()),
            Formula::Rows(..) => Self::Rows(Box::default()),
        }
    }
}
