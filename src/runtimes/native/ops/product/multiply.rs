//! The loops around the kernel: which tile follows which, so that what is read again is still near.

use std::cell::RefCell;

use rten_simd::{Isa, SimdOp};

use super::kernel::{Part, Span, Strip};
use super::staged::{BLOCK, Left, STRIDE, Staged};
use super::{ProductError, Rows, RowsMut, Transposed, kernel};
use crate::panels::{PANEL, Panels};

/// What is added to every row of a product.
#[derive(Clone, Debug)]
pub struct Bias {
    /// With a panel of zeros behind, so that a tile at the edge reads no further.
    padded: Vec<f32>,
    columns: usize,
}

impl Bias {
    /// Parts side by side.
    pub fn new(parts: &[&[f32]]) -> Self {
        let mut padded = parts.concat();
        let columns = padded.len();
        padded.resize(columns + 4 * PANEL, 0.0);
        Self { padded, columns }
    }
}

thread_local! {
    /// Where this thread stages left sides.
    static STAGING: RefCell<Vec<[f32; STRIDE]>> = const { RefCell::new(Vec::new()) };
}

/// `out = left × rights (+ bias on every row)`, the right sides' columns side by side: `[rows, inner] × [inner, columns]`.
///
/// # Errors
/// Sizes that do not fit.
pub fn multiply(
    left: Rows<'_>,
    rights: &[impl AsRef<Panels>],
    bias: Option<&Bias>,
    out: RowsMut<'_>,
) -> Result<(), ProductError> {
    let rights: Vec<&Panels> = rights.iter().map(AsRef::as_ref).collect();
    check([left.rows, left.columns], &rights, bias, &out)?;
    let bias = bias.map(|b| b.padded.as_slice());
    let mut memory = STAGING.take();
    Multiply { rights: &rights, left, bias, out, memory: &mut memory }.dispatch();
    STAGING.set(memory);
    Ok(())
}

/// `out = leftᵀ × right`.
///
/// # Errors
/// Sizes that do not fit.
pub fn multiply_transposed(left: Transposed<'_>, right: &Panels, out: RowsMut<'_>) -> Result<(), ProductError> {
    check([left.0.columns, left.0.rows], &[right], None, &out)?;
    MultiplyTransposed { right, left, out }.dispatch();
    Ok(())
}

fn check(
    [rows, inner]: [usize; 2],
    rights: &[&Panels],
    bias: Option<&Bias>,
    out: &RowsMut<'_>,
) -> Result<(), ProductError> {
    let columns = rights.iter().map(|r| r.columns()).sum();
    let fits = rights.iter().all(|r| r.inner() == inner)
        && inner > 0
        && (out.rows, out.columns) == (rows, columns)
        && bias.is_none_or(|b| b.columns == columns);
    if !fits {
        return Err(ProductError(format!("[{rows}, {inner}] × {rights:?} into [{}, {}]", out.rows, out.columns)));
    }
    Ok(())
}

/// Packs the transpose of one matrix in place of what was in `panels`.
pub fn repack_transposed(panels: &mut Panels, right: Rows<'_>) {
    panels.reshape(right.columns, right.rows);
    (0..right.rows).for_each(|r| panels.set_column(r, right.row(r)));
}

/// Packs a matrix as it is in place of what was in `panels`.
pub fn repack(panels: &mut Panels, right: Rows<'_>) {
    panels.reshape(right.rows, right.columns);
    (0..right.rows).for_each(|k| panels.set_inner(k, right.row(k)));
}

/// Values of the left side staged at once: with a panel beside them they stay in a core's second-level cache.
const STAGED_VALUES: usize = 1 << 18;

/// The loops, compiled for every instruction set and dispatched to the machine's.
pub(super) struct Multiply<'a> {
    pub(super) rights: &'a [&'a Panels],
    pub(super) left: Rows<'a>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) out: RowsMut<'a>,
    pub(super) memory: &'a mut Vec<[f32; STRIDE]>,
}

impl SimdOp for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let parts = (self.left.rows * self.left.columns).div_ceil(STAGED_VALUES).clamp(1, self.left.rows.max(1));
        for part in 0..parts {
            let (from, to) = (self.left.rows * part / parts, self.left.rows * (part + 1) / parts);
            let staged = Staged::new(self.left, from, to, self.memory);
            let mut first = 0;
            for right in self.rights {
                let at = Part { below: from, first, bias: self.bias };
                multiply_on(isa, staged, right, &mut self.out, at);
                first += right.columns();
            }
        }
    }
}

/// [`Multiply`] with a left side that lies by columns.
struct MultiplyTransposed<'a> {
    right: &'a Panels,
    left: Transposed<'a>,
    out: RowsMut<'a>,
}

impl SimdOp for MultiplyTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        multiply_on(isa, self.left, self.right, &mut self.out, Part { below: 0, first: 0, bias: None });
    }
}

/// Rows from which on a product is worked off strip by strip: that many fill the first-level cache anyway.
const MANY_ROWS: usize = 48;

/// Span by span of the inner dimension, so that the left side's stays near; with many rows and more columns than inner
/// elements strip by strip, so that what a strip has added up is still near when its next span adds to it.
#[inline(always)]
fn multiply_on<I: Isa, L: Left>(isa: I, left: L, right: &Panels, out: &mut RowsMut<'_>, at: Part<'_>) {
    let (inner, columns) = (right.inner(), right.columns());
    let step = const { kernel::depth::<I>() };
    let by_strips = columns > inner && left.height() >= MANY_ROWS;
    let (mut from, mut column) = (0, 0);
    while from < inner && column < columns {
        let width = kernel::width::<I>(columns - column);
        let (next_from, next_column) = match by_strips {
            true if from + step < inner => (from + step, column),
            true => (0, column + width),
            false if column + width < columns => (from, column + width),
            false => (from + step, 0),
        };
        let start = |from: usize, column: usize| column / PANEL * inner + from;
        let strip = Strip {
            lines: right.lines(),
            inner,
            column,
            columns: columns - column,
            span: Span { block: from / BLOCK, from: from % BLOCK, len: step.min(inner - from) },
            last: from + step >= inner,
            next: start(next_from, next_column).wrapping_sub(start(from, column)),
        };
        kernel::strip(isa, left, strip, at, out);
        (from, column) = (next_from, next_column);
    }
}
