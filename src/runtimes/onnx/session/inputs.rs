//! Which graph inputs there are and what goes into each: right-padded `[rows, tokens]` tensors.

use std::borrow::Cow;

use ort::session::SessionInputValue;
use ort::value::{PrimitiveTensorElementType, Tensor};

use super::library::words;
use crate::runtimes::onnx::error::OnnxError;
use crate::runtimes::onnx::file::proto::{ValueInfoProto, dtype};
use crate::runtimes::onnx::graph::Graph;
use crate::runtimes::onnx::taps::TapMap;
use crate::tokens::TokenBatch;

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Token ids, padded with 0.
    Ids,
    /// 1 for real tokens, 0 for padding.
    Mask,
    /// Token type ids, padded with 0.
    Types,
    /// 0, 1, 2, ...
    Positions,
}

/// Names by which inputs are recognised. The ids are recognised by what reads them.
const ROLES: &[(&str, Role)] = &[
    ("attention_mask", Role::Mask),
    ("input_mask", Role::Mask),
    ("mask", Role::Mask),
    ("token_type_ids", Role::Types),
    ("segment_ids", Role::Types),
    ("position_ids", Role::Positions),
];
const KNOWN: &str = "input_ids, attention_mask, token_type_ids, position_ids";

/// The element type of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Int64,
    Int32,
    /// Masks only: true for real tokens.
    Bool,
    /// Masks only: 1.0 for real tokens.
    Float32,
}

/// One graph input to fill.
#[derive(Clone, Debug)]
struct InputPlan {
    name: String,
    role: Role,
    element: Element,
}

/// Every input of a graph, and the dimensions its export fixed.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    plans: Vec<InputPlan>,
    /// Rows that every run must have.
    rows: Option<usize>,
    /// Tokens that every row must have.
    tokens: Option<usize>,
}

/// The inputs of one run: their values, and the dimensions they were padded to.
pub(crate) struct Filled {
    pub(crate) values: Vec<(String, SessionInputValue<'static>)>,
    /// Rows, those that only fill up a fixed batch size included.
    pub(crate) rows: usize,
    /// Tokens of every row, padding included.
    pub(crate) seq: usize,
}

/// Plans every input of the graph; one nobody knows is refused.
pub(crate) fn plan(g: &Graph, map: &TapMap) -> Result<Inputs, OnnxError> {
    let mut plans = Vec::new();
    let (mut rows, mut tokens) = (None, None);
    for input in g.inputs() {
        let (file, name) = (g.model().name().to_owned(), input.name.clone());
        let role = if name == map.ids_input {
            Role::Ids
        } else {
            match ROLES.iter().find(|(known, _)| *known == name) {
                Some((_, role)) => *role,
                None => return Err(OnnxError::UnknownInput { file, input: name, known: KNOWN }),
            }
        };
        let element = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).map_or(0, |t| t.elem_type);
        let element = match (element, role) {
            (dtype::INT64, _) => Element::Int64,
            (dtype::INT32, _) => Element::Int32,
            (dtype::BOOL, Role::Mask) => Element::Bool,
            (dtype::FLOAT, Role::Mask) => Element::Float32,
            (other, role) => {
                let also = if role == Role::Mask { ", bool or float32" } else { "" };
                let (expected, found) = (format!("int64 or int32{also}"), dtype::name(other).to_owned());
                return Err(OnnxError::Tensor { file, tensor: name, expected, found });
            }
        };
        for (place, (known, found)) in [&mut rows, &mut tokens].into_iter().zip(fixed(input)).enumerate() {
            let Some(found) = found else { continue };
            if known.is_some_and(|known| known != found) {
                let what = if place == 0 { "rows" } else { "tokens" };
                let expected = format!("{} {what}, as another input is declared with", known.unwrap_or_default());
                return Err(OnnxError::Tensor { file, tensor: name, expected, found: found.to_string() });
            }
            *known = Some(found);
        }
        plans.push(InputPlan { name, role, element });
    }
    Ok(Inputs { plans, rows, tokens })
}

