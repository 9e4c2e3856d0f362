//! A group of codes beside the weights it was made of.

use crate::quantization::FloatType;

/// A group as the file holds it, and the original's weights.
pub(super) struct Stored<'a> {
    pub(super) weights: &'a [f32],
    pub(super) codes: &'a [u8],
    pub(super) scale: f64,
    pub(super) bias: f64,
    /// The largest code.
    pub(super) most: f64,
    pub(super) float: FloatType,
}

impl Stored<'_> {
    pub(super) fn unit(&self) -> f64 {
        self.float.unit_roundoff()
    }

    /// Largest error of rounding to a subnormal number.
    pub(super) fn smallest(&self) -> f64 {
        if self.float == FloatType::F16 { 0.5f64.powi(25) } else { 0.0 }
    }
}
