//! `cosine_distance`: 1 − cos(c, r), in [0, 2].
//!
//! Computed as ½‖r/‖r‖ − c/‖c‖‖², which is the same number: `1 - cos` from a rounded cosine has no digit
//! left below 1e-16 and is often negative; this one is never negative and keeps nine digits at
//! 1e-14 (measured against Lagrange's identity, `tests/metrics_measure_what_they_say.rs`). A zero vector has no direction: NaN.

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> f64 {
    let distance = 0.5 * sums.unit_difference;
    // Opposite vectors may round past 2. A NaN fails the comparison and stays.
    if distance > 2.0 { 2.0 } else { distance }
}
