//! Metrics: one pass over a pair of states, summaries that merge exactly.
//!
//! ```text
//! a token's two vectors ── fused ──▶ TokenSums ── formulas of METRICS ──▶ one f64 each
//!                                                    │
//!            TapAccumulator ◀── exact sum · histogram · worst place ──┘ ──▶ Measurement
//! ```
//!
//! The data are f32, everything computed from them is f64. A token's sums are added in a fixed order
//! that depends on nothing but its width, and across tokens only operations that know no order are
//! used: integer counts, exact sums ([`ExactSum`]), and maxima under a total order. So a summary is
//! the same to the byte however the tokens were batched, sharded or merged.
//!
//! NaN is never dropped: a token with a NaN or an infinity on either side is NaN in every metric, and a
//! distribution that holds one NaN has NaN for mean, min and max, so `observed <= limit` is false.
//!
//! To add a metric: one file with its formula, one row in [`METRICS`].

mod bits;
pub mod bootstrap;
mod cka;
pub mod correlation;
mod cosine_distance;
mod distribution;
mod error;
pub(crate) mod fused;
mod gathered;
mod histogram;
mod label_score;
mod limits;
mod max_abs;
mod measurement;
mod measurements;
mod mse;
mod non_finite;
mod norm_ratio;
pub mod ranking;
mod relative_l2;
mod scale;
mod sqnr_db;
mod standardized_l2;
mod sum;
mod summary;
mod worst;
mod worst_rows;
mod zero_vectors;

use crate::hidden_states::Tap;

pub use error::MetricsError;

pub use fused::TokenSums;
pub use histogram::{Histogram, QUANTILE_ERROR, STEPS};
pub use label_score::{DROP, LabelScore, PAIR_SCORES, SEARCH_SCORES, of_pairs, of_search};
pub use limits::{Limits, Loss};
pub use measurement::{Location, Measurement, Mode};
pub use measurements::Measurements;
pub use scale::{SCALE_FLOOR, Scale, ScaleAccumulator};
pub use sum::ExactSum;
pub use summary::{RowSeen, TapAccumulator};
pub use worst_rows::{WORST_ROWS, WorstRow, WorstRows};

/// Which way a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Smaller is better; 0 is perfect.
    Lower,
    /// Larger is better.
    Higher,
    /// 1 is perfect; a factor too much is as bad as the same factor too little.
    NearOne,
    /// Anything but 0 is a violation.
    Zero,
}

/// What a metric's summary holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value per token: every statistic exists.
    PerToken,
    /// One value for the whole tap, a ratio of sums: it is the `mean`, the other statistics do not exist.
    WholeTap,
    /// A total over the tap: it is both `mean` and `max`, quantiles do not exist.
    Count,
}

/// What a row adds: both sides `[tokens, hidden]` and the width, to three sums; none where the row is too short.
pub(crate) type RowSums = fn(&[f32], &[f32], usize) -> Option<[f64; 3]>;

/// How a metric is computed: from a token's sums, or from a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Formula {
    Token(fn(&TokenSums) -> f64),
    /// From Σr² and Σ(c−r)² over the whole tap.
    Whole(fn(f64, f64) -> f64),
    /// From sums that rows add to, each seen whole; a tap with one vector a row has none.
    Rows(RowSums, fn([f64; 3]) -> f64),
    Count(fn(&TokenSums) -> u64),
}

/// One row of [`METRICS`].
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in policies and reports.
    pub id: &'static str,
    /// Which way it improves.
    pub better: Better,
    /// What its summary holds.
    pub kind: Kind,
    /// One line for people.
    pub description: &'static str,
    /// True when it needs the reference's per-dimension standard deviations; not measured without.
    pub needs_scale: bool,
    /// What a limit on it has to know.
    pub limits: Limits,
    /// True when one element decides it: its worst place then has a dimension and a reference value.
    pub elementwise: bool,
    pub(crate) formula: Formula,
}

impl Metric {
    const fn new(id: &'static str, better: Better, formula: Formula, description: &'static str) -> Self {
        let kind = match formula {
            Formula::Token(_) => Kind::PerToken,
            Formula::Whole(_) | Formula::Rows(..) => Kind::WholeTap,
            Formula::Count(_) => Kind::Count,
        };
        let limits = Limits::new(match better {
            Better::Lower | Better::Zero => Loss::Error,
            Better::Higher => Loss::Share,
            Better::NearOne => Loss::FromOne,
        });
        Self { id, better, kind, description, needs_scale: false, elementwise: false, limits, formula }
    }

