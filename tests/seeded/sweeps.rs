//! References whose graphs compute by id, length or batch.

use super::models::{EIGHT, Model};
use super::onnx_edit::{Node, Tensor, before, edited, ints, node, with, with_list, words};
use super::{Fault, Plant};

/// The number of tokens of a batch, as `planted_seq` (`[1]`).
pub(crate) fn seq() -> Vec<Node> {
    vec![
        node("Shape", &["input_ids"], "planted_shape"),
        node("Gather", &["planted_shape", "planted_at_1"], "planted_seq"),
    ]
}

/// Ids as they are, or each the next one where `planted_when` says so.
fn turned() -> Vec<Node> {
    vec![
        node("Mul", &["input_ids", "planted_none"], "planted_zeros"),
        node("Add", &["planted_zeros", "planted_other"], "planted_others"),
        node("Where", &["planted_when", "planted_others", "input_ids"], "planted_in"),
    ]
}

pub(crate) fn turning(value: i64) -> Vec<Tensor> {
    vec![
        ints("planted_none", &[1], |_| 0),
        ints("planted_other", &[1], |_| 40),
        ints("planted_at_1", &[1], |_| 1),
        ints("planted_value", &[1], move |_| value),
    ]
}

/// Attention to all positions, padding too, where `planted_when` says so.
fn unmasked() -> Vec<Node> {
    vec![
        node("Mul", &["attention_mask", "planted_none"], "planted_zeros"),
        node("Add", &["planted_zeros", "planted_all"], "planted_ones"),
        node("Where", &["planted_when", "planted_ones", "attention_mask"], "planted_in"),
    ]
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "ids-remapped",
        hazard: "G10",
        what: "the ONNX file maps 40 token ids to another one before the lookup",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let [rows, _] = words(g);
                let from = rows as usize / 3;
                let map = ints("planted", &[rows], |i| if (from..from + 40).contains(&i) { 77 } else { i as i64 });
                let look_up = vec![node("Gather", &["planted", "input_ids"], "planted_in")];
                before(g, "input_ids", vec![map], look_up);
            })
        }),
        on: &[Model::Mini8, Model::Xlmr8],
        exit: 3,
        says: &["sweep.ids: the reference's `embeddings` are not the float32 weights' for", " token ids: id "],
    },
    Fault {
        id: "id-in-even-rows",
        hazard: "G10",
        what: "the ONNX file takes one word for another in batches of an even length",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let mut nodes = seq();
                nodes.push(node("Mod", &["planted_seq", "planted_two"], "planted_rest"));
                nodes.push(node("Equal", &["planted_rest", "planted_none"], "planted_even"));
                nodes.push(node("Equal", &["input_ids", "planted_value"], "planted_word"));
                nodes.push(node("And", &["planted_word", "planted_even"], "planted_when"));
                nodes.extend(turned());
                let mut constants = turning(1234);
                constants.push(ints("planted_two", &[1], |_| 2));
                before(g, "input_ids", constants, nodes);
            })
        }),
        on: EIGHT,
        exit: 3,
        says: &["sweep.ids: the reference's `embeddings` are not the float32 weights' for 1 of", "id 1234"],
    },
    Fault {
        id: "one-length",
        hazard: "G10",
        what: "the ONNX file gives another state to rows of exactly 2 tokens",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let mut nodes = seq();
                nodes.push(node("Equal", &["planted_seq", "planted_value"], "planted_when"));
                nodes.extend(turned());
                before(g, "input_ids", turning(2), nodes);
            })
        }),
        on: &[Model::Mini8, Model::Modern8],
        exit: 3,
        says: &["sweep.lengths: the reference does not compute what its float32 weights say for rows of 2 tokens"],
    },
    Fault {
        id: "many-rows",
        hazard: "G10",
        what: "the ONNX file gives other states to batches of more than 30 rows",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let nodes = vec![
                    node("Shape", &["input_ids"], "planted_shape"),
                    node("Gather", &["planted_shape", "planted_none"], "planted_rows"),
                    node("Greater", &["planted_rows", "planted_value"], "planted_when"),
                ];
                before(g, "input_ids", turning(30), [nodes, turned()].concat());
            })
        }),
        on: EIGHT,
        exit: 3,
        says: &["sweep.batches: the reference computes a row otherwise in a batch than alone"],
    },
    Fault {
        id: "one-padded-row",
        hazard: "G10",
        what: "the ONNX file ignores the mask in batches with exactly one padded row",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let nodes = vec![
                    with_list(
                        with(node("ReduceMin", &["attention_mask"], "planted_full"), "keepdims", 0),
                        "axes",
                        &[1],
                    ),
                    node("Sub", &["planted_all", "planted_full"], "planted_short"),
                    with(node("ReduceSum", &["planted_short"], "planted_padded"), "keepdims", 0),
                    node("Equal", &["planted_padded", "planted_all"], "planted_when"),
                ];
                let constants = vec![ints("planted_none", &[1], |_| 0), ints("planted_all", &[1], |_| 1)];
                before(g, "attention_mask", constants, [nodes, unmasked()].concat());
            })
        }),
        on: EIGHT,
        exit: 3,
        says: &["sweep.batches", "1 of them padded", "the same row alone is right"],
    },
];
