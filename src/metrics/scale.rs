//! The reference's standard deviation of every dimension at a tap: what `standardized_l2` divides by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ExactSum, MetricsError};

/// A standard deviation below this share of the tap's median one is raised to it.
///
/// A dimension that hardly varies over the probes would otherwise weigh without bound (infinitely, at
/// 0): one constant dimension in both sums and the metric sees nothing else. A tenth lets no dimension
/// weigh more than a hundred times the median one.
pub const SCALE_FLOOR: f64 = 0.1;

/// Usable weights made of per-dimension standard deviations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<u64>", try_from = "Vec<u64>")]
pub struct Scale {
    std: Arc<[f64]>,
    /// 1/σ², with the floor applied.
    weights: Vec<f64>,
}

impl Scale {
    /// `None` when nothing can be standardised: no dimension varies, or a deviation is no number.
    pub fn new(std: Arc<[f64]>) -> Option<Self> {
        if std.iter().any(|s| !s.is_finite() || *s < 0.0) {
            return None;
        }
        let mut positive: Vec<f64> = std.iter().copied().filter(|s| *s > 0.0).collect();
        positive.sort_unstable_by(f64::total_cmp);
        let floor = positive.get(positive.len() / 2)? * SCALE_FLOOR;
        let weights: Vec<f64> =
            std.iter().map(|&s| if s > floor { 1.0 / (s * s) } else { 1.0 / (floor * floor) }).collect();
        // Deviations of 1e-160 have no finite weight; states that vary so little are no states.
        weights.iter().all(|w| w.is_finite() && *w > 0.0).then_some(Self { std, weights })
    }

    /// 1/σ² of each dimension, with the floor applied.
    pub(crate) fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Dimensions.
    pub fn dimensions(&self) -> usize {
        self.weights.len()
    }
}

/// Saved as the bits of the standard deviations.
impl From<Scale> for Vec<u64> {
    fn from(scale: Scale) -> Self {
        scale.std.iter().map(|s| s.to_bits()).collect()
    }
}

impl TryFrom<Vec<u64>> for Scale {
    type Error = &'static str;

    fn try_from(bits: Vec<u64>) -> Result<Self, &'static str> {
        Self::new(bits.into_iter().map(f64::from_bits).collect()).ok_or("a saved scale is unusable")
    }
}

/// Measures the standard deviation of every dimension of a tap over the rows it is given.
///
/// Exact sums of x and x² per dimension, so the result knows no order and shards merge. (The square of
/// an f32 is exact in f64; only reading the two sums rounds.) About 1 KiB per dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleAccumulator {
    tokens: u64,
    skipped: u64,
    sums: Vec<ExactSum>,
    squares: Vec<ExactSum>,
}

impl ScaleAccumulator {
    /// For states of width `hidden`.
    pub fn new(hidden: usize) -> Self {
        Self { tokens: 0, skipped: 0, sums: vec![ExactSum::new(); hidden], squares: vec![ExactSum::new(); hidden] }
    }

    /// Adds the reference's states of one row, `[tokens, hidden]`.
    ///
    /// A token with a NaN or an infinity has no place in a deviation: it is skipped and counted (the
    /// `non_finite` metric judges it).
    pub fn add_row(&mut self, states: &[f32]) -> Result<(), MetricsError> {
        let hidden = self.sums.len();
        if hidden == 0 || !states.len().is_multiple_of(hidden) {
            return Err(MetricsError::ScaleWidth { expected: hidden, found: states.len() });
        }
        for token in states.chunks_exact(hidden) {
            if token.iter().any(|x| !x.is_finite()) {
                self.skipped = self.skipped.saturating_add(1);
                continue;
            }
            self.tokens = self.tokens.saturating_add(1);
            for ((&x, sum), square) in token.iter().zip(&mut self.sums).zip(&mut self.squares) {
                let x = f64::from(x);
                sum.add(x);
                square.add(x * x);
            }
        }
        Ok(())
    }

