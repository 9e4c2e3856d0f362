//! The walk over a graph's nodes, in the order of the forward pass, and what a rule may ask about a node.

use super::size::{ONE, ROWS, Size, TOKENS};
use super::value::{Kind, Value};
use crate::runtimes::onnx::file::proto::{TensorProto, ValueInfoProto, dtype};
use crate::runtimes::onnx::graph::{Graph, NodeId, TensorId};

/// Most elements of a constant whose contents are looked at as numbers: shapes, indices, scalars, and masks or
/// position numbers up to 8192 tokens. Whole float tables are compared elsewhere.
const MAX_ELEMENTS: usize = 8192;

/// Why a node is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its place in an encoder is not known.
    Unknown(String),
    /// It makes the result depend on ids, lengths, positions or values, as no encoder does.
    Conditional(String),
}

pub(super) type Answer<T> = Result<T, Refused>;

pub(super) fn unknown<T>(why: impl Into<String>) -> Answer<T> {
    Err(Refused::Unknown(why.into()))
}

pub(super) fn conditional<T>(why: impl Into<String>) -> Answer<T> {
    Err(Refused::Conditional(why.into()))
}

/// The state of the walk.
pub(super) struct Walk<'g, 'm> {
    pub(super) g: &'g Graph<'m>,
    pub(super) values: Vec<Option<Value>>,
    /// Tensors that depend on the final state, itself included.
    pub(super) after: Vec<bool>,
    /// The graph takes an attention mask.
    pub(super) has_mask: bool,
    /// The table the ids are looked up in.
    pub(super) words: Option<TensorId>,
    /// The padding's id by the configuration.
    pub(super) stated: Option<i64>,
    /// The id that the ids are compared with.
    pub(super) padding: Option<i64>,
}

impl<'m> Walk<'_, 'm> {
    /// The value at input `i` of a node.
    pub(super) fn at(&self, k: NodeId, i: usize) -> Option<&Value> {
        self.values.get(self.g.input(k, i)?)?.as_ref()
    }

    /// The value at input `i`, which the operator requires.
    pub(super) fn given(&self, k: NodeId, i: usize) -> Answer<&Value> {
        self.at(k, i).ok_or_else(|| Refused::Unknown(format!("input {i} is missing")))
    }

    pub(super) fn all(&self, k: NodeId) -> impl Iterator<Item = &Value> {
        self.g.reads(k).filter_map(|t| self.values.get(t)?.as_ref())
    }

    pub(super) fn int(&self, k: NodeId, name: &str, otherwise: i64) -> i64 {
        self.g.attribute(k, name).map_or(otherwise, |a| a.i)
    }

    /// Whole numbers given as an attribute in older operator sets, as input `i` since.
    pub(super) fn numbers(&self, k: NodeId, name: &str, i: usize) -> Option<Vec<i64>> {
        if let Some(a) = self.g.attribute(k, name) {
            return Some(a.ints.clone());
        }
        self.at(k, i)?.data.as_ref()?.iter().map(|s| s.value()).collect()
    }

    /// True when something this node reads depends on the final state.
    pub(super) fn is_after(&self, k: NodeId) -> bool {
        self.g.reads(k).any(|t| self.after.get(t).copied().unwrap_or(false))
    }

    /// The two operands of a node, the one of the wanted kind first.
    pub(super) fn ordered(&self, k: NodeId, first: impl Fn(&Value) -> bool) -> Answer<(&Value, &Value)> {
        let (a, b) = (self.given(k, 0)?, self.given(k, 1)?);
        Ok(if first(a) { (a, b) } else { (b, a) })
    }

    /// What a graph input is.
    pub(super) fn input(&self, input: &ValueInfoProto, ids: &str, t: TensorId) -> Value {
        let name = input.name.as_str();
        let kind = match name {
            _ if name == ids => Kind::Ids,
            "token_type_ids" | "segment_ids" => Kind::Types,
            "position_ids" => Kind::Index(super::value::Index::Counted),
            _ if is_mask(name) => Kind::Mask,
            _ => Kind::Unknown,
        };
        let declared = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()?.shape.as_ref());
        let known = |i: usize| declared.and_then(|s| s.dim.get(i)?.dim_value).filter(|&d| d > 0).map(Size::known);
        let shape = vec![known(0).unwrap_or(ROWS), known(1).unwrap_or(TOKENS)];
        Value::new(kind, Some(shape), t)
    }

    /// A stored tensor.
    pub(super) fn stored(&self, stored: &TensorProto, t: TensorId) -> Value {
        let shape = stored.dims.iter().map(|&d| Size::known(d)).collect();
        let mut value = Value::new(Kind::Constant, Some(shape), t);
        let elements = stored.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
        if elements.is_some_and(|n| n <= MAX_ELEMENTS) {
            let (whole, floats) = contents(stored);
            value.uniform = floats.first().copied().filter(|first| floats.iter().all(|v| v == first));
            value.data = whole.filter(|w| Some(w.len()) == elements).map(|w| w.into_iter().map(Size::known).collect());
        }
        value
    }
}

/// Names of the attention mask.
fn is_mask(name: &str) -> bool {
    matches!(name, "attention_mask" | "input_mask" | "mask" | "padding_mask")
}

/// True when the graph takes an attention mask.
pub(super) fn takes_mask(g: &Graph) -> bool {
    g.inputs().iter().any(|i| is_mask(&i.name))
}

/// The elements of a tensor, as whole numbers where they are, and as floats.
fn contents(t: &TensorProto) -> (Option<Vec<i64>>, Vec<f64>) {
    let raw = &t.raw_data;
    let whole: Option<Vec<i64>> = match t.data_type {
        dtype::INT64 if !t.int64_data.is_empty() => Some(t.int64_data.clone()),
        dtype::INT64 => Some(raw.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
        dtype::INT32 | dtype::BOOL if !t.int32_data.is_empty() => {
            Some(t.int32_data.iter().map(|&v| v.into()).collect())
        }
        dtype::INT32 => Some(raw.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect()),
        dtype::BOOL => Some(raw.iter().map(|&b| i64::from(b != 0)).collect()),
        _ => None,
    };
    let floats = match (&whole, t.data_type) {
        (Some(whole), _) => whole.iter().map(|&v| v as f64).collect(),
        (None, dtype::FLOAT) if !t.float_data.is_empty() => t.float_data.iter().map(|&v| f64::from(v)).collect(),
        (None, dtype::FLOAT) => raw.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        (None, dtype::DOUBLE) if !t.double_data.is_empty() => t.double_data.clone(),
        (None, dtype::DOUBLE) => raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        (None, dtype::FLOAT16) => {
            raw.as_chunks().0.iter().map(|b| half::f16::from_bits(u16::from_le_bytes(*b)).to_f64()).collect()
        }
        _ => Vec::new(),
    };
    (whole, floats)
}

/// Two sizes of one axis, one of which may be stretched.
pub(super) fn stretched(a: Size, b: Size) -> Option<Size> {
    match (a, b) {
        _ if a == b => Some(a),
        (ONE, _) => Some(b),
        (_, ONE) => Some(a),
        _ => None,
    }
}
