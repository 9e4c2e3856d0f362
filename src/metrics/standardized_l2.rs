//! `standardized_l2`: ‖(c−r)/σ‖₂ / ‖r/σ‖₂, σ the reference's standard deviation of each dimension.
//!
//! A few rogue dimensions carry most of a BERT's energy and hide error in all others from plain L2 and
//! cosine; standardisation repairs that (Timkey & van Schijndel 2021, arXiv 2109.04404). Zero
//! references as in `relative_l2`.

use super::TokenSums;

/// NaN without a scale; the metric is left out of the summary then.
pub(super) fn of(sums: &TokenSums) -> f64 {
    sums.standardized_difference.sqrt() / sums.standardized_reference.sqrt()
}
