//! The models the faults are planted in: the shipped one at two precisions, and a small one with random
//! weights, another tokenizer and another exporter, quantized here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use half::f16;
use safetensors::Dtype;
use serde_json::json;

use crate::common::plant::{Copy, Stored, floats};
use crate::common::{fixture, repository};

/// A reference and a candidate of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// The shipped model at 8 bits.
    Mini8,
    /// The shipped model at 4 bits.
    Mini4,
    /// The seeded model at 8 bits.
    Seeded8,
    /// A small ModernBERT at 8 bits: rotary positions, a sliding window, gated feed-forward blocks.
    Modern8,
    /// A small XLM-RoBERTa at 8 bits: positions counted from the padding token.
    Xlmr8,
    /// The real all-MiniLM-L6-v2 at 8 bits, where `scripts/minilm` has built it.
    MiniLm8,
    /// The same at 4 bits.
    MiniLm4,
}

/// Only where the fault is the same for every model.
pub(crate) const ONE: &[Model] = &[Model::Mini8];
/// The models at 8 bits: 4 bits hide what is smaller than their own error.
pub(crate) const EIGHT: &[Model] = &[Model::Mini8, Model::Seeded8];
/// The models that every test run has at hand and that are quick.
pub(crate) const ALL: &[Model] = &[Model::Mini8, Model::Mini4, Model::Seeded8];
/// Every model a fault may be planted in, for the wide table.
pub(crate) const EVERYWHERE: &[Model] =
    &[Model::Mini8, Model::Mini4, Model::Seeded8, Model::Modern8, Model::Xlmr8, Model::MiniLm8, Model::MiniLm4];

/// Rows of the corpus: enough for the policies' least evidence, few enough for many runs.
const ROWS: usize = 130;

/// Weights per scale in the seeded model: its inner width of 160 is no multiple of 64.
const GROUP: usize = 32;

/// Tokens whose rows are long: coverage asks for 128 tokens and more where a model allows them.
const WORDS: &[&str] = &[
    "self", "return", "name", "value", "file", "path", "class", "object", "type", "line", "import", "string", "option",
    "error", "module", "list", "format", "time", "context", "function", "method", "code", "size", "start",
];

impl Model {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mini8 => "parallax-mini 8 bits",
            Self::Mini4 => "parallax-mini 4 bits",
            Self::Seeded8 => "seeded 8 bits",
            Self::Modern8 => "ModernBERT 8 bits",
            Self::Xlmr8 => "XLM-R 8 bits",
            Self::MiniLm8 => "MiniLM 8 bits",
            Self::MiniLm4 => "MiniLM 4 bits",
        }
    }

    /// The real model whose tensors have the same names and the same width, for the wide table.
    pub(crate) fn real(self) -> Option<Self> {
        match self {
            Self::Mini8 => Some(Self::MiniLm8),
            Self::Mini4 => Some(Self::MiniLm4),
            _ => None,
        }
    }

    /// False for the real model where it has not been built.
    pub(crate) fn exists(self) -> bool {
        !matches!(self, Self::MiniLm8 | Self::MiniLm4) || self.candidate().join("config.json").exists()
    }

    /// The ONNX file within the reference's folder, where it is not where a folder's is looked for.
    pub(crate) fn onnx(self) -> Option<&'static str> {
        matches!(self, Self::Modern8 | Self::Xlmr8).then_some("dyn18.onnx")
    }

    /// The reference's folder.
    pub(crate) fn reference(self) -> PathBuf {
        match self {
            Self::Mini8 | Self::Mini4 => repository("models/parallax-mini"),
            Self::Seeded8 => seeded().0.path().to_owned(),
            Self::Modern8 => fixture("zoo/tiny-modernbert"),
            Self::Xlmr8 => fixture("families/tiny-xlm-roberta"),
            Self::MiniLm8 | Self::MiniLm4 => minilm("reference"),
        }
    }

    /// The candidate's folder.
    pub(crate) fn candidate(self) -> PathBuf {
        match self {
            Self::Mini8 => repository("models/parallax-mini-mlx-8bit"),
            Self::Mini4 => repository("models/parallax-mini-mlx-4bit"),
            Self::Seeded8 => seeded().1.path().to_owned(),
            Self::Modern8 => fixture("zoo/tiny-modernbert-mlx-8bit"),
            Self::Xlmr8 => fixture("families/tiny-xlm-roberta-mlx-8bit"),
            Self::MiniLm8 => minilm("mlx-8bit"),
            Self::MiniLm4 => minilm("mlx-4bit"),
        }
    }

    /// Sentences, one per line.
    pub(crate) fn corpus(self) -> String {
        let file = match self {
            Self::Seeded8 => None,
            Self::Modern8 | Self::Xlmr8 => Some(self.reference().join("corpus.txt")),
            _ => Some(repository("models/corpus.txt")),
        };
        if let Some(file) = file {
            let all = std::fs::read_to_string(file).unwrap();
            return all.lines().take(ROWS).map(|l| format!("{l}\n")).collect();
        }
        let mut state = 20_260_101u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut text = String::new();
        for _ in 0..ROWS {
            let words: Vec<&str> = (0..3 + next(25)).map(|_| WORDS[next(WORDS.len())]).collect();
            text.push_str(&format!("{}.\n", words.join(" ")));
        }
        text
    }
}

