//! Single values, vectors and files that are not what they were.

use half::f16;

use super::models::{ALL, ONE};
use super::weights::{MATRIX, rows};
use super::{Fault, Plant};
use crate::common::plant::Copy;

const INTERMEDIATE: &str = "encoder.layer.2.intermediate.dense";

/// Every float16 of a tensor through a function.
fn each(copy: Copy, name: &str, change: fn(usize, f32) -> f32) -> Copy {
    copy.tensors(|t| {
        let bytes = &mut t.get_mut(name).unwrap().2;
        for (i, b) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
            *b = f16::from_f32(change(i, f16::from_le_bytes(*b).to_f32())).to_le_bytes();
        }
    })
}

/// The rows of the word table for `.` and `[CLS]`: frequent, so that a corpus meets them.
fn vocabulary_rows(copy: &Copy, words: [&str; 2]) -> [usize; 2] {
    let tokenizer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(copy.file("tokenizer.json")).unwrap()).unwrap();
    words.map(|w| tokenizer["model"]["vocab"][w].as_u64().unwrap() as usize)
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "bias-zeroed",
        hazard: "F23",
        what: "the output bias of layer 2 is zero",
        plant: Plant::Candidate(|c| each(c, "encoder.layer.2.output.dense.bias", |_, _| 0.0)),
        on: ALL,
        exit: 1,
        says: &["encoder.layer.2.output.dense.bias"],
    },
    Fault {
        id: "bias-one-element",
        hazard: "F23",
        what: "one element of the output bias of layer 1 is 0.5 off",
        plant: Plant::Candidate(|c| {
            each(c, "encoder.layer.1.output.dense.bias", |i, v| if i == 7 { v + 0.5 } else { v })
        }),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.1.output.dense.bias"],
    },
    Fault {
        id: "norm-scale-ones",
        hazard: "F23",
        what: "the last LayerNorm of layer 1 has the scale it was initialized with",
        plant: Plant::Candidate(|c| each(c, "encoder.layer.1.output.LayerNorm.weight", |_, _| 1.0)),
        on: &[super::models::Model::Mini8, super::models::Model::Mini4],
        exit: 1,
        says: &["encoder.layer.1.output.LayerNorm.weight"],
    },
    Fault {
        id: "norm-scale-zeros",
        hazard: "F23",
        what: "the scale of the embeddings' LayerNorm is zero",
        plant: Plant::Candidate(|c| each(c, "embeddings.LayerNorm.weight", |_, _| 0.0)),
        on: ONE,
        exit: 1,
        says: &["embeddings.LayerNorm.weight", "candidate `embeddings` resembles no tap"],
    },
    Fault {
        id: "norm-shift-zeroed",
        hazard: "F23",
        what: "the shift of a LayerNorm of layer 3 is zero",
        plant: Plant::Candidate(|c| each(c, "encoder.layer.3.attention.output.LayerNorm.bias", |_, _| 0.0)),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.3.attention.output.LayerNorm.bias"],
    },
    Fault {
        id: "norm-shift-missing",
        hazard: "F23",
        what: "a LayerNorm of layer 3 has no shift",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| drop(t.remove("encoder.layer.3.attention.output.LayerNorm.bias").unwrap()))
        }),
        on: ONE,
        exit: 4,
        says: &["encoder.layer.3.attention.output.LayerNorm.bias", "missing"],
    },
    Fault {
        id: "vocabulary-rows-swapped",
        hazard: "F7",
        what: "two frequent rows of the word table change places",
        plant: Plant::Candidate(|c| {
            let [a, b] = vocabulary_rows(&c, [".", "[CLS]"]);
            c.tensors(|t| {
                for part in MATRIX {
                    let (_, shape, bytes) = t.get_mut(&format!("embeddings.word_embeddings.{part}")).unwrap();
                    let width = bytes.len() / shape[0];
                    (0..width).for_each(|i| bytes.swap(a * width + i, b * width + i));
                }
            })
        }),
        on: ONE,
        exit: 1,
        says: &["`embeddings.word_embeddings.weight` was changed"],
    },
    Fault {
        id: "rare-vocabulary-rows-swapped",
        hazard: "F14",
        what: "two rows of the word table that the corpus never meets change places",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                for part in MATRIX {
                    let (_, shape, bytes) = t.get_mut(&format!("embeddings.word_embeddings.{part}")).unwrap();
                    let (a, b, width) = (shape[0] - 3, shape[0] - 8, bytes.len() / shape[0]);
                    (0..width).for_each(|i| bytes.swap(a * width + i, b * width + i));
                }
            })
        }),
        on: ALL,
        exit: 1,
        says: &["embeddings.word_embeddings.weight"],
    },
    Fault {
        id: "one-rare-vocabulary-row",
        hazard: "F14",
        what: "one row of the word table that the corpus never meets is another row",
        plant: Plant::Candidate(|c| {
            let [a, b] = vocabulary_rows(&c, ["[MASK]", "[CLS]"]);
            c.tensors(|t| {
                for part in MATRIX {
                    let (_, shape, bytes) = t.get_mut(&format!("embeddings.word_embeddings.{part}")).unwrap();
                    let width = bytes.len() / shape[0];
                    bytes.copy_within(b * width..(b + 1) * width, a * width);
                }
            })
        }),
        on: ONE,
        exit: 1,
        says: &["embeddings.word_embeddings.weight"],
    },
    Fault {
        id: "one-group-one-code",
        hazard: "F28",
        what: "every code of one group of layer 2 is one too high",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                let eight = t[&format!("{INTERMEDIATE}.weight")].1[1] * 4;
                let groups = t[&format!("{INTERMEDIATE}.scales")].1[1];
                let bytes = &mut t.get_mut(&format!("{INTERMEDIATE}.weight")).unwrap().2;
                bytes[..eight / groups].iter_mut().for_each(|b| *b = b.saturating_add(1));
            })
        }),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.2.intermediate.dense.weight"],
    },
    Fault {
        id: "scales-half-as-large-again",
        hazard: "F19",
        what: "every scale of a matrix of layer 2 times 1.5",
        plant: Plant::Candidate(|c| each(c, "encoder.layer.2.intermediate.dense.scales", |_, v| v * 1.5)),
        on: ALL,
        exit: 1,
        says: &["encoder.layer.2.intermediate.dense.weight", "layer.2"],
    },
    Fault {
        id: "scales-of-eight-groups",
        hazard: "F19",
        what: "eight scales of a matrix of layer 2 times 1.5",
        plant: Plant::Candidate(|c| {
            let eight = |i: usize, v: f32| if (100..108).contains(&i) { v * 1.5 } else { v };
            each(c, "encoder.layer.2.intermediate.dense.scales", eight)
        }),
        on: ALL,
        exit: 1,
        says: &["encoder.layer.2.intermediate.dense.weight"],
    },
    Fault {
        id: "scales-two-percent",
        hazard: "F10",
        what: "a matrix of layer 2, scales and zero points, times 1.03",
        plant: Plant::Candidate(|c| {
            let c = each(c, "encoder.layer.2.output.dense.scales", |_, v| v * 1.03);
            each(c, "encoder.layer.2.output.dense.biases", |_, v| v * 1.03)
        }),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.2.output.dense.weight"],
    },
    Fault {
        id: "zero-points-dropped",
        hazard: "F19",
        what: "every zero point of a matrix of layer 2 is zero",
        plant: Plant::Candidate(|c| each(c, "encoder.layer.2.intermediate.dense.biases", |_, _| 0.0)),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.2.intermediate.dense.weight", "reference `layer.2`"],
    },
    Fault {
        id: "scales-of-the-next-row",
        hazard: "F19",
        what: "the scales of the value matrix of layer 3 stand one row off",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| rows(t, "encoder.layer.3.attention.self.value", &["scales"], |r, n| (r + 1) % n))
        }),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.3.attention.self.value.weight"],
    },
    Fault {
        id: "nan-in-a-scale",
        hazard: "F11",
        what: "one scale of layer 0 is NaN",
        plant: Plant::Candidate(|c| {
            each(c, "encoder.layer.0.intermediate.dense.scales", |i, v| if i == 2 { f32::NAN } else { v })
        }),
        on: ALL,
        exit: 4,
        says: &["encoder.layer.0.intermediate.dense.scales", "NaN"],
    },
    Fault {
        id: "infinity-in-a-scale",
        hazard: "F11",
        what: "one scale of layer 0 is infinite",
        plant: Plant::Candidate(|c| {
            each(c, "encoder.layer.0.intermediate.dense.scales", |i, v| if i == 2 { f32::INFINITY } else { v })
        }),
        on: ONE,
        exit: 4,
        says: &["encoder.layer.0.intermediate.dense.scales", "holds inf"],
    },
    Fault {
        id: "nan-in-a-norm",
        hazard: "F11",
        what: "one element of a LayerNorm of layer 1 is NaN",
        plant: Plant::Candidate(|c| {
            each(c, "encoder.layer.1.output.LayerNorm.weight", |i, v| if i == 5 { f32::NAN } else { v })
        }),
        on: ONE,
        exit: 4,
        says: &["encoder.layer.1.output.LayerNorm.weight", "NaN"],
    },
];
