//! Values of constant tensors: initializers, Constant nodes, and the layout operators exporters put
//! behind them (Transpose, Cast, Identity, Reshape, Unsqueeze, Squeeze).

use crate::runtimes::onnx::file::proto::{TensorProto, dtype, elements};
use crate::runtimes::onnx::graph::{Graph, NodeId, TensorId};

/// Longest chain of layout operators followed behind one constant.
const MAX_CHAIN: usize = 8;

/// A constant float tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Shape.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

impl Array {
    /// The transpose of a matrix; none when it is no matrix.
    pub fn transposed(&self) -> Option<Self> {
        if self.shape.len() == 2 { self.permuted(&[1, 0]) } else { None }
    }

    fn permuted(&self, perm: &[usize]) -> Option<Self> {
        let rank = self.shape.len();
        let mut seen = vec![false; rank];
        if perm.len() != rank || perm.iter().any(|&p| p >= rank || std::mem::replace(&mut seen[p], true)) {
            return None;
        }
        let mut strides = vec![1usize; rank];
        for i in (1..rank).rev() {
            strides[i - 1] = strides[i].saturating_mul(self.shape[i]);
        }
        let shape: Vec<usize> = perm.iter().map(|&p| self.shape[p]).collect();
        let steps: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
        let mut index = vec![0usize; rank];
        let mut values = Vec::with_capacity(self.values.len());
        for _ in 0..self.values.len() {
            values.push(self.values[index.iter().zip(&steps).map(|(i, s)| i * s).sum::<usize>()]);
            for axis in (0..rank).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Some(Self { shape, values })
    }
}

impl Graph<'_> {
    /// The values of a constant float32 or float64 tensor.
    pub fn floats(&self, t: TensorId) -> Option<Array> {
        self.floats_within(t, MAX_CHAIN)
    }

    fn floats_within(&self, t: TensorId, depth: usize) -> Option<Array> {
        if let Some(stored) = self.stored(t) {
            return floats(stored);
        }
        let k = self.producer(t).filter(|_| depth > 0 && self.is_constant(t))?;
        if self.op(k) == "Constant" {
            let a = self.node(k).attribute.first()?;
            return match a.name.as_str() {
                "value" => floats(a.t.as_ref()?),
                "value_float" => Some(Array { shape: Vec::new(), values: vec![a.f] }),
                "value_floats" => Some(Array { shape: vec![a.floats.len()], values: a.floats.clone() }),
                _ => None,
            };
        }
        let from = self.floats_within(self.input(k, 0)?, depth - 1)?;
        match self.op(k) {
            "Identity" => Some(from),
            "Cast" if self.attribute(k, "to")?.i == i64::from(dtype::FLOAT) => Some(from),
            "Transpose" => {
                let rank = from.shape.len();
                let perm = match self.attribute(k, "perm") {
                    Some(a) => a.ints.iter().map(|&p| usize::try_from(p).ok()).collect::<Option<Vec<_>>>()?,
                    None => (0..rank).rev().collect(),
                };
                from.permuted(&perm)
            }
            "Reshape" => {
                let shape = reshaped(&from.shape, &self.ints(self.input(k, 1)?)?)?;
                Some(Array { shape, values: from.values })
            }
            "Unsqueeze" | "Squeeze" => {
                let shape = self.squeezed(k, &from.shape)?;
                Some(Array { shape, values: from.values })
            }
            _ => None,
        }
    }

    /// Axes come as an attribute up to opset 12, as an input since.
    fn squeezed(&self, k: NodeId, shape: &[usize]) -> Option<Vec<usize>> {
        let axes = match self.attribute(k, "axes") {
            Some(a) => Some(a.ints.clone()),
            None => self.input(k, 1).map(|t| self.ints(t)).map_or(Some(None), |v| v.map(Some))?,
        };
        let place = |axis: i64, rank: usize| {
            usize::try_from(if axis < 0 { axis + i64::try_from(rank).ok()? } else { axis }).ok().filter(|&a| a < rank)
        };
        if self.op(k) == "Squeeze" {
            let rank = shape.len();
            let drop = match axes {
                Some(axes) => axes.iter().map(|&a| place(a, rank)).collect::<Option<Vec<_>>>()?,
                None => (0..rank).filter(|&a| shape[a] == 1).collect(),
            };
            if drop.iter().any(|&a| shape[a] != 1) {
                return None;
            }
            return Some((0..rank).filter(|a| !drop.contains(a)).map(|a| shape[a]).collect());
        }
        let axes = axes?;
        let rank = shape.len() + axes.len();
        let new = axes.iter().map(|&a| place(a, rank)).collect::<Option<Vec<_>>>()?;
        let mut old = shape.iter().copied();
        (0..rank).map(|a| if new.contains(&a) { Some(1) } else { old.next() }).collect()
    }

