//! `norm_ratio`: ‖c‖₂ / ‖r‖₂. Shows a scale error that a later normalisation (and cosine) hides. Zero
//! references as in `relative_l2`.

use super::TokenSums;

pub(super) fn of(sums: &TokenSums) -> f64 {
    sums.candidate.sqrt() / sums.reference.sqrt()
}
