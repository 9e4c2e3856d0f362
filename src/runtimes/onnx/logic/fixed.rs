//! Constants and sizes: what no token changes. A number made of lengths must be a product of them, everywhere.

use super::shapes::{broadcast, slices};
use super::size::{ONE, Size};
use super::value::{Index, Kind, Table, Value};
use super::walk::{Answer, Refused, Walk, conditional};
use crate::runtimes::onnx::graph::NodeId;

/// Most elements of a shape; more are no shape.
const MAX_RANK: usize = 64;

/// What a `Constant` node holds.
pub(super) fn constant(w: &Walk, k: NodeId, same: usize) -> Value {
    let plain = Value::new(Kind::Constant, None, same);
    let Some(a) = w.g.node(k).attribute.first() else { return plain };
    let list = |numbers: Vec<i64>, scalar: bool| {
        let shape = if scalar { Vec::new() } else { vec![Size::known(numbers.len() as i64)] };
        let uniform = numbers.first().filter(|first| numbers.iter().all(|n| n == *first)).map(|&n| n as f64);
        let data = Some(numbers.into_iter().map(Size::known).collect());
        Value { data, uniform, ..Value::new(Kind::Constant, Some(shape), same) }
    };
    match (a.name.as_str(), &a.t) {
        ("value", Some(t)) => w.stored(t, same),
        ("value_int", _) => list(vec![a.i], true),
        ("value_ints", _) => list(a.ints.clone(), false),
        ("value_float", _) => {
            Value { uniform: Some(f64::from(a.f)), ..Value::new(Kind::Constant, Some(Vec::new()), same) }
        }
        _ => plain,
    }
}

/// The contents of a shape.
pub(super) fn shape_of(w: &Walk, k: NodeId) -> Answer<Vec<Size>> {
    let from = w.given(k, 0)?;
    let shape = from.shape.as_ref();
    let shape = shape.ok_or_else(|| Refused::Unknown("the shape it reads is not known".to_owned()))?;
    if w.g.op(k) == "Size" {
        return Size::product(shape).map(|s| vec![s]).ok_or_else(too_large);
    }
    let rank = shape.len() as i64;
    let place = |n: i64| usize::try_from((if n < 0 { n + rank } else { n }).clamp(0, rank)).unwrap_or(0);
    let (from, to) = (place(w.int(k, "start", 0)), place(w.int(k, "end", rank)));
    Ok(shape.get(from..to).unwrap_or_default().to_vec())
}

fn too_large() -> Refused {
    Refused::Unknown("a size that overflows".to_owned())
}

/// A node whose operands are constants and sizes.
pub(super) fn fixed(w: &Walk, k: NodeId, shape: Option<Vec<Size>>, same: usize) -> Answer<Value> {
    let op = w.g.op(k);
    let constant = w.g.reads(k).all(|t| w.g.is_constant(t));
    let data = data(w, k, shape.as_deref())?.filter(|d| constant || d.len() <= MAX_RANK);
    let uniform = uniform(w, k);
    // A decimal that is cast to the type of a size is one.
    let cast = uniform.filter(|u| op == "CastLike" && u.fract() == 0.0 && shape.as_deref() == Some(&[]));
    let data = data.or_else(|| cast.map(|u| vec![Size::known(u as i64)]));
    let known = |kind| Value { data: data.clone(), uniform, ..Value::new(kind, shape.clone(), same) };
    if constant && op != "ConstantOfShape" {
        return Ok(known(Kind::Constant));
    }
    match op {
        "ConstantOfShape" => {
            let value = w.g.attribute(k, "value").and_then(|a| a.t.as_ref());
            let uniform = value.map_or(Some(0.0), |t| w.stored(t, same).uniform);
            let whole = uniform.filter(|u| u.fract() == 0.0).map(|u| Size::known(u as i64));
            let elements = shape.as_deref().and_then(Size::product).and_then(Size::value);
            let elements = elements.and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= MAX_RANK);
            let data = elements.and_then(|n| Some(vec![whole?; n]));
            Ok(Value { data, uniform, ..Value::new(Kind::Constant, shape, same) })
        }
        // Stretched to the input's shape, a constant is still one.
        "Expand" | "Tile" => {
            let kind = w.given(k, 0)?.kind;
            Ok(Value { uniform: w.given(k, 0)?.uniform, ..Value::new(kind, shape, same) })
        }
        "Range" => {
            let [from, to, step] = [0, 1, 2].map(|i| w.at(k, i).and_then(|v| v.data.as_ref()?.first().copied()));
            match (from.and_then(Size::value), to, step) {
                (Some(0), Some(over), Some(ONE)) => {
                    Ok(Value::new(Kind::Index(Index::Range { over, offset: 0 }), shape, same))
                }
                _ => conditional("positions do not count 0, 1, 2, ... to a size of the input"),
            }
        }
        "Slice" | "Gather" | "GatherElements" if data.is_none() => looked_up(w, k, shape, same),
        "Reshape" | "Transpose" | "Unsqueeze" | "Squeeze" | "Flatten" | "Identity" | "Cast" | "CastLike"
            if data.is_none() =>
        {
            let from = w.given(k, 0)?;
            Ok(Value { uniform: uniform.or(from.uniform), ..Value::new(from.kind, shape, from.same) })
        }
        _ if data.is_some() || uniform.is_some() => Ok(known(Kind::Sizes)),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Sqrt" | "Where" | "And" | "Or" | "Not" | "Concat" | "Neg"
            if w.all(k).all(|v| v.kind == Kind::Constant) =>
        {
            Ok(Value::new(Kind::Constant, shape, same))
        }
        _ => conditional("a number is made of the input's lengths that is no product of them"),
    }
}

