//! One weight in float32, in the one layout it is used in.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::names::is_table;
use crate::memory::Memory;
use crate::panels::{PANEL, Panels};

/// How a weight was stored before it became float32.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Stored element type: `F32`, `F16`, `BF16`; for quantized weights that of the scales.
    pub dtype: String,
    /// Quantization mode (`affine`), none for plain tensors.
    pub mode: Option<&'static str>,
    /// Bits per code, for quantized weights.
    pub bits: Option<u32>,
    /// Weights per scale, for quantized weights.
    pub group_size: Option<u32>,
    /// Bytes on disk, scales and biases included.
    pub bytes: u64,
    /// File name (within the model's folder) it was read from.
    pub file: String,
}

/// The bytes of a quantized matrix, within the file they were read from: it stays in memory while anyone has them.
#[derive(Clone, Debug)]
pub struct PackedBytes {
    codes: Bytes,
    scales: Bytes,
    biases: Option<(Bytes, String)>,
}

/// A piece of a file in memory.
#[derive(Clone, Debug)]
pub struct Bytes {
    file: Arc<Memory<u8>>,
    range: Range<usize>,
}

impl Bytes {
    pub(super) fn new(file: Arc<Memory<u8>>, range: Range<usize>) -> Self {
        Self { file, range }
    }

    /// Bytes that come from no file.
    pub fn of(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { file: Arc::new(bytes.into()), range }
    }

    fn get(&self) -> &[u8] {
        self.file.get(self.range.clone()).unwrap_or(&[])
    }
}

impl PackedBytes {
    /// Codes, scales, and biases with the type they are stored in.
    pub fn new(codes: Bytes, scales: Bytes, biases: Option<(Bytes, String)>) -> Self {
        Self { codes, scales, biases }
    }

    /// The packed codes.
    pub fn codes(&self) -> &[u8] {
        self.codes.get()
    }

    /// The scales.
    pub fn scales(&self) -> &[u8] {
        self.scales.get()
    }

    /// The biases and their type, where there are any.
    pub fn biases(&self) -> Option<(&[u8], &str)> {
        self.biases.as_ref().map(|(bytes, dtype)| (bytes.get(), dtype.as_str()))
    }
}

/// One weight in float32. A copy shares its values.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Logical shape; a Linear is `[out, in]`.
    pub shape: Vec<usize>,
    /// How it was stored.
    pub storage: Storage,
    values: Values,
    packed: Option<PackedBytes>,
}

/// `shape`'s product of values.
#[derive(Clone, Debug)]
enum Values {
    /// Row-major.
    Rows(Arc<Memory<f32>>),
    /// As the matrix product wants them.
    Panels(Arc<Panels>),
}

/// Whether a tensor is most likely multiplied with, and not looked up in. Where this errs, a second copy is made by who
/// needs the other layout; nothing else.
fn is_linear(name: &str, shape: &[usize]) -> bool {
    // Fewer rows than a panel has columns would be filled up to many times their size before any shape is checked.
    matches!(shape, &[rows, _] if rows >= PANEL) && name.ends_with(".weight") && !is_table(name)
}

impl Weight {
    /// Of row-major values; the name of the tensor decides how they are laid out.
    pub fn new(name: &str, shape: Vec<usize>, values: Vec<f32>, storage: Storage) -> Self {
        let values = match shape.as_slice() {
            &[rows, inner] if is_linear(name, &shape) && inner > 0 && rows.checked_mul(inner) == Some(values.len()) => {
                Values::Panels(Arc::new(Panels::of_rows(&values, inner)))
            }
            _ => Values::Rows(Arc::new(values.into())),
        };
        Self { shape, storage, values, packed: None }
    }

    /// A matrix `[rows, columns]` that `row(kept, r, values)` writes row by row, by many threads and in any order; what
    /// it keeps from row to row begins as `T::default()`.
    pub fn matrix<T: Default>(
        name: &str,
        [rows, columns]: [usize; 2],
        storage: Storage,
        row: impl Fn(&mut T, usize, &mut [f32]) + Sync,
    ) -> Self {
        let shape = vec![rows, columns];
        let values = if is_linear(name, &shape) {
            Values::Panels(Arc::new(Panels::from_columns(rows, columns, row)))
        } else {
            let len = rows * columns;
            let mut values = Memory::zeroed(len).unwrap_or_else(|_| vec![0.0; len].into());
            let each = values.par_chunks_mut(columns.max(1)).enumerate();
            each.for_each_init(T::default, |kept, (r, values)| row(kept, r, values));
            Values::Rows(Arc::new(values))
        };
        Self { shape, storage, values, packed: None }
    }

    /// With the bytes it was dequantized from.
    pub fn with_packed(self, packed: PackedBytes) -> Self {
        Self { packed: Some(packed), ..self }
    }

    /// The bytes it was dequantized from; none for a plain weight, and for one that was changed since.
    pub fn packed(&self) -> Option<&PackedBytes> {
        self.packed.as_ref()
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Rows(rows) => rows.len(),
            Values::Panels(panels) => panels.columns() * panels.inner(),
        }
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `i` of the row-major ones.
    pub fn get(&self, i: usize) -> Option<f32> {
        match &self.values {
            Values::Rows(rows) => rows.get(i).copied(),
            Values::Panels(panels) => panels.get(i / panels.inner().max(1), i % panels.inner().max(1)),
        }
    }