    /// Adds another accumulator of the same width.
    pub fn merge(&mut self, other: &Self) -> Result<(), MetricsError> {
        if self.sums.len() != other.sums.len() || self.squares.len() != other.squares.len() {
            return Err(MetricsError::ScaleWidth { expected: self.sums.len(), found: other.sums.len() });
        }
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.skipped = self.skipped.saturating_add(other.skipped);
        for (mine, theirs) in self.sums.iter_mut().zip(&other.sums).chain(self.squares.iter_mut().zip(&other.squares)) {
            mine.merge(theirs);
        }
        Ok(())
    }

    /// Tokens behind the deviations.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokens left out because a value was NaN or infinite.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The (population) standard deviation of each dimension; `None` below two tokens, or if nothing varies.
    pub fn finish(&self) -> Option<Arc<[f64]>> {
        if self.tokens < 2 {
            return None;
        }
        let n = self.tokens as f64;
        let deviation = |(sum, square): (&ExactSum, &ExactSum)| {
            let sum = sum.value();
            let variance = (square.value() - sum * (sum / n)) / n;
            // What rounds below zero, or is no number, does not vary.
            variance.max(0.0).sqrt()
        };
        let std: Arc<[f64]> = self.sums.iter().zip(&self.squares).map(deviation).collect();
        Scale::new(Arc::clone(&std)).map(|_| std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_no_scale() {
        assert!(ScaleAccumulator::new(3).finish().is_none());
        assert!(ScaleAccumulator::new(0).add_row(&[]).is_err());
        let mut one = ScaleAccumulator::new(2);
        one.add_row(&[1.0, 2.0]).unwrap();
        assert!(one.finish().is_none(), "one token has no deviation");
        one.add_row(&[1.0, 2.0]).unwrap();
        assert!(one.finish().is_none(), "nothing varies");
        one.add_row(&[f32::NAN, 2.0]).unwrap();
        assert_eq!((one.tokens(), one.skipped()), (2, 1));
        assert!(one.add_row(&[1.0]).is_err());
        assert!(one.merge(&ScaleAccumulator::new(3)).is_err());
        assert!(Scale::new([1.0, f64::NAN].into()).is_none());
        assert!(Scale::new([0.0, 0.0].into()).is_none());
        assert!(Scale::new([].into()).is_none());
        assert!(Scale::new([1e-200].into()).is_none());
    }

    #[test]
    fn deviations_are_those_of_the_textbook_in_any_order() {
        // Column 0: 2 4 4 4 5 5 7 9 (deviation 2). Column 1: constant. Column 2: a rogue offset.
        let column = [2.0f32, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        let rows: Vec<[f32; 3]> = column.iter().map(|&x| [x, 5.0, 1000.0 + x]).collect();
        let mut forward = ScaleAccumulator::new(3);
        forward.add_row(rows.as_flattened()).unwrap();
        let mut backward = ScaleAccumulator::new(3);
        for row in rows.iter().rev() {
            let mut part = ScaleAccumulator::new(3);
            part.add_row(row).unwrap();
            part.merge(&backward).unwrap();
            backward = part;
        }
        assert_eq!(serde_json::to_string(&forward).unwrap(), serde_json::to_string(&backward).unwrap());
        let std = forward.finish().unwrap();
        assert_eq!((std[0], std[1], std[2]), (2.0, 0.0, 2.0));
        let scale = Scale::new(std).unwrap();
        assert_eq!((scale.weights()[0], scale.weights()[2]), (0.25, 0.25));
        assert!((scale.weights()[1] - 25.0).abs() < 1e-12, "the constant dimension gets a tenth of the median");
        let back: Scale = serde_json::from_str(&serde_json::to_string(&scale).unwrap()).unwrap();
        assert_eq!(back, scale);
        assert!(serde_json::from_str::<Scale>("[0]").is_err());
    }

    #[test]
    fn two_tokens_are_enough_and_widths_are_checked_on_both_sums() {
        let mut two = ScaleAccumulator::new(2);
        two.add_row(&[1.0, 2.0, 3.0, 2.0]).unwrap();
        assert_eq!(two.finish().unwrap()[..], [1.0, 0.0]);
        assert_eq!(two.skipped(), 0);
        let torn = ScaleAccumulator { squares: vec![ExactSum::new(); 3], ..ScaleAccumulator::new(2) };
        assert!(two.merge(&torn).is_err());
    }
}
