//! Our encoder's hidden states are those of MLX (on dequantized weights) and of torch, at every tap.

mod common;

use common::{Recording, fixture, relative_l2};
use parallax::checkpoint::{ModelConfig, ModelFolder};
use parallax::hidden_states::{RowId, RowSet, Tap};
use parallax::quantization::{Loaded, load_candidate, load_float};
use parallax::runtimes::Encoder;
use parallax::runtimes::native::NativeEncoder;
use parallax::tokens::TokenBatch;

/// Contract: 1e-5. Measured over all cases and taps: 5.6e-7 against MLX, 4.9e-7 against torch.
const LIMIT: f64 = 2e-6;

fn encoder(
    folder: &str,
    load: impl Fn(&ModelFolder, &ModelConfig) -> Loaded,
    tune: impl Fn(&mut ModelConfig),
) -> NativeEncoder {
    let folder = ModelFolder::open(&fixture(folder)).unwrap();
    let mut config = ModelConfig::parse(&folder.require("config.json").unwrap(), "config.json").unwrap();
    let loaded = load(&folder, &config);
    tune(&mut config);
    NativeEncoder::build(&config, &loaded.weights, "test").unwrap()
}

fn mlx(name: &str) -> NativeEncoder {
    encoder(&format!("mlx/tiny/{name}"), |f, c| load_candidate(f, c.raw()).unwrap(), |_| {})
}

fn original() -> NativeEncoder {
    encoder("onnx/bert/original", |f, _| load_float(f).unwrap(), |_| {})
}

/// Largest relative L2 over rows, per recorded tensor.
fn worst(encoder: &mut NativeEncoder, recording: &Recording, prefix: &str, taps: &[(Tap, String)]) -> f64 {
    let (batch, _) = recording.batch(prefix);
    let states = encoder.encode(&batch).unwrap();
    let mut worst = 0.0f64;
    for (tap, tensor) in taps {
        let seen = states.get(*tap).unwrap();
        for r in 0..batch.rows() {
            worst = worst.max(relative_l2(seen.row(r), &recording.row(tensor, r, batch.len(r))));
        }
    }
    worst
}

fn mlx_taps(prefix: &str, layers: usize) -> Vec<(Tap, String)> {
    let mut taps =
        vec![(Tap::Embeddings, format!("{prefix}embeddings")), (Tap::Final, format!("{prefix}last_hidden_state"))];
    taps.extend((0..layers).map(|i| (Tap::Layer(i), format!("{prefix}layer.{i}"))));
    taps
}

fn torch_taps(layers: usize) -> Vec<(Tap, String)> {
    let mut taps = vec![(Tap::Embeddings, "hidden.0".to_owned()), (Tap::Final, format!("hidden.{layers}"))];
    taps.extend((0..layers).map(|i| (Tap::Layer(i), format!("hidden.{}", i + 1))));
    taps
}

#[test]
fn mlx_hidden_states_on_dequantized_weights() {
    for name in ["bert-8bit-g64", "bert-6bit-g32-f32", "bert-4bit-g32", "bert-3bit-g64-bf16", "bert-f16"] {
        let mut encoder = mlx(name);
        let recording = Recording::open(&fixture(&format!("mlx/tiny/{name}/EXPECTED.safetensors")));
        for prefix in ["batch.", "s0.", "s1.", "s2.", "s3."] {
            let error = worst(&mut encoder, &recording, prefix, &mlx_taps(prefix, 2));
            println!("{name} {prefix} {error:.2e}");
            assert!(error <= LIMIT, "{name} {prefix}: {error:e}");
        }
    }
}

#[test]
fn torch_hidden_states_on_float32_weights() {
    let recording = Recording::open(&fixture("onnx/bert/hidden_states.safetensors"));
    let error = worst(&mut original(), &recording, "", &torch_taps(4));
    println!("torch {error:.2e}");
    assert!(error <= LIMIT, "{error:e}");
}

#[test]
fn planted_faults_are_far_outside_the_limit() {
    let recording = Recording::open(&fixture("onnx/bert/hidden_states.safetensors"));
    let with = |tune: fn(&mut ModelConfig)| {
        let mut faulty = encoder("onnx/bert/original", |f, _| load_float(f).unwrap(), tune);
        worst(&mut faulty, &recording, "", &torch_taps(4))
    };
    for (what, error) in [
        ("tanh GELU", with(|c| c.hidden_act = "gelu_new".to_owned())),
        ("heads", with(|c| c.num_attention_heads /= 2)),
        ("eps", with(|c| c.layer_norm_eps = 1e-3)),
    ] {
        assert!(error > 10.0 * LIMIT, "{what}: {error:e}");
    }
    // A tap moved by one layer is another tensor.
    let moved: Vec<(Tap, String)> = (0..3).map(|i| (Tap::Layer(i), format!("hidden.{}", i + 2))).collect();
    assert!(worst(&mut original(), &recording, "", &moved) > 0.05);
}

#[test]
fn a_row_does_not_feel_its_neighbours() {
    let mut encoder = original();
    let rows: Vec<Vec<u32>> = (1..9u32).map(|n| (0..n * n).map(|i| (i * 37 + n) % 500).take(100).collect()).collect();
    let id = |row: usize| RowId { set: RowSet::Corpus, row: row as u64 };
    let mut all = TokenBatch::new();
    rows.iter().enumerate().for_each(|(i, r)| all.push(id(i), r, &vec![0; r.len()]));
    let together = encoder.encode(&all).unwrap();
    for (i, row) in rows.iter().enumerate() {
        let mut one = TokenBatch::new();
        one.push(id(i), row, &vec![0; row.len()]);
        let alone = encoder.encode(&one).unwrap();
        for (tap, states) in alone.iter() {
            let error = relative_l2(states.row(0), together.get(tap).unwrap().row(i));
            assert!(error <= 1e-6, "row {i} at {tap}: {error:e}");
        }
    }
}
