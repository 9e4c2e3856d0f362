//! Weight-level error: each float32 tensor against its twin in the candidate. No inference.

mod chance;
mod coherence;
mod compare;
mod equivalent;
mod fold;
mod groups;
mod identify;
mod method;
mod misplaced;
mod permuted;
mod permuted_blocks;
mod permuted_factors;
mod permuted_proof;
mod permuted_rows;
mod quantizer;
mod recipe;
mod reproduce;
mod row;
mod scale_law;
mod stored;
mod twin;
mod twin_findings;
mod twin_groups;
mod twin_row;
mod twin_set;

use crate::fault::Fault;

pub use compare::compare;
pub use equivalent::Equivalent;
pub use fold::scaled_original;
pub use groups::moved_by_codes;
pub use identify::findings;
pub use method::{Outputs, free_choices, judge_outputs, makers, other_quantizers};
pub use permuted::equivalents;
pub use row::{TensorRow, WeightTotals, WeightsReport};
pub use twin::twin;
pub use twin_findings::{Beyond, RowName, beyond_rounding};
pub use twin_row::{Method, Quantizer, TwinRow, TwinTotals};
pub use twin_set::twin_of;

/// Weights that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Twins of different shapes.
    #[error(
        "tensor `{tensor}`: {original} has shape {expected:?}, {candidate} has {found:?}; these are not the same model"
    )]
    Shape {
        /// The tensor.
        tensor: String,
        /// Where the float32 weights came from.
        original: String,
        /// Where the candidate's came from.
        candidate: String,
        /// The float32 shape.
        expected: Vec<usize>,
        /// The candidate's shape.
        found: Vec<usize>,
    },
    /// Not one name in common.
    #[error("{original} and {candidate} have no tensor name in common; there is nothing to compare")]
    Nothing {
        /// Where the float32 weights came from.
        original: String,
        /// Where the candidate's came from.
        candidate: String,
    },
}

impl WeightsError {
    /// The two sides are not comparable.
    pub fn fault(&self) -> Fault {
        Fault::Incomparable
    }
}

#[cfg(test)]
mod scale_law_tests;
#[cfg(test)]
mod twin_tests;
