//! One tile of a product: some rows of the left side against some columns of the right one.
//!
//! Every element of the result is one chain of multiply-adds along the inner dimension, from zero and in
//! order, whatever tile it falls into: the same row gives the same bits alone, in any batch, on any number of
//! threads, and on every machine with fused multiply-adds (AVX-512, AVX2, NEON).

use rten_simd::Isa;
use rten_simd::ops::{BitOps, NumOps};

use super::RowsMut;
use super::staged::{BLOCK, Left};
use crate::panels::{Line, PANEL};

/// What an instruction set's registers hold: 24 sums of AVX-512's 32 and of NEON's, 12 of AVX2's 16; the rest is for
/// the right side and one element of the left. Constants, so that no other tile is compiled for it.
struct Registers<I>(std::marker::PhantomData<I>);

impl<I: Isa> Registers<I> {
    const LANES: usize = size_of::<I::F32>() / size_of::<f32>();
    const SUMS: usize = if Self::LANES == 16 || cfg!(target_arch = "aarch64") { 24 } else { 12 };
    /// Vectors of the widest tile: the nearer to a square, the fewer loads a multiplication costs.
    const VECTORS: usize = if Self::LANES == 8 { 2 } else { 4 };
    /// Inner elements multiplied at a time: so much of what a tile reads of the right side (24 KiB) stays in a core's
    /// first-level cache while all rows pass by it.
    const DEPTH: usize = BLOCK * PANEL / (Self::VECTORS * Self::LANES);

    /// Rows of a tile that is so many vectors wide.
    const fn rows(vectors: usize) -> usize {
        let rows = Self::SUMS / vectors;
        if rows > 12 { 12 } else { rows }
    }

    /// Vectors of a tile where so many columns are left: all it reads are of panels that are there.
    const fn vectors(columns: usize) -> usize {
        let left = columns.div_ceil(Self::LANES);
        match left {
            1 => 1,
            3 if Self::LANES >= PANEL => 2,
            3.. if Self::VECTORS == 4 => 4,
            _ => 2,
        }
    }
}

/// Inner elements of a [`Span`], at most.
pub(super) const fn depth<I: Isa>() -> usize {
    Registers::<I>::DEPTH
}

/// Columns of the strip where so many are left.
#[inline(always)]
pub(super) fn width<I: Isa>(columns: usize) -> usize {
    Registers::<I>::vectors(columns) * Registers::<I>::LANES
}

/// Some of the inner dimension: elements `from..from + len` of block `block`.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) block: usize,
    pub(super) from: usize,
    pub(super) len: usize,
}

/// So many columns of a right side as a tile is wide, and the rest of them.
#[derive(Clone, Copy)]
pub(super) struct Strip<'a> {
    /// The whole right side's panels.
    pub(super) lines: &'a [Line],
    /// Length of its columns.
    pub(super) inner: usize,
    /// Where the strip begins; a panel begins there, too.
    pub(super) column: usize,
    /// Columns from there on.
    pub(super) columns: usize,
    pub(super) span: Span,
    /// Nothing is added behind this span.
    pub(super) last: bool,
    /// How many lines on the next strip begins, of those that are multiplied.
    pub(super) next: usize,
}

/// Where a right side's part of the result lies.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// First row.
    pub(super) below: usize,
    /// First column.
    pub(super) first: usize,
    /// What is added behind the last span: for all columns of the result, and some more.
    pub(super) bias: Option<&'a [f32]>,
}

/// Multiplies all rows of `left` with one strip.
#[inline(always)]
pub(super) fn strip<I: Isa, L: Left>(isa: I, left: L, right: Strip<'_>, at: Part<'_>, out: &mut RowsMut<'_>) {
    let column = Column { left, right, at };
    match Registers::<I>::vectors(right.columns) {
        1 => column.multiply::<I, 1>(isa, out),
        4 if const { Registers::<I>::VECTORS == 4 } => column.multiply::<I, 4>(isa, out),
        _ => column.multiply::<I, 2>(isa, out),
    }
}

/// All rows by some vectors.
#[derive(Clone, Copy)]
struct Column<'a, L> {
    left: L,
    right: Strip<'a>,
    at: Part<'a>,
}

