//! Codes, scales and biases that are not what a quantizer makes of the original, most of them with every group's mean
//! kept or nearly so.

use std::path::Path;

use super::models::{ALL, Model};
use super::{Fault, Plant};
use crate::common::plant::{Copy, floats, stored};

const WORDS: &str = "embeddings.word_embeddings";
const POSITIONS: &str = "embeddings.position_embeddings";
const VALUE: &str = "encoder.layer.2.attention.self.value";
const OUTPUT: &str = "encoder.layer.1.output.dense";

/// Both widths of the shipped model, which MLX's own quantizer made.
const MINI: &[Model] = &[Model::Mini8, Model::Mini4];
const EIGHT_ONLY: &[Model] = &[Model::Mini8];
const FOUR_ONLY: &[Model] = &[Model::Mini4];

/// The bytes of one row of a tensor, changed.
fn row(copy: Copy, tensor: &str, row: usize, change: impl Fn(&mut [u8])) -> Copy {
    copy.tensors(|t| {
        let (_, shape, bytes) = t.get_mut(tensor).unwrap();
        let width = bytes.len() / shape[0];
        change(&mut bytes[row * width..][..width]);
    })
}

/// All bytes of a tensor, changed.
fn all(copy: Copy, tensor: &str, change: impl Fn(&mut [u8])) -> Copy {
    copy.tensors(|t| change(&mut t.get_mut(tensor).unwrap().2))
}

/// The row of a word.
fn word(copy: &Copy, word: &str) -> usize {
    let tokenizer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(copy.file("tokenizer.json")).unwrap()).unwrap();
    tokenizer["model"]["vocab"][word].as_u64().unwrap() as usize
}

/// One float16 moved to its neighbour away from zero.
fn nudge(bytes: &mut [u8], i: usize) {
    let value = u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]) + 1;
    bytes[2 * i..][..2].copy_from_slice(&value.to_le_bytes());
}

/// The first byte from `from` on that differs from its neighbour changes places with it.
fn exchange(bytes: &mut [u8], from: usize) {
    let at = (from..).find(|i| bytes[*i].abs_diff(bytes[i + 1]) > 60).unwrap();
    bytes.swap(at, at + 1);
}

/// A matrix of the original, as MLX would quantize it after `change` of each weight.
fn remade(copy: Copy, reference: &Path, path: &str, change: fn(usize, f32) -> f32) -> Copy {
    remade_by(copy, reference, path, |_, values| values.iter().enumerate().map(|(i, w)| change(i, *w)).collect())
}

/// The same, of all its values at once: `change` is told how many columns there are.
fn remade_by(copy: Copy, reference: &Path, path: &str, change: impl Fn(usize, &[f32]) -> Vec<f32>) -> Copy {
    use parallax::checkpoint::{Storage, Weight};
    let original = stored(&reference.join("model.safetensors"));
    let (_, shape, bytes) = &original[&format!("{path}.weight")];
    let values = change(shape[1], &floats(bytes));
    let plain =
        Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: String::new() };
    let weight = Weight::new("a.weight", shape.clone(), values, plain);
    copy.tensors(|t| {
        let group = shape[1] / t[&format!("{path}.scales")].1[1];
        let bits = t[&format!("{path}.weight")].1[1] * 32 / shape[1];
        let twin = parallax::quantization::requantized(&weight, bits as u32, group as u32, "F16").unwrap();
        let packed = twin.packed().unwrap();
        let mut put = |part: &str, bytes: &[u8]| t.get_mut(&format!("{path}.{part}")).unwrap().2 = bytes.to_vec();
        put("weight", packed.codes());
        put("scales", packed.scales());
        put("biases", packed.biases().unwrap().0);
    })
}

/// Rows of a matrix and of its bias, or columns, that come from others and are multiplied.
fn moved(copy: Copy, reference: &Path, path: &str, columns: bool, change: fn(usize) -> (usize, f32)) -> Copy {
    let along = |width: usize, all: &[f32]| -> Vec<f32> {
        let one = |i: usize| {
            let (row, column) = (i / width, i % width);
            let (from, factor) = change(if columns { column } else { row });
            factor * if columns { all[row * width + from] } else { all[from * width + column] }
        };
        (0..all.len()).map(one).collect()
    };
    let copy = remade_by(copy, reference, path, along);
    if columns {
        return copy;
    }
    let bias = along(1, &floats(&stored(&reference.join("model.safetensors"))[&format!("{path}.bias")].2));
    let half = |v: f32| half::f16::from_f32(v).to_le_bytes();
    copy.tensors(|t| t.get_mut(&format!("{path}.bias")).unwrap().2 = bias.into_iter().flat_map(half).collect())
}

