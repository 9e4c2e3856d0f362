//! Graphs whose weights are not the checkpoint's beside them: too little, too far out or too invariant for any row to
//! show.

use std::path::Path;

use parallax::checkpoint::ModelFolder;
use parallax::quantization::{Dequantization, load_candidate};

use super::models::{EIGHT, Model, ONE};
use super::onnx_edit::{Graph, Tensor, edited};
use super::{Fault, Plant};
use crate::common::plant::{Copy, floats, stored};

const WORDS: &str = "embeddings.word_embeddings.weight";
const POSITIONS: &str = "embeddings.position_embeddings.weight";

/// A float32 tensor of the checkpoint: values, and columns.
fn tensor(folder: &Copy, name: &str) -> (Vec<f32>, usize) {
    let tensors = stored(&folder.file("model.safetensors"));
    let (_, shape, bytes) = &tensors[name];
    (floats(bytes), if shape.len() > 1 { *shape.last().unwrap() } else { 1 })
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn turned(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// Puts other values in a tensor's place, found in the graph by its content, lying either way.
fn put(g: &mut Graph, (old, columns): &(Vec<f32>, usize), new: &[f32]) {
    let both = [(bytes(old), bytes(new)), (bytes(&turned(old, *columns)), bytes(&turned(new, *columns)))];
    let found = |t: &Tensor| both.iter().find(|(old, _)| t.raw_data == *old).map(|(_, new)| new.clone());
    let place = g.initializer.iter_mut().find_map(|t| found(t).map(|new| (t, new)));
    let (t, new) = place.expect("the graph holds the tensor");
    t.raw_data = new;
}

/// Changes one tensor of the ONNX file, given its columns.
fn changed(folder: Copy, name: &str, change: impl Fn(&mut [f32], usize)) -> Copy {
    let old = tensor(&folder, name);
    let mut new = old.0.clone();
    change(&mut new, old.1);
    edited(folder, |g| put(g, &old, &new))
}

fn exchange(values: &mut [f32], columns: usize, a: usize, b: usize) {
    (0..columns).for_each(|i| values.swap(a * columns + i, b * columns + i));
}

/// The tensors `wanted` of the ONNX file become the candidate's dequantized ones.
fn made_from_candidate(candidate: &Copy, reference: &Path, wanted: fn(&str) -> bool, change: fn(f32) -> f32) {
    let folder = ModelFolder::open(candidate.path()).unwrap();
    let config = serde_json::from_slice(&std::fs::read(candidate.file("config.json")).unwrap()).unwrap();
    let weights = load_candidate(&folder, &config, Dequantization::default()).unwrap().weights;
    let original = Copy::of_path(reference);
    let names: Vec<&String> = weights.tensors().keys().filter(|name| wanted(name)).collect();
    assert!(!names.is_empty());
    let made = edited(original, |g| {
        // The checkpoint beside it stays as it is.
        let kept = Copy::of_path(reference);
        for name in &names {
            let new: Vec<f32> = weights.tensors()[*name].rows().iter().map(|v| change(*v)).collect();
            put(g, &tensor(&kept, name), &new);
        }
    });
    std::fs::copy(made.file("onnx/model.onnx"), reference.join("onnx/model.onnx")).unwrap();
}

fn encoder(name: &str) -> bool {
    !name.starts_with("pooler")
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "graph-words-zeroed",
        hazard: "G3",
        what: "every word from id 600 on is zeros in the ONNX file, beside an intact checkpoint",
        plant: Plant::Reference(|c| changed(c, WORDS, |v, columns| v[600 * columns..].fill(0.0))),
        on: ONE,
        exit: 3,
        says: &[
            "`embeddings.word_embeddings.weight`",
            "the first at row 600 (token id 600, ",
            "the graph is the odd one",
        ],
    },
    Fault {
        id: "graph-two-words-exchanged",
        hazard: "G3",
        what: "two rare words have each other's rows in the ONNX file",
        plant: Plant::Reference(|c| changed(c, WORDS, |v, columns| exchange(v, columns, 150, 151))),
        on: EIGHT,
        exit: 3,
        says: &["in 2 rows, the first at row 150 (token id 150, ", "the graph is the odd one"],
    },
    Fault {
        id: "graph-positions-exchanged",
        hazard: "G3",
        what: "two rows of positions that no row of the corpus reaches are exchanged in the ONNX file",
        plant: Plant::Reference(|c| changed(c, POSITIONS, |v, columns| exchange(v, columns, 200, 255))),
        on: ONE,
        exit: 1,
        says: &["in 2 rows, the first at row 200 (position 200)"],
    },
    Fault {
        id: "graph-bias-element",
        hazard: "G3",
        what: "one element of a bias is 1e-5 larger in the ONNX file: less than the engine's noise",
        plant: Plant::Reference(|c| changed(c, "encoder.layer.1.output.dense.bias", |v, _| v[5] += 1e-5)),
        on: EIGHT,
        exit: 1,
        says: &["`encoder.layer.1.output.dense.bias`", "1 of ", "the first at element 5"],
    },
    Fault {
        id: "graph-key-bias",
        hazard: "G3",
        what: "a bias of keys is doubled in the ONNX file: no output can show it, every score moves alike",
        plant: Plant::Reference(|c| {
            changed(c, "encoder.layer.2.attention.self.key.bias", |v, _| v.iter_mut().for_each(|v| *v = 2.0 * *v + 0.1))
        }),
        on: ONE,
        exit: 1,
        says: &["`encoder.layer.2.attention.self.key.bias`"],
    },
    Fault {
        id: "graph-norm-scaled",
        hazard: "G3",
        what: "one LayerNorm's scale is a millionth larger in the ONNX file",
        plant: Plant::Reference(|c| {
            changed(c, "encoder.layer.0.output.LayerNorm.weight", |v, _| v.iter_mut().for_each(|v| *v *= 1.000_001))
        }),
        on: ONE,
        exit: 1,
        says: &["`encoder.layer.0.output.LayerNorm.weight`", "elements differ"],
    },
    Fault {
        id: "graph-matrix-ulp",
        hazard: "G3",
        what: "every weight of one matrix is one float32 step away in the ONNX file",
        plant: Plant::Reference(|c| {
            changed(c, "encoder.layer.1.intermediate.dense.weight", |v, _| {
                v.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits() + 1));
            })
        }),
        on: ONE,
        exit: 1,
        says: &["`encoder.layer.1.intermediate.dense.weight`", "elements differ"],
    },
    Fault {
        id: "graph-made-from-candidate",
        hazard: "G3",
        what: "the ONNX file holds the candidate's dequantized weights, beside an intact checkpoint",
        plant: Plant::Mixed(|c, reference| {
            made_from_candidate(&c, reference, encoder, |v| v);
            c
        }),
        on: &[Model::Mini8, Model::Mini4],
        exit: 3,
        says: &["the ONNX file was made from the candidate"],
    },
    Fault {
        id: "graph-made-from-candidate-ulp",
        hazard: "G3",
        what: "the candidate's dequantized weights are in the ONNX file, each one float32 step away",
        plant: Plant::Mixed(|c, reference| {
            made_from_candidate(&c, reference, encoder, |v| f32::from_bits(v.to_bits() + 1));
            c
        }),
        on: ONE,
        exit: 3,
        says: &["the ONNX file was made from the candidate"],
    },
    Fault {
        id: "graph-keys-made-from-candidate",
        hazard: "G3",
        what: "one matrix of the ONNX file is the candidate's dequantized one",
        plant: Plant::Mixed(|c, reference| {
            made_from_candidate(&c, reference, |name| name == "encoder.layer.3.attention.self.key.weight", |v| v);
            c
        }),
        on: ONE,
        exit: 3,
        says: &["`encoder.layer.3.attention.self.key.weight`", "the ONNX file was made from the candidate"],
    },
    Fault {
        id: "original-words-exchanged",
        hazard: "G3",
        what: "graph and candidate belong together, the checkpoint beside them has two words exchanged",
        plant: Plant::Reference(|c| {
            c.tensors(|t| {
                let (_, shape, bytes) = t.get_mut(WORDS).unwrap();
                let row = shape[1] * 4;
                (0..row).for_each(|i| bytes.swap(700 * row + i, 701 * row + i));
            })
        }),
        on: ONE,
        exit: 3,
        says: &[
            "the first at row 700",
            "the original is not the checkpoint this graph and the candidate were made from",
        ],
    },
    Fault {
        id: "graph-rotary-base",
        hazard: "G3",
        what: "the rotation's base is 150,000 in the ONNX file, 160,000 in every config.json",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let full = g.initializer.iter_mut().find(|t| t.name.ends_with("full_attention_inv_freq")).unwrap();
                let n = full.raw_data.len() / 4;
                full.raw_data =
                    bytes(&(0..n).map(|i| 150_000f64.powf(-(i as f64) / n as f64) as f32).collect::<Vec<_>>());
            })
        }),
        on: &[Model::Modern8],
        exit: 3,
        says: &["rotary frequencies of base 150000, config.json says 160000"],
    },
    Fault {
        id: "graph-rotary-bent",
        hazard: "G3",
        what: "one rotary frequency of the ONNX file is one in ten thousand too high",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let local = g.initializer.iter_mut().find(|t| t.name.ends_with("sliding_attention_inv_freq")).unwrap();
                let mut values = floats(&local.raw_data);
                values[3] *= 1.0001;
                local.raw_data = bytes(&values);
            })
        }),
        on: &[Model::Modern8],
        exit: 1,
        says: &["wrong from element 3 on"],
    },
];
