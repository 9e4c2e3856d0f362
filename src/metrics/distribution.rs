//! One metric over many tokens: count, exact mean, quantiles, and where it was worst.

use serde::{Deserialize, Serialize};

use super::worst::Worst;
use super::{Better, ExactSum, Histogram, Location};
use crate::hidden_states::RowId;

/// Per-token values, summarised.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Distribution {
    sum: ExactSum,
    histogram: Histogram,
    worst: Option<Worst>,
}

impl Distribution {
    /// Counts one value. `element` is asked for dimension and reference value only if it is the worst.
    pub(crate) fn add(
        &mut self,
        better: Better,
        value: f64,
        row: RowId,
        token: Option<u32>,
        element: impl FnOnce() -> Option<(u32, f64)>,
    ) {
        self.sum.add(value);
        self.histogram.add(value);
        if Worst::is_beaten(self.worst.as_ref(), better, value, row, token) {
            let (dimension, reference) = element().unzip();
            self.worst = Some(Worst { value, row, token, dimension, reference });
        }
    }

    pub(crate) fn merge(&mut self, other: &Self, better: Better) {
        self.sum.merge(&other.sum);
        self.histogram.merge(&other.histogram);
        Worst::merge(&mut self.worst, other.worst.as_ref(), better);
    }

    pub(crate) fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// The exact sum over the exact count; NaN if any value was NaN, `None` without values.
    pub(crate) fn mean(&self) -> Option<f64> {
        match self.histogram.count() {
            0 => None,
            n => Some(self.sum.value() / n as f64),
        }
    }

    pub(crate) fn worst(&self) -> Option<Location> {
        self.worst.as_ref().map(Worst::location)
    }
}

/// A total of per-token counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Total {
    total: u64,
    worst: Option<Worst>,
}

impl Total {
    pub(crate) fn add(&mut self, n: u64, row: RowId, token: Option<u32>) {
        if n == 0 {
            return;
        }
        self.total = self.total.saturating_add(n);
        if Worst::is_beaten(self.worst.as_ref(), Better::Zero, n as f64, row, token) {
            self.worst = Some(Worst { value: n as f64, row, token, dimension: None, reference: None });
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        Worst::merge(&mut self.worst, other.worst.as_ref(), Better::Zero);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn worst(&self) -> Option<Location> {
        self.worst.as_ref().map(Worst::location)
    }
}
