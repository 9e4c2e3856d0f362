//! One tile of a product: some rows of the left side against some columns of one panel.
//!
//! Every element of the result is one chain of multiply-adds along the inner dimension, from zero and in
//! order, whatever tile it falls into: the same row gives the same bits alone, in any batch, on any number of
//! threads, and on every machine with fused multiply-adds (AVX-512, AVX2, NEON).

use rten_simd::Isa;
use rten_simd::ops::{BitOps, NumOps};

use super::{PANEL, Rows, RowsMut, Transposed};

/// The largest tile that an instruction set's registers hold: 24 sums of AVX-512's 32 registers, 12 of AVX2's 16, 24
/// of NEON's 32; the rest is for the right side and one element of the left. Constants, so that no other tile is
/// compiled for it.
struct Registers<I>(std::marker::PhantomData<I>);

impl<I: Isa> Registers<I> {
    const LANES: usize = size_of::<I::F32>() / size_of::<f32>();
    const ROWS: usize = match Self::LANES {
        16 => 12,
        8 => 6,
        _ if cfg!(target_arch = "aarch64") => 6,
        _ => 3,
    };
    const VECTORS: usize = if Self::LANES >= 8 { 2 } else { 4 };
}

/// Multiplies all rows of `left` with one panel (`[inner, PANEL]`), of whose columns the first `columns` are real,
/// into columns `first..first + columns` of `out`, `below` rows down.
#[inline(always)]
pub(super) fn panel<I: Isa, L: Left>(isa: I, left: L, right: Panel<'_>, out: &mut RowsMut<'_>, below: usize) {
    let lanes = Registers::<I>::LANES;
    // Tiles of nearly the same height: two of 8 keep the registers busier than 12 and 4.
    let tiles = left.height().div_ceil(Registers::<I>::ROWS).max(1);
    let (height, higher) = (left.height() / tiles, left.height() % tiles);
    let mut at = 0;
    while at < right.columns {
        let wide = right.columns - at > lanes;
        let width = if wide { Registers::<I>::VECTORS * lanes } else { lanes };
        let mut row = 0;
        for t in 0..tiles {
            let rows = height + usize::from(t < higher);
            let tile = Tile { left, row, below, right, at, columns: (right.columns - at).min(width) };
            if !wide {
                tile.rows::<I, 1>(isa, rows, out);
            } else if const { Registers::<I>::VECTORS == 2 } {
                tile.rows::<I, 2>(isa, rows, out);
            } else {
                tile.rows::<I, 4>(isa, rows, out);
            }
            row += rows;
        }
        at += width;
    }
}

/// A block of one panel of a right side.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// Block `block` of it, `[at most L::BLOCK, PANEL]`.
    pub(super) values: &'a [[f32; PANEL]],
    /// Which block of the inner dimension.
    pub(super) block: usize,
    /// What is added behind the last block: of the whole right side, in whole panels.
    pub(super) bias: Option<&'a [f32]>,
    /// The right side's column it begins at.
    pub(super) first: usize,
    /// Columns that are real.
    pub(super) columns: usize,
}

/// A left side, however it lies in memory.
pub(super) trait Left: Copy {
    /// R rows of one block.
    type Tile<const R: usize>: Copy;
    /// Element k of each of them.
    type Step<const R: usize>: Copy;
    /// Most inner elements of a block.
    const BLOCK: usize;
    /// Number of rows.
    fn height(&self) -> usize;
    /// Rows `row..row + R` of block `block`.
    fn tile<const R: usize>(&self, block: usize, row: usize) -> Self::Tile<R>;
    /// Goes to the block's inner element `k < BLOCK`.
    fn step<const R: usize>(tile: Self::Tile<R>, k: usize) -> Self::Step<R>;
    /// That element of row `r < R`.
    fn element<const R: usize>(step: Self::Step<R>, r: usize) -> f32;
}

/// Inner elements multiplied at a time: so much of a panel (24 KiB) stays in a core's first-level cache while all rows
/// pass by it. The widths of common encoders are multiples of it.
pub(super) const STAGE: usize = 192;
/// Distance of neighbouring rows: a constant, so that one register addresses all rows of a tile, and no multiple of
/// the cache's own, so that they do not crowd in one of its sets.
pub(super) const STRIDE: usize = STAGE + 16;

/// Rows copied to where the kernel reads them best: block by block of [`STAGE`] inner elements, `[rows, STRIDE]` each.
#[derive(Clone, Copy)]
pub(super) struct Staged<'a> {
    values: &'a [[f32; STRIDE]],
    rows: usize,
}

