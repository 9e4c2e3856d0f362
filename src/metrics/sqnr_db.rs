//! `sqnr_db`: 10·log10(Σr² / Σ(c−r)²), the sums over every element of the tap.
//!
//! No error at all is +∞ dB; nothing on either side is NaN. libm's `log10` gives the same bits on every
//! platform, the standard library's does not promise to.

pub(super) fn of(reference: f64, difference: f64) -> f64 {
    10.0 * libm::log10(reference / difference)
}
