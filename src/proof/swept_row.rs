//! Rows of a sweep, by number.

use crate::hidden_states::{RowId, RowSet};

/// Swept rows are numbered from here, behind every probe.
pub(crate) const FIRST: u64 = 1 << 40;

/// A row for messages.
pub(crate) fn shown_row(row: RowId) -> String {
    match row {
        RowId { set: RowSet::Probes, row } if row >= FIRST => match ((row - FIRST) >> 32, row as u32) {
            (0, row) => format!("row {} of the sweep's batch {} of random ids", (row & 0xffff) + 1, (row >> 16) + 1),
            (pass, row) => format!("row {} of the sweep's pass {pass} over all ids", row + 1),
        },
        other => other.to_string(),
    }
}
