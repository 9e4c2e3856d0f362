//! `cosine_distance`: 1 − cos(c, r), in [0, 2].
//!
//! Computed as ½‖r/‖r‖ − c/‖c‖‖², which is the same number: `1 - cos` from a rounded cosine has no digit
//! left below 1e-16 and is often negative; this one is never negative and keeps nine digits at
//! 1e-14 (measured against Lagrange's identity, `tests/it/metrics_measure_what_they_say.rs`). A zero vector has no direction: NaN.

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> f64 {
    // Opposite vectors may round past 2. A NaN stays one.
    (0.5 * sums.unit_difference).clamp(0.0, 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_above_two_and_nan_stays() {
        let with = |unit_difference| of(&TokenSums { unit_difference, ..TokenSums::of(&[1.0], &[1.0], None) });
        assert_eq!([with(0.5), with(4.0), with(4.5)], [0.25, 2.0, 2.0]);
        assert!(with(f64::NAN).is_nan());
    }
}
