//! Learned embeddings of words, positions and token types.

use std::ops::Range;

use super::super::buffer::Buffer;
use super::super::model::Limits;
use super::super::ops::{Compute, LayerNorm, PackedLinear, ProductError};
use super::super::parameters::Table;
use crate::tokens::TokenBatch;

/// Which row of the position table a token looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::native) enum Positions {
    /// Its place in its row, from 0.
    FromZero,
    /// Tokens that are no padding are counted from the padding id on, exclusively; padding within a row looks up the
    /// padding id itself (fairseq `make_positions`, transformers `create_position_ids_from_input_ids`).
    AfterPadding(u32),
}

impl Positions {
    /// Rows of the table that no token of a row without padding looks up.
    pub(in crate::runtimes::native) fn reserved(self) -> usize {
        match self {
            Self::FromZero => 0,
            Self::AfterPadding(id) => id as usize + 1,
        }
    }

    /// The rows looked up for these ids.
    fn of(self, ids: &[u32]) -> impl Iterator<Item = usize> {
        let mut counted = 0;
        ids.iter().enumerate().map(move |(place, id)| match self {
            Self::FromZero => place,
            Self::AfterPadding(padding) if *id == padding => padding as usize,
            Self::AfterPadding(padding) => {
                counted += 1;
                padding as usize + counted
            }
        })
    }
}

/// norm(word + type + position), then a projection where the tables are narrower than the states.
pub(in crate::runtimes::native) struct LearnedEmbeddings {
    pub(in crate::runtimes::native) word: Table,               // [vocab, width]
    pub(in crate::runtimes::native) token_type: Option<Table>, // [types, width]
    pub(in crate::runtimes::native) position: Option<(Table, Positions)>, // [positions, width]
    pub(in crate::runtimes::native) norm: LayerNorm,
    pub(in crate::runtimes::native) projection: Option<PackedLinear>, // [width] to [hidden]
    pub(in crate::runtimes::native) width: usize,
}

impl LearnedEmbeddings {
    /// What `batch` may hold, given the table sizes.
    pub(in crate::runtimes::native) fn limits(&self, hidden: usize, layers: usize, positions: usize) -> Limits {
        let reserved = self.position.as_ref().map_or(0, |(_, rule)| rule.reserved());
        Limits {
            hidden,
            layers,
            vocab: self.word.rows(),
            positions: positions.saturating_sub(reserved),
            types: self.token_type.as_ref().map(Table::rows),
            final_norm: false,
        }
    }

    /// Ids of some of a batch's rows, within the limits, into `out`: `[tokens, hidden]`.
    pub(in crate::runtimes::native) fn apply(
        &self,
        batch: &TokenBatch,
        rows: Range<usize>,
        compute: Compute,
        memory: &mut Buffer,
        out: &mut [f32],
    ) -> Result<(), ProductError> {
        let tokens = batch.offsets()[rows.end] - batch.offsets()[rows.start];
        match &self.projection {
            None => self.sum(batch, rows, compute, out),
            Some(projection) => {
                let narrow = memory.of(tokens * self.width); // [tokens, width]
                self.sum(batch, rows, compute, narrow);
                projection.apply(narrow, out)?;
                compute.round(out);
            }
        }
        Ok(())
    }

    fn sum(&self, batch: &TokenBatch, rows: Range<usize>, compute: Compute, out: &mut [f32]) {
        let mut states = out.chunks_exact_mut(self.width);
        for r in rows {
            let rule = self.position.as_ref().map_or(Positions::FromZero, |(_, rule)| *rule);
            let tokens = batch.ids(r).iter().zip(batch.type_ids(r)).zip(rule.of(batch.ids(r)));
            for (((id, type_id), position), state) in tokens.zip(&mut states) {
                state.copy_from_slice(self.word.row(*id as usize));
                // In the order of transformers: it decides how the sum is rounded.
                let types = self.token_type.as_ref().map(|table| table.row(*type_id as usize));
                let positions = self.position.as_ref().map(|(table, _)| table.row(position));
                for added in [types, positions].into_iter().flatten() {
                    state.iter_mut().zip(added).for_each(|(x, a)| *x += a);
                    compute.round(state);
                }
            }
        }
        self.norm.apply(out);
        compute.round(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_begin_behind_the_padding_id_and_padding_is_not_counted() {
        let rows = |rule: Positions, ids: &[u32]| rule.of(ids).collect::<Vec<_>>();
        assert_eq!(rows(Positions::FromZero, &[9, 1, 9]), [0, 1, 2]);
        assert_eq!(rows(Positions::AfterPadding(1), &[9, 8, 9]), [2, 3, 4]);
        assert_eq!(rows(Positions::AfterPadding(1), &[9, 1, 9]), [2, 1, 3]);
        assert_eq!((Positions::FromZero.reserved(), Positions::AfterPadding(1).reserved()), (0, 2));
    }
}
