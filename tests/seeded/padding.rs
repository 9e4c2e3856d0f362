//! References whose states behind the real tokens are no numbers: the usual `(h * mask).sum()` is then none either.

use super::models::{EIGHT, Model};
use super::onnx_edit::{BOOL, FLOAT, INNER, LAST, Node, Tensor, behind, edited, floats, hidden, ints, node, with};
use super::sweeps::seq;
use super::{Fault, Plant};
use crate::common::plant::Copy;

const NAMED: &[&str] = &["reference.padding_not_finite", "last_hidden_state is not finite"];

/// The mask as `planted_b3`, a condition per token.
fn real() -> Vec<Node> {
    vec![
        with(node("Cast", &["attention_mask"], "planted_bool"), "to", BOOL),
        node("Unsqueeze", &["planted_bool", "planted_last"], "planted_b3"),
    ]
}

/// The last hidden state where `when` holds, else `planted_else`.
fn unless(copy: Copy, when: &str, constants: impl Fn(i64) -> Vec<Tensor>, nodes: Vec<Node>) -> Copy {
    edited(copy, |g| {
        let mut constants = constants(hidden(g) as i64);
        constants.push(ints("planted_last", &[1], |_| -1));
        let choice = node("Where", &[when, INNER, "planted_else"], LAST);
        behind(g, constants, real().into_iter().chain(nodes.iter().cloned()).chain([choice]).collect());
    })
}

const fn fault(id: &'static str, what: &'static str, plant: Plant, on: &'static [Model]) -> Fault {
    Fault { id, hazard: "G11", what, plant, on, exit: 3, says: NAMED }
}

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "padding-nan",
        "the ONNX file's last hidden state is NaN behind the real tokens",
        Plant::Reference(|c| unless(c, "planted_b3", |_| vec![floats("planted_else", &[1], |_| f32::NAN)], vec![])),
        &[Model::Mini8, Model::Xlmr8],
    ),
    fault(
        "padding-infinite",
        "the ONNX file's last hidden state is infinite behind the real tokens",
        Plant::Reference(|c| {
            unless(c, "planted_b3", |_| vec![floats("planted_else", &[1], |_| f32::NEG_INFINITY)], vec![])
        }),
        EIGHT,
    ),
    fault(
        "padding-nan-in-one-dimension",
        "one dimension of the ONNX file's last hidden state is NaN behind the real tokens",
        Plant::Reference(|c| {
            let one = |n| vec![floats("planted_else", &[n], |i| if i == 5 { f32::NAN } else { 0.0 })];
            unless(c, "planted_b3", one, vec![])
        }),
        &[Model::Seeded8, Model::Modern8],
    ),
    fault(
        "padding-divided-by-the-mask",
        "the ONNX file multiplies its last hidden state by the mask and divides it by the mask again",
        Plant::Reference(|c| {
            edited(c, |g| {
                let nodes = vec![
                    with(node("Cast", &["attention_mask"], "planted_mask"), "to", FLOAT.into()),
                    node("Unsqueeze", &["planted_mask", "planted_last"], "planted_m3"),
                    node("Mul", &[INNER, "planted_m3"], "planted_product"),
                    node("Div", &["planted_product", "planted_m3"], LAST),
                ];
                behind(g, vec![ints("planted_last", &[1], |_| -1)], nodes);
            })
        }),
        EIGHT,
    ),
    fault(
        "padding-nan-far-behind",
        "the ONNX file's last hidden state is NaN from the 41st position on, where that is padding",
        Plant::Reference(|c| {
            let constants = |_| {
                vec![
                    floats("planted_else", &[1], |_| f32::NAN),
                    ints("planted_at_1", &[1], |_| 1),
                    ints("planted_from", &[], |_| 0),
                    ints("planted_step", &[], |_| 1),
                    ints("planted_near", &[1, 1], |_| 40),
                    ints("planted_scalar", &[0], |_| 0),
                ]
            };
            let nodes = seq()
                .into_iter()
                .chain([
                    node("Reshape", &["planted_seq", "planted_scalar"], "planted_to"),
                    node("Range", &["planted_from", "planted_to", "planted_step"], "planted_places"),
                    node("Less", &["planted_places", "planted_near"], "planted_close"),
                    node("Unsqueeze", &["planted_close", "planted_last"], "planted_c3"),
                    node("Or", &["planted_b3", "planted_c3"], "planted_fine"),
                ])
                .collect();
            unless(c, "planted_fine", constants, nodes)
        }),
        &[Model::Mini8, Model::Modern8],
    ),
];