impl<L: Left> Column<'_, L> {
    /// Tiles of nearly the same height: two of 8 keep the registers busier than 12 and 4. The last few fetch the
    /// next strip, each a part of it: evenly, so that memory works while the registers do, and late, so that this one is
    /// not driven out of the first-level cache.
    #[inline(always)]
    fn multiply<I: Isa, const V: usize>(self, isa: I, out: &mut RowsMut<'_>) {
        let tiles = self.left.height().div_ceil(Registers::<I>::rows(V)).max(1);
        let (height, higher) = (self.left.height() / tiles, self.left.height() % tiles);
        let width = V * Registers::<I>::LANES;
        let columns = self.right.columns.min(width);
        let parts = tiles.min(FETCHING);
        let mut row = 0;
        for t in 0..tiles {
            let rows = height + usize::from(t < higher);
            let fetch = (t + parts).checked_sub(tiles).map(|part| Fetch { part, share: 256 / parts });
            let tile = Tile { left: self.left, row, right: self.right, at: self.at, fetch };
            let at = [self.at.below + row, self.at.first + self.right.column];
            if columns < width {
                tile.at_the_edge::<I, V>(isa, [rows, columns], out, at);
            } else if fetch.is_some() && const { V == Registers::<I>::VECTORS } {
                tile.rows::<I, V, true>(isa, rows, out, at);
            } else {
                tile.rows::<I, V, false>(isa, rows, out, at);
            }
            row += rows;
        }
    }
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Tile<'a, L> {
    left: L,
    row: usize,
    right: Strip<'a>,
    at: Part<'a>,
    /// What is fetched meanwhile.
    fetch: Option<Fetch>,
}

/// Tiles that fetch the next strip. Four do as well; with one, weights that come from memory are multiplied 2 to 19 %
/// slower (16 to 256 rows, interleaved runs).
const FETCHING: usize = 8;

/// Part `part` of the next strip, of parts of so many 256ths.
#[derive(Clone, Copy, Default)]
struct Fetch {
    part: usize,
    share: usize,
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

/// Columns of the widest tile there is.
const WIDEST: usize = 64;

impl Strip<'_> {
    /// Something has been added up before.
    fn adds(&self) -> bool {
        self.span.block > 0 || self.span.from > 0
    }
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
        let mut whole = [0.0; 12 * WIDEST];
        if self.right.adds() {
            for (r, whole) in whole.chunks_exact_mut(WIDEST).take(rows).enumerate() {
                whole[..columns].copy_from_slice(&out.row(row + r)[column..column + columns]);
            }
        }
        let mut into = RowsMut { values: &mut whole, rows, columns: WIDEST, stride: WIDEST };
        self.rows::<I, V, false>(isa, rows, &mut into, [0, 0]);
        for (r, whole) in whole.chunks_exact(WIDEST).take(rows).enumerate() {
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
        let Strip { lines, inner, column: first, span, .. } = self.right;
        let end = span.from + span.len;
        assert!(end <= BLOCK && lanes == ops.len(), "a tile lies within its block");
        let tile = self.left.tile::<R>(span.block, self.row);
        // Where each vector's panel has this block.
        let block = &lines[first / PANEL * inner + span.block * BLOCK..];
        let mut panels = [block; V];
        unrolled!(v < V, { panels[v] = &block[v * lanes / PANEL * inner..][..end] });
        let mut sums = [[ops.zero(); V]; R];
        if self.right.adds() {
            // What the spans before have added up.
            unrolled!(r < R, {
                let out = &out.row(row + r)[column..column + V * lanes];
                unrolled!(v < V, { sums[r][v] = ops.load(&out[v * lanes..]) });
            });
        }
        let Fetch { part, share } = self.fetch.unwrap_or_default();
        let ahead = self.right.next.wrapping_add(span.from + ((part * span.len * share) >> 8));
        #[allow(clippy::needless_range_loop, reason = "a plain index is what the compiler sees to be in bounds")]
        for k in span.from..end {
            let mut b = [ops.zero(); V];
            unrolled!(v < V, { b[v] = ops.load(&panels[v][k].0[v * lanes % PANEL..]) });
            if AHEAD {
                // Each line some times over: that costs less than a second loop.
                let line = ahead.wrapping_add(((k - span.from) * share) >> 8);
                unrolled!(v < V, {
                    if (v * lanes).is_multiple_of(PANEL) {
                        ops.prefetch(panels[v].as_ptr().wrapping_add(line).cast());
                    }
                });
            }
            let a = L::step(tile, k);
            unrolled!(r < R, {
                let x = ops.splat(L::element(a, r));
                unrolled!(v < V, { sums[r][v] = ops.mul_add(x, b[v], sums[r][v]) });
            });
        }
        if let Some(bias) = self.at.bias.filter(|_| self.right.last) {
            let bias = &bias[self.at.first + first..][..V * lanes];
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
