//! Shapes of a node's outputs from those of its inputs, for the operators that encoders are made of
//! (onnx/docs/Operators.md, onnxruntime/docs/ContribOperators.md). None where a dimension is not known.

use super::size::{ONE, Size};
use super::walk::{Walk, stretched};
use crate::runtimes::onnx::graph::NodeId;

type Shape = Vec<Size>;

/// An axis of a tensor of the given rank.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
    usize::try_from(axis).ok().filter(|&a| a < rank)
}

/// The shape of output `o` of a node.
pub(super) fn shape(w: &Walk, k: NodeId, o: usize) -> Option<Shape> {
    let of = |i: usize| w.at(k, i).and_then(|v| v.shape.clone());
    match w.g.op(k) {
        "Transpose" => {
            let from = of(0)?;
            match w.g.attribute(k, "perm") {
                Some(a) => a.ints.iter().map(|&p| from.get(axis(p, from.len())?).copied()).collect(),
                None => Some(from.into_iter().rev().collect()),
            }
        }
        "Reshape" => reshaped(&of(0)?, w.at(k, 1)?.data.as_ref()?, w.int(k, "allowzero", 0) != 0),
        "Flatten" => {
            let from = of(0)?;
            let at = w.int(k, "axis", 1);
            let at = if usize::try_from(at) == Ok(from.len()) { from.len() } else { axis(at, from.len())? };
            Some(vec![Size::product(&from[..at])?, Size::product(&from[at..])?])
        }
        "Unsqueeze" => {
            let (from, axes) = (of(0)?, w.numbers(k, "axes", 1)?);
            let rank = from.len() + axes.len();
            let new: Vec<usize> = axes.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
            let mut old = from.into_iter();
            (0..rank).map(|a| if new.contains(&a) { Some(ONE) } else { old.next() }).collect()
        }
        "Squeeze" => {
            let from = of(0)?;
            let drop: Vec<usize> = match w.numbers(k, "axes", 1) {
                Some(axes) => axes.iter().map(|&a| axis(a, from.len())).collect::<Option<_>>()?,
                None => (0..from.len()).filter(|&a| from[a] == ONE).collect(),
            };
            Some((0..from.len()).filter(|a| !drop.contains(a)).map(|a| from[a]).collect())
        }
        "Slice" => sliced(w, k),
        "Split" => {
            let mut from = of(0)?;
            let at = axis(w.int(k, "axis", 0), from.len())?;
            from[at] = match w.numbers(k, "split", 1) {
                Some(sizes) => Size::known(*sizes.get(o)?),
                None => from[at].over(Size::known(i64::try_from(w.g.node(k).output.len()).ok()?))?,
            };
            Some(from)
        }
        "Gather" => {
            let (from, index) = (of(0)?, of(1)?);
            let at = axis(w.int(k, "axis", 0), from.len())?;
            Some([&from[..at], &index, &from[at + 1..]].concat())
        }
        "GatherND" if w.int(k, "batch_dims", 0) == 0 => {
            let (from, index) = (of(0)?, of(1)?);
            let depth = usize::try_from(index.last()?.value()?).ok()?;
            Some([&index[..index.len() - 1], from.get(depth..)?].concat())
        }
        "GatherElements" => of(1),
        "Concat" => {
            let mut all = w.all(k).map(|v| v.shape.clone());
            let mut sum = all.next()??;
            let at = axis(w.int(k, "axis", 0), sum.len())?;
            for other in all {
                sum[at] = sum[at].plus(*other?.get(at)?)?;
            }
            Some(sum)
        }
        "Expand" => broadcast(of(0)?, w.at(k, 1)?.data.clone()?),
        "ConstantOfShape" => w.at(k, 0)?.data.clone(),
        "Range" => {
            let [from, to, step] = [0, 1, 2].map(|i| w.at(k, i).and_then(|v| v.data.as_ref()?.first().copied()));
            (step? == ONE && from? == Size::known(0)).then_some(vec![to?])
        }
        "ReduceMean" | "ReduceSum" | "ReduceL2" | "ReduceSumSquare" | "ReduceMax" | "ReduceMin" => {
            let from = of(0)?;
            let axes = w.numbers(k, "axes", 1).filter(|axes| !axes.is_empty());
            let axes: Vec<usize> = match axes {
                Some(axes) => axes.iter().map(|&a| axis(a, from.len())).collect::<Option<_>>()?,
                None => (0..from.len()).collect(),
            };
            let keep = w.int(k, "keepdims", 1) != 0;
            let axes_of = |a: usize| if axes.contains(&a) { keep.then_some(ONE) } else { Some(from[a]) };
            Some((0..from.len()).filter_map(axes_of).collect())
        }
        "MatMul" | "FusedMatMul" => {
            let flag = |name: &str| w.int(k, name, 0) != 0;
            let (mut a, mut b) = (of(0)?, of(1)?);
            if flag("transA") && a.len() > 1 {
                let n = a.len();
                a.swap(n - 1, n - 2);
            }
            if flag("transB") && b.len() > 1 {
                let n = b.len();
                b.swap(n - 1, n - 2);
            }
            let (&[ref left @ .., m, _], &[ref right @ .., _, n]) = (a.as_slice(), b.as_slice()) else { return None };
            let mut out = broadcast(left.to_vec(), right.to_vec())?;
            out.extend([m, n]);
            Some(out)
        }
        "Gemm" | "FusedGemm" => {
            let (a, b) = (of(0)?, of(1)?);
            let side = |s: &Shape, flag: &str, i: usize| s.get(if w.int(k, flag, 0) != 0 { 1 - i } else { i }).copied();
            Some(vec![side(&a, "transA", 0)?, side(&b, "transB", 1)?])
        }
        "Attention" if w.g.node(k).domain == "com.microsoft" => {
            let (x, packed) = (of(0)?, of(1)?);
            let width = packed.last()?.over(Size::known(3))?;
            Some(x.iter().take(x.len() - 1).copied().chain([width]).collect())
        }
        // The values' width, the queries' tokens.
        "Attention" | "MultiHeadAttention" => {
            let (q, v) = (of(0)?, of(2)?);
            Some(q.iter().take(q.len() - 1).copied().chain([*v.last()?]).collect())
        }
        "EmbedLayerNormalization" => match o {
            0 | 2 => Some(of(0)?.into_iter().chain([*of(2)?.last()?]).collect()),
            _ => Some(vec![*of(0)?.first()?]),
        },
        "Where" => broadcast(broadcast(of(0)?, of(1)?)?, of(2)?),
        "Constant" => None,
        op if ELEMENTWISE.contains(&op) => broadcast(of(0)?, of(1)?),
        "LayerNormalization" | "SimplifiedLayerNormalization" | "RMSNormalization" if o > 0 => None,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" if o == 1 || o == 2 => None,
        _ => of(0),
    }
}