/// A constant sliced by, or looked up with, sizes.
fn looked_up(w: &Walk, k: NodeId, shape: Option<Vec<Size>>, same: usize) -> Answer<Value> {
    let table = w.given(k, 0)?;
    if let Some(uniform) = table.uniform {
        return Ok(Value { uniform: Some(uniform), ..Value::new(Kind::Constant, shape, same) });
    }
    if w.g.op(k) != "Slice" {
        let index = w.given(k, 1)?;
        return match (&table.data, index.uniform) {
            (None, Some(_)) if table.kind == Kind::Constant => {
                Ok(Value::new(Kind::Table(Table::Absolute), shape, same))
            }
            _ => conditional("a table is looked up with sizes of the input"),
        };
    }
    let parts = slices(w, k).ok_or_else(|| Refused::Unknown("a slice whose bounds are not known".to_owned()))?;
    let cut: Vec<_> = parts.iter().filter(|(_, from, to)| *from != 0 || to.value().is_none()).collect();
    // In an export of one shape every bound is a number.
    let (from, over) = match (cut.as_slice(), parts.last()) {
        (&[&(_, from, over)], _) | (&[], Some(&(_, from, over))) => (from, over),
        _ => return conditional("a constant is cut along several axes by sizes of the input"),
    };
    match &table.data {
        None => Ok(Value::new(Kind::Table(Table::Absolute), shape, same)),
        Some(data) if from == 0 => match counts(data) {
            Some(offset) => Ok(Value::new(Kind::Index(Index::Range { over, offset }), shape, same)),
            None => conditional("an integer table that does not count 0, 1, 2, ... takes the place of positions"),
        },
        Some(_) => conditional("positions do not start at the first token"),
    }
}

/// The first of numbers that rise by one.
pub(super) fn counts(data: &[Size]) -> Option<i64> {
    let numbers: Vec<i64> = data.iter().map(|s| s.value()).collect::<Option<_>>()?;
    let first = *numbers.first()?;
    numbers.iter().enumerate().all(|(i, &n)| n.checked_sub(first) == i64::try_from(i).ok()).then_some(first)
}

/// The contents of the result, for small whole numbers.
fn data(w: &Walk, k: NodeId, shape: Option<&[Size]>) -> Answer<Option<Vec<Size>>> {
    let of = |i: usize| w.at(k, i).and_then(|v| v.data.clone());
    let value = match w.g.op(k) {
        "Identity" | "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" | "CastLike" => of(0),
        // Decimals are numbers, not contents.
        "Cast" => of(0).filter(|_| !matches!(w.int(k, "to", 0), 1 | 10 | 11 | 16)),
        "Gather" if w.int(k, "axis", 0) == 0 && w.given(k, 0)?.shape.as_ref().is_some_and(|s| s.len() == 1) => {
            let (from, index) = (of(0), of(1));
            from.zip(index).and_then(|(from, index)| {
                index.iter().map(|i| from.get(super::shapes::axis(i.value()?, from.len())?).copied()).collect()
            })
        }
        "Slice" if w.given(k, 0)?.shape.as_ref().is_some_and(|s| s.len() == 1) => of(0).and_then(|from| {
            let &[(_, start, end)] = slices(w, k)?.as_slice() else { return None };
            from.get(usize::try_from(start).ok()?..usize::try_from(end.value()?).ok()?).map(<[Size]>::to_vec)
        }),
        "Concat" => w.all(k).map(|v| v.data.clone()).collect::<Option<Vec<_>>>().map(|all| all.concat()),
        "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Max" | "Min" => elementwise(w, k)?,
        "Where" => of(0).zip(of(1)).zip(of(2)).and_then(|((c, a), b)| {
            let n = c.len().max(a.len()).max(b.len());
            let at = |d: &[Size], i: usize| d.get(if d.len() == 1 { 0 } else { i }).copied();
            (0..n).map(|i| if at(&c, i)?.value()? != 0 { at(&a, i) } else { at(&b, i) }).collect()
        }),
        "Range" if w.g.reads(k).all(|t| w.g.is_constant(t)) => {
            let ends = [0, 1, 2].map(|i| of(i).and_then(|d| d.first()?.value()));
            match ends {
                [Some(from), Some(to), Some(1)] if (0..=8192).contains(&(to - from.min(to))) => {
                    Some((from..to).map(Size::known).collect())
                }
                _ => None,
            }
        }
        "Expand" => of(0).filter(|d| d.len() == 1).and_then(|d| {
            let n = usize::try_from(Size::product(shape?)?.value()?).ok().filter(|&n| n <= MAX_RANK)?;
            Some(vec![*d.first()?; n])
        }),
        _ => None,
    };
    Ok(value)
}