/// The two dimensions of an input, where the export fixed them.
fn fixed(input: &ValueInfoProto) -> [Option<usize>; 2] {
    let shape = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.shape.as_ref());
    let dims = shape.map_or(&[][..], |s| s.dim.as_slice());
    let at = |i: usize| dims.get(i)?.dim_value.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    [at(0), at(1)]
}

/// Tokens that every row of the graph must have, where its export fixed them.
pub fn fixed_tokens(g: &Graph) -> Option<usize> {
    g.inputs().iter().find_map(|input| fixed(input)[1])
}

impl Inputs {
    /// Tokens that every row must have, where the export fixed them.
    pub(crate) fn tokens(&self) -> Option<usize> {
        self.tokens
    }

    /// The batch in parts that the graph can take: one, unless the export fixed the number of rows.
    pub(crate) fn pieces<'a>(&self, batch: &'a TokenBatch) -> Vec<Cow<'a, TokenBatch>> {
        let Some(most) = self.rows.filter(|most| *most < batch.rows()) else { return vec![Cow::Borrowed(batch)] };
        let rows: Vec<usize> = (0..batch.rows()).collect();
        let piece = |rows: &[usize]| {
            let mut piece = TokenBatch::new();
            rows.iter().for_each(|&r| piece.push(batch.row_id(r), batch.ids(r), batch.type_ids(r)));
            Cow::Owned(piece)
        };
        rows.chunks(most).map(piece).collect()
    }

    /// Builds the inputs of one piece. Where the export fixed the dimensions, rows are padded to its length, and copies
    /// of the last row fill up its batch.
    pub(crate) fn fill(&self, batch: &TokenBatch) -> Result<Filled, String> {
        let typed = self.plans.iter().any(|p| p.role == Role::Types);
        if let (false, Some(t)) = (typed, batch.all_type_ids().iter().find(|&&t| t != 0)) {
            return Err(format!("the export has no token_type_ids input, and a row has token type {t}"));
        }
        let (rows, seq) = (self.rows.unwrap_or(batch.rows()), self.tokens.unwrap_or(batch.longest().max(1)));
        if batch.rows() > rows || batch.longest() > seq {
            let found = format!("{} rows of {} tokens", batch.rows(), batch.longest());
            return Err(format!("the export takes {rows} rows of {seq} tokens, and a batch has {found}"));
        }
        let fill = |p: &InputPlan| Ok((p.name.clone(), p.tensor(batch, rows, seq)?));
        let values = self.plans.iter().map(fill).collect::<Result<_, String>>()?;
        Ok(Filled { values, rows, seq })
    }
}

fn tensor<T>(shape: [usize; 2], values: Vec<T>) -> Result<SessionInputValue<'static>, String>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    Ok(Tensor::from_array((shape, values)).map_err(words)?.into())
}

impl InputPlan {
    fn tensor(&self, batch: &TokenBatch, rows: usize, seq: usize) -> Result<SessionInputValue<'static>, String> {
        let len = rows.checked_mul(seq).ok_or_else(|| format!("{rows} rows of {seq} tokens are too many"))?;
        let mut values = Vec::<u32>::with_capacity(len);
        let last = batch.rows().saturating_sub(1);
        for r in 0..rows {
            // Behind the batch's own rows come copies of its last one.
            let from = r.min(last);
            let n = batch.len(from);
            match self.role {
                Role::Ids => values.extend_from_slice(batch.ids(from)),
                Role::Types => values.extend_from_slice(batch.type_ids(from)),
                Role::Mask => values.resize(values.len() + n, 1),
                Role::Positions => values.extend((0..seq).map(|p| p as u32)),
            }
            values.resize((r + 1) * seq, 0);
        }
        let shape = [rows, seq];
        match self.element {
            Element::Int64 => tensor(shape, values.into_iter().map(i64::from).collect()),
            Element::Int32 => {
                let narrow = values.into_iter().map(i32::try_from).collect::<Result<Vec<i32>, _>>();
                tensor(shape, narrow.map_err(|_| format!("input `{}` is int32 and an id is beyond it", self.name))?)
            }
            Element::Bool => tensor(shape, values.into_iter().map(|v| v != 0).collect()),
            Element::Float32 => tensor(shape, values.into_iter().map(|v| v as f32).collect()),
        }
    }
}
