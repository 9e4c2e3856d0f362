//! `zero_vectors`: how many of a token's two vectors are all zero (0, 1 or 2).

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> u64 {
    u64::from(sums.reference == 0.0) + u64::from(sums.candidate == 0.0)
}
