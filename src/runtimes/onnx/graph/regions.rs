//! The fork-join spans between consecutive cut vertices, and what each one is.

use super::cut::Trunk;
use super::operators::{ATTENTION, NORM, PROJECTION};
use super::{Graph, NodeId};

/// What a region does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Holds a softmax or a fused attention.
    Attention,
    /// Holds a product with a weight matrix.
    FeedForward,
    /// A norm, or anything else without weights of rank two.
    Other,
}

/// The span between two neighbouring cut vertices.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// Position of the vertex where the paths part.
    pub(crate) fork: usize,
    /// Position of the vertex where they meet again.
    pub(crate) join: usize,
    /// What it does.
    pub(crate) kind: Kind,
    /// The nodes strictly between.
    pub(crate) nodes: Vec<NodeId>,
}

/// All regions in order. A softmax that every value passes (a classifier's) opens none.
pub(crate) fn regions(g: &Graph, trunk: &Trunk) -> Vec<Region> {
    let spans = trunk.cut.windows(2).filter(|w| w[1] - w[0] > 1);
    spans
        .map(|w| {
            let nodes: Vec<NodeId> = trunk.nodes(w[0] + 1, w[1] - 1).collect();
            let kind = if nodes.iter().any(|&k| ATTENTION.contains(&g.op(k))) {
                Kind::Attention
            } else if nodes.iter().any(|&k| is_projection(g, k)) {
                Kind::FeedForward
            } else {
                Kind::Other
            };
            Region { fork: w[0], join: w[1], kind, nodes }
        })
        .collect()
}

/// True for a product with a constant of rank two or more.
pub(crate) fn is_projection(g: &Graph, k: NodeId) -> bool {
    let matrix = |t| g.is_constant(t) && g.constant_shape(t).is_none_or(|s| s.len() >= 2);
    PROJECTION.contains(&g.op(k)) && g.reads(k).any(matrix)
}

/// True when one of the nodes betrays a norm.
pub(crate) fn has_norm(g: &Graph, mut nodes: impl Iterator<Item = NodeId>) -> bool {
    nodes.any(|k| NORM.contains(&g.op(k)))
}
