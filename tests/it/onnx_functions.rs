//! Layers hidden in model-local functions are found, and inlining changes nothing.

use crate::onnx_common;

use std::path::Path;

use onnx_common::split::{Model, entry, write};
use onnx_common::{bits, runtime};
use parallax::hidden_states::{RowId, RowSet, Tap};
use parallax::runtimes::onnx::{
    Graph, OnnxModel, Optimization, SessionOptions, TapHints, TapMap, facts, find_taps, observer_effect, recover,
};
use parallax::tokens::TokenBatch;
use prost::Message;

fn read(name: &str) -> OnnxModel {
    let folder = onnx_common::folder().join("../functions");
    OnnxModel::read(&folder.join(format!("{name}.onnx"))).unwrap()
}

fn taps(model: &OnnxModel) -> TapMap {
    find_taps(&Graph::new(model).unwrap(), TapHints { layers: Some(3), vocab: Some(200) }).unwrap()
}

fn batch() -> TokenBatch {
    let mut batch = TokenBatch::new();
    for (row, ids) in [&[7u32, 50, 199, 12, 6, 6, 31][..], &[7, 150, 6], &[7, 90, 91, 92, 6]].into_iter().enumerate() {
        batch.push(RowId { set: RowSet::Corpus, row: row as u64 }, ids, &vec![0; ids.len()]);
    }
    batch
}

type Recovered = Vec<(String, Vec<usize>, Vec<u32>)>;

fn weights(model: &OnnxModel) -> Recovered {
    let set = recover(&Graph::new(model).unwrap(), &taps(model)).unwrap();
    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect();
    set.tensors().iter().map(|(name, w)| (name.clone(), w.shape.clone(), bits(&w.rows()))).collect()
}

#[test]
fn the_states_inside_are_those_of_the_plain_model_to_the_bit() {
    let (plain, functions, runtime) = (read("plain"), read("functions"), runtime());
    let (expected, found) =
        (bits(&runtime, &plain, &taps(&plain), &batch()), bits(&runtime, &functions, &taps(&functions), &batch()));
    let seen: Vec<Tap> = expected.iter().map(|(tap, _)| *tap).collect();
    assert!((0..3).all(|k| seen.contains(&Tap::Layer(k)) && seen.contains(&Tap::Attention(k))), "{seen:?}");
    assert!(expected.iter().all(|(_, bits)| bits.len() == batch().tokens() * 32));
    assert!(expected.windows(2).take(6).all(|w| w[0].1 != w[1].1));
    assert!(expected == found);
}

/// ONNX Runtime inlines the functions of the untouched file itself, so this is the proof that both mean
/// the same.
#[test]
fn the_untouched_file_says_the_same() {
    let (model, runtime) = (read("functions"), runtime());
    for optimization in [Optimization::Disabled, Optimization::Basic, Optimization::Extended, Optimization::All] {
        let options = SessionOptions { optimization, ..SessionOptions::default() };
        let effect = observer_effect(&runtime, &model, &taps(&model), options, &batch()).unwrap();
        assert!(effect.bit_identical && effect.values == batch().tokens() as u64 * 32, "{optimization:?}: {effect:?}");
    }
}

#[test]
fn weights_and_facts_are_read_through_calls() {
    let (plain, functions) = (read("plain"), read("functions"));
    assert!(weights(&plain).len() >= 5 + 3 * 16 && weights(&plain) == weights(&functions));
    let facts_of = |m: &OnnxModel| {
        let f = facts(&Graph::new(m).unwrap(), &taps(m));
        (f.heads, f.intermediate, f.positions, f.activation, f.layer_norm_eps)
    };
    assert_eq!(facts_of(&functions), facts_of(&plain));
    assert_eq!(facts_of(&functions).4, Some(1e-12));
}

#[test]
fn no_function_and_no_call_is_left_and_the_file_keeps_its_hash() {
    let model = read("functions");
    let graph = model.proto().graph.as_ref().unwrap();
    assert!(model.proto().functions.is_empty() && graph.node.iter().all(|n| n.domain.is_empty()));
    assert!(graph.node.iter().any(|n| n.name.starts_with("inlined.")));
    let file = std::fs::read(Path::new(model.name())).unwrap();
    assert_eq!((model.size(), model.bytes().as_ref()), (file.len() as u64, file.as_slice()));
    let folder = tempfile::tempdir().unwrap();
    // The same in one folder with its weights outside.
    let mut outside = Model::decode(file.as_slice()).unwrap();
    assert_eq!(outside.functions.len(), 3);
    let mut data = Vec::new();
    for t in outside.graph.as_mut().unwrap().initializers.iter_mut().filter(|t| !t.raw_data.is_empty()) {
        t.external_data = vec![entry("location", "w"), entry("offset", data.len()), entry("length", t.raw_data.len())];
        t.data_location = 1;
        data.extend_from_slice(&t.raw_data);
        t.raw_data.clear();
    }
    std::fs::write(folder.path().join("w"), data).unwrap();
    write(&outside, folder.path());
    let (outside, runtime) = (OnnxModel::read(&folder.path().join("model.onnx")).unwrap(), runtime());
    let found = bits(&runtime, &outside, &taps(&outside), &batch());
    assert!(found == bits(&runtime, &model, &taps(&model), &batch()));
    let effect = observer_effect(&runtime, &outside, &taps(&outside), SessionOptions::default(), &batch()).unwrap();
    assert!(effect.bit_identical, "{effect:?}");
}
