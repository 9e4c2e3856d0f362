//! The tiny BERT exported four ways, and what PyTorch said about it.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod split;

use std::path::{Path, PathBuf};

use parallax::hidden_states::{RowId, RowSet, Tap, TapStates};
use parallax::runtimes::Encoder;
use parallax::runtimes::onnx::{
    Graph, OnnxEncoder, OnnxModel, Runtime, SessionOptions, TapHints, TapMap, find_taps, locate,
};
use parallax::tokens::TokenBatch;
use safetensors::SafeTensors;

pub(crate) const EXPORTS: [&str; 4] = ["ts14_sdpa", "ts17_t215", "dyn18", "dyn20_sdpa"];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx/bert")
}

pub(crate) fn model(name: &str) -> OnnxModel {
    OnnxModel::read(&folder().join(format!("{name}.onnx"))).unwrap()
}

pub(crate) fn taps(model: &OnnxModel) -> TapMap {
    find_taps(&Graph::new(model).unwrap(), TapHints { layers: Some(4), vocab: Some(1800) }).unwrap()
}

/// A machine without ONNX Runtime fails here, with the fix.
pub(crate) fn runtime() -> Runtime {
    let path = locate(None).unwrap_or_else(|e| panic!("{e}"));
    Runtime::load(&path).unwrap_or_else(|e| panic!("{e}"))
}

/// Bits of every tap's values.
pub(crate) fn bits(runtime: &Runtime, model: &OnnxModel, map: &TapMap, batch: &TokenBatch) -> Vec<(Tap, Vec<u32>)> {
    let encoder = OnnxEncoder::open(runtime, model, map, SessionOptions::default()).unwrap();
    let states = encoder.encode(batch).unwrap();
    let of = |tap: &Tap| {
        let states = states.get(*tap).unwrap();
        (0..states.rows()).flat_map(|r| states.row(r).iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
    };
    encoder.taps().iter().map(|tap| (*tap, of(tap))).collect()
}

pub(crate) struct Expected {
    bytes: Vec<u8>,
}

impl Expected {
    pub(crate) fn read() -> Self {
        Self { bytes: std::fs::read(folder().join("hidden_states.safetensors")).unwrap() }
    }

    fn words<const N: usize>(&self, name: &str) -> (Vec<usize>, Vec<[u8; N]>) {
        let all = SafeTensors::deserialize(&self.bytes).unwrap();
        let t = all.tensor(name).unwrap();
        (t.shape().to_vec(), t.data().as_chunks().0.to_vec())
    }

    pub(crate) fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, words) = self.words(name);
        (shape, words.into_iter().map(f32::from_le_bytes).collect())
    }

    pub(crate) fn ints(&self, name: &str) -> (Vec<usize>, Vec<i64>) {
        let (shape, words) = self.words(name);
        (shape, words.into_iter().map(i64::from_le_bytes).collect())
    }

    pub(crate) fn batch(&self) -> TokenBatch {
        let (shape, ids) = self.ints("input_ids");
        let types = self.ints("token_type_ids").1;
        let mask = self.ints("attention_mask").1;
        let mut batch = TokenBatch::new();
        for r in 0..shape[0] {
            let from = r * shape[1];
            let n = mask[from..from + shape[1]].iter().filter(|&&m| m != 0).count();
            let narrow = |v: &[i64]| v[from..from + n].iter().map(|&i| i as u32).collect::<Vec<_>>();
            batch.push(RowId { set: RowSet::Corpus, row: r as u64 }, &narrow(&ids), &narrow(&types));
        }
        batch
    }

    /// Relative L2 distance of real tokens from the expected tensor, and the number of values compared.
    pub(crate) fn distance(&self, name: &str, states: &TapStates) -> (f64, usize) {
        let (shape, values) = self.floats(name);
        let (mut wrong, mut all, mut n) = (0.0, 0.0, 0);
        for r in 0..states.rows() {
            let row = states.row(r);
            let expected = &values[r * shape[1] * shape[2]..][..row.len()];
            for (&a, &b) in row.iter().zip(expected) {
                wrong += (f64::from(a) - f64::from(b)).powi(2);
                all += f64::from(b).powi(2);
            }
            n += row.len();
        }
        ((wrong / all).sqrt(), n)
    }
}
