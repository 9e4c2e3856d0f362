//! What several tests need: fixtures, recorded tensors, relative errors.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub(crate) mod encoders;
pub(crate) mod graph;
pub mod plant;
pub(crate) mod shipped;

use std::path::{Path, PathBuf};

use parallax::hidden_states::{RowId, RowSet};
use parallax::tokens::TokenBatch;
use safetensors::{Dtype, SafeTensors};

/// A path below the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A fixture.
pub fn fixture(path: &str) -> PathBuf {
    repository("tests/fixtures").join(path)
}

/// A safetensors file with recorded tensors.
pub struct Recording(Vec<u8>);

impl Recording {
    pub fn open(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    /// Shape and values of a float or integer tensor.
    pub fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|c| half::f16::from_le_bytes(*c).to_f32()).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|c| half::bf16::from_le_bytes(*c).to_f32()).collect(),
            Dtype::I32 => bytes.as_chunks().0.iter().map(|c| i32::from_le_bytes(*c) as f32).collect(),
            Dtype::I64 => bytes.as_chunks().0.iter().map(|c| i64::from_le_bytes(*c) as f32).collect(),
            other => panic!("{name}: {other:?}"),
        };
        (view.shape().to_vec(), values)
    }

    /// `input_ids` and `attention_mask` under `prefix` as a ragged batch, and the padded length.
    pub fn batch(&self, prefix: &str) -> (TokenBatch, usize) {
        let (shape, ids) = self.tensor(&format!("{prefix}input_ids"));
        let (_, mask) = self.tensor(&format!("{prefix}attention_mask"));
        let mut batch = TokenBatch::new();
        for r in 0..shape[0] {
            let row = r * shape[1]..(r + 1) * shape[1];
            let n = mask[row.clone()].iter().filter(|m| **m == 1.0).count();
            let ids: Vec<u32> = ids[row].iter().take(n).map(|v| *v as u32).collect();
            batch.push(RowId { set: RowSet::Corpus, row: r as u64 }, &ids, &vec![0; n]);
        }
        (batch, shape[1])
    }

    /// Row `r` of a recorded `[rows, seq, hidden]` tensor, its first `tokens` tokens.
    pub fn row(&self, name: &str, r: usize, tokens: usize) -> Vec<f32> {
        let (shape, values) = self.tensor(name);
        let start = r * shape[1] * shape[2];
        values[start..start + tokens * shape[2]].to_vec()
    }
}

/// ‖a − b‖ / ‖b‖.
pub fn relative_l2(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    assert!(!b.is_empty());
    let (mut d, mut n) = (0.0f64, 0.0f64);
    for (x, y) in a.iter().zip(b) {
        d += (f64::from(*x) - f64::from(*y)).powi(2);
        n += f64::from(*y).powi(2);
    }
    (d / n).sqrt()
}
