//! Which tokens are padding, by their ids.

use super::index::index;
use super::mask::mask;
use super::value::{Index, Kind};
use super::walk::{Answer, Walk, conditional};
use crate::runtimes::onnx::graph::NodeId;

/// A node that reads a comparison of the ids with the padding's.
pub(super) fn padding(w: &Walk, k: NodeId) -> Answer<Kind> {
    let alone = w.all(k).all(|v| v.kind == Kind::Padding || v.is_fixed());
    match w.g.op(k) {
        "Not" | "Cast" | "Identity" | "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" => Ok(Kind::Padding),
        "CumSum" => Ok(Kind::Index(Index::Counted)),
        "Sub" if alone && w.given(k, 0)?.number() == Some(1.0) => Ok(Kind::Padding),
        "Mul" if w.all(k).any(|v| v.kind == Kind::Index(Index::Counted)) => Ok(Kind::Index(Index::Counted)),
        "Where" if w.all(k).any(|v| v.kind == Kind::Index(Index::Counted)) => index(w, k),
        _ if !w.has_mask => mask(w, k),
        _ => conditional("a comparison of the token ids goes elsewhere than into the positions"),
    }
}
