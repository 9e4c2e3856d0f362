//! Layers and matrices in the wrong place.

use std::collections::BTreeMap;

use super::models::{ALL, ONE, put_quantized};
use super::{Fault, Plant};
use crate::common::plant::{Copy, Stored, floats, stored, swap};

type Tensors = BTreeMap<String, Stored>;

const QUERY: &str = "encoder.layer.1.attention.self.query";
const KEY: &str = "encoder.layer.1.attention.self.key";
const VALUE: &str = "encoder.layer.1.attention.self.value";

/// Rearranges the rows of every tensor below a module: `from(row, rows)` tells which row comes to `row`.
pub(crate) fn rows(tensors: &mut Tensors, path: &str, parts: &[&str], from: fn(usize, usize) -> usize) {
    for part in parts {
        let (_, shape, bytes) = tensors.get_mut(&format!("{path}.{part}")).unwrap();
        let (n, width) = (shape[0], bytes.len() / shape[0]);
        *bytes = (0..n).flat_map(|r| bytes[from(r, n) * width..][..width].to_vec()).collect();
    }
}

/// Everything of a quantized matrix.
pub(crate) const MATRIX: &[&str] = &["weight", "scales", "biases"];

/// What is below `from` takes the place of what is below `to`.
fn copied(tensors: &mut Tensors, from: &str, to: &str) {
    let below: Vec<String> = tensors.keys().filter(|n| n.starts_with(&format!("{from}."))).cloned().collect();
    for name in below {
        let value = tensors[&name].clone();
        tensors.insert(name.replacen(from, to, 1), value);
    }
}

/// Puts a changed float matrix of the original into the candidate, quantized as its own was.
fn requantized(
    candidate: Copy,
    reference: &std::path::Path,
    path: &str,
    change: fn(&[usize], &[f32]) -> Vec<f32>,
) -> Copy {
    let original = stored(&reference.join("model.safetensors"));
    let (_, shape, bytes) = &original[&format!("{path}.weight")];
    let values = change(shape, &floats(bytes));
    candidate.tensors(|t| {
        let group = shape[1] / t[&format!("{path}.scales")].1[1];
        let bits = t[&format!("{path}.weight")].1[1] * 32 / shape[1];
        put_quantized(t, path, shape, &values, group, bits);
    })
}

/// Four heads: the first two change places.
fn first_heads_swapped(row: usize, rows: usize) -> usize {
    let head = rows / 4;
    match row / head {
        0 => row + head,
        1 => row - head,
        _ => row,
    }
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "layers-swapped",
        hazard: "F21",
        what: "layers 1 and 2 change places",
        plant: Plant::Candidate(|c| c.tensors(|t| swap(t, "encoder.layer.1", "encoder.layer.2"))),
        on: ALL,
        exit: 1,
        says: &["weights.misplaced: layers 1 and 2 of the candidate are swapped"],
    },
    Fault {
        id: "layer-repeated",
        hazard: "F21",
        what: "layer 2 is a copy of layer 1",
        plant: Plant::Candidate(|c| c.tensors(|t| copied(t, "encoder.layer.1", "encoder.layer.2"))),
        on: ONE,
        exit: 1,
        says: &["weights.misplaced: layer 2 of the candidate is layer 1 of the original"],
    },
    Fault {
        id: "query-key-swapped",
        hazard: "F24",
        what: "query and key of layer 1 change places",
        plant: Plant::Candidate(|c| c.tensors(|t| swap(t, QUERY, KEY))),
        on: ALL,
        exit: 1,
        says: &[
            "`encoder.layer.1.attention.self.key.weight` and `encoder.layer.1.attention.self.query.weight` of the candidate are swapped",
        ],
    },
    Fault {
        id: "query-key-value-rotated",
        hazard: "F24",
        what: "query, key and value of layer 1 move on by one place",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                swap(t, QUERY, KEY);
                swap(t, KEY, VALUE);
            })
        }),
        on: ONE,
        exit: 1,
        says: &[
            "`encoder.layer.1.attention.self.query.weight` is the original's `encoder.layer.1.attention.self.key.weight`",
            "`encoder.layer.1.attention.self.value.weight` is the original's `encoder.layer.1.attention.self.query.weight`",
        ],
    },
    Fault {
        id: "square-transposed",
        hazard: "F24",
        what: "the attention output matrix of layer 2 is transposed",
        plant: Plant::Mixed(|c, reference| {
            requantized(c, reference, "encoder.layer.2.attention.output.dense", |shape, w| {
                (0..w.len()).map(|i| w[i % shape[0] * shape[1] + i / shape[0]]).collect()
            })
        }),
        on: ONE,
        exit: 1,
        says: &["is the original's the transpose of `encoder.layer.2.attention.output.dense.weight`"],
    },
    Fault {
        id: "query-heads-permuted",
        hazard: "F24",
        what: "the first two heads of layer 1 change places in the query alone",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                rows(t, QUERY, MATRIX, first_heads_swapped);
                rows(t, QUERY, &["bias"], first_heads_swapped);
            })
        }),
        on: ALL,
        exit: 1,
        says: &["`encoder.layer.1.attention.self.query.weight` does not resemble", "layer.1"],
    },
    Fault {
        id: "matrix-negated",
        hazard: "F24",
        what: "the sign of the value matrix of layer 0 is turned",
        plant: Plant::Mixed(|c, reference| {
            requantized(c, reference, "encoder.layer.0.attention.self.value", |_, w| w.iter().map(|v| -v).collect())
        }),
        on: ONE,
        exit: 1,
        says: &["`encoder.layer.0.attention.self.value.weight` does not resemble", "layer.0"],
    },
    Fault {
        id: "positions-shifted",
        hazard: "F1",
        what: "the position table begins one row late",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| rows(t, "embeddings.position_embeddings", MATRIX, |r, n| (r + 1) % n))
        }),
        on: ONE,
        exit: 1,
        says: &["`embeddings.position_embeddings.weight` does not resemble", "embeddings"],
    },
    Fault {
        id: "token-types-swapped",
        hazard: "F1",
        what: "the two rows of the token type table change places",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| rows(t, "embeddings.token_type_embeddings", MATRIX, |r, n| n - 1 - r))
        }),
        on: ONE,
        exit: 1,
        says: &["`embeddings.token_type_embeddings.weight`", "embeddings"],
    },
    Fault {
        id: "layers-reversed",
        hazard: "F21",
        what: "the layers of the candidate stand in reverse order",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                swap(t, "encoder.layer.0", "encoder.layer.3");
                swap(t, "encoder.layer.1", "encoder.layer.2");
            })
        }),
        on: ONE,
        exit: 1,
        says: &["layers 0 and 3 of the candidate are swapped", "layers 1 and 2 of the candidate are swapped"],
    },
];
