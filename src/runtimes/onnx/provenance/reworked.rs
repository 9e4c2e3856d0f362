//! Weights that the graph itself makes other ones of before it uses them: every constant may be the checkpoint's, and a
//! product of two of them is not.
//!
//! No exact export at hand computes with constants of more than one element; optimizers fold what they can.

use super::super::graph::{Graph, NodeId, TensorId};

/// Operators that lay values out anew, or choose among them without changing their order.
const LAYOUT: &[&str] = &[
    "Transpose",
    "Reshape",
    "Cast",
    "CastLike",
    "Identity",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Slice",
    "Split",
    "Concat",
    "Expand",
];
/// What turns codes into numbers: such a graph is refused as inexact.
const CODES: &[&str] = &["DequantizeLinear", "QuantizeLinear"];

/// Nodes that depend on no input and read a weight, directly or laid out anew, to compute another: operator, and the
/// node's name. `weights` are the constants that are weights, or that nobody knows.
pub(super) fn reworked(
    g: &Graph<'_>,
    live: &[bool],
    weights: &[TensorId],
    norms_less_one: bool,
) -> Vec<(String, String)> {
    let mut carries = vec![false; g.tensors()];
    let mark = |t: TensorId, carries: &mut Vec<bool>| {
        if let Some(slot) = carries.get_mut(t) {
            *slot = true;
        }
    };
    weights.iter().for_each(|&t| mark(t, &mut carries));
    let is = |of: &[bool], t: TensorId| of.get(t).copied().unwrap_or(false);
    let mut found = Vec::new();
    for k in 0..g.len() {
        let used = g.makes(k).any(|t| is(live, t) && g.is_constant(t));
        if !used || !g.reads(k).any(|t| is(&carries, t)) {
            continue;
        }
        g.makes(k).for_each(|t| mark(t, &mut carries));
        let laid_out = LAYOUT.contains(&g.op(k)) || CODES.contains(&g.op(k)) || chosen(g, k);
        let honest = laid_out || (norms_less_one && one_added(g, k));
        if !honest {
            let node = g.node(k);
            let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
            found.push((node.op_type.clone(), name.to_owned()));
        }
    }
    found
}

/// Rows looked up in their order, or one of them everywhere: positions, and the type of every token.
fn chosen(g: &Graph<'_>, k: NodeId) -> bool {
    let index = (g.op(k) == "Gather").then(|| g.input(k, 1)).flatten().and_then(|t| g.ints(t));
    index.is_some_and(|index| {
        let steps = |by: i64| index.windows(2).all(|w| w[1].checked_sub(w[0]) == Some(by));
        steps(1) || steps(0)
    })
}

fn one_added(g: &Graph<'_>, k: NodeId) -> bool {
    g.op(k) == "Add" && g.reads(k).any(|t| g.scalar(t) == Some(1.0))
}
