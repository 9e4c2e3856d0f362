//! The matrix product: the only room that knows how numbers are multiplied.
//!
//! The right side is packed first, a weight once and for all. Own kernels on `rten-simd`'s vectors rather than a
//! library's product, because no library promises that a row's result does not depend on its neighbours. They hold no
//! `unsafe` and are about as fast as `rten-gemm` with its right side packed: `benches/product.rs` shows both.

mod kernel;
mod multiply;
mod staged;

pub use multiply::{Bias, multiply, multiply_transposed, repack, repack_transposed};

/// A product that was asked for with sizes that do not fit: a bug in the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("matrix product: {0}")]
pub struct ProductError(pub(super) String);

/// A matrix somewhere inside a slice: row `r` is `values[r * stride..][..columns]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

/// The transpose of some rows, as a left side: its row `r` is their column `r`.
#[derive(Clone, Copy, Debug)]
pub struct Transposed<'a>(pub Rows<'a>);

/// [`Rows`] to be written to.
#[derive(Debug)]
pub struct RowsMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

/// Whether `rows` rows of `columns`, `stride` apart, lie within `len` values.
fn inside(len: usize, rows: usize, columns: usize, stride: usize) -> Result<(), ProductError> {
    let needed = rows.checked_sub(1).map_or(Some(0), |r| r.checked_mul(stride)?.checked_add(columns));
    if needed.is_some_and(|n| n <= len) && columns <= stride {
        return Ok(());
    }
    Err(ProductError(format!("{rows} rows of {columns}, {stride} apart, in {len} values")))
}

impl<'a> Rows<'a> {
    /// Rows without gaps.
    ///
    /// # Errors
    /// Values that are no whole rows.
    pub fn dense(values: &'a [f32], columns: usize) -> Result<Self, ProductError> {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        if rows * columns != values.len() {
            return Err(ProductError(format!("{} values are no rows of {columns}", values.len())));
        }
        Self::strided(values, rows, columns, columns)
    }

    /// Rows with gaps.
    ///
    /// # Errors
    /// Rows that reach beyond the values.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Result<Self, ProductError> {
        inside(values.len(), rows, columns, stride)?;
        Ok(Self { values, rows, columns, stride })
    }

    #[inline(always)]
    fn row(&self, r: usize) -> &'a [f32] {
        &self.values[r * self.stride..][..self.columns]
    }
}

impl<'a> RowsMut<'a> {
    /// Rows without gaps.
    ///
    /// # Errors
    /// Values that are no whole rows.
    pub fn dense(values: &'a mut [f32], columns: usize) -> Result<Self, ProductError> {
        let Rows { rows, stride, .. } = Rows::dense(values, columns)?;
        Ok(Self { values, rows, columns, stride })
    }

    /// Rows with gaps.
    ///
    /// # Errors
    /// Rows that reach beyond the values.
    pub fn strided(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Result<Self, ProductError> {
        inside(values.len(), rows, columns, stride)?;
        Ok(Self { values, rows, columns, stride })
    }

    #[inline(always)]
    fn row(&mut self, r: usize) -> &mut [f32] {
        &mut self.values[r * self.stride..][..self.columns]
    }
}

#[cfg(test)]
mod tests;
