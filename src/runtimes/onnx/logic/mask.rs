//! The attention mask: any function of one token's mask and of the distance of two tokens, element by element.

use super::shapes::is_whole;
use super::value::{Index, Kind, Table, Value};
use super::walk::{Answer, Walk, conditional, unknown};
use crate::runtimes::onnx::graph::{NodeId, TensorId};

/// Operators that treat each element by itself.
const BY_ELEMENT: &[&str] = &[
    "And",
    "Or",
    "Xor",
    "Not",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Where",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Min",
    "Max",
    "Clip",
];
/// Operators that move elements.
const MOVES: &[&str] =
    &["Identity", "Cast", "CastLike", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose", "Expand"];

/// True for the attention mask as it was given, moved and cast but not computed with: 0 and 1, whatever the text.
pub(super) fn is_given(w: &Walk, t: TensorId) -> bool {
    let is_mask = |t: TensorId| w.values.get(t).and_then(Option::as_ref).is_some_and(|v| v.kind == Kind::Mask);
    let mut given = t;
    while let Some(k) = w.g.producer(given).filter(|_| is_mask(given)) {
        let op = w.g.op(k);
        let by_one = || op == "Mul" && w.all(k).any(|v| v.number() == Some(1.0));
        let moved = MOVES.contains(&op) || by_one() || (op == "Slice" && is_whole(w, k));
        let Some(from) = w.g.reads(k).find(|t| is_mask(*t)).filter(|_| moved) else { return false };
        given = from;
    }
    is_mask(given)
}

/// A node that reads the mask, and positions, constants or sizes beside it.
pub(super) fn mask(w: &Walk, k: NodeId) -> Answer<Kind> {
    let op = w.g.op(k);
    let known = |v: &Value| {
        let kind =
            matches!(v.kind, Kind::Mask | Kind::Constant | Kind::Index(Index::Relative) | Kind::Table(Table::Relative));
        kind || v.number().is_some() || (v.kind == Kind::Padding && !w.has_mask)
    };
    match op {
        _ if MOVES.contains(&op) => Ok(Kind::Mask),
        "Slice" | "Split" if is_whole(w, k) => Ok(Kind::Mask),
        "CumSum" => Ok(Kind::Index(Index::Counted)),
        "ReduceSum" => Ok(Kind::Lengths),
        "Concat" if w.all(k).all(known) => Ok(Kind::Mask),
        _ if BY_ELEMENT.contains(&op) && w.all(k).all(known) => Ok(Kind::Mask),
        _ if w.all(k).any(|v| matches!(v.kind, Kind::Index(_))) => super::index::index(w, k),
        _ => conditional("no encoder gives the attention mask to a node of this kind"),
    }
}

/// A node that reads the numbers of real tokens.
pub(super) fn lengths(w: &Walk, k: NodeId) -> Answer<Kind> {
    let op = w.g.op(k);
    let fixed = w.all(k).all(|v| v.kind == Kind::Lengths || v.number().is_some());
    match op {
        _ if MOVES.contains(&op) => Ok(Kind::Lengths),
        // No row is empty: a lower bound changes nothing, nor does a small number added to divide safely.
        "Clip" if fixed && w.at(k, 2).is_none() && w.at(k, 1).and_then(Value::number).is_some_and(|n| n <= 1.0) => {
            Ok(Kind::Lengths)
        }
        "Max" if fixed && w.all(k).filter_map(Value::number).all(|n| n <= 1.0) => Ok(Kind::Lengths),
        "Add" if fixed && w.all(k).filter_map(Value::number).all(|n| (0.0..1e-3).contains(&n)) => Ok(Kind::Lengths),
        "Reciprocal" => Ok(Kind::Lengths),
        "Div" if fixed && w.given(k, 0)?.number() == Some(1.0) => Ok(Kind::Lengths),
        _ if super::index::COMPARISONS.contains(&op) || op == "Where" => {
            conditional("the number of real tokens is compared")
        }
        _ => unknown("no encoder gives the number of real tokens to a node of this kind"),
    }
}

/// A node that reads position or type embeddings, or rotary tables.
pub(super) fn table(w: &Walk, k: NodeId, kind: Table) -> Answer<Kind> {
    let op = w.g.op(k);
    let alone = w.all(k).all(|v| v.kind == Kind::Table(kind) || v.is_fixed());
    match op {
        "Identity" | "Cast" | "CastLike" | "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten" | "Transpose" | "Expand"
            if w.int(k, "to", 1) == 1 || op != "Cast" =>
        {
            Ok(Kind::Table(kind))
        }
        "Slice" | "Split" | "Concat" if alone => Ok(Kind::Table(kind)),
        "Add" if alone => Ok(Kind::Table(kind)),
        "Gather" if alone => Ok(Kind::Table(kind)),
        // YaRN scales its tables; most exports multiply by 1.
        "Mul" if alone && w.all(k).any(|v| v.number().is_some()) => Ok(Kind::Table(kind)),
        _ if w.all(k).any(|v| v.kind == Kind::Mask) => super::mask::mask(w, k),
        _ => conditional("no encoder gives position or type embeddings to a node of this kind"),
    }
}
