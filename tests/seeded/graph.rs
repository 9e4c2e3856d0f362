//! Graphs whose every weight is right, and that treat some words, lengths, batches or values differently.

use parallax::hidden_states::Tap;

use super::models::Model;
use super::{Fault, Plant};
use crate::common::graph::{Edited, cast, edit, node, with};
use crate::common::plant::Copy;

/// BERT with a table of positions, and XLM-R, which counts them.
const TWO: &[Model] = &[Model::Mini8, Model::Xlmr8];

/// Edits the reference's graph.
fn changed(folder: Copy, change: impl FnOnce(&mut Edited)) -> Copy {
    let places = ["onnx/model.onnx", "model.onnx", "dyn18.onnx"];
    let file = places.iter().map(|place| folder.file(place)).find(|file| file.exists());
    edit(&file.expect("a reference without an ONNX file"), change);
    folder
}

/// The same behind the residual stream of layer 0.
fn behind_layer(folder: Copy, change: impl FnOnce(&mut Edited, &str)) -> Copy {
    changed(folder, |e| {
        let end = e.map.tensor(Tap::Layer(0)).unwrap().to_owned();
        change(e, &end);
    })
}

/// Adds a small number to every word embedding where `op(number of tokens or rows, limit)` holds.
fn where_size(folder: Copy, axis: i64, op: &str, limit: i64) -> Copy {
    changed(folder, |e| {
        let words = e.map.words.clone();
        e.ints("axis", &[], &[axis]);
        e.ints("limit", &[], &[limit]);
        e.floats("little", &[], &[0.05]);
        let nodes = vec![
            node("Shape", &["input_ids"], "dims"),
            node("Gather", &["dims", "axis"], "size"),
            node(op, &["size", "limit"], "is"),
            cast("is", 1, "float"),
            node("Mul", &["float", "little"], "step"),
            node("Add", &[&words, "step"], "planted"),
        ];
        e.behind(&words, nodes);
    })
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "graph-id-map",
        hazard: "G10",
        what: "the graph looks ids up in a table of ids first, which exchanges two words no row holds",
        plant: Plant::Reference(|c| {
            changed(c, |e| {
                let rows = e.map.vocab as i64;
                let mut map: Vec<i64> = (0..rows).collect();
                map.swap(rows as usize - 2, rows as usize - 3);
                e.ints("map", &[rows], &map);
                e.before("Gather", "input_ids", vec![node("Gather", &["map", "input_ids"], "planted")]);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.conditional", "planted_planted", "a table of whole numbers"],
    },
    Fault {
        id: "graph-one-id",
        hazard: "G10",
        what: "the graph replaces one id by another",
        plant: Plant::Reference(|c| {
            changed(c, |e| {
                let last = e.map.vocab as i64 - 2;
                e.ints("id", &[], &[last]);
                e.ints("other", &[], &[last - 1]);
                let nodes = vec![
                    node("Equal", &["input_ids", "id"], "is"),
                    node("Where", &["is", "other", "input_ids"], "planted"),
                ];
                e.before("Gather", "input_ids", nodes);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.conditional", "planted_is"],
    },
    Fault {
        id: "graph-modulo",
        hazard: "G10",
        what: "the graph takes ids modulo the vocabulary less one",
        plant: Plant::Reference(|c| {
            changed(c, |e| {
                e.ints("many", &[], &[e.map.vocab as i64 - 1]);
                e.before("Gather", "input_ids", vec![node("Mod", &["input_ids", "many"], "planted")]);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["layer boundaries not found"],
    },
    Fault {
        id: "graph-one-length",
        hazard: "G10",
        what: "rows of exactly 113 tokens are computed from other embeddings",
        plant: Plant::Reference(|c| where_size(c, 1, "Equal", 113)),
        on: TWO,
        exit: 3,
        says: &["graph.conditional", "planted_is"],
    },
    Fault {
        id: "graph-one-batch-size",
        hazard: "G10",
        what: "batches of exactly 29 rows are computed from other embeddings",
        plant: Plant::Reference(|c| where_size(c, 0, "Equal", 29)),
        on: TWO,
        exit: 3,
        says: &["graph.conditional", "planted_is"],
    },
    Fault {
        id: "graph-many-tokens",
        hazard: "G10",
        what: "batches of more than 100000 tokens are computed from other embeddings",
        plant: Plant::Reference(|c| {
            changed(c, |e| {
                let words = e.map.words.clone();
                e.ints("limit", &[], &[100_000]);
                let nodes = vec![
                    node("Size", &["input_ids"], "size"),
                    node("Greater", &["size", "limit"], "is"),
                    cast("is", 1, "float"),
                    node("Add", &[&words, "float"], "planted"),
                ];
                e.behind(&words, nodes);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.conditional", "planted_is"],
    },
    Fault {
        id: "graph-mask-of-a-batch",
        hazard: "G10",
        what: "the mask is ignored in rows with more than 126 real tokens",
        plant: Plant::Reference(|c| {
            changed(c, |e| {
                e.ints("along", &[1], &[1]);
                e.ints("many", &[], &[126]);
                let nodes = vec![
                    node("ReduceSum", &["attention_mask", "along"], "real"),
                    node("Greater", &["real", "many"], "long"),
                    cast("long", 7, "whole"),
                    node("Max", &["attention_mask", "whole"], "planted"),
                ];
                e.behind("attention_mask", nodes);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.conditional", "planted_long", "the number of real tokens is compared"],
    },
    Fault {
        id: "graph-backdoor",
        hazard: "G10",
        what: "where a hidden value is above 40, which no row reaches, all are set to zero",
        plant: Plant::Reference(|c| {
            behind_layer(c, |e, end| {
                e.floats("high", &[], &[40.0]);
                e.floats("nil", &[], &[0.0]);
                let nodes = vec![node("Greater", &[end, "high"], "is"), node("Where", &["is", "nil", end], "planted")];
                e.behind(end, nodes);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.unaudited", "planted_is"],
    },
    Fault {
        id: "graph-bound",
        hazard: "G10",
        what: "hidden values are bounded at 40, which no row reaches",
        plant: Plant::Reference(|c| {
            behind_layer(c, |e, end| {
                e.floats("low", &[], &[-40.0]);
                e.floats("high", &[], &[40.0]);
                e.behind(end, vec![node("Clip", &[end, "low", "high"], "planted")]);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.conditional", "planted_planted", "bounded"],
    },
    Fault {
        id: "graph-threshold",
        hazard: "G10",
        what: "what exceeds 40 is counted twice: no comparison, a Relu",
        plant: Plant::Reference(|c| {
            behind_layer(c, |e, end| {
                e.floats("high", &[], &[-40.0]);
                let nodes = vec![
                    node("Add", &[end, "high"], "moved"),
                    node("Relu", &["moved"], "over"),
                    node("Add", &[end, "over"], "planted"),
                ];
                e.behind(end, nodes);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.unaudited", "planted_moved"],
    },
    Fault {
        id: "graph-scale",
        hazard: "G2",
        what: "the last hidden state is multiplied by a number very near 1",
        plant: Plant::Reference(|c| {
            changed(c, |e| {
                e.floats("scale", &[], &[1.000_001]);
                e.maker("last_hidden_state").output[0] = "before".to_owned();
                e.graph().node.push(node("Mul", &["before", "scale"], "last_hidden_state"));
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.unaudited", "planted_last_hidden_state"],
    },
    Fault {
        id: "graph-rounds",
        hazard: "G10",
        what: "the graph adds the place of the largest value, times nothing",
        plant: Plant::Reference(|c| {
            behind_layer(c, |e, end| {
                e.floats("nothing", &[], &[0.0]);
                let nodes = vec![
                    with(with(node("ArgMax", &[end], "most"), "axis", -1), "keepdims", 1),
                    cast("most", 1, "float"),
                    node("Mul", &["float", "nothing"], "none"),
                    node("Add", &[end, "none"], "planted"),
                ];
                e.behind(end, nodes);
            })
        }),
        on: TWO,
        exit: 3,
        says: &["graph.unaudited", "planted_most"],
    },
    Fault {
        id: "graph-counts-another-word",
        hazard: "G10",
        what: "positions are counted without the word 77 and not without the padding",
        plant: Plant::Reference(|c| {
            changed(c, |e| {
                e.ints("word", &[], &[77]);
                let equal = |n: &&mut parallax::runtimes::onnx::file::raw::RawNode| n.op_type == "Equal";
                let ids = |n: &&mut parallax::runtimes::onnx::file::raw::RawNode| n.input[0] == "input_ids";
                e.graph().node.iter_mut().filter(equal).filter(ids).for_each(|n| n.input[1] = "word".to_owned());
            })
        }),
        on: &[Model::Xlmr8],
        exit: 3,
        says: &["graph.conditional", "compared with 77, which is not the padding's"],
    },
];
