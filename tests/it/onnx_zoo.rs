//! The export zoo (scripts/zoo): one model, every way people export it. In each exact export every tap is found
//! and is what torch computes; each inexact one is recognised; and each graph's layers are the checkpoint's.

use crate::common;

use common::{Recording, fixture, relative_l2};
use parallax::checkpoint::{ModelConfig, ModelFolder, WeightSet};
use parallax::finding::Severity;
use parallax::hidden_states::Tap;
use parallax::quantization::{Dequantization, load_candidate, load_float};
use parallax::runtimes::Encoder;
use parallax::runtimes::native::NativeEncoder;
use parallax::runtimes::onnx::{
    Graph, OnnxEncoder, OnnxModel, Runtime, SessionOptions, TapHints, audit, exactness, find_taps, locate, recover,
};
use parallax::tokens::TokenBatch;

/// Relative L2 between ONNX Runtime and torch at any tap; 1.2e-6 was the most measured.
const SAME: f64 = 1e-5;

struct Zoo {
    folder: std::path::PathBuf,
    manifest: serde_json::Value,
    truth: Recording,
}

impl Zoo {
    fn open(model: &str) -> Self {
        let folder = fixture("zoo").join(model);
        let manifest = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let truth = Recording::open(&folder.join("states.safetensors"));
        Self { folder, manifest, truth }
    }

    fn entry(&self, file: &str) -> &serde_json::Value {
        self.manifest["exports"].as_array().unwrap().iter().find(|e| e["file"] == file).unwrap()
    }

    fn exports(&self, exact: bool) -> Vec<String> {
        let all = self.manifest["exports"].as_array().unwrap();
        let fitting = all.iter().filter(|e| e["exact"].as_bool() == Some(exact));
        fitting.map(|e| e["file"].as_str().unwrap().to_owned()).collect()
    }

    fn layers(&self) -> usize {
        usize::try_from(self.manifest["layers"].as_u64().unwrap()).unwrap()
    }

