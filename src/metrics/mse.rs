//! `mse`: mean (c−r)² over a token's dimensions. All tokens of a tap have the same width, so the mean of
//! these is the mean over the tap.

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> f64 {
    sums.difference / sums.dimensions as f64
}
