//! The float constants of a graph that an output depends on.

use std::borrow::Cow;

use super::super::graph::{Graph, TensorId};
use crate::runtimes::onnx::file::proto::{TensorProto, dtype};

/// A float constant of more than one element, as it is stored: what lays it out anew behind that is followed by nobody,
/// for tensors are known by their content.
pub(super) struct Leaf<'g> {
    pub(super) tensor: TensorId,
    pub(super) name: &'g str,
    /// Dimensions, without those of one.
    pub(super) shape: Vec<usize>,
    pub(super) values: Cow<'g, [f32]>,
    /// How float32 is rounded to the type it is stored in.
    pub(super) rounded: fn(f32) -> f32,
    /// The final state depends on it.
    pub(super) inside: bool,
}

/// Every float constant that an output depends on, in the order of the file. Numbers are no weights.
pub(super) fn leaves<'g>(g: &Graph<'g>, live: &[bool], end: Option<TensorId>) -> Vec<Leaf<'g>> {
    let inside = reached(g, end.into_iter().collect());
    let is = |of: &[bool], t: TensorId| of.get(t).copied().unwrap_or(false);
    let leaf = |t: TensorId| {
        let (values, rounded, dims) = match g.stored(t) {
            Some(stored) => stored_floats(stored)?,
            None => constant(g, t)?,
        };
        let shape = dims.iter().filter_map(|&d| usize::try_from(d).ok()).filter(|&d| d != 1).collect();
        (values.len() > 1).then(|| Leaf { tensor: t, name: g.name(t), shape, values, rounded, inside: is(&inside, t) })
    };
    (0..g.tensors()).filter(|&t| is(live, t)).filter_map(leaf).collect()
}

/// All tensors that an output depends on.
pub(super) fn live(g: &Graph<'_>) -> Vec<bool> {
    reached(g, g.outputs().iter().filter_map(|o| g.find(&o.name)).collect())
}

/// All tensors that some tensors depend on, themselves included.
fn reached(g: &Graph, from: Vec<TensorId>) -> Vec<bool> {
    let mut seen = vec![false; g.tensors()];
    let mut open = from;
    while let Some(t) = open.pop() {
        if let Some(slot) = seen.get_mut(t)
            && !std::mem::replace(slot, true)
            && let Some(k) = g.producer(t)
        {
            open.extend(g.reads(k));
        }
    }
    seen
}

/// Values, how their type rounds, dimensions.
type Floats<'g> = (Cow<'g, [f32]>, fn(f32) -> f32, Vec<i64>);

fn constant<'g>(g: &Graph<'g>, t: TensorId) -> Option<Floats<'g>> {
    let k = g.producer(t).filter(|&k| g.op(k) == "Constant")?;
    let a = g.node(k).attribute.first()?;
    match (&a.t, a.floats.len()) {
        (Some(stored), _) => stored_floats(stored),
        (None, 0) => None,
        (None, n) => Some((Cow::Borrowed(&a.floats), |v| v, vec![i64::try_from(n).ok()?])),
    }
}

/// Without a copy where the machine's memory allows it.
fn stored_floats(t: &TensorProto) -> Option<Floats<'_>> {
    let dims = t.dims.clone();
    let halves = |to: fn(u16) -> f32| -> Vec<f32> {
        match t.int32_data.as_slice() {
            [] => t.raw_data.as_chunks().0.iter().map(|b| to(u16::from_le_bytes(*b))).collect(),
            typed => typed.iter().map(|&bits| to(bits as u16)).collect(),
        }
    };
    Some(match t.data_type {
        dtype::FLOAT if !t.float_data.is_empty() => (Cow::Borrowed(&t.float_data), |v| v, dims),
        dtype::FLOAT => match bytemuck::try_cast_slice(&t.raw_data) {
            Ok(values) if cfg!(target_endian = "little") => (Cow::Borrowed(values), |v| v, dims),
            _ => (t.raw_data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(), |v| v, dims),
        },
        dtype::DOUBLE if !t.double_data.is_empty() => (t.double_data.iter().map(|&v| v as f32).collect(), |v| v, dims),
        dtype::DOUBLE => {
            (t.raw_data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(), |v| v, dims)
        }
        dtype::FLOAT16 => {
            let values = halves(|bits| half::f16::from_bits(bits).to_f32());
            (values.into(), |v| half::f16::from_f32(v).to_f32(), dims)
        }
        dtype::BFLOAT16 => {
            let values = halves(|bits| half::bf16::from_bits(bits).to_f32());
            (values.into(), |v| half::bf16::from_f32(v).to_f32(), dims)
        }
        _ => return None,
    })
}
