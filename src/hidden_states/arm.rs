//! The comparisons of two runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One comparison of two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// Control against reference: our own encoder and the export.
    Engine,
    /// Candidate against control: what quantization did.
    Quantization,
    /// Candidate against reference.
    Total,
    /// Recording against candidate.
    Device,
    /// The candidate with its activations rounded to half precision, against itself in float32.
    Compute,
}

impl Arm {
    /// Every arm, as a report shows them.
    pub const ALL: &[Self] = &[Self::Engine, Self::Quantization, Self::Total, Self::Compute, Self::Device];

    /// Its name in policies and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Quantization => "quantization",
            Self::Total => "total",
            Self::Device => "device",
            Self::Compute => "compute",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
