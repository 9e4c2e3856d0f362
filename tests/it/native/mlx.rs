//! A second, plain reading of MLX's affine format, kept apart from the library's so that a shared
//! mistake cannot hide: each row is one little-endian bit stream, weight = scale · code + bias, rounded
//! to the scales' type after each of the two operations.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use parallax::checkpoint::ModelConfig;
use parallax::hidden_states::Tap;
use safetensors::{Dtype, SafeTensors};

use super::{Recording, Tensor, fixture, tensors};

/// Configuration, float32 weights and recorded runs ("s0" … "batch") of one tiny MLX model.
pub struct Tiny {
    pub config: ModelConfig,
    pub weights: BTreeMap<String, Tensor>,
    pub runs: Vec<(&'static str, Recording)>,
}

impl Tiny {
    pub fn load(name: &str) -> Self {
        let folder = fixture("mlx/tiny").join(name);
        let json = std::fs::read(folder.join("config.json")).unwrap();
        let config = ModelConfig::parse(&json, "config.json").unwrap();
        let weights = dequantized(&folder.join("model.safetensors"), &config);
        let states = tensors(&folder.join("EXPECTED.safetensors"));
        let run = |part: &'static str| {
            let get = |name: &str| states[&format!("{part}.{name}")].clone();
            let names = [
                (Tap::Embeddings, "embeddings"),
                (Tap::Layer(0), "layer.0"),
                (Tap::Layer(1), "layer.1"),
                (Tap::Final, "last_hidden_state"),
            ];
            let taps = names.map(|(tap, name)| (tap, get(name))).into();
            (part, Recording::new(&get("input_ids"), &get("attention_mask"), None, taps))
        };
        Self { config, weights, runs: ["s0", "s1", "s2", "s3", "batch"].map(run).into() }
    }
}

fn dequantized(path: &Path, config: &ModelConfig) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut out = BTreeMap::new();
    for (name, view) in file.tensors() {
        let module = name.strip_suffix(".weight").unwrap_or("");
        let Ok(scales) = file.tensor(&format!("{module}.scales")) else {
            if !name.ends_with(".scales") && !name.ends_with(".biases") {
                out.insert(name, (view.shape().to_vec(), floats(view.dtype(), view.data())));
            }
            continue;
        };
        let setting = |key: &str| config.raw()["quantization"][key].as_u64().unwrap() as usize;
        let (bits, group) = (setting("bits"), setting("group_size"));
        let biases = file.tensor(&format!("{module}.biases")).unwrap();
        let round = rounding(scales.dtype());
        let (scales, biases) = (floats(scales.dtype(), scales.data()), floats(biases.dtype(), biases.data()));
        let rows = view.shape()[0];
        let columns = view.shape()[1] * 32 / bits;
        let stream = view.data().chunks_exact(view.data().len() / rows);
        let values = stream.enumerate().flat_map(|(r, row)| {
            let bit = |i: usize| u32::from(row[i / 8] >> (i % 8) & 1);
            let code = |c: usize| (0..bits).map(|b| bit(c * bits + b) << b).sum::<u32>();
            let one = |c: usize| {
                let g = r * columns / group + c / group;
                round(round(code(c) as f32 * scales[g]) + biases[g])
            };
            (0..columns).map(one).collect::<Vec<f32>>()
        });
        out.insert(name.clone(), (vec![rows, columns], values.collect()));
    }
    out
}

fn floats(dtype: Dtype, data: &[u8]) -> Vec<f32> {
    let pairs = data.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        Dtype::F16 => pairs.map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => pairs.map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        other => panic!("{other:?}"),
    }
}

fn rounding(dtype: Dtype) -> fn(f32) -> f32 {
    match dtype {
        Dtype::F16 => |x| f16::from_f32(x).to_f32(),
        Dtype::BF16 => |x| bf16::from_f32(x).to_f32(),
        _ => |x| x,
    }
}