impl<'a> Staged<'a> {
    /// Copies rows `from..to` of `left` into `memory`.
    pub(super) fn new(left: Rows<'_>, from: usize, to: usize, memory: &'a mut Vec<[f32; STRIDE]>) -> Self {
        let rows = to - from;
        let blocks = left.columns.div_ceil(STAGE);
        if memory.len() < rows * blocks {
            memory.resize(rows * blocks, [0.0; STRIDE]);
        }
        for r in 0..rows {
            for (b, values) in left.row(from + r).chunks(STAGE).enumerate() {
                memory[b * rows + r][..values.len()].copy_from_slice(values);
            }
        }
        Self { values: &memory[..rows * blocks], rows }
    }
}

impl<'a> Left for Staged<'a> {
    type Tile<const R: usize> = &'a [[f32; STRIDE]; R];
    type Step<const R: usize> = (&'a [[f32; STRIDE]; R], usize);
    const BLOCK: usize = STAGE;

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
    const BLOCK: usize = usize::MAX;

    #[inline(always)]
    fn height(&self) -> usize {
        self.0.columns
    }

    #[inline(always)]
    fn tile<const R: usize>(&self, _: usize, row: usize) -> Self::Tile<R> {
        (&self.0.values[row..], self.0.stride)
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

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Tile<'a, L> {
    left: L,
    row: usize,
    below: usize,
    right: Panel<'a>,
    at: usize,
    columns: usize,
}

impl<L: Left> Tile<'_, L> {
    /// The tile with its height known to the compiler.
    #[inline(always)]
    fn rows<I: Isa, const V: usize>(self, isa: I, rows: usize, out: &mut RowsMut<'_>) {
        match rows {
            1 => self.multiply::<I, 1, V>(isa, out),
            2 => self.multiply::<I, 2, V>(isa, out),
            3 => self.multiply::<I, 3, V>(isa, out),
            4 if const { Registers::<I>::ROWS >= 6 } => self.multiply::<I, 4, V>(isa, out),
            5 if const { Registers::<I>::ROWS >= 6 } => self.multiply::<I, 5, V>(isa, out),
            6 if const { Registers::<I>::ROWS >= 6 } => self.multiply::<I, 6, V>(isa, out),
            7 if const { Registers::<I>::ROWS >= 12 } => self.multiply::<I, 7, V>(isa, out),
            8 if const { Registers::<I>::ROWS >= 12 } => self.multiply::<I, 8, V>(isa, out),
            9 if const { Registers::<I>::ROWS >= 12 } => self.multiply::<I, 9, V>(isa, out),
            10 if const { Registers::<I>::ROWS >= 12 } => self.multiply::<I, 10, V>(isa, out),
            11 if const { Registers::<I>::ROWS >= 12 } => self.multiply::<I, 11, V>(isa, out),
            12 if const { Registers::<I>::ROWS >= 12 } => self.multiply::<I, 12, V>(isa, out),
            _ => {}
        }
    }

    /// R rows by V vectors, all sums in registers. No `unsafe`: lengths are known up front, so that the compiler sees
    /// that no index in the loop can be out of bounds.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "plain indices are what the compiler unrolls")]
    fn multiply<I: Isa, const R: usize, const V: usize>(self, isa: I, out: &mut RowsMut<'_>) {
        let ops = isa.f32();
        let lanes = ops.len();
        let right = self.right;
        assert!(self.at + V * lanes <= PANEL, "a tile lies within its panel");
        let from = right.first + self.at;
        let whole = self.columns == V * lanes;
        let tile = self.left.tile::<R>(right.block, self.row);
        let mut sums = [[ops.zero(); V]; R];
        if right.block > 0 {
            // What the blocks before have added up.
            for r in 0..R {
                let out = &out.row(self.below + self.row + r)[from..from + self.columns];
                let mut padded = [0.0; PANEL];
                if !whole {
                    padded[..self.columns].copy_from_slice(out);
                }
                for v in 0..V {
                    sums[r][v] = ops.load(if whole { &out[v * lanes..] } else { &padded[v * lanes..] });
                }
            }
        }
        let values = right.values;
        for k in 0..values.len().min(L::BLOCK) {
            let mut b = [ops.zero(); V];
            for v in 0..V {
                b[v] = ops.load(&values[k][self.at + v * lanes..]);
            }
            let a = L::step(tile, k);
            for r in 0..R {
                let x = ops.splat(L::element(a, r));
                for v in 0..V {
                    sums[r][v] = ops.mul_add(x, b[v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            let out = &mut out.row(self.below + self.row + r)[from..from + self.columns];
            let mut padded = [0.0; PANEL];
            for v in 0..V {
                let mut sum = sums[r][v];
                if let Some(bias) = right.bias {
                    sum = ops.add(sum, ops.load(&bias[from + v * lanes..]));
                }
                if whole {
                    ops.store(sum, &mut out[v * lanes..]);
                } else {
                    ops.store(sum, &mut padded[v * lanes..]);
                }
            }
            if !whole {
                out.copy_from_slice(&padded[..self.columns]);
            }
        }
    }
}
