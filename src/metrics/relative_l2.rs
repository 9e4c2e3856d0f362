//! `relative_l2`: ‖c−r‖₂ / ‖r‖₂.
//!
//! A zero reference with anything on the other side is infinitely wrong (+∞); two zero vectors have
//! no relative error at all (NaN, so that no limit is met) and are counted by `zero_vectors`.

use super::TokenSums;

impl TokenSums {
    /// This token's relative L2.
    pub fn relative_l2(&self) -> f64 {
        of(self)
    }
}

pub(super) fn of(sums: &TokenSums) -> f64 {
    sums.difference.sqrt() / sums.reference.sqrt()
}
