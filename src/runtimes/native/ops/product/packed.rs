//! The right side of a product, laid out so that the kernel reads it front to back.

use std::cell::RefCell;

use rten_simd::{Isa, SimdOp};

use super::kernel::{self, Left, Panel, STAGE, STRIDE, Staged};
use super::{Line, PANEL, ProductError, Rows, RowsMut, Transposed};

/// A `[inner, columns]` right side, in the order the kernel reads it: blocks of 96 inner elements, in each of them
/// panels of 64 columns, each `[96, 64]`; the last block may be shorter, the last panel is filled up with zeros.
#[derive(Clone, Default)]
pub struct PackedMatrix {
    values: Vec<Line>,
    inner: usize,
    columns: usize,
}

impl PackedMatrix {
    /// Packs the transpose: row `c` of a part is a column of the right side, parts side by side. A Linear's weight
    /// `[outputs, inputs]` is stored this way.
    ///
    /// # Errors
    /// Without a single element, or with parts of different widths.
    pub fn transposed(parts: &[Rows<'_>]) -> Result<Self, ProductError> {
        let inner = parts.first().map_or(0, |p| p.columns);
        let columns: usize = parts.iter().map(|p| p.rows).sum();
        if inner == 0 || columns == 0 || parts.iter().any(|p| p.columns != inner) {
            return Err(ProductError(format!("a right side of {columns} columns of {inner}")));
        }
        let mut packed = Self::default();
        packed.reshape(inner, columns);
        let mut first = 0;
        for part in parts {
            packed.fill_transposed(first, *part);
            first += part.rows;
        }
        Ok(packed)
    }

    /// Packs the transpose of one matrix in place of what was here.
    pub(crate) fn repack_transposed(&mut self, right: Rows<'_>) {
        self.reshape(right.columns, right.rows);
        self.fill_transposed(0, right);
    }

    /// Packs a matrix as it is in place of what was here.
    pub(crate) fn repack(&mut self, right: Rows<'_>) {
        self.reshape(right.rows, right.columns);
        for start in (0..right.rows).step_by(STAGE) {
            for (p, first) in (0..right.columns).step_by(PANEL).enumerate() {
                let columns = first..(first + PANEL).min(right.columns);
                let panel = self.panel(start / STAGE, p);
                for (k, to) in self.values[panel].iter_mut().enumerate() {
                    to.0[..columns.len()].copy_from_slice(&right.row(start + k)[columns.clone()]);
                }
            }
        }
    }

    /// Room for `[inner, columns]`; what lies behind the last column is zero.
    fn reshape(&mut self, inner: usize, columns: usize) {
        if !columns.is_multiple_of(PANEL) {
            self.values.clear();
        }
        self.values.resize(columns.div_ceil(PANEL) * inner, Line::ZERO);
        (self.inner, self.columns) = (inner, columns);
    }

    /// Where panel `p` of block `block` begins.
    #[inline(always)]
    fn start(&self, block: usize, p: usize) -> usize {
        block * STAGE * self.columns.div_ceil(PANEL) + p * STAGE.min(self.inner - block * STAGE)
    }

    /// Where panel `p` of block `block` lies.
    #[inline(always)]
    fn panel(&self, block: usize, p: usize) -> std::ops::Range<usize> {
        let first = self.start(block, p);
        first..first + STAGE.min(self.inner - block * STAGE)
    }

    fn fill_transposed(&mut self, first: usize, part: Rows<'_>) {
        for start in (0..self.inner).step_by(STAGE) {
            for r in 0..part.rows {
                let (p, lane) = ((first + r) / PANEL, (first + r) % PANEL);
                let panel = self.panel(start / STAGE, p);
                let from = &part.row(r)[start..start + panel.len()];
                for (to, from) in self.values[panel].iter_mut().zip(from) {
                    to.0[lane] = *from;
                }
            }
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Length of a column.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// `out = left × self (+ bias on every row)`: `[rows, inner] × [inner, columns]`.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn multiply(&self, left: Rows<'_>, bias: Option<&Bias>, out: RowsMut<'_>) -> Result<(), ProductError> {
        self.checked([left.rows, left.columns], bias, &out)?;
        let bias = bias.map(|b| b.padded.as_slice());
        let mut memory = STAGING.take();
        Multiply { packed: self, left, bias, out, memory: &mut memory }.dispatch();
        STAGING.set(memory);
        Ok(())
    }

    /// `out = leftᵀ × self`.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn multiply_transposed(&self, left: Transposed<'_>, out: RowsMut<'_>) -> Result<(), ProductError> {
        self.checked([left.0.columns, left.0.rows], None, &out)?;
        MultiplyTransposed { packed: self, left, out }.dispatch();
        Ok(())
    }

    fn checked(&self, [rows, inner]: [usize; 2], bias: Option<&Bias>, out: &RowsMut<'_>) -> Result<(), ProductError> {
        let fits = inner == self.inner
            && (out.rows, out.columns) == (rows, self.columns)
            && bias.is_none_or(|b| b.columns == self.columns);
        if !fits {
            let (by, into) =
                (format!("[{}, {}]", self.inner, self.columns), format!("[{}, {}]", out.rows, out.columns));
            return Err(ProductError(format!("[{rows}, {inner}] × {by} into {into}")));
        }
        Ok(())
    }
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix[{}, {}]", self.inner, self.columns)
    }
}

