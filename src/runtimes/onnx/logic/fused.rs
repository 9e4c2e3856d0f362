//! Operators that hold a whole block: ONNX Runtime's and ONNX's own fused attention, norms and embeddings
//! (onnxruntime/docs/ContribOperators.md, onnx/docs/Operators.md).

use super::operands::{constants, epsilon, state};
use super::value::{Form, Index, Kind, Table, Value};
use super::walk::{Answer, Walk, conditional, unknown};
use crate::runtimes::onnx::graph::NodeId;

/// A fused node that reads hidden values.
pub(super) fn fused(w: &Walk, k: NodeId) -> Answer<Form> {
    let op = w.g.op(k);
    let form = |i: usize| w.at(k, i).and_then(Value::form);
    let operands = |n: usize| (0..n).all(|i| form(i).is_some_and(Form::is_operand));
    match op {
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => {
            let table = |i: usize| {
                let embedded = form(1 - i) == Some(Form::Embedded);
                embedded && w.at(k, i).is_some_and(|v| v.kind == Kind::Table(Table::Absolute))
            };
            if !(0..2).all(|i| form(i).is_some_and(Form::is_state) || table(i)) {
                return unknown("it adds something that is no state");
            }
            constants(w, k, 2)?;
            epsilon(w, k).map(|()| Form::Plain)
        }
        "Attention" if w.g.node(k).domain == "com.microsoft" => {
            state(w, k)?;
            if ![1, 2].iter().all(|&i| w.at(k, i).is_none_or(|v| v.kind == Kind::Constant)) || w.at(k, 4).is_some() {
                return unknown("its weights are no constants, or it has a past");
            }
            masked(w, k, &[3, 5])
        }
        "MultiHeadAttention" if operands(3) => {
            if w.at(k, 3).is_some_and(|bias| bias.kind != Kind::Constant) || w.at(k, 6).is_some() {
                return unknown("its bias is no constant, or it has a past");
            }
            masked(w, k, &[4, 5])
        }
        "Attention" if operands(3) => match w.at(k, 4) {
            Some(_) => unknown("it has a past"),
            None => masked(w, k, &[3]),
        },
        "RotaryEmbedding" => {
            state(w, k)?;
            let known = |v: &Value| {
                matches!(
                    v.kind,
                    Kind::Hidden(_)
                        | Kind::Constant
                        | Kind::Table(Table::Absolute)
                        | Kind::Index(Index::Range { .. } | Index::Counted)
                )
            };
            match w.all(k).all(known) {
                true => Ok(Form::Rotated),
                false => unknown("its positions or tables are not known"),
            }
        }
        "BiasSoftmax" if form(0) == Some(Form::Scores) => match w.at(k, 1).is_some_and(is_mask) {
            true => Ok(Form::Probabilities),
            false => conditional("its bias is no mask"),
        },
        _ => unknown("this operator is not known inside an encoder"),
    }
}

fn is_mask(v: &Value) -> bool {
    let relative = matches!(v.kind, Kind::Index(Index::Relative) | Kind::Table(Table::Relative));
    relative || matches!(v.kind, Kind::Mask | Kind::Lengths | Kind::Constant)
}

/// An attention whose masks, at the given inputs, are masks.
fn masked(w: &Walk, k: NodeId, masks: &[usize]) -> Answer<Form> {
    match masks.iter().filter_map(|&i| w.at(k, i)).find(|v| !is_mask(v)) {
        None => Ok(Form::Plain),
        Some(v) => conditional(format!("its mask is {}", v.kind.words())),
    }
}

/// `EmbedLayerNormalization`: ids, types, word table, position table, type table, scale, shift, mask, positions.
pub(super) fn embeddings(w: &Walk, k: NodeId) -> Answer<Form> {
    let kind = |i: usize| w.at(k, i).map(|v| v.kind);
    if kind(0) != Some(Kind::Ids) {
        return conditional("its ids are not the token ids as they were given");
    }
    let types = w.at(k, 1).is_none_or(|v| v.kind == Kind::Types || v.uniform == Some(0.0));
    let positions = matches!(kind(8), None | Some(Kind::Index(Index::Range { .. } | Index::Counted) | Kind::Constant));
    if !types || !positions || !matches!(kind(7), None | Some(Kind::Mask)) {
        return conditional("its token types, mask or positions are not the input's");
    }
    if !(2..7).all(|i| matches!(kind(i), None | Some(Kind::Constant))) {
        return unknown("its tables are no constants");
    }
    if w.words.is_some_and(|words| w.g.input(k, 2) != Some(words)) {
        return conditional("token ids are looked up in a second table beside the word embeddings");
    }
    epsilon(w, k)?;
    Ok(Form::Plain)
}
