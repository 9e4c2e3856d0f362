//! Every architecture's hidden states are torch's own, at every tap: seeded small models by `scripts/zoo/models.py`,
//! recorded by `scripts/zoo/exports.py`.

use crate::common;

use std::collections::BTreeSet;

use common::{Recording, fixture, relative_l2};
use parallax::checkpoint::{ModelConfig, ModelFolder};
use parallax::hidden_states::Tap;
use parallax::quantization::load_float;
use parallax::runtimes::Encoder;
use parallax::runtimes::native::{ARCHITECTURES, NativeEncoder};

/// Contract: 1e-5. Measured: 6.4e-7 at most.
const LIMIT: f64 = 2e-6;

/// Every recorded model there is.
fn models() -> Vec<String> {
    let below = |folder: &str| {
        let entries =
            std::fs::read_dir(fixture(folder)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        entries.map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    let all = [below("zoo"), below("families")].concat();
    let mut recorded: Vec<_> =
        all.into_iter().filter(|name| fixture(&format!("{name}/states.safetensors")).exists()).collect();
    recorded.sort();
    recorded
}

fn config(name: &str) -> (ModelFolder, ModelConfig) {
    let folder = ModelFolder::open(&fixture(name)).unwrap();
    let config = ModelConfig::parse(&folder.require("config.json").unwrap(), "config.json").unwrap();
    (folder, config)
}

fn farthest(name: &str) -> f64 {
    let (folder, config) = config(name);
    let encoder = NativeEncoder::build(&config, &load_float(&folder).unwrap().weights, "test").unwrap();
    let recording = Recording::open(&fixture(&format!("{name}/states.safetensors")));
    let (batch, _) = recording.batch("");
    let states = encoder.encode(&batch).unwrap();
    // Behind a norm, transformers reports no state of the last layer itself.
    let (last, end) = (states.get(Tap::Layer(encoder.layers() - 1)).unwrap(), states.get(Tap::Final).unwrap());
    let layers = if last.row(0) == end.row(0) { encoder.layers() } else { encoder.layers() - 1 };
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
    for name in models() {
        let error = farthest(&name);
        println!("{name} {error:.2e}");
        assert!(error <= LIMIT && error > 0.0, "{name}: {error:e}");
    }
}

/// No row of the table without a model here; and what a row lists is what its model is made of.
#[test]
fn every_architecture_is_here_and_is_made_of_what_it_lists() {
    let mut seen = BTreeSet::new();
    for name in models() {
        let (folder, config) = config(&name);
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