    /// The values of a constant integer tensor.
    pub fn ints(&self, t: TensorId) -> Option<Vec<i64>> {
        self.ints_within(t, MAX_CHAIN)
    }

    fn ints_within(&self, t: TensorId, depth: usize) -> Option<Vec<i64>> {
        if let Some(stored) = self.stored(t) {
            return ints(stored);
        }
        let k = self.producer(t).filter(|_| depth > 0 && self.is_constant(t))?;
        match self.op(k) {
            "Constant" => {
                let a = self.node(k).attribute.first()?;
                match a.name.as_str() {
                    "value" => ints(a.t.as_ref()?),
                    "value_int" => Some(vec![a.i]),
                    "value_ints" => Some(a.ints.clone()),
                    _ => None,
                }
            }
            "Identity" | "Unsqueeze" | "Squeeze" | "Reshape" => self.ints_within(self.input(k, 0)?, depth - 1),
            _ => None,
        }
    }

    /// The one value of a constant float scalar.
    pub fn scalar(&self, t: TensorId) -> Option<f32> {
        if self.constant_shape(t)?.iter().any(|&d| d != 1) {
            return None;
        }
        self.floats(t)?.values.first().copied()
    }

    /// The shape of a constant, without reading its values where possible.
    pub fn constant_shape(&self, t: TensorId) -> Option<Vec<usize>> {
        match self.stored(t) {
            Some(stored) => shape(stored),
            None => self.floats(t).map(|a| a.shape),
        }
    }
}

fn shape(t: &TensorProto) -> Option<Vec<usize>> {
    t.dims.iter().map(|&d| usize::try_from(d).ok()).collect()
}

fn reshaped(from: &[usize], to: &[i64]) -> Option<Vec<usize>> {
    let total = from.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    let mut out = Vec::with_capacity(to.len());
    for (i, &d) in to.iter().enumerate() {
        out.push(match d {
            0 => *from.get(i)?,
            -1 => 0,
            d => usize::try_from(d).ok()?,
        });
    }
    if let Some(open) = to.iter().position(|&d| d == -1) {
        let rest =
            out.iter().enumerate().filter(|(i, _)| *i != open).try_fold(1usize, |n, (_, &d)| n.checked_mul(d))?;
        out[open] = total.checked_div(rest)?;
    }
    (out.iter().try_fold(1usize, |n, &d| n.checked_mul(d))? == total).then_some(out)
}

fn floats(t: &TensorProto) -> Option<Array> {
    let values: Vec<f32> = match t.data_type {
        dtype::FLOAT if !t.float_data.is_empty() => t.float_data.clone(),
        dtype::FLOAT => t.raw_data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        // Only scalars (epsilons, scales) come as doubles; a float32 model holds none that is not one.
        dtype::DOUBLE if !t.double_data.is_empty() => t.double_data.iter().map(|&v| v as f32).collect(),
        dtype::DOUBLE => t.raw_data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    };
    (elements(&t.dims)? == values.len()).then_some(Array { shape: shape(t)?, values })
}

fn ints(t: &TensorProto) -> Option<Vec<i64>> {
    Some(match t.data_type {
        dtype::INT64 if !t.int64_data.is_empty() => t.int64_data.clone(),
        dtype::INT64 => t.raw_data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        dtype::INT32 if !t.int32_data.is_empty() => t.int32_data.iter().map(|&v| v.into()).collect(),
        dtype::INT32 => t.raw_data.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_operators_are_followed() {
        let a = Array { shape: vec![2, 3], values: vec![1., 2., 3., 4., 5., 6.] };
        let t = a.transposed().unwrap();
        assert_eq!((t.shape.clone(), t.values.clone()), (vec![3, 2], vec![1., 4., 2., 5., 3., 6.]));
        assert_eq!(t.transposed().unwrap(), a);
        assert!(a.permuted(&[0, 0]).is_none());
        assert!(a.permuted(&[0, 2]).is_none());
        assert_eq!(reshaped(&[2, 3], &[0, -1]), Some(vec![2, 3]));
        assert_eq!(reshaped(&[2, 3], &[-1, 2]), Some(vec![3, 2]));
        assert_eq!(reshaped(&[2, 3], &[4, -1]), None);
        assert_eq!(reshaped(&[2, 3], &[0, 0, 0]), None);
    }
}
