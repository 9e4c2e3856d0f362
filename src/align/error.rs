//! Two sides that do not speak of the same thing.

use std::fmt;

use crate::fault::Fault;
use crate::hidden_states::{RowId, Tap};

/// Which side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is compared with.
    Reference,
    /// What is compared.
    Candidate,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference => "reference",
            Self::Candidate => "candidate",
        })
    }
}

/// Hidden states that cannot be laid side by side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlignError {
    /// Nothing to compare.
    #[error("no tap to compare: both sides reported none")]
    NoTaps,
    /// Nothing to compare.
    #[error("no row to compare: the batch is empty")]
    NoRows,
    /// A tap only one side has.
    #[error("tap `{tap}` is missing on the {missing} side; compare only taps that both sides report")]
    MissingTap {
        /// The tap.
        tap: Tap,
        /// The side without it.
        missing: Side,
    },
    /// States for more or fewer rows than the batch has.
    #[error("{side} tap `{tap}`: {expected} rows expected, found {found}")]
    Rows {
        /// Which side.
        side: Side,
        /// Which tap.
        tap: Tap,
        /// Rows of the batch.
        expected: usize,
        /// Rows of the states.
        found: usize,
    },
    /// More or fewer states than the row has tokens (than one, at sentence level).
    #[error("{side} tap `{tap}`, {row}: {expected} states expected, found {found}")]
    Tokens {
        /// Which side.
        side: Side,
        /// Which tap.
        tap: Tap,
        /// Which row.
        row: RowId,
        /// States the row must have.
        expected: usize,
        /// States it has.
        found: usize,
    },
    /// The two sides' states have different widths.
    #[error("tap `{tap}`: states of width {reference} on the reference side, {candidate} on the candidate side")]
    Width {
        /// Which tap.
        tap: Tap,
        /// Width on the reference side.
        reference: usize,
        /// Width on the candidate side.
        candidate: usize,
    },
    /// Row `number` of a tap has other tokens on the two sides.
    #[error("row {number} of the batch: {found} states at {side} tap `{tap}`, {expected} at the other taps")]
    Uneven {
        /// Which side.
        side: Side,
        /// Which tap.
        tap: Tap,
        /// The row's number in the batch.
        number: usize,
        /// States of that row at the first tap.
        expected: usize,
        /// States found.
        found: usize,
    },
    /// Sentence vectors of different widths.
    #[error("{row}: sentence vector of width {expected} expected on the {side} side, found {found}")]
    SentenceWidth {
        /// Which row.
        row: RowId,
        /// Which side.
        side: Side,
        /// Width so far.
        expected: usize,
        /// Width found.
        found: usize,
    },
    /// Two accumulators over different taps or sizes.
    #[error("two {what} cannot be merged: {expected} against {found}")]
    Unmergeable {
        /// What they are.
        what: &'static str,
        /// The one merged into.
        expected: String,
        /// The one offered.
        found: String,
    },
}

impl AlignError {
    /// The class of this error: the two sides are not comparable.
    pub fn fault(&self) -> Fault {
        Fault::Incomparable
    }
}