    const fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    const fn needs_scale(self) -> Self {
        Self { needs_scale: true, ..self }
    }

    const fn elementwise(self) -> Self {
        Self { elementwise: true, ..self }
    }

    /// False where it does not exist: what looks at the tokens of a row says nothing of one vector.
    pub fn is_measured_at(&self, tap: Tap) -> bool {
        !(matches!(self.formula, Formula::Rows(..)) && tap.is_sentence_level())
    }

    /// The metric called `id`.
    pub fn named(id: &str) -> Option<&'static Self> {
        METRICS.iter().find(|m| m.id == id)
    }
}

/// Relative losses below this are float32 noise: two engines differ by up to 1e-5 from each other.
const ENGINES: f64 = 2e-5;

/// Losses of alignment below this are float32 noise. Measured on the engine arm of the shipped model over 200 rows: at most
/// 3.4e-14; one model only, so that the limit is that of the cosine distance.
const ARRANGEMENT: f64 = 1e-9;

/// Every metric, in the order of the reports. A row is all there is to one. An all-zero output has a relative error of 1
/// (plain and standardized), 0 dB and a norm ratio of 0; a cosine distance of 0.5 is 60 degrees; a state turned around
/// has a relative error of 2.
pub const METRICS: &[Metric] = &[
    Metric::new("relative_l2", Better::Lower, Formula::Token(relative_l2::of), "|c-r| / |r|")
        .limits(Limits::new(Loss::Error).noise(ENGINES).max_up_to(1.0).largest_up_to(1.9).relative()),
    Metric::new(
        "standardized_l2",
        Better::Lower,
        Formula::Token(standardized_l2::of),
        "|c-r| / |r| after dividing each dimension by the reference's standard deviation at that tap",
    )
    .needs_scale()
    .limits(Limits::new(Loss::Error).noise(ENGINES).max_up_to(1.0).relative()),
    // Half the square of what two engines differ by.
    Metric::new("cosine_distance", Better::Lower, Formula::Token(cosine_distance::of), "1 - cos(c, r)")
        .limits(Limits::new(Loss::Error).noise(1e-9).max_up_to(0.5).relative()),
    Metric::new(
        "sqnr_db",
        Better::Higher,
        Formula::Whole(sqnr_db::of),
        "signal to quantization noise over the tap, 10 log10(sum r^2 / sum (c-r)^2)",
    )
    .limits(Limits::new(Loss::Decibels).noise(ENGINES).min_above(0.0)),
    Metric::new(
        "cka",
        Better::Higher,
        Formula::Rows(cka::of_row, cka::of),
        "linear centred kernel alignment of the tokens of a row",
    )
    .limits(Limits::share().noise(ARRANGEMENT)),
    Metric::new("max_abs", Better::Lower, Formula::Token(max_abs::of), "largest |c-r| of any element").elementwise(),
    Metric::new("mse", Better::Lower, Formula::Token(mse::of), "mean (c-r)^2"),
    // Mean lengths within a thousandth of 1 are right: honest error hardly moves them, in either direction (8-bit MiniLM:
    // 4e-4).
    Metric::new("norm_ratio", Better::NearOne, Formula::Token(norm_ratio::of), "|c| / |r|")
        .limits(Limits::new(Loss::FromOne).noise(1e-3).min_above(0.0)),
    Metric::new(
        "non_finite",
        Better::Zero,
        Formula::Count(non_finite::of),
        "NaN and infinite values on either side, in all",
    ),
    Metric::new(
        "zero_vectors",
        Better::Zero,
        Formula::Count(zero_vectors::of),
        "vectors that are all zero on either side: they have no direction, so no cosine",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_found() {
        for (i, m) in METRICS.iter().enumerate() {
            assert!(METRICS[i + 1..].iter().all(|other| other.id != m.id), "{}", m.id);
            assert_eq!(Metric::named(m.id).unwrap().id, m.id);
            assert!(!m.description.is_empty());
        }
        assert!(Metric::named("Relative_L2").is_none());
    }
}
