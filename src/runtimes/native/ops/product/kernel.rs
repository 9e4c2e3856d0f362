//! One tile of a product: some rows of the left side against some columns of one panel.
//!
//! Every element of the result is one chain of multiply-adds along the inner dimension, from zero and in
//! order, whatever tile it falls into: the same row gives the same bits alone, in any batch, on any number of
//! threads, and on every machine with fused multiply-adds (AVX-512, AVX2, NEON).

use rten_simd::Isa;
use rten_simd::ops::{BitOps, NumOps};

use super::{Line, PANEL, Rows, RowsMut, Transposed};

/// What an instruction set's registers hold: 24 sums of AVX-512's 32 and of NEON's, 12 of AVX2's 16; the rest is for
/// the right side and one element of the left. Constants, so that no other tile is compiled for it.
struct Registers<I>(std::marker::PhantomData<I>);

impl<I: Isa> Registers<I> {
    const LANES: usize = size_of::<I::F32>() / size_of::<f32>();
    const SUMS: usize = if Self::LANES == 16 || cfg!(target_arch = "aarch64") { 24 } else { 12 };
    /// Vectors of the widest tile: the nearer to a square, the fewer loads a multiplication costs.
    const VECTORS: usize = if Self::LANES == 8 { 2 } else { 4 };

    /// Rows of a tile that is so many vectors wide.
    const fn rows(vectors: usize) -> usize {
        let rows = Self::SUMS / vectors;
        if rows > 12 { 12 } else { rows }
    }
}

/// Multiplies all rows of `left` with one panel (`[inner, PANEL]`), of whose columns the first `columns` are real,
/// into columns `first..first + columns` of `out`, `below` rows down.
#[inline(always)]
pub(super) fn panel<I: Isa, L: Left>(isa: I, left: L, right: Panel<'_>, out: &mut RowsMut<'_>, below: usize) {
    let mut at = 0;
    while at < right.columns {
        let column = Column { left, below, right, at };
        at += match (right.columns - at).div_ceil(Registers::<I>::LANES) {
            1 => column.multiply::<I, 1>(isa, out),
            3.. if const { Registers::<I>::VECTORS == 4 } => column.multiply::<I, 4>(isa, out),
            _ => column.multiply::<I, 2>(isa, out),
        };
    }
}

/// A block of one panel of a right side.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// Block `block` of it, `[at most STAGE, PANEL]`.
    pub(super) values: &'a [Line],
    /// Which block of the inner dimension.
    pub(super) block: usize,
    /// What is added behind the last block: of the whole right side, in whole panels.
    pub(super) bias: Option<&'a [f32]>,
    /// The right side's column it begins at.
    pub(super) first: usize,
    /// Columns that are real.
    pub(super) columns: usize,
    /// How many lines on the next one begins, of those that are multiplied.
    pub(super) next: usize,
}

/// A left side, however it lies in memory.
pub(super) trait Left: Copy {
    /// R rows of one block.
    type Tile<const R: usize>: Copy;
    /// Element k of each of them.
    type Step<const R: usize>: Copy;
    /// Number of rows.
    fn height(&self) -> usize;
    /// Rows `row..row + R` of block `block`.
    fn tile<const R: usize>(&self, block: usize, row: usize) -> Self::Tile<R>;
    /// Goes to the block's inner element `k < STAGE`.
    fn step<const R: usize>(tile: Self::Tile<R>, k: usize) -> Self::Step<R>;
    /// That element of row `r < R`.
    fn element<const R: usize>(step: Self::Step<R>, r: usize) -> f32;
}

