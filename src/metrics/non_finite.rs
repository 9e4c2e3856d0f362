//! `non_finite`: how many values are NaN or ±∞, on both sides together.

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> u64 {
    sums.non_finite
}
