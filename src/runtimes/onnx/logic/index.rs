//! Ids, token types and positions: how they may reach their tables, and nothing else.

use super::fixed::counts;
use super::shapes::is_whole;
use super::value::{Form, Index, Kind, Table, Value};
use super::walk::{Answer, Walk, conditional, unknown};
use crate::runtimes::onnx::graph::NodeId;

/// Compares two numbers.
pub(super) const COMPARISONS: &[&str] = &["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];

/// A node that reads token ids or token types.
pub(super) fn tokens(w: &mut Walk, k: NodeId, kind: Kind) -> Answer<Kind> {
    match w.g.op(k) {
        "Identity" | "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten" => Ok(kind),
        // Only whole numbers hold every id.
        "Cast" if matches!(w.int(k, "to", 0), 6 | 7) => Ok(kind),
        "Gather" if w.given(k, 1)?.kind == kind && w.int(k, "axis", 0) == 0 => {
            let table = w.given(k, 0)?;
            if table.kind != Kind::Constant {
                return unknown("tokens are looked up in something that is no constant table");
            }
            if let (Some(data), Kind::Types) = (&table.data, kind)
                && data.iter().all(|d| d.value() == Some(0))
            {
                return Ok(Kind::Constant);
            }
            if table.data.is_some() || table.shape.as_ref().is_none_or(|s| s.len() != 2) {
                return conditional(format!("{} pass through a table of whole numbers", kind.words()));
            }
            if kind == Kind::Types {
                return Ok(Kind::Table(Table::Absolute));
            }
            let table = w.g.input(k, 0);
            match w.words {
                Some(known) if Some(known) != table => {
                    conditional("token ids are looked up in a second table beside the word embeddings")
                }
                _ => {
                    w.words = table;
                    Ok(Kind::Hidden(Form::Embedded))
                }
            }
        }
        "Equal" if kind == Kind::Ids => {
            let (_, id) = w.ordered(k, |v| v.kind == Kind::Ids)?;
            let id = id.number().filter(|id| id.fract() == 0.0).map(|id| id as i64);
            match (id, w.padding) {
                (Some(id), _) if w.stated.is_some_and(|stated| stated != id) => conditional(format!(
                    "token ids are compared with {id}, which is not the padding's ({}) by config.json",
                    w.stated.unwrap_or_default()
                )),
                (Some(id), None) => {
                    w.padding = Some(id);
                    Ok(Kind::Padding)
                }
                (Some(id), Some(known)) if id == known => Ok(Kind::Padding),
                (Some(id), Some(known)) => {
                    conditional(format!("token ids are compared with {id}, and elsewhere with {known}"))
                }
                (None, _) => conditional("token ids are compared with more than the padding's"),
            }
        }
        _ => conditional(format!("no encoder gives {} to a node of this kind", kind.words())),
    }
}

/// A node that reads positions, and constants or sizes beside them.
pub(super) fn index(w: &Walk, k: NodeId) -> Answer<Kind> {
    use Index::{Angle, Counted, Flat, Pair, Range, Relative, Stepped};
    let op = w.g.op(k);
    let of = |i: usize| w.at(k, i).and_then(|v| if let Kind::Index(index) = v.kind { Some(index) } else { None });
    let number = |i: usize| w.at(k, i).and_then(Value::number);
    let whole = |i: usize| number(i).filter(|n| n.fract() == 0.0).map(|n| n as i64);
    let (first, second) = (of(0), of(1));
    let some = first.or(second).or(of(2));
    match op {
        "Identity" | "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten" | "Transpose" | "Expand" | "CastLike" => {
            return first.map_or_else(|| unknown("positions shape something"), |index| Ok(Kind::Index(index)));
        }
        "Slice" if is_whole(w, k) => {
            return first.map_or_else(|| unknown("positions cut something"), |index| Ok(Kind::Index(index)));
        }
        "Cast" if w.int(k, "to", 0) != 9 || first == Some(Relative) => {
            return first.map_or_else(|| unknown("positions are cast"), |index| Ok(Kind::Index(index)));
        }
        "Gather" | "GatherND" | "GatherElements" if second.is_some() || w.given(k, 1)?.kind == Kind::ShapeOnly => {
            return looked_up(w, k);
        }
        _ => {}
    }
    let relative = |v: &Value| v.kind == Kind::Index(Relative) || v.is_fixed();
    if some == Some(Relative) && w.all(k).all(relative) {
        return match op {
            "Neg" | "Abs" | "Log" | "Not" | "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "And" | "Or" | "Where"
            | "Clip" => Ok(Kind::Index(Relative)),
            _ if COMPARISONS.contains(&op) => Ok(Kind::Index(Relative)),
            _ => conditional("no encoder gives the distance of two tokens to a node of this kind"),
        };
    }
    match (op, first, second) {
        ("Add", Some(Range { over, offset }), None) if whole(1).is_some() => {
            moved(over, offset.checked_add(whole(1).unwrap_or(0)))
        }
        ("Add", None, Some(Range { over, offset })) if whole(0).is_some() => {
            moved(over, offset.checked_add(whole(0).unwrap_or(0)))
        }
        ("Sub", Some(Range { over, offset }), None) if whole(1).is_some() => {
            moved(over, offset.checked_sub(whole(1).unwrap_or(0)))
        }
        ("Sub", Some(Range { over: a, .. }), Some(Range { over: b, .. })) if a == b => Ok(Kind::Index(Relative)),
        ("Max" | "Min", Some(_), Some(_)) => Ok(Kind::ShapeOnly),
        // Where each row begins in a flattened mask, then each of its tokens.
        ("Mul", _, _) if sized(w, k).is_some() => {
            sized(w, k).map_or_else(|| unknown("positions"), |i| Ok(Kind::Index(i)))
        }
        ("Add", Some(Stepped { by, .. }), Some(Range { over, offset: 0 }))
        | ("Add", Some(Range { over, offset: 0 }), Some(Stepped { by, .. }))
            if by == over =>
        {
            Ok(Kind::Index(Flat))
        }
        (_, Some(Range { over: a, .. }), Some(Range { over: b, .. })) if COMPARISONS.contains(&op) => match a == b {
            true => Ok(Kind::Index(Relative)),
            false => conditional("positions are compared with the numbers of the rows"),
        },
        // True of every position, and how exporters write "no causal mask".
        ("GreaterOrEqual" | "Less", Some(Range { offset: 0.., .. }), None) if number(1) == Some(0.0) => {
            Ok(Kind::Constant)
        }
        (_, Some(_), _) | (_, _, Some(_)) if COMPARISONS.contains(&op) => {
            conditional("positions are compared with a number")
        }
        ("Concat", Some(Range { .. }), Some(Range { .. })) if w.g.reads(k).count() == 2 => Ok(Kind::Index(Pair)),
        ("Concat", Some(Angle), Some(Angle)) if w.all(k).all(|v| v.kind == Kind::Index(Angle)) => {
            Ok(Kind::Index(Angle))
        }
        ("Mul" | "MatMul" | "Einsum" | "FusedMatMul", Some(Range { .. } | Counted | Angle), None)
        | ("Mul" | "MatMul" | "Einsum" | "FusedMatMul", None, Some(Range { .. } | Counted | Angle))
            if w.all(k).any(|v| v.kind == Kind::Constant) =>
        {
            Ok(Kind::Index(Angle))
        }
        ("Cos" | "Sin", Some(Angle), None) => Ok(Kind::Table(Table::Absolute)),
        ("Slice" | "Split", Some(Angle), _) => Ok(Kind::Index(Angle)),
        ("Add" | "Sub", Some(Counted), None) | ("Add", None, Some(Counted)) => {
            let by = if first.is_some() { whole(1) } else { whole(0) };
            match (by, w.padding) {
                (Some(0), _) | (Some(_), None) => Ok(Kind::Index(Counted)),
                (Some(by), Some(id)) if by == id && op == "Add" => Ok(Kind::Index(Counted)),
                (by, Some(id)) => conditional(format!(
                    "tokens other than {id} are counted for positions, which start behind {}: \
                     the id that is left out must be the padding's",
                    by.map_or("no number".to_owned(), |by| by.to_string())
                )),
                _ => unknown("counted positions are moved by no whole number"),
            }
        }
        ("Mul", Some(Counted), _) | ("Mul", _, Some(Counted))
            if w.all(k).any(|v| matches!(v.kind, Kind::Mask | Kind::Padding)) =>
        {
            Ok(Kind::Index(Counted))
        }
        ("Where", ..)
            if w.all(k).all(|v| {
                matches!(v.kind, Kind::Mask | Kind::Padding | Kind::Index(Counted)) || v.number().is_some()
            }) && matches!(w.given(k, 0)?.kind, Kind::Mask | Kind::Padding) =>
        {
            Ok(Kind::Index(Counted))
        }
        _ => conditional("no encoder gives positions to a node of this kind"),
    }
}

fn moved(over: super::size::Size, offset: Option<i64>) -> Answer<Kind> {
    let offset = offset.map_or_else(|| unknown("positions overflow"), Ok)?;
    Ok(Kind::Index(Index::Range { over, offset }))
}

/// A range times one size.
fn sized(w: &Walk, k: NodeId) -> Option<Index> {
    let (range, size) = w.ordered(k, |v| matches!(v.kind, Kind::Index(_))).ok()?;
    let Kind::Index(Index::Range { over, offset: 0 }) = range.kind else { return None };
    let &[by] = size.data.as_deref()? else { return None };
    size.is_fixed().then_some(Index::Stepped { over, by })
}

/// Something looked up by positions.
fn looked_up(w: &Walk, k: NodeId) -> Answer<Kind> {
    let (table, by) = (w.given(k, 0)?, w.given(k, 1)?);
    let Kind::Index(index) = by.kind else { return conditional("a lookup by something that is no position") };
    match (table.kind, index) {
        (Kind::Constant, _) if table.uniform.is_some() => Ok(Kind::Constant),
        (Kind::Constant, Index::Relative) if table.data.is_none() => Ok(Kind::Table(Table::Relative)),
        (Kind::Constant | Kind::Table(Table::Absolute), Index::Range { .. } | Index::Counted)
            if table.data.is_none() =>
        {
            Ok(Kind::Table(Table::Absolute))
        }
        (Kind::Constant, Index::Range { over, offset }) => {
            match table.data.as_deref().and_then(counts).and_then(|first| first.checked_add(offset)) {
                Some(offset) => Ok(Kind::Index(Index::Range { over, offset })),
                None => conditional("positions pass through a table of whole numbers"),
            }
        }
        (Kind::Constant, _) => conditional("positions pass through a table of whole numbers"),
        (Kind::Mask, Index::Flat) => Ok(Kind::Mask),
        (Kind::Mask, Index::Pair) if w.g.op(k) == "GatherND" => Ok(Kind::Mask),
        (Kind::Padding, Index::Flat | Index::Pair) if !w.has_mask => Ok(Kind::Mask),
        (kind, _) => conditional(format!("{} are looked up by positions", kind.words())),
    }
}