/// Inner elements multiplied at a time: so much of a panel (24 KiB) stays in a core's first-level cache while all rows
/// pass by it. The widths of common encoders are multiples of it.
pub(super) const STAGE: usize = 96;
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
    #[inline(always)]
    pub(super) fn new(left: Rows<'_>, from: usize, to: usize, memory: &'a mut Vec<[f32; STRIDE]>) -> Self {
        let rows = to - from;
        let blocks = left.columns.div_ceil(STAGE);
        if memory.len() < rows * blocks {
            memory.resize(rows * blocks, [0.0; STRIDE]);
        }
        for r in 0..rows {
            let (whole, rest) = left.row(from + r).as_chunks::<STAGE>();
            for (b, values) in whole.iter().enumerate() {
                // Of a length known to the compiler: no call for so little.
                if let Some(to) = memory[b * rows + r].first_chunk_mut() {
                    *to = *values;
                }
            }
            if !rest.is_empty() {
                memory[whole.len() * rows + r][..rest.len()].copy_from_slice(rest);
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
        (&self.0.values[block * STAGE * self.0.stride + row..], self.0.stride)
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

/// All rows by some vectors of a panel.
#[derive(Clone, Copy)]
struct Column<'a, L> {
    left: L,
    below: usize,
    right: Panel<'a>,
    at: usize,
}

impl<L: Left> Column<'_, L> {
    /// Tiles of nearly the same height: two of 8 keep the registers busier than 12 and 4. The last two fetch the next
    /// panel, half of it each: just in time, and without driving this one out of the first-level cache.
    /// Returns the number of columns.
    #[inline(always)]
    fn multiply<I: Isa, const V: usize>(self, isa: I, out: &mut RowsMut<'_>) -> usize {
        let tiles = self.left.height().div_ceil(Registers::<I>::rows(V)).max(1);
        let (height, higher) = (self.left.height() / tiles, self.left.height() % tiles);
        let width = V * Registers::<I>::LANES;
        let columns = (self.right.columns - self.at).min(width);
        let mut row = 0;
        for t in 0..tiles {
            let rows = height + usize::from(t < higher);
            let ahead = self.right.next.wrapping_mul(PANEL).wrapping_add(t % 2 * (PANEL / 2));
            let tile = Tile { left: self.left, row, right: self.right, at: self.at, ahead };
            let at = [self.below + row, self.right.first + self.at];
            if columns < width {
                tile.at_the_edge::<I, V>(isa, [rows, columns], out, at);
            } else if t + 2 >= tiles && self.at == 0 && const { V == Registers::<I>::VECTORS } {
                tile.rows::<I, V, true>(isa, rows, out, at);
            } else {
                tile.rows::<I, V, false>(isa, rows, out, at);
            }
            row += rows;
        }
        columns
    }
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Tile<'a, L> {
    left: L,
    row: usize,
    right: Panel<'a>,
    at: usize,
    /// How far off in the next panel is what is fetched.
    ahead: usize,
}

/// A loop up to a constant of at most 12, written out: an index the compiler does not know would keep what it points
/// to out of the registers.
macro_rules! unrolled {
    ($i:ident < $count:ident, $body:block) => {
        unrolled!($i, $count, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    ($i:ident, $count:ident, $body:block, $($n:literal)*) => {
        $(if const { $n < $count } {
            let $i: usize = $n;
            $body
        })*
    };
}

impl<L: Left> Tile<'_, L> {
    /// The tile with columns that are none of the product's: into memory of its own first.
    #[inline(always)]
    fn at_the_edge<I: Isa, const V: usize>(
        self,
        isa: I,
        [rows, columns]: [usize; 2],
        out: &mut RowsMut<'_>,
        [row, column]: [usize; 2],
    ) {
        let mut whole = [0.0; 12 * PANEL];
        if self.right.block > 0 {
            for (r, whole) in whole.chunks_exact_mut(PANEL).take(rows).enumerate() {
                whole[..columns].copy_from_slice(&out.row(row + r)[column..column + columns]);
            }
        }
        let mut into = RowsMut { values: &mut whole, rows, columns: PANEL, stride: PANEL };
        self.rows::<I, V, false>(isa, rows, &mut into, [0, 0]);
        for (r, whole) in whole.chunks_exact(PANEL).take(rows).enumerate() {
            out.row(row + r)[column..column + columns].copy_from_slice(&whole[..columns]);
        }
    }

    /// The tile with its height known to the compiler.
    #[inline(always)]
    fn rows<I: Isa, const V: usize, const AHEAD: bool>(
        self,
        isa: I,
        rows: usize,
        out: &mut RowsMut<'_>,
        at: [usize; 2],
    ) {
        match rows {
            1 => self.multiply::<I, 1, V, AHEAD>(isa, out, at),
            2 => self.multiply::<I, 2, V, AHEAD>(isa, out, at),
            3 => self.multiply::<I, 3, V, AHEAD>(isa, out, at),
            4 if const { Registers::<I>::rows(V) >= 6 } => self.multiply::<I, 4, V, AHEAD>(isa, out, at),
            5 if const { Registers::<I>::rows(V) >= 6 } => self.multiply::<I, 5, V, AHEAD>(isa, out, at),
            6 if const { Registers::<I>::rows(V) >= 6 } => self.multiply::<I, 6, V, AHEAD>(isa, out, at),
            7 if const { Registers::<I>::rows(V) >= 12 } => self.multiply::<I, 7, V, AHEAD>(isa, out, at),
            8 if const { Registers::<I>::rows(V) >= 12 } => self.multiply::<I, 8, V, AHEAD>(isa, out, at),
            9 if const { Registers::<I>::rows(V) >= 12 } => self.multiply::<I, 9, V, AHEAD>(isa, out, at),
            10 if const { Registers::<I>::rows(V) >= 12 } => self.multiply::<I, 10, V, AHEAD>(isa, out, at),
            11 if const { Registers::<I>::rows(V) >= 12 } => self.multiply::<I, 11, V, AHEAD>(isa, out, at),
            12 if const { Registers::<I>::rows(V) >= 12 } => self.multiply::<I, 12, V, AHEAD>(isa, out, at),
            _ => {}
        }
    }

    /// R rows by V vectors, all sums in registers, into rows from `row` and columns from `column` of `out`. No `unsafe`:
    /// lengths are known up front, so that the compiler sees that no index in the loop can be out of bounds.
    #[inline(always)]
    fn multiply<I: Isa, const R: usize, const V: usize, const AHEAD: bool>(
        self,
        isa: I,
        out: &mut RowsMut<'_>,
        [row, column]: [usize; 2],
    ) {
        let ops = isa.f32();
        let lanes = Registers::<I>::LANES;
        let (at, values) = (self.at, self.right.values);
        assert!(at + V * lanes <= PANEL && lanes == ops.len(), "a tile lies within its panel");
        let tile = self.left.tile::<R>(self.right.block, self.row);
        let mut sums = [[ops.zero(); V]; R];
        if self.right.block > 0 {
            // What the blocks before have added up.
            unrolled!(r < R, {
                let out = &out.row(row + r)[column..column + V * lanes];
                unrolled!(v < V, { sums[r][v] = ops.load(&out[v * lanes..]) });
            });
        }
        #[allow(clippy::needless_range_loop, reason = "a plain index is what the compiler sees to be in bounds")]
        for k in 0..values.len().min(STAGE) {
            let line = &values[k].0;
            let mut b = [ops.zero(); V];
            unrolled!(v < V, { b[v] = ops.load(&line[at + v * lanes..]) });
            if AHEAD {
                let next = line.as_ptr().wrapping_add(self.ahead);
                for line in 0..PANEL / 32 {
                    ops.prefetch(next.wrapping_add(line * 16));
                }
            }
            let a = L::step(tile, k);
            unrolled!(r < R, {
                let x = ops.splat(L::element(a, r));
                unrolled!(v < V, { sums[r][v] = ops.mul_add(x, b[v], sums[r][v]) });
            });
        }
        if let Some(bias) = self.right.bias {
            let bias = &bias[self.right.first + at..][..V * lanes];
            unrolled!(v < V, {
                let bias = ops.load(&bias[v * lanes..]);
                unrolled!(r < R, { sums[r][v] = ops.add(sums[r][v], bias) });
            });
        }
        unrolled!(r < R, {
            let out = &mut out.row(row + r)[column..column + V * lanes];
            unrolled!(v < V, { ops.store(sums[r][v], &mut out[v * lanes..]) });
        });
    }
}
