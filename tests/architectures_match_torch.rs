//! Every architecture's hidden states are torch's own, at every tap: seeded small models by `scripts/zoo/models.py`,
//! recorded by `scripts/zoo/exports.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod common;

use std::collections::BTreeSet;

use common::{Recording, fixture, relative_l2};
use parallax::checkpoint::{ModelConfig, ModelFolder};
use parallax::hidden_states::Tap;
use parallax::quantization::load_float;
use parallax::runtimes::Encoder;
use parallax::runtimes::native::{ARCHITECTURES, NativeEncoder};

/// Contract: 1e-5. Measured: ELECTRA 2.1e-6, all others at most 7.3e-7.
const LIMIT: f64 = 3e-6;

/// Models, and whether a norm follows their last layer: transformers then reports no state of that layer itself.
const MODELS: &[(&str, bool)] = &[
    ("zoo/tiny-bert", false),
    ("families/tiny-roberta", false),
    ("families/tiny-xlm-roberta", false),
    ("families/tiny-camembert", false),
    ("families/tiny-distilbert", false),
    ("families/tiny-mpnet", false),
    ("families/tiny-electra", false),
    ("families/tiny-albert", false),
    ("families/tiny-nomic-bert", false),
    ("zoo/tiny-modernbert", true),
    ("families/tiny-qwen3", true),
    ("families/tiny-gemma3", true),
];

fn config(name: &str) -> (ModelFolder, ModelConfig) {
    let folder = ModelFolder::open(&fixture(name)).unwrap();
    let config = ModelConfig::parse(&folder.require("config.json").unwrap(), "config.json").unwrap();
    (folder, config)
}

fn farthest(name: &str, normed: bool) -> f64 {
    let (folder, config) = config(name);
    let encoder = NativeEncoder::build(&config, &load_float(&folder).unwrap().weights, "test").unwrap();
    let recording = Recording::open(&fixture(&format!("{name}/states.safetensors")));
    let (batch, _) = recording.batch("");
    let states = encoder.encode(&batch).unwrap();
    let layers = if normed { encoder.layers() - 1 } else { encoder.layers() };
    let mut taps = vec![(Tap::Embeddings, "hidden.0".to_owned()), (Tap::Final, "final".to_owned())];
    taps.extend((0..layers).map(|k| (Tap::Layer(k), format!("hidden.{}", k + 1))));
    let mut worst = 0.0_f64;
    for (tap, tensor) in taps {
        let seen = states.get(tap).unwrap();
        for r in 0..batch.rows() {
            worst = worst.max(relative_l2(seen.row(r), &recording.row(&tensor, r, batch.len(r))));
        }
    }
    worst
}

#[test]
fn torchs_hidden_states_at_every_tap() {
    for (name, normed) in MODELS {
        let error = farthest(name, *normed);
        println!("{name} {error:.2e}");
        assert!(error <= LIMIT && error > 0.0, "{name}: {error:e}");
    }
}

/// No row of the table without a model here; and what a row lists is what its model is made of.
#[test]
fn every_architecture_is_here_and_is_made_of_what_it_lists() {
    let mut seen = BTreeSet::new();
    for (name, _) in MODELS {
        let (folder, config) = config(name);
        let kind = config.model_type.replace('_', "-");
        let row = ARCHITECTURES.iter().position(|a| a.model_types.contains(&kind.as_str())).unwrap();
        seen.insert(row);
        let weights = load_float(&folder).unwrap().weights;
        for p in (ARCHITECTURES[row].parameters)(&config) {
            match weights.tensors().get(&p.name) {
                Some(weight) => assert_eq!(weight.shape, p.shape, "{name}: {}", p.name),
                None => assert!(!p.required, "{name}: {} is missing", p.name),
            }
        }
        let listed: BTreeSet<String> = (ARCHITECTURES[row].parameters)(&config).into_iter().map(|p| p.name).collect();
        let left: Vec<_> = weights.tensors().keys().filter(|n| !listed.contains(*n)).collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
    assert_eq!(seen.len(), ARCHITECTURES.len());
}