/// Two operands, one result of both their shapes.
pub(super) const ELEMENTWISE: &[&str] = &[
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "And",
    "Or",
    "Xor",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Mod",
];

pub(super) fn broadcast(a: Shape, b: Shape) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let at = |s: &Shape, i: usize| (i + s.len()).checked_sub(rank).map_or(ONE, |j| s[j]);
    (0..rank).map(|i| stretched(at(&a, i), at(&b, i))).collect()
}

fn reshaped(from: &[Size], to: &[Size], zero: bool) -> Option<Shape> {
    let open = Size::known(-1);
    let copied = |(i, &d): (usize, &Size)| if d == Size::known(0) && !zero { from.get(i).copied() } else { Some(d) };
    let mut out: Shape = to.iter().enumerate().map(copied).collect::<Option<_>>()?;
    let all = Size::product(from)?;
    if let Some(at) = out.iter().position(|&d| d == open) {
        out[at] = ONE;
        out[at] = all.over(Size::product(&out)?)?;
    }
    (Size::product(&out)? == all).then_some(out)
}

/// From zero or a known number to a known number or the end; steps of one.
fn sliced(w: &Walk, k: NodeId) -> Option<Shape> {
    let mut out = w.at(k, 0)?.shape.clone()?;
    for (at, from, to) in slices(w, k)? {
        let size = *out.get(at)?;
        out[at] = if from == 0 { to } else { Size::known(to.value()?.checked_sub(from)?) };
        if let (Some(old), Some(new)) = (size.value(), out[at].value())
            && !(0..=old).contains(&new)
        {
            return None;
        }
    }
    Some(out)
}

/// Axis, start and end of each slice, ends of known axes resolved.
pub(super) fn slices(w: &Walk, k: NodeId) -> Option<Vec<(usize, i64, Size)>> {
    let from = w.at(k, 0)?.shape.clone()?;
    let list = |name: &str, i: usize| match w.g.attribute(k, name) {
        Some(a) => Some(a.ints.iter().map(|&n| Size::known(n)).collect::<Shape>()),
        None => w.at(k, i)?.data.clone(),
    };
    let (starts, ends) = (list("starts", 1)?, list("ends", 2)?);
    let axes = match list("axes", 3) {
        Some(axes) => axes.iter().map(|a| axis(a.value()?, from.len())).collect::<Option<Vec<_>>>()?,
        None => (0..starts.len()).collect(),
    };
    if w.at(k, 4).is_some_and(|steps| steps.data.as_ref().is_none_or(|d| d.iter().any(|&s| s != ONE))) {
        return None;
    }
    let one = |((&at, &start), &end): ((&usize, &Size), &Size)| {
        let size = *from.get(at)?;
        let place = |n: i64| match size.value() {
            Some(size) => Some(if n < 0 { n.checked_add(size)?.max(0) } else { n.min(size) }),
            None => (n >= 0).then_some(n),
        };
        let start = place(start.value()?)?;
        // As far as a number can be is the end; so is the axis' own size.
        let end = match end.value() {
            Some(n) if n >= i64::from(i32::MAX) => size,
            Some(n) => Size::known(place(n)?),
            None => end,
        };
        Some((at, start, end))
    };
    axes.iter().zip(&starts).zip(&ends).map(one).collect()
}

/// True for a slice that leaves out nothing of an axis as long as the input.
pub(super) fn is_whole(w: &Walk, k: NodeId) -> bool {
    let shape = w.at(k, 0).and_then(|v| v.shape.as_ref());
    let whole = |parts: Vec<(usize, i64, Size)>| {
        parts.iter().all(|&(at, from, to)| {
            let size = shape.and_then(|s| s.get(at));
            size.is_some_and(|size| size.value().is_some() || (from == 0 && *size == to))
        })
    };
    w.g.op(k) == "Slice" && slices(w, k).is_some_and(whole)
}