    /// Row-major values.
    pub fn rows(&self) -> Cow<'_, [f32]> {
        match &self.values {
            Values::Rows(rows) => Cow::Borrowed(rows),
            Values::Panels(panels) => Cow::Owned(panels.to_rows()),
        }
    }

    /// Row-major values, to be kept: shared where they are laid out so.
    pub fn shared_rows(&self) -> Arc<Memory<f32>> {
        match &self.values {
            Values::Rows(rows) => Arc::clone(rows),
            Values::Panels(panels) => Arc::new(panels.to_rows().into()),
        }
    }

    /// A matrix's values for a product, to be kept: shared where they are laid out so.
    pub fn panels(&self) -> Arc<Panels> {
        match &self.values {
            Values::Rows(rows) => Arc::new(Panels::of_rows(rows, self.shape.last().copied().unwrap_or(0))),
            Values::Panels(panels) => Arc::clone(panels),
        }
    }

    /// The first `rows` rows, with their share of the bytes on disk.
    pub fn first_rows(&self, name: &str, rows: usize) -> Self {
        let (all, inner) = (self.shape.first().copied().unwrap_or(0), self.shape.iter().skip(1).product::<usize>());
        let rows = rows.min(all);
        let mut shape = self.shape.clone();
        shape.iter_mut().take(1).for_each(|n| *n = rows);
        let mut storage = self.storage.clone();
        storage.bytes = (u128::from(storage.bytes) * rows as u128 / all.max(1) as u128) as u64;
        Self::new(name, shape, self.rows().iter().take(rows * inner).copied().collect(), storage)
    }

    /// A copy whose row-major values `change` has gone over.
    pub fn changed(&self, change: impl FnOnce(&mut Vec<f32>)) -> Self {
        let mut values = self.rows().into_owned();
        change(&mut values);
        let values = match &self.values {
            Values::Rows(_) => Values::Rows(Arc::new(values.into())),
            Values::Panels(panels) => Values::Panels(Arc::new(Panels::of_rows(&values, panels.inner()))),
        };
        Self { values, packed: None, ..self.clone() }
    }

    /// The first NaN or infinity, and where it is.
    pub(super) fn first_non_finite(&self) -> Option<(usize, f32)> {
        if let Values::Panels(panels) = &self.values
            && panels.is_finite()
        {
            return None;
        }
        let rows = self.rows();
        first_non_finite(&rows).map(|i| (i, rows[i]))
    }
}

/// Index of the first NaN or infinity.
pub(super) fn first_non_finite(values: &[f32]) -> Option<usize> {
    // All of a piece together first: a loop that may end anywhere is not vectorised.
    let bad = |piece: &[f32]| piece.iter().fold(false, |bad, v| bad | !v.is_finite());
    let piece = values.chunks(PIECE).position(bad)?;
    Some(piece * PIECE + values[piece * PIECE..].iter().position(|v| !v.is_finite())?)
}

/// Values looked at together.
const PIECE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn storage() -> Storage {
        Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: String::new() }
    }

    /// However a tensor is laid out, it is the same tensor.
    #[test]
    fn the_layout_is_nobodys_business() {
        let values: Vec<f32> = (0..34).map(|i| i as f32).collect();
        for name in ["embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.weight", "odd"] {
            let whole = Weight::new(name, vec![17, 2], values.clone(), storage());
            let row = |(): &mut (), r: usize, out: &mut [f32]| out.copy_from_slice(&values[2 * r..2 * r + 2]);
            for weight in [&whole, &Weight::matrix(name, [17, 2], storage(), row)] {
                assert_eq!(
                    (weight.len(), &*weight.rows(), &**weight.shared_rows()),
                    (34, &*values, &*values),
                    "{name}"
                );
                assert_eq!(weight.panels().to_rows(), values);
                assert_eq!((weight.get(33), weight.get(34)), (Some(33.0), None));
                assert_eq!(weight.first_non_finite(), None);
                let broken = weight.changed(|v| v[5] = f32::INFINITY);
                assert_eq!(broken.first_non_finite(), Some((5, f32::INFINITY)));
                assert_eq!(*weight.rows(), *values, "the copy was changed");
            }
        }
    }

    /// One float32 copy: the encoder's is the checkpoint's.
    #[test]
    fn linears_are_kept_in_panels_and_tables_in_rows() {
        let linear = Weight::new("encoder.layer.0.output.dense.weight", vec![16, 2], vec![0.0; 32], storage());
        assert!(Arc::ptr_eq(&linear.panels(), &linear.panels()));
        let table = Weight::new("embeddings.word_embeddings.weight", vec![2, 2], vec![0.0; 4], storage());
        assert!(Arc::ptr_eq(&table.shared_rows(), &table.shared_rows()));
        // a shape that lies is not made to fit
        let odd = Weight::new("a.weight", vec![16, 2], vec![0.0; 3], storage());
        assert_eq!((odd.len(), odd.rows().len()), (3, 3));
        // one long row is not filled up to sixteen
        let long = Weight::matrix("a.weight", [1, 64], storage(), |(): &mut (), _, row| row.fill(1.0));
        assert!(matches!(&long.values, Values::Rows(rows) if rows.len() == 64));
    }
}
