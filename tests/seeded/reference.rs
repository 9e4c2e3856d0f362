//! References that are not the export of their checkpoint, and candidates that are the reference.

use std::path::Path;

use super::models::{ALL, ONE};
use super::{Fault, Plant};
use crate::common::plant::{Copy, floats, stored, swap};

/// A float32 tensor of the original, and its bytes transposed, as an export may store it.
fn both_ways(folder: &Copy, name: &str) -> [Vec<u8>; 2] {
    let tensors = stored(&folder.file("model.safetensors"));
    let (_, shape, bytes) = &tensors[name];
    let values = floats(bytes);
    let columns = *shape.last().unwrap();
    let rows = values.len() / columns;
    let turned = (0..values.len()).flat_map(|i| values[i % rows * columns + i / rows].to_le_bytes()).collect();
    [bytes.clone(), turned]
}

/// Overwrites a tensor of the ONNX file, found by its bytes, with another of the same shape.
fn patched(folder: Copy, name: &str, by: impl Fn([Vec<u8>; 2]) -> [Vec<u8>; 2]) -> Copy {
    let old = both_ways(&folder, name);
    let new = by(old.clone());
    folder.bytes("onnx/model.onnx", |file| {
        let found = old.iter().zip(&new).find_map(|(old, new)| {
            let at = file.windows(old.len()).position(|w| w == old.as_slice())?;
            Some((at, new))
        });
        let (at, new) = found.unwrap();
        file[at..at + new.len()].copy_from_slice(new);
    })
}

/// The same tensor through a function, both ways it may be stored.
fn each(tensor: [Vec<u8>; 2], change: fn(usize, f32) -> f32) -> [Vec<u8>; 2] {
    tensor.map(|b| floats(&b).into_iter().enumerate().flat_map(|(i, v)| change(i, v).to_le_bytes()).collect())
}

fn copy_over(from: &Path, to: &Copy, name: &str) {
    assert!(std::fs::copy(from.join(name), to.file(name)).unwrap() > 0);
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "onnx-bias-changed",
        hazard: "F29",
        what: "a bias of layer 2 in the ONNX file is not the checkpoint's",
        // Not by a constant: the LayerNorm behind it would take that out.
        plant: Plant::Reference(|c| {
            patched(c, "encoder.layer.2.output.dense.bias", |t| {
                each(t, |i, v| if i % 2 == 0 { v + 0.05 } else { v - 0.05 })
            })
        }),
        on: ONE,
        exit: 3,
        says: &["first at layer.2 (engine)"],
    },
    Fault {
        id: "onnx-layer-replaced",
        hazard: "F29",
        what: "a matrix of layer 1 in the ONNX file is layer 3's",
        plant: Plant::Reference(|c| {
            let other = both_ways(&c, "encoder.layer.3.intermediate.dense.weight");
            patched(c, "encoder.layer.1.intermediate.dense.weight", |_| other.clone())
        }),
        on: ALL,
        exit: 3,
        says: &["first at layer.1 (engine)"],
    },
    Fault {
        id: "onnx-norm-changed",
        hazard: "F29",
        what: "a LayerNorm of layer 0 in the ONNX file is 1 % larger",
        plant: Plant::Reference(|c| patched(c, "encoder.layer.0.output.LayerNorm.bias", |t| each(t, |_, v| v * 1.01))),
        on: ONE,
        exit: 3,
        says: &["first at layer.0 (engine)"],
    },
    Fault {
        id: "onnx-nan",
        hazard: "F11",
        what: "one weight of layer 1 in the ONNX file is NaN",
        plant: Plant::Reference(|c| {
            patched(c, "encoder.layer.1.output.dense.bias", |t| each(t, |i, v| if i == 3 { f32::NAN } else { v }))
        }),
        on: ONE,
        exit: 1,
        says: &["layer.1", "non_finite"],
    },
    Fault {
        id: "onnx-alone-bias-changed",
        hazard: "F29",
        what: "the same with no checkpoint beside the ONNX file: its weights are the truth, the candidate's differ",
        plant: Plant::Reference(|c| {
            let c = patched(c, "encoder.layer.2.output.dense.bias", |t| each(t, |_, v| v + 0.05));
            std::fs::remove_file(c.file("model.safetensors")).unwrap();
            c
        }),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.2.output.dense.bias"],
    },
    Fault {
        id: "onnx-cut-short",
        hazard: "F22",
        what: "the ONNX file ends early",
        plant: Plant::Reference(|c| c.bytes("onnx/model.onnx", |b| b.truncate(b.len() - 1000))),
        on: ALL,
        exit: 4,
        says: &["model.onnx"],
    },
    Fault {
        id: "onnx-pointer",
        hazard: "F22",
        what: "the ONNX file is a Git LFS pointer",
        plant: Plant::Reference(|c| {
            c.bytes("onnx/model.onnx", |b| *b = b"version https://git-lfs.github.com/spec/v1\n".to_vec())
        }),
        on: ONE,
        exit: 4,
        says: &["git lfs pull"],
    },
    Fault {
        id: "original-of-another-training",
        hazard: "F29",
        what: "the checkpoint beside the ONNX file is another model's: its layers 0 and 3 change places",
        plant: Plant::Reference(|c| c.tensors(|t| swap(t, "encoder.layer.0", "encoder.layer.3"))),
        on: ONE,
        exit: 3,
        says: &["first at layer.0 (engine)"],
    },
    Fault {
        id: "original-with-nan",
        hazard: "F11",
        what: "one value of the checkpoint beside the ONNX file is NaN",
        plant: Plant::Reference(|c| {
            c.tensors(|t| {
                let bytes = &mut t.get_mut("encoder.layer.1.output.dense.weight").unwrap().2;
                bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
            })
        }),
        on: ONE,
        exit: 4,
        says: &["encoder.layer.1.output.dense.weight", "NaN"],
    },
    Fault {
        id: "original-of-fewer-layers",
        hazard: "F21",
        what: "config.json beside the ONNX file declares three of its four layers",
        plant: Plant::Reference(|c| c.json("config.json", |c| c["num_hidden_layers"] = 3.into())),
        on: ONE,
        exit: 3,
        says: &["layers"],
    },
    Fault {
        id: "original-heads-misdeclared",
        hazard: "F24",
        what: "both config.json declare 8 heads for 4",
        plant: Plant::Mixed(|c, reference| {
            let eight = |file: &Path| {
                let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
                config["num_attention_heads"] = 8.into();
                std::fs::write(file, config.to_string()).unwrap();
            };
            eight(&reference.join("config.json"));
            eight(&c.file("config.json"));
            c
        }),
        on: ALL,
        exit: 3,
        says: &["first at layer.0 (engine)"],
    },
    Fault {
        id: "candidate-is-the-reference",
        hazard: "F3",
        what: "the candidate is a copy of the reference's folder",
        plant: Plant::Mixed(|_, reference| Copy::of_path(reference)),
        on: ONE,
        exit: 3,
        says: &["byte for byte a file of the reference"],
    },
    Fault {
        id: "candidate-has-the-original-file",
        hazard: "F3",
        what: "the candidate's safetensors file is the original's, its config.json declares quantization",
        plant: Plant::Mixed(|c, reference| {
            copy_over(reference, &c, "model.safetensors");
            let _ = std::fs::remove_file(c.file("model.safetensors.index.json"));
            c
        }),
        on: ONE,
        exit: 4,
        says: &["scales"],
    },
];
