//! What makes two buffers or two summaries impossible to measure together.

use crate::fault::Fault;
use crate::hidden_states::{Arm, RowId, Tap};

/// A pair of states, or of summaries, that do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// The two sides hold different numbers of values.
    #[error("{arm} arm, tap `{tap}`, {row}: {reference} values on the reference side, {candidate} on the other")]
    Length {
        /// Where.
        tap: Tap,
        /// Which comparison.
        arm: Arm,
        /// Which row.
        row: RowId,
        /// Values on the reference side.
        reference: usize,
        /// Values on the other side.
        candidate: usize,
    },
    /// A buffer that is no whole number of states.
    #[error("{arm} arm, tap `{tap}`, {row}: {values} values are no whole number of states of width {hidden}")]
    Ragged {
        /// Where.
        tap: Tap,
        /// Which comparison.
        arm: Arm,
        /// Which row.
        row: RowId,
        /// Values found.
        values: usize,
        /// Width of one state.
        hidden: usize,
    },
    /// A state of another width than the ones before it (or than the scale).
    #[error("{arm} arm, tap `{tap}`: states of width {expected} expected, found {found}")]
    Width {
        /// Where.
        tap: Tap,
        /// Which comparison.
        arm: Arm,
        /// Width so far.
        expected: usize,
        /// Width now.
        found: usize,
    },
    /// A sentence-level tap with more or fewer than one vector for a row.
    #[error("{arm} arm, tap `{tap}`, {row}: one vector expected, found {found}")]
    NotOneVector {
        /// Where.
        tap: Tap,
        /// Which comparison.
        arm: Arm,
        /// Which row.
        row: RowId,
        /// Vectors found.
        found: usize,
    },
    /// Two summaries of different things.
    #[error("a summary of {found} cannot be merged into one of {expected}: they differ in {what}")]
    Unmergeable {
        /// The summary merged into.
        expected: String,
        /// The summary offered.
        found: String,
        /// In what they differ.
        what: &'static str,
    },
    /// States of another width than the scale's.
    #[error("a scale over {expected} dimensions was given {found} values, which is no whole number of states")]
    ScaleWidth {
        /// Dimensions of the scale.
        expected: usize,
        /// Values (or dimensions) offered.
        found: usize,
    },
}

impl MetricsError {
    /// The class of this error: the two sides are not comparable.
    pub fn fault(&self) -> Fault {
        Fault::Incomparable
    }
}
