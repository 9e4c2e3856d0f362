//! Which graph inputs there are and what goes into each: right-padded `[rows, tokens]` integers.

use ort::session::SessionInputValue;
use ort::value::Tensor;

use super::error::OnnxError;
use super::graph::Graph;
use super::proto::dtype;
use super::taps::TapMap;
use crate::tokens::TokenBatch;

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
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

/// One graph input to fill.
#[derive(Clone, Debug)]
pub(super) struct InputPlan {
    name: String,
    pub(super) role: Role,
    wide: bool,
}

/// Plans every input of the graph; one nobody knows is refused.
pub(super) fn plan(g: &Graph, map: &TapMap) -> Result<Vec<InputPlan>, OnnxError> {
    let mut plans = Vec::new();
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
        let wide = match element {
            dtype::INT64 => true,
            dtype::INT32 => false,
            other => {
                let (expected, found) = ("int64 or int32".to_owned(), dtype::name(other).to_owned());
                return Err(OnnxError::Tensor { file, tensor: name, expected, found });
            }
        };
        plans.push(InputPlan { name, role, wide });
    }
    Ok(plans)
}

/// Builds the inputs of one batch, `seq` tokens wide.
pub(super) fn fill(
    plans: &[InputPlan],
    batch: &TokenBatch,
    seq: usize,
) -> Result<Vec<(String, SessionInputValue<'static>)>, String> {
    let typed = plans.iter().any(|p| p.role == Role::Types);
    if let (false, Some(t)) = (typed, batch.all_type_ids().iter().find(|&&t| t != 0)) {
        return Err(format!("the export has no token_type_ids input, and a row has token type {t}"));
    }
    plans.iter().map(|p| Ok((p.name.clone(), p.tensor(batch, seq)?))).collect()
}

impl InputPlan {
    fn tensor(&self, batch: &TokenBatch, seq: usize) -> Result<SessionInputValue<'static>, String> {
        let rows = batch.rows();
        let len = rows.checked_mul(seq).ok_or_else(|| format!("{rows} rows of {seq} tokens are too many"))?;
        let mut values = Vec::<u32>::with_capacity(len);
        for r in 0..rows {
            let n = batch.len(r);
            match self.role {
                Role::Ids => values.extend_from_slice(batch.ids(r)),
                Role::Types => values.extend_from_slice(batch.type_ids(r)),
                Role::Mask => values.resize(values.len() + n, 1),
                Role::Positions => values.extend((0..seq).map(|p| p as u32)),
            }
            values.resize((r + 1) * seq, 0);
        }
        let shape = [rows, seq];
        if self.wide {
            let values: Vec<i64> = values.into_iter().map(i64::from).collect();
            Ok(Tensor::from_array((shape, values)).map_err(super::library::words)?.into())
        } else {
            let narrow = values.into_iter().map(i32::try_from).collect::<Result<Vec<i32>, _>>();
            let narrow = narrow.map_err(|_| format!("input `{}` is int32 and an id is beyond it", self.name))?;
            Ok(Tensor::from_array((shape, narrow)).map_err(super::library::words)?.into())
        }
    }
}
