//! Left sides, however they lie in memory.

use super::{Rows, Transposed};
use crate::panels::PANEL;

/// A left side.
pub(super) trait Left: Copy {
    /// R rows of one block.
    type Tile<const R: usize>: Copy;
    /// Element k of each of them.
    type Step<const R: usize>: Copy;
    /// Number of rows.
    fn height(&self) -> usize;
    /// Rows `row..row + R` of block `block`.
    fn tile<const R: usize>(&self, block: usize, row: usize) -> Self::Tile<R>;
    /// Goes to the block's inner element `k < BLOCK`.
    fn step<const R: usize>(tile: Self::Tile<R>, k: usize) -> Self::Step<R>;
    /// That element of row `r < R`.
    fn element<const R: usize>(step: Self::Step<R>, r: usize) -> f32;
}

/// Inner elements of a block. The widths of common encoders are multiples of it.
pub(super) const BLOCK: usize = 384;
/// Distance of neighbouring rows: a constant, so that one register addresses all rows of a tile, and no multiple of
/// the cache's own, so that they do not crowd in one of its sets.
pub(super) const STRIDE: usize = BLOCK + 16;

/// Rows copied to where the kernel reads them best: block by block of [`BLOCK`] inner elements, `[rows, STRIDE]` each.
#[derive(Clone, Copy)]
pub(super) struct Staged<'a> {
    values: &'a [[f32; STRIDE]],
    rows: usize,
}

impl<'a> Staged<'a> {
    /// Copies rows `from..to` of `left` into `memory`.
    #[inline(always)]
    pub(super) fn new(left: Rows<'_>, from: usize, to: usize, memory: &'a mut Vec<[f32; STRIDE]>) -> Self {
        let rows = to - from;
        let blocks = left.columns.div_ceil(BLOCK);
        if memory.len() < rows * blocks {
            memory.resize(rows * blocks, [0.0; STRIDE]);
        }
        for r in 0..rows {
            let (whole, rest) = left.row(from + r).as_chunks::<BLOCK>();
            for (b, values) in whole.iter().enumerate() {
                // Of a length known to the compiler: no call for so little.
                if let Some(to) = memory[b * rows + r].first_chunk_mut() {
                    *to = *values;
                }
            }
            if !rest.is_empty() {
                let (pieces, few) = rest.as_chunks::<PANEL>();
                let to = memory[whole.len() * rows + r][..rest.len()].as_chunks_mut::<PANEL>();
                to.0.iter_mut().zip(pieces).for_each(|(to, from)| *to = *from);
                to.1.copy_from_slice(few);
            }
        }
        Self { values: &memory[..rows * blocks], rows }
    }
}

impl<'a> Left for Staged<'a> {
    type Tile<const R: usize> = &'a [[f32; STRIDE]; R];
    type Step<const R: usize> = (&'a [[f32; STRIDE]; R], usize);

    #[inline(always)]
    fn height(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn tile<const R: usize>(&self, block: usize, row: usize) -> Self::Tile<R> {
        self.values[block * self.rows + row..].first_chunk().unwrap_or(&[[f32::NAN; STRIDE]; R])
    }

    #[inline(always)]
    fn step<const R: usize>(tile: Self::Tile<R>, k: usize) -> Self::Step<R> {
        (tile, k)
    }

    #[inline(always)]
    fn element<const R: usize>((tile, k): Self::Step<R>, r: usize) -> f32 {
        tile[r][k]
    }
}

impl<'a> Left for Transposed<'a> {
    type Tile<const R: usize> = (&'a [f32], usize);
    type Step<const R: usize> = &'a [f32; R];

    #[inline(always)]
    fn height(&self) -> usize {
        self.0.columns
    }

    #[inline(always)]
    fn tile<const R: usize>(&self, block: usize, row: usize) -> Self::Tile<R> {
        (&self.0.values[block * BLOCK * self.0.stride + row..], self.0.stride)
    }

    #[inline(always)]
    fn step<const R: usize>((values, stride): Self::Tile<R>, k: usize) -> Self::Step<R> {
        values[k * stride..].first_chunk().unwrap_or(&[f32::NAN; R])
    }

    #[inline(always)]
    fn element<const R: usize>(step: Self::Step<R>, r: usize) -> f32 {
        step[r]
    }
}