/// What is added to every row of a product.
#[derive(Clone, Debug)]
pub struct Bias {
    /// Filled up to whole panels.
    padded: Vec<f32>,
    columns: usize,
}

impl Bias {
    /// Parts side by side.
    pub fn new(parts: &[&[f32]]) -> Self {
        let mut padded = parts.concat();
        let columns = padded.len();
        padded.resize(padded.len().div_ceil(PANEL) * PANEL, 0.0);
        Self { padded, columns }
    }
}

thread_local! {
    /// Where this thread stages left sides.
    static STAGING: RefCell<Vec<[f32; STRIDE]>> = const { RefCell::new(Vec::new()) };
}

/// Values of the left side staged at once: with a panel beside them they stay in a core's second-level cache.
const STAGED_VALUES: usize = 1 << 18;

/// The loop over the panels, compiled for every instruction set and dispatched to the machine's.
pub(super) struct Multiply<'a> {
    pub(super) packed: &'a PackedMatrix,
    pub(super) left: Rows<'a>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) out: RowsMut<'a>,
    pub(super) memory: &'a mut Vec<[f32; STRIDE]>,
}

impl SimdOp for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let parts = (self.left.rows * self.packed.inner).div_ceil(STAGED_VALUES).clamp(1, self.left.rows.max(1));
        for part in 0..parts {
            let (from, to) = (self.left.rows * part / parts, self.left.rows * (part + 1) / parts);
            let staged = Staged::new(self.left, from, to, self.memory);
            self.packed.multiply_on(isa, staged, self.bias, &mut self.out, from);
        }
    }
}

/// [`Multiply`] with a left side that lies by columns.
struct MultiplyTransposed<'a> {
    packed: &'a PackedMatrix,
    left: Transposed<'a>,
    out: RowsMut<'a>,
}

impl SimdOp for MultiplyTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        self.packed.multiply_on(isa, self.left, None, &mut self.out, 0);
    }
}

/// Rows from which on a product is worked off panel by panel: that many fill the first-level cache anyway.
const MANY_ROWS: usize = 48;

impl PackedMatrix {
    /// Block by block, so that the left side's block stays near; with many rows and more columns than inner elements
    /// panel by panel, so that what a panel has added up is still near when its next block adds to it.
    #[inline(always)]
    fn multiply_on<I: Isa, L: Left>(&self, isa: I, left: L, bias: Option<&[f32]>, out: &mut RowsMut<'_>, below: usize) {
        let (blocks, panels) = (self.inner.div_ceil(STAGE), self.columns.div_ceil(PANEL));
        let by_panels = self.columns > self.inner && left.height() >= MANY_ROWS;
        let (mut block, mut p) = (0, 0);
        while block < blocks && p < panels {
            let next = match by_panels {
                true if block + 1 < blocks => (block + 1, p),
                true => (0, p + 1),
                false if p + 1 < panels => (block, p + 1),
                false => (block + 1, 0),
            };
            let values = self.panel(block, p);
            let last = block + 1 == blocks;
            let panel = Panel {
                block,
                bias: bias.filter(|_| last),
                first: p * PANEL,
                columns: (self.columns - p * PANEL).min(PANEL),
                next: if last && p + 1 == panels { 0 } else { self.start(next.0, next.1).wrapping_sub(values.start) },
                values: &self.values[values],
            };
            kernel::panel(isa, left, panel, out, below);
            (block, p) = next;
        }
    }
}