fn elementwise(w: &Walk, k: NodeId) -> Answer<Option<Vec<Size>>> {
    let (Some(a), Some(b)) = (&w.given(k, 0)?.data, &w.given(k, 1)?.data) else { return Ok(None) };
    let n = a.len().max(b.len());
    if ![1, n].contains(&a.len()) || ![1, n].contains(&b.len()) {
        return Ok(None);
    }
    let minus = |s: Size| Size::known(-1).times(s);
    let mut out = Vec::with_capacity(n);
    for i in 0..n {
        let at = |d: &[Size]| d.get(if d.len() == 1 { 0 } else { i }).copied().unwrap_or(ONE);
        let (a, b) = (at(a), at(b));
        let known = a.value().zip(b.value());
        let value = match w.g.op(k) {
            "Add" => a.plus(b),
            "Sub" => minus(b).and_then(|b| a.plus(b)),
            "Mul" => a.times(b),
            "Div" => a.over(b),
            "Max" => known.map(|(a, b)| Size::known(a.max(b))),
            "Min" => known.map(|(a, b)| Size::known(a.min(b))),
            _ if a == b => Some(ONE),
            _ => match (a.value(), b.value()) {
                (Some(_), Some(_)) => Some(Size::known(0)),
                // No size of an input is negative: exporters ask for -1, which means any.
                (None, Some(n)) | (Some(n), None) if n < 0 => Some(Size::known(0)),
                _ => return conditional("a size of the input is compared with a number"),
            },
        };
        let Some(value) = value else { return Ok(None) };
        out.push(value);
    }
    Ok(Some(out))
}

/// The number all elements of the result have, when the operands are numbers.
fn uniform(w: &Walk, k: NodeId) -> Option<f64> {
    let of = |i: usize| {
        let v = w.at(k, i)?;
        let single = || v.data.as_ref().and_then(|d| if let [one] = d.as_slice() { one.value() } else { None });
        v.uniform.or_else(|| single().map(|n| n as f64))
    };
    let truth = |b: bool| Some(f64::from(u8::from(b)));
    let x = of(0)?;
    match w.g.op(k) {
        "Cast" if w.int(k, "to", 0) == 9 => truth(x != 0.0),
        "Identity" | "Cast" | "CastLike" | "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" | "Transpose" | "Slice"
        | "Expand" => Some(x),
        "Gather" => w.at(k, 0)?.uniform,
        "Sqrt" => Some(x.sqrt()),
        "Reciprocal" => Some(1.0 / x),
        "Neg" => Some(-x),
        "Abs" => Some(x.abs()),
        "Log" => Some(x.ln()),
        "Not" => truth(x == 0.0),
        "Add" => Some(x + of(1)?),
        "Sub" => Some(x - of(1)?),
        "Mul" => Some(x * of(1)?),
        "Div" => Some(x / of(1)?),
        "Pow" => Some(x.powf(of(1)?)),
        "And" => truth(x != 0.0 && of(1)? != 0.0),
        "Or" => truth(x != 0.0 || of(1)? != 0.0),
        "Equal" => truth(x == of(1)?),
        "Greater" => truth(x > of(1)?),
        "GreaterOrEqual" => truth(x >= of(1)?),
        "Less" => truth(x < of(1)?),
        "LessOrEqual" => truth(x <= of(1)?),
        "Where" => {
            if x != 0.0 {
                of(1)
            } else {
                of(2)
            }
        }
        _ => None,
    }
}

/// The shape of two operands together; used where a result is of use for its shape alone.
pub(super) fn together(a: &Value, b: &Value) -> Option<Vec<Size>> {
    broadcast(a.shape.clone()?, b.shape.clone()?)
}
