//! The matrix product: the only file that knows which library multiplies.
//!
//! The right side is always packed first. Once for a weight; and for attention because the library's
//! shortcut for a left side of one row would split its sums differently from one thread count to the next.

use rten_gemm::{BiasVector, GemmError, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;
use rten_tensor::errors::FromDataError;

thread_local! {
    /// Picks the widest vector unit of the machine; not `Send`, hence one per thread.
    static EXECUTOR: GemmExecutor = GemmExecutor::new();
}

/// A product that was asked for with sizes that do not fit: a bug in the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("matrix product: {0}")]
pub struct ProductError(pub(super) String);

impl From<GemmError> for ProductError {
    fn from(e: GemmError) -> Self {
        Self(e.to_string())
    }
}

impl From<FromDataError> for ProductError {
    fn from(e: FromDataError) -> Self {
        Self(e.to_string())
    }
}

/// A matrix somewhere inside a slice: element (r, c) is `values[r·strides[0] + c·strides[1]]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The slice, from the matrix's first element on.
    pub values: &'a [f32],
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Distance of neighbouring rows, and of neighbouring columns.
    pub strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]` without gaps.
    pub fn dense(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, shape: [rows, columns], strides: [columns, 1] }
    }

    /// The same values with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        let ([rows, columns], [down, right]) = (self.shape, self.strides);
        Self { values: self.values, shape: [columns, rows], strides: [right, down] }
    }

    fn view(self) -> Result<NdTensorView<'a, f32, 2>, ProductError> {
        Ok(NdTensorView::from_data_with_strides(self.shape, self.values, self.strides)?)
    }
}

/// A right side, laid out for the machine.
pub struct PackedMatrix(PackedBMatrix<f32>);

impl PackedMatrix {
    /// Packs a `[inner, columns]` matrix, neither of them 0.
    pub fn new(right: Matrix<'_>) -> Result<Self, ProductError> {
        if right.shape.contains(&0) {
            return Err(ProductError(format!("an empty right side of shape {:?}", right.shape)));
        }
        let view = right.view()?;
        Ok(Self(EXECUTOR.with(|executor| executor.prepack_b(view))))
    }

    /// `out = scale · left × self (+ bias on every row)`, `[rows, inner] × [inner, columns]`.
    ///
    /// Each element is one chain of fused multiply-adds along `inner`, in blocks of 256, whatever the
    /// number of rows or threads. Machines with other vector units may differ in the last bits.
    pub fn multiply(
        &self,
        left: Matrix<'_>,
        scale: f32,
        bias: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<(), ProductError> {
        let left = GemmInputA::Unpacked(left.view()?);
        let options = GemmOptions { alpha: scale, bias: bias.map(BiasVector::Row), ..GemmOptions::default() };
        EXECUTOR.with(|executor| executor.gemm(out, left, GemmInputB::Packed(&self.0), options))?;
        Ok(())
    }
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix[{}, {}]", self.0.rows(), self.0.cols())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::noise;
    use super::*;

    /// Error over Σ|a·b|, the scale rounding works on. Measured 1.9e-7 for sums of up to 600 products.
    const MAX_ERROR: f64 = 4e-7;

    /// The sum of products and the sum of their magnitudes, row by row.
    fn exact(left: &[f32], right: &[f32], rows: usize, inner: usize, columns: usize) -> Vec<(f64, f64)> {
        let product = |r: usize, c: usize, k: usize| f64::from(left[r * inner + k]) * f64::from(right[k * columns + c]);
        let sums = |r, c| (0..inner).map(|k| product(r, c, k)).fold((0.0, 0.0), |(s, m), p| (s + p, m + p.abs()));
        (0..rows * columns).map(|i| sums(i / columns, i % columns)).collect()
    }

    #[test]
    fn it_multiplies_for_awkward_sizes_strides_and_row_counts() {
        let mut worst = 0.0_f64;
        for (rows, inner, columns) in [(1, 1, 1), (1, 64, 33), (7, 3, 5), (13, 256, 64), (5, 257, 31), (70, 600, 97)] {
            let (left, right) = (noise(rows * inner, 1), noise(inner * columns, 2));
            let packed = PackedMatrix::new(Matrix::dense(&right, inner, columns)).unwrap();
            let mut out = vec![f32::NAN; rows * columns];
            packed.multiply(Matrix::dense(&left, rows, inner), 1.0, None, &mut out).unwrap();
            for (f, (sum, magnitude)) in out.iter().zip(exact(&left, &right, rows, inner, columns)) {
                worst = worst.max((f64::from(*f) - sum).abs() / magnitude);
            }
            // every row alone gives the same bits
            for r in 0..rows {
                let mut alone = vec![f32::NAN; columns];
                let row = Matrix::dense(&left[r * inner..(r + 1) * inner], 1, inner);
                packed.multiply(row, 1.0, None, &mut alone).unwrap();
                assert_eq!(alone, out[r * columns..(r + 1) * columns], "row {r} of {rows}×{inner}×{columns}");
            }
        }
        assert!(worst <= MAX_ERROR && worst > 0.0, "{worst:e}");
    }

    #[test]
    fn scale_bias_and_transposition() {
        let packed = PackedMatrix::new(Matrix::dense(&[1.0, 2.0, 3.0, 4.0], 2, 2).transposed()).unwrap();
        let mut out = [0.0; 2];
        packed.multiply(Matrix::dense(&[10.0, 1.0], 1, 2), 0.5, Some(&[100.0, 200.0]), &mut out).unwrap();
        assert_eq!(out, [106.0, 217.0]);
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        let packed = PackedMatrix::new(Matrix::dense(&[0.0; 6], 2, 3)).unwrap();
        let left = Matrix::dense(&[0.0; 2], 1, 2);
        assert!(packed.multiply(left, 1.0, None, &mut [0.0; 4]).is_err());
        assert!(packed.multiply(left, 1.0, Some(&[0.0; 2]), &mut [0.0; 3]).is_err());
        assert!(packed.multiply(Matrix::dense(&[0.0; 3], 1, 3), 1.0, None, &mut [0.0; 3]).is_err());
        assert!(packed.multiply(Matrix::dense(&[0.0; 1], 1, 2), 1.0, None, &mut [0.0; 3]).is_err());
        assert!(PackedMatrix::new(Matrix::dense(&[0.0; 5], 2, 3)).is_err());
        assert!(PackedMatrix::new(Matrix::dense(&[], 0, 3)).is_err());
    }
}
