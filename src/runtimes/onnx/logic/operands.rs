//! What the operands of a norm or a fused operator may be.

use super::value::Kind;
use super::walk::{Answer, Walk, unknown};
use crate::runtimes::onnx::graph::NodeId;

/// The largest epsilon of a norm: 1e-5 is the largest of the architectures known.
pub(super) const MAX_EPSILON: f64 = 1e-3;

/// The first operand is a state.
pub(super) fn state(w: &Walk, k: NodeId) -> Answer<()> {
    match w.given(k, 0)?.form() {
        Some(form) if form.is_state() => Ok(()),
        _ => unknown("what it reads is an unfinished formula"),
    }
}

/// Every operand from `i` on is a constant.
pub(super) fn constants(w: &Walk, k: NodeId, from: usize) -> Answer<()> {
    let inputs = w.g.node(k).input.len();
    match (from..inputs).filter_map(|i| w.at(k, i)).all(|v| v.kind == Kind::Constant) {
        true => Ok(()),
        false => unknown("a weight that is no constant"),
    }
}

/// The epsilon it states is one of a norm.
pub(super) fn epsilon(w: &Walk, k: NodeId) -> Answer<()> {
    let epsilon = w.g.attribute(k, "epsilon").map_or(1e-5, |a| f64::from(a.f));
    match (0.0..=MAX_EPSILON).contains(&epsilon) {
        true => Ok(()),
        false => unknown(format!("an epsilon of {epsilon}")),
    }
}
