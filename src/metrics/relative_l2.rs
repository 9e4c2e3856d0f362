//! `relative_l2`: ‖c−r‖₂ / ‖r‖₂.
//!
//! A zero reference with anything on the other side is infinitely wrong (+∞); two zero vectors have
//! no relative error at all (NaN, so that no limit is met) and are counted by `zero_vectors`.

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> f64 {
    sums.difference.sqrt() / sums.reference.sqrt()
}
