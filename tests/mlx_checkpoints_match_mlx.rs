//! The real loader and our encoder together: hidden states of MLX checkpoints are MLX's own at every tap.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{Recording, fixture, relative_l2};
use parallax::checkpoint::{ModelConfig, ModelFolder};
use parallax::hidden_states::Tap;
use parallax::quantization::load_candidate;
use parallax::runtimes::Encoder;
use parallax::runtimes::native::NativeEncoder;

/// Contract: 1e-5. Measured over all cases and taps: 4.3e-7.
const LIMIT: f64 = 2e-6;

fn mlx(name: &str) -> NativeEncoder {
    let folder = ModelFolder::open(&fixture(&format!("mlx/tiny/{name}"))).unwrap();
    let config = ModelConfig::parse(&folder.require("config.json").unwrap(), "config.json").unwrap();
    let loaded = load_candidate(&folder, config.raw()).unwrap();
    NativeEncoder::build(&config, &loaded.weights, "test").unwrap()
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
