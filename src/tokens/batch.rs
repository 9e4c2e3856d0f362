//! Rows of token ids laid end to end.

use crate::hidden_states::RowId;

/// Some rows of token ids, laid end to end: no padding.
#[derive(Clone, Debug, Default)]
pub struct TokenBatch {
    ids: Vec<u32>,
    type_ids: Vec<u32>,
    offsets: Vec<usize>,
    rows: Vec<RowId>,
}

impl TokenBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    /// Appends a row. `type_ids` must be as long as `ids`; both end where the shorter ends.
    pub fn push(&mut self, row: RowId, ids: &[u32], type_ids: &[u32]) {
        let n = ids.len().min(type_ids.len());
        self.ids.extend_from_slice(&ids[..n]);
        self.type_ids.extend_from_slice(&type_ids[..n]);
        self.offsets.push(self.ids.len());
        self.rows.push(row);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Number of real tokens over all rows.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Tokens of the longest row.
    pub fn longest(&self) -> usize {
        (0..self.rows()).map(|r| self.len(r)).max().unwrap_or(0)
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tokens of row `r`.
    pub fn len(&self, r: usize) -> usize {
        self.offsets[r + 1] - self.offsets[r]
    }

    /// Identity of row `r`.
    pub fn row_id(&self, r: usize) -> RowId {
        self.rows[r]
    }

    /// Token ids of row `r`.
    pub fn ids(&self, r: usize) -> &[u32] {
        &self.ids[self.offsets[r]..self.offsets[r + 1]]
    }

    /// Token type ids of row `r`.
    pub fn type_ids(&self, r: usize) -> &[u32] {
        &self.type_ids[self.offsets[r]..self.offsets[r + 1]]
    }

    /// All ids, end to end; row `r` owns `offsets()[r]..offsets()[r+1]`.
    pub fn all_ids(&self) -> &[u32] {
        &self.ids
    }

    /// All token type ids, end to end.
    pub fn all_type_ids(&self) -> &[u32] {
        &self.type_ids
    }

    /// Row boundaries: `rows() + 1` token offsets, the first 0.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }
}