/// A folder of the real model: where `PARALLAX_MINILM` says, else where `scripts/minilm` puts it.
fn minilm(folder: &str) -> PathBuf {
    let built = std::env::var_os("PARALLAX_MINILM").map(PathBuf::from);
    built.unwrap_or_else(|| repository(".cache/minilm")).join(folder)
}

/// The seeded model's two folders, made once.
fn seeded() -> &'static (Copy, Copy) {
    static FOLDERS: OnceLock<(Copy, Copy)> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let original = fixture("onnx/bert/original");
        let reference = with_modules(Copy::of_path(&original));
        std::fs::create_dir(reference.file("onnx")).unwrap();
        std::fs::copy(fixture("onnx/bert/ts17_t215.onnx"), reference.file("onnx/model.onnx")).unwrap();
        let candidate = with_modules(Copy::of_path(&original)).tensors(quantize).json("config.json", |c| {
            c["quantization"] = json!({"group_size": GROUP, "bits": 8, "mode": "affine"});
        });
        (reference, candidate)
    })
}

/// Mean pooling and Normalize, as the shipped model has them.
fn with_modules(folder: Copy) -> Copy {
    let shipped = repository("models/parallax-mini");
    let copy = |from: &Path, to: PathBuf| assert!(std::fs::copy(from, to).unwrap() > 0);
    copy(&shipped.join("modules.json"), folder.file("modules.json"));
    std::fs::create_dir(folder.file("1_Pooling")).unwrap();
    copy(&shipped.join("1_Pooling/config.json"), folder.file("1_Pooling/config.json"));
    folder.json("1_Pooling/config.json", |c| c["word_embedding_dimension"] = 64.into())
}

/// Every matrix at 8 bits, everything else float16: what MLX's converter writes.
fn quantize(tensors: &mut BTreeMap<String, Stored>) {
    for (name, (_, shape, bytes)) in std::mem::take(tensors) {
        let values = floats(&bytes);
        match name.strip_suffix(".weight").filter(|_| shape.len() == 2) {
            Some(path) => put_quantized(tensors, path, &shape, &values, GROUP, 8),
            None => drop(tensors.insert(name, (Dtype::F16, shape, halves(&values)))),
        }
    }
}

fn halves(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()
}

/// A matrix in MLX's affine format: codes of 4 or 8 bits packed into words, a scale and a bias per group.
pub(crate) fn put_quantized(
    tensors: &mut BTreeMap<String, Stored>,
    path: &str,
    shape: &[usize],
    values: &[f32],
    group: usize,
    bits: usize,
) {
    let most = ((1usize << bits) - 1) as f32;
    let (mut codes, mut scales, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    for group in values.chunks(group) {
        let (low, high) = group.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let scale = f16::from_f32((high - low) / most).to_f32();
        let bias = f16::from_f32(low).to_f32();
        codes.extend(group.iter().map(|v| ((v - bias) / scale).round().clamp(0.0, most) as u8));
        scales.push(scale);
        biases.push(bias);
    }
    let per_byte = 8 / bits;
    let packed = codes.chunks(per_byte).map(|c| c.iter().rev().fold(0u8, |b, c| (b << (bits % 8)) | c)).collect();
    let groups = vec![shape[0], shape[1] / group];
    tensors.insert(format!("{path}.scales"), (Dtype::F16, groups.clone(), halves(&scales)));
    tensors.insert(format!("{path}.biases"), (Dtype::F16, groups, halves(&biases)));
    tensors.insert(format!("{path}.weight"), (Dtype::U32, vec![shape[0], shape[1] * bits / 32], packed));
}
