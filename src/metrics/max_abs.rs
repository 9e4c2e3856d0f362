//! `max_abs`: max |c−r| over a token's dimensions. Says little without the reference value there,
//! which its worst place carries: outlier dimensions of 30 to 100 are normal.

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> f64 {
    sums.max_abs
}