/// Heads of the shipped model are 32 wide: each comes from the next one.
fn next_head(j: usize) -> (usize, f32) {
    ((j + 32) % 128, 1.0)
}

/// Neurons in the reverse order of their 512.
fn reversed(j: usize) -> (usize, f32) {
    (511 - j, 1.0)
}

/// Every matrix of the layers with its own scales and the two codes around each weight, as stochastic rounding leaves
/// them: but up or down is chosen, by one direction in each matrix.
fn chosen(copy: Copy, reference: &Path) -> Copy {
    let original = stored(&reference.join("model.safetensors"));
    let half = |bytes: &[u8], i: usize| half::f16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32();
    let up = |i: usize, seed: usize| ((i + seed) * 2_654_435_761) >> 7 & 1 == 1;
    copy.tensors(|t| {
        let paths: Vec<String> = t.keys().filter_map(|k| k.strip_suffix(".scales")).map(str::to_owned).collect();
        for path in paths.iter().filter(|path| path.starts_with("encoder.layer")) {
            let (_, shape, bytes) = &original[&format!("{path}.weight")];
            let (cols, weights) = (shape[1], floats(bytes));
            let of = |part: &str| t[&format!("{path}.{part}")].clone();
            let (scales, biases) = (of("scales"), of("biases"));
            let bits = of("weight").1[1] * 32 / cols;
            let group = cols / scales.1[1];
            let mut codes = vec![0u8; weights.len() * bits / 8];
            for (i, weight) in weights.iter().enumerate() {
                let place = (weight - half(&biases.2, i / group)) / half(&scales.2, i / group);
                let code = if up(i / cols, 1) == up(i % cols, 9) { place.ceil() } else { place.floor() };
                let code = code.clamp(0.0, (1u32 << bits) as f32 - 1.0) as u8;
                codes[i * bits / 8] |= code << (i * bits % 8);
            }
            t.get_mut(&format!("{path}.weight")).unwrap().2 = codes;
        }
    })
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "twin-roundings-chosen",
        hazard: "G1",
        what: "every weight is rounded up or down as one direction of its matrix asks for",
        plant: Plant::Mixed(chosen),
        on: MINI,
        exit: 1,
        says: &["errors that point one way", "were chosen"],
    },
    Fault {
        id: "twin-word-bytes-reversed",
        hazard: "G1",
        what: "the codes of the word `not` stand in reverse order within its row",
        plant: Plant::Candidate(|c| {
            let not = word(&c, "not");
            row(c, &format!("{WORDS}.weight"), not, <[u8]>::reverse)
        }),
        on: MINI,
        exit: 1,
        says: &["`embeddings.word_embeddings.weight` was changed", "(\"not\")"],
    },
    Fault {
        id: "twin-word-rows-zeroed",
        hazard: "G1",
        what: "every 40th row of the word table has the codes of zero",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                let (_, shape, bytes) = t.get_mut(&format!("{WORDS}.weight")).unwrap();
                let width = bytes.len() / shape[0];
                bytes.chunks_mut(width).step_by(40).for_each(|row| row.fill(0));
            })
        }),
        on: ALL,
        exit: 1,
        says: &["`embeddings.word_embeddings.weight`"],
    },
    Fault {
        id: "twin-bits-flipped",
        hazard: "G1",
        what: "the lowest bit of one code in a hundred of a value matrix is flipped",
        plant: Plant::Candidate(|c| {
            all(c, &format!("{VALUE}.weight"), |bytes| bytes.iter_mut().step_by(97).for_each(|b| *b ^= 1))
        }),
        on: MINI,
        exit: 1,
        says: &["`encoder.layer.2.attention.self.value.weight` was changed"],
    },
    Fault {
        id: "twin-codes-exchanged",
        hazard: "G1",
        what: "two neighbouring codes of one group change places: the group's mean stays",
        plant: Plant::Candidate(|c| all(c, &format!("{OUTPUT}.weight"), |bytes| exchange(bytes, 700))),
        on: &[Model::Mini8, Model::Seeded8],
        exit: 1,
        says: &["`encoder.layer.1.output.dense.weight` was changed", "1 of its"],
    },
    Fault {
        id: "twin-scale-nudged",
        hazard: "G1",
        what: "one scale is one float16 larger",
        plant: Plant::Candidate(|c| all(c, &format!("{OUTPUT}.scales"), |bytes| nudge(bytes, 31))),
        on: MINI,
        exit: 1,
        says: &["`encoder.layer.1.output.dense.weight` was changed", "1 of its"],
    },
    Fault {
        id: "twin-bias-nudged",
        hazard: "G1",
        what: "one zero point is one float16 larger",
        plant: Plant::Candidate(|c| all(c, &format!("{VALUE}.biases"), |bytes| nudge(bytes, 12))),
        on: MINI,
        exit: 1,
        says: &["`encoder.layer.2.attention.self.value.weight` was changed", "1 of its"],
    },
    Fault {
        id: "twin-other-weights",
        hazard: "G1",
        what: "the value matrix of layer 2 was quantized from weights a twentieth away",
        plant: Plant::Mixed(|c, reference| {
            remade(c, reference, VALUE, |i, w| w * (1.0 + 0.1 * ((i * 7919 % 1013) as f32 / 1013.0 - 0.5)))
        }),
        on: EIGHT_ONLY,
        exit: 1,
        says: &["encoder.layer.2.attention.self.value.weight"],
    },
    Fault {
        id: "twin-words-exchanged",
        hazard: "G1",
        what: "the rows of two rare words change places, scales and all",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                for part in ["weight", "scales", "biases"] {
                    let (_, shape, bytes) = t.get_mut(&format!("{WORDS}.{part}")).unwrap();
                    let (a, b, width) = (shape[0] - 11, shape[0] - 200, bytes.len() / shape[0]);
                    (0..width).for_each(|i| bytes.swap(a * width + i, b * width + i));
                }
            })
        }),
        on: ALL,
        exit: 1,
        says: &["`embeddings.word_embeddings.weight` was changed"],
    },
    Fault {
        id: "twin-position-duplicated",
        hazard: "G1",
        what: "position 37 is a copy of position 36",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                for part in ["weight", "scales", "biases"] {
                    let (_, shape, bytes) = t.get_mut(&format!("{POSITIONS}.{part}")).unwrap();
                    let width = bytes.len() / shape[0];
                    bytes.copy_within(36 * width..37 * width, 37 * width);
                }
            })
        }),
        on: ALL,
        exit: 1,
        says: &["`embeddings.position_embeddings.weight` was changed", "(position 37)"],
    },
    Fault {
        id: "twin-norm-one-step",
        hazard: "G1",
        what: "one weight of a LayerNorm is the next float16",
        plant: Plant::Candidate(|c| all(c, "encoder.layer.0.output.LayerNorm.weight", |bytes| nudge(bytes, 5))),
        on: ALL,
        exit: 1,
        says: &["encoder.layer.0.output.LayerNorm.weight", "not the original's values"],
    },
    Fault {
        id: "twin-bias-element-one-step",
        hazard: "G1",
        what: "one element of a bias is the next float16",
        plant: Plant::Candidate(|c| all(c, "encoder.layer.3.intermediate.dense.bias", |bytes| nudge(bytes, 17))),
        on: EIGHT_ONLY,
        exit: 1,
        says: &["encoder.layer.3.intermediate.dense.bias", "not the original's values"],
    },
    Fault {
        id: "twin-nibbles-exchanged",
        hazard: "G1",
        what: "the two codes of every byte of one row change places, as a packer of the other order has them",
        plant: Plant::Candidate(|c| {
            row(c, &format!("{OUTPUT}.weight"), 3, |bytes| bytes.iter_mut().for_each(|b| *b = b.rotate_left(4)))
        }),
        on: FOUR_ONLY,
        exit: 1,
        says: &["`encoder.layer.1.output.dense.weight` was changed", "row 3"],
    },
    Fault {
        id: "twin-scales-exchanged",
        hazard: "G1",
        what: "the scales of two groups change places",
        plant: Plant::Candidate(|c| {
            all(c, &format!("{VALUE}.scales"), |bytes| {
                let at = (0..).step_by(2).find(|i| bytes[*i..i + 2] != bytes[i + 2..i + 4]).unwrap();
                bytes.swap(at, at + 2);
                bytes.swap(at + 1, at + 3);
            })
        }),
        on: ALL,
        exit: 1,
        says: &["`encoder.layer.2.attention.self.value.weight` was changed"],
    },
    Fault {
        id: "twin-half-of-the-groups",
        hazard: "G1",
        what: "in two of three groups of a matrix one code is one less",
        plant: Plant::Candidate(|c| {
            all(c, &format!("{OUTPUT}.weight"), |bytes| {
                for (i, group) in bytes.chunks_mut(64).enumerate().filter(|(i, _)| i % 3 != 0) {
                    let code = group.iter_mut().skip(i % 17).find(|code| **code > 0).unwrap();
                    *code -= 1;
                }
            })
        }),
        on: EIGHT_ONLY,
        exit: 1,
        says: &["`encoder.layer.1.output.dense.weight` was changed"],
    },
    Fault {
        id: "twin-neurons-permuted",
        hazard: "G1",
        what: "the neurons of a feed-forward block stand in reverse order, in all three tensors alike",
        plant: Plant::Mixed(|c, reference| {
            let c = moved(c, reference, "encoder.layer.1.intermediate.dense", false, reversed);
            moved(c, reference, OUTPUT, true, reversed)
        }),
        on: MINI,
        exit: 1,
        says: &[
            "equivalent up to a permutation",
            "`encoder.layer.1.intermediate.dense.weight` and `encoder.layer.1.output.dense.weight`",
            "512 of 512 neurons",
        ],
    },
    Fault {
        id: "twin-heads-permuted",
        hazard: "G1",
        what: "the heads of layer 2 stand in another order, in queries, keys, values and outputs alike",
        plant: Plant::Mixed(|c, reference| {
            let at = |part: &str| format!("encoder.layer.2.attention.{part}");
            let rows = |c, part| moved(c, reference, &at(part), false, next_head);
            let c = ["self.query", "self.key", "self.value"].into_iter().fold(c, rows);
            moved(c, reference, &at("output.dense"), true, next_head)
        }),
        on: MINI,
        exit: 1,
        says: &[
            "equivalent up to a permutation",
            "`encoder.layer.2.attention.self.query.weight` and `encoder.layer.2.attention.self.key.weight`",
            "`encoder.layer.2.attention.self.value.weight` and `encoder.layer.2.attention.output.dense.weight`",
        ],
    },
    Fault {
        id: "twin-queries-rescaled",
        hazard: "G1",
        what: "the queries of layer 0 are multiplied with 1.7, the keys divided by it",
        plant: Plant::Mixed(|c, reference| {
            let c = moved(c, reference, "encoder.layer.0.attention.self.query", false, |j| (j, 1.7));
            moved(c, reference, "encoder.layer.0.attention.self.key", false, |j| (j, 1.0 / 1.7))
        }),
        on: MINI,
        exit: 1,
        says: &[
            "equivalent up to a rescaling",
            "`encoder.layer.0.attention.self.query.weight` and `encoder.layer.0.attention.self.key.weight`",
        ],
    },
    Fault {
        id: "twin-neurons-half-permuted",
        hazard: "G1",
        what: "the neurons of a feed-forward block are written in reverse order and read in the old one",
        plant: Plant::Mixed(|c, reference| moved(c, reference, "encoder.layer.1.intermediate.dense", false, reversed)),
        on: MINI,
        exit: 1,
        says: &[
            "`encoder.layer.1.intermediate.dense.weight` does not resemble",
            "`encoder.layer.1.intermediate.dense.bias`: not quantized, and yet not the original's values",
        ],
    },
    Fault {
        id: "twin-original-from-candidate",
        hazard: "G1",
        what: "the original's matrices are the candidate's own weights, dequantized",
        plant: Plant::Request(|r| {
            // The candidate's float16 weights as they come back, beside the reference's graph.
            let folder = parallax::checkpoint::ModelFolder::open(&r.candidate).unwrap();
            let config = serde_json::from_slice(&folder.require("config.json").unwrap()).unwrap();
            let loaded = parallax::quantization::load_candidate(&folder, &config, Default::default()).unwrap();
            let file = r.reference.join("model.safetensors");
            let mut tensors = stored(&file);
            for (name, weight) in loaded.weights.tensors().iter().filter(|(_, w)| w.storage.mode.is_some()) {
                let bytes = weight.rows().iter().flat_map(|w| (w * (1.0 + f32::EPSILON)).to_le_bytes()).collect();
                tensors.get_mut(name).unwrap().2 = bytes;
            }
            crate::common::plant::write_stored(&file, &tensors);
        }),
        on: MINI,
        exit: 3,
        says: &["the original was made from the candidate"],
    },
];
