//! What `--explain` says first: the planted defect, and nothing of bits.

use half::f16;
use parallax::report::Report;

use super::models::Model;
use super::{Fault, Plant};
use crate::common::plant::{Copy, floats};

/// One defect.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    model: Model,
    plant: Plant,
    /// What the first line of the story must name, all of it.
    pub(crate) first: &'static [&'static str],
    /// The first of the tensors that were tried, where any should be.
    pub(crate) tensor: Option<&'static str>,
}

const BIAS: &str = "encoder.layer.1.attention.output.dense.bias";
const NORM: &str = "encoder.layer.2.output.LayerNorm.weight";
const MATRIX: &str = "encoder.layer.2.output.dense.weight";

/// One float16 of a tensor, changed.
fn half(copy: Copy, tensor: &str, at: usize, change: impl Fn(f32) -> f32) -> Copy {
    copy.tensors(|t| {
        let bytes = &mut t.get_mut(tensor).unwrap().2[2 * at..][..2];
        let value = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        bytes.copy_from_slice(&f16::from_f32(change(value)).to_le_bytes());
    })
}

/// The float32 values of a tensor of the original, changed.
fn original(copy: Copy, tensor: &str, change: impl Fn(usize, f32) -> f32) -> Copy {
    copy.tensors(|t| {
        let bytes = &mut t.get_mut(tensor).unwrap().2;
        *bytes = floats(bytes).into_iter().enumerate().flat_map(|(i, v)| change(i, v).to_le_bytes()).collect();
    })
}

pub(crate) const CASES: &[Case] = &[
    Case {
        what: "one element of a bias is wrong",
        model: Model::Mini8,
        plant: Plant::Candidate(|c| half(c, BIAS, 7, |v| v + 0.5)),
        first: &[BIAS],
        tensor: Some(BIAS),
    },
    Case {
        what: "one weight of a norm is a little wrong, less than 4 bits cost",
        model: Model::Mini4,
        plant: Plant::Candidate(|c| half(c, NORM, 11, |v| v * 1.02)),
        first: &[NORM],
        tensor: Some(NORM),
    },
    Case {
        what: "a matrix of the original differs from graph and candidate",
        model: Model::Mini8,
        plant: Plant::Reference(|c| original(c, MATRIX, |i, v| if i % 3 == 0 { v * 1.5 } else { v })),
        first: &[MATRIX, "of the original", "the odd one"],
        tensor: None,
    },
    Case {
        what: "a bias of the original differs from graph and candidate",
        model: Model::Mini4,
        plant: Plant::Reference(|c| original(c, BIAS, |i, v| if i == 3 { v + 0.25 } else { v })),
        first: &[BIAS, "of the original", "the odd one"],
        tensor: None,
    },
    Case {
        what: "positions are counted from another padding token",
        model: Model::Xlmr8,
        plant: Plant::Candidate(|c| c.json("config.json", |c| c["pad_token_id"] = 0.into())),
        first: &["pad_token_id", "in place of"],
        tensor: None,
    },
    Case {
        what: "the candidate's norms have another epsilon",
        model: Model::Mini4,
        plant: Plant::Candidate(|c| c.json("config.json", |c| c["layer_norm_eps"] = serde_json::json!(1e-2))),
        first: &["layer_norm_eps", "in place of"],
        tensor: None,
    },
];

impl Case {
    /// A check with `--explain`.
    pub(crate) fn report(&'static self) -> Report {
        let on = std::slice::from_ref(&self.model);
        let plant = self.plant;
        let fault = Fault { id: "explained", hazard: "G1", what: self.what, plant, on, exit: 1, says: &[] };
        let mut planted = fault.planted(self.model);
        planted.request.explain = true;
        fault.checked(&planted.request).unwrap()
    }
}