    fn model(&self, file: &str) -> OnnxModel {
        OnnxModel::read(&self.folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    fn weights(&self) -> WeightSet {
        load_float(&ModelFolder::open(&self.folder).unwrap()).unwrap().weights
    }

    /// Worst relative L2 of any tap of this export from what torch computes there.
    fn worst(&self, runtime: &Runtime, file: &str) -> (f64, usize) {
        let model = self.model(file);
        let graph = Graph::new(&model).unwrap();
        let hints = TapHints { layers: Some(self.layers()), vocab: Some(109) };
        let map = find_taps(&graph, hints).unwrap_or_else(|e| panic!("{file}: {e}"));
        let encoder = OnnxEncoder::open(runtime, &model, &map, SessionOptions::default())
            .unwrap_or_else(|e| panic!("{file}: {e}"));
        let (batch, _) = self.truth.batch("");
        let mut worst = 0f64;
        // Some exports take one row at a time, by a fault of theirs (the manifest's `rows`).
        let single = self.entry(file)["rows"].as_u64() == Some(1);
        let all = if single { None } else { Some(encoder.encode(&batch).unwrap_or_else(|e| panic!("{file}: {e}"))) };
        assert!(!single || encoder.encode(&batch).is_err(), "{file} takes more rows than one");
        for entry in &map.entries {
            let name = match entry.tap {
                Tap::Embeddings => "hidden.0".to_owned(),
                // Newer transformers put the final norm into the last hidden state of a pre-norm model.
                Tap::Layer(k) if k + 1 == map.layers && !map.post_norm => continue,
                Tap::Layer(k) => format!("hidden.{}", k + 1),
                Tap::Final => "final".to_owned(),
                other => panic!("{other}"),
            };
            for r in 0..batch.rows() {
                let want = self.truth.row(&name, r, batch.len(r));
                let error = match &all {
                    Some(states) => relative_l2(states.get(entry.tap).unwrap().row(r), &want),
                    None => {
                        let mut row = TokenBatch::new();
                        row.push(batch.row_id(r), batch.ids(r), batch.type_ids(r));
                        relative_l2(encoder.encode(&row).unwrap().get(entry.tap).unwrap().row(0), &want)
                    }
                };
                assert!(error < SAME, "{file} {} row {r}: {error:e}", entry.tap);
                worst = worst.max(error);
            }
        }
        (worst, map.entries.len())
    }
}

#[test]
fn every_exact_export_shows_what_torch_computes() {
    let runtime = Runtime::load(&locate(None).unwrap()).unwrap();
    for (model, least) in [("tiny-bert", 27), ("default-bert", 6), ("tiny-modernbert", 9)] {
        let zoo = Zoo::open(model);
        let exports = zoo.exports(true);
        assert!(exports.len() >= least, "{model}: {exports:?}");
        for file in exports {
            let (worst, taps) = zoo.worst(&runtime, &file);
            assert_eq!(taps, zoo.layers() + 2, "{model}/{file}");
            println!("{model}/{file:<28} {taps} taps, worst relative L2 {worst:.1e}");
        }
    }
}

#[test]
fn inexact_references_are_recognised() {
    let zoo = Zoo::open("tiny-bert");
    let inexact = zoo.exports(false);
    assert_eq!(inexact.len(), 5);
    for file in inexact {
        let model = zoo.model(&file);
        let graph = Graph::new(&model).unwrap();
        match find_taps(&graph, TapHints::default()) {
            Ok(map) => {
                let found = exactness(&graph, &map, None);
                assert!(found.iter().any(|f| f.severity == Severity::Refusal), "{file}");
                println!("{file}: {}", found[0].message);
            }
            Err(e) => println!("{file}: {e}"),
        }
    }
    for file in zoo.exports(true) {
        let model = zoo.model(&file);
        let graph = Graph::new(&model).unwrap();
        let map = find_taps(&graph, TapHints::default()).unwrap();
        assert_eq!(exactness(&graph, &map, None), [], "{file}");
    }
}

#[test]
fn the_layers_of_every_export_are_the_checkpoints_even_quantized() {
    let zoo = Zoo::open("tiny-bert");
    let quantized = ModelFolder::open(&fixture("zoo/tiny-bert-mlx-4bit")).unwrap();
    let config = serde_json::from_slice(&quantized.require("config.json").unwrap()).unwrap();
    let quantized = load_candidate(&quantized, &config, Dequantization::default()).unwrap().weights;
    let original = zoo.weights();
    // The same checkpoint with two layers in each other's place.
    let swapped = original
        .changed(|tensors| {
            for name in original.tensors().keys().filter(|n| n.contains("layer.0.")) {
                let twin = name.replace("layer.0.", "layer.2.");
                let (a, b) = (tensors[name].clone(), tensors[&twin].clone());
                tensors.insert(name.clone(), b);
                tensors.insert(twin, a);
            }
        })
        .unwrap();
    for file in zoo.exports(true) {
        let model = zoo.model(&file);
        let graph = Graph::new(&model).unwrap();
        let map = find_taps(&graph, TapHints::default()).unwrap();
        for weights in [&original, &quantized] {
            let audited = audit(&graph, &map, weights);
            assert_eq!(audited.findings(), [], "{file}");
            assert!(audited.confirmed(), "{file}: {audited:?}");
            assert!(
                audited.layers.len() == 3 && audited.layers.iter().all(|l| l.matrices.len() == 6),
                "{file}: {audited:#?}"
            );
        }
        let said = audit(&graph, &map, &swapped).findings();
        let refused = said.iter().filter(|f| f.severity == Severity::Refusal);
        assert_eq!(refused.count(), 2, "{file}: {said:?}");
        assert!(said[0].message.contains("in layer 0") && said[0].message.contains("encoder.layer.2."), "{said:?}");
    }
}

#[test]
fn weights_are_recovered_from_every_plain_export_and_refused_in_words_from_others() {
    let zoo = Zoo::open("tiny-bert");
    let original = zoo.weights();
    let mut recovered = 0;
    for file in zoo.exports(true) {
        let model = zoo.model(&file);
        let graph = Graph::new(&model).unwrap();
        let map = find_taps(&graph, TapHints::default()).unwrap();
        match recover(&graph, &map) {
            Ok(weights) => {
                recovered += 1;
                for (name, weight) in weights.tensors() {
                    assert!(weight.rows() == original.tensors()[name].rows(), "{file}: {name}");
                }
            }
            Err(e) => {
                println!("{e}");
                assert!(e.to_string().contains("give --original"), "{file}: {e}");
            }
        }
    }
    assert!(recovered >= 18, "{recovered}");
}

#[test]
fn our_encoder_computes_what_torch_computes() {
    for model in ["tiny-bert", "default-bert"] {
        let zoo = Zoo::open(model);
        let folder = ModelFolder::open(&zoo.folder).unwrap();
        let config = ModelConfig::parse(&folder.require("config.json").unwrap(), "config.json").unwrap();
        let encoder = NativeEncoder::build(&config, &zoo.weights(), model).unwrap();
        let (batch, _) = zoo.truth.batch("");
        let states = encoder.encode(&batch).unwrap();
        for k in 0..=3 {
            let tap = if k == 0 { Tap::Embeddings } else { Tap::Layer(k - 1) };
            for r in 0..batch.rows() {
                let want = zoo.truth.row(&format!("hidden.{k}"), r, batch.len(r));
                let error = relative_l2(states.get(tap).unwrap().row(r), &want);
                assert!(error < SAME, "{model} {tap}: {error:e}");
            }
        }
    }
}
