//! What the tests of the native encoder share: plain checkpoints and recorded states.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(dead_code, unreachable_pub)] // each test file uses its part

pub mod mlx;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parallax::checkpoint::{ModelConfig, Storage, Weight, WeightSet};
use parallax::hidden_states::{HiddenStates, RowId, RowSet, Tap, TapStates};
use parallax::runtimes::Encoder;
use parallax::runtimes::native::NativeEncoder;
use parallax::tokens::TokenBatch;
use safetensors::{Dtype, SafeTensors};

/// A file below `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Shape and values of one tensor; whole numbers are read as floats, which these fixtures' are exactly.
pub type Tensor = (Vec<usize>, Vec<f32>);

/// Every tensor of a safetensors file.
pub fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read = |dtype: Dtype, data: &[u8]| -> Vec<f32> {
        match dtype {
            Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::I32 => data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as f32).collect(),
            Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect(),
            other => panic!("{other:?}"),
        }
    };
    let one = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, (view.shape().to_vec(), read(view.dtype(), view.data())))
    };
    file.tensors().into_iter().map(one).collect()
}

/// A tiny BERT in plain float32 and what torch computed with it.
pub struct Bert {
    pub config: ModelConfig,
    pub weights: BTreeMap<String, Tensor>,
    pub recorded: Recording,
}

impl Bert {
    pub fn load() -> Self {
        let folder = fixture("onnx/bert");
        let json = std::fs::read(folder.join("original/config.json")).unwrap();
        let states = tensors(&folder.join("hidden_states.safetensors"));
        let mut taps = BTreeMap::from([(Tap::Embeddings, states["hidden.0"].clone())]);
        for k in 0..4 {
            taps.insert(Tap::Attention(k), states[&format!("mid.{k}")].clone());
            taps.insert(Tap::Layer(k), states[&format!("hidden.{}", k + 1)].clone());
        }
        taps.insert(Tap::Final, states["hidden.4"].clone());
        let types = Some(&states["token_type_ids"]);
        Self {
            config: ModelConfig::parse(&json, "config.json").unwrap(),
            weights: tensors(&folder.join("original/model.safetensors")),
            recorded: Recording::new(&states["input_ids"], &states["attention_mask"], types, taps),
        }
    }

    /// The same model with some settings of its configuration replaced.
    pub fn with_config(mut self, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut raw = self.config.raw().clone();
        change(&mut raw);
        self.config = ModelConfig::parse(raw.to_string().as_bytes(), "config.json").unwrap();
        self
    }

    pub fn encoder(&self) -> NativeEncoder {
        NativeEncoder::build(&self.config, &weight_set(&self.weights), "test weights").unwrap()
    }
}

/// Plain tensors as a weight set.
pub fn weight_set(tensors: &BTreeMap<String, Tensor>) -> WeightSet {
    let storage = Storage {
        dtype: "F32".into(),
        mode: None,
        bits: None,
        group_size: None,
        bytes: 0,
        file: "model.safetensors".into(),
    };
    let weight =
        |name: &str, (shape, values): &Tensor| Weight::new(name, shape.clone(), values.clone(), storage.clone());
    WeightSet::new("test weights", tensors.iter().map(|(n, t)| (n.clone(), weight(n, t))).collect()).unwrap()
}

/// Token rows and the padded `[rows, seq, hidden]` states another runtime computed for them.
pub struct Recording {
    pub batch: TokenBatch,
    pub taps: BTreeMap<Tap, TapStates>,
}

impl Recording {
    pub fn new(ids: &Tensor, mask: &Tensor, types: Option<&Tensor>, taps: BTreeMap<Tap, Tensor>) -> Self {
        let seq = ids.0[1];
        let mut batch = TokenBatch::new();
        let mut lengths = Vec::new();
        for (r, mask) in mask.1.chunks_exact(seq).enumerate() {
            let n = mask.iter().filter(|m| **m == 1.0).count();
            assert!(mask[..n].iter().all(|m| *m == 1.0), "the fixtures are padded on the right");
            let row = |values: &[f32]| values[r * seq..r * seq + n].iter().map(|x| *x as u32).collect::<Vec<u32>>();
            let type_ids = types.map_or(vec![0; n], |t| row(&t.1));
            batch.push(RowId { set: RowSet::Corpus, row: r as u64 }, &row(&ids.1), &type_ids);
            lengths.push(n);
        }
        let states = |(shape, values): Tensor| {
            assert_eq!(shape[..2], ids.0[..]);
            TapStates::padded(shape[2], seq, &lengths, Box::new(values)).unwrap()
        };
        Self { batch, taps: taps.into_iter().map(|(tap, t)| (tap, states(t))).collect() }
    }

    /// One row alone.
    pub fn row(&self, r: usize) -> TokenBatch {
        let mut batch = TokenBatch::new();
        batch.push(self.batch.row_id(r), self.batch.ids(r), self.batch.type_ids(r));
        batch
    }

    /// Relative L2 of each recorded tap over all its real tokens, in the order of the forward pass.
    pub fn errors(&self, found: &HiddenStates) -> Vec<(Tap, f64)> {
        let error = |(tap, expected): (&Tap, &TapStates)| {
            let found = found.get(*tap).unwrap_or_else(|| panic!("{tap} was not reported"));
            (*tap, relative_l2(found, expected))
        };
        self.taps.iter().map(error).collect()
    }

    /// Runs the encoder and returns the worst tap's relative L2; panics without a recorded tap.
    pub fn worst(&self, encoder: NativeEncoder) -> f64 {
        let found = encoder.with_inner_taps().encode(&self.batch).unwrap();
        let errors = self.errors(&found);
        assert!(!errors.is_empty() && errors.iter().all(|(_, e)| e.is_finite()), "{errors:?}");
        errors.iter().map(|(_, e)| *e).fold(0.0, f64::max)
    }
}

/// ‖found − expected‖ / ‖expected‖ over every token of every row.
pub fn relative_l2(found: &TapStates, expected: &TapStates) -> f64 {
    assert_eq!((found.rows(), found.hidden()), (expected.rows(), expected.hidden()));
    let (mut difference, mut norm, mut count) = (0.0, 0.0, 0usize);
    for r in 0..found.rows() {
        assert_eq!(found.tokens(r), expected.tokens(r), "row {r}");
        for (f, e) in found.row(r).iter().zip(expected.row(r)) {
            difference += (f64::from(*f) - f64::from(*e)).powi(2);
            norm += f64::from(*e).powi(2);
            count += 1;
        }
    }
    assert!(count > 0 && norm > 0.0, "nothing was compared");
    (difference / norm).sqrt()
}
