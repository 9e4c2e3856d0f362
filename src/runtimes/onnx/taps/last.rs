//! The end of the last layer, behind which no attention block follows to mark it.
//!
//! What inner layers do between their join and the next fork (a norm, or nothing) is replayed behind
//! the last join. A last layer fused differently from the others is walked through one norm.

use super::search::{Search, TapError};
use super::splice::sum_name;
use crate::runtimes::onnx::graph::cut::Vertex;
use crate::runtimes::onnx::graph::operators::{LAYOUT, NORM, PROJECTION, REDUCE, skip_sum};
use crate::runtimes::onnx::graph::regions::has_norm;
use crate::runtimes::onnx::graph::{NodeId, TensorId};

/// How layers end.
pub(crate) struct Style {
    /// Norms lie on the residual stream (post-norm).
    pub(crate) post: bool,
    /// The residual stream forks right at the joins (pre-norm): nothing follows a layer's last sum.
    pub(crate) pre: bool,
    /// The operators between join and next fork, one list per inner layer.
    tails: Vec<Vec<String>>,
}

/// What the last layer leaves.
pub(crate) struct Last {
    /// Output of the last layer, by name: it may be a sum that no node gives out yet.
    pub(crate) layer: String,
    /// `last_hidden_state`: the same for post-norm models, behind the final norm for pre-norm ones.
    pub(crate) state: TensorId,
    /// Why.
    pub(crate) evidence: &'static str,
}

/// Reads the style off the spans between joins and forks; refuses a mix.
pub(crate) fn style(s: &Search, bounds: &[(usize, usize)], layers: usize) -> Result<Style, TapError> {
    let forks_in_node = |q: usize| matches!(s.trunk.order[q], Vertex::Node(_));
    let mut styles = bounds.iter().map(|&(p, q)| !forks_in_node(q) && has_norm(s.g, s.trunk.nodes(p, q)));
    let post = styles.next().unwrap_or(false);
    if styles.any(|other| other != post) {
        return Err(s.refuse("some layers end in a norm and some do not"));
    }
    let inner = &bounds[..bounds.len().min(layers.saturating_sub(1).max(1))];
    let tails: Vec<Vec<String>> = inner.iter().map(|&(p, q)| operators(s, &steps(s, p, Some(q)))).collect();
    let pre = !post && tails.iter().zip(inner).all(|(t, &(_, q))| t.is_empty() || forks_in_node(q));
    Ok(Style { post, pre, tails })
}

/// The cut nodes strictly behind `p`, up to `q`: what every value of the stream passes. Layout aside.
fn steps(s: &Search, p: usize, q: Option<usize>) -> Vec<NodeId> {
    let within = s.trunk.cut.iter().filter(|&&c| c > p && q.is_none_or(|q| c <= q));
    within
        .filter_map(|&c| match s.trunk.order[c] {
            Vertex::Node(k) if !LAYOUT.contains(&s.g.op(k)) => Some(k),
            _ => None,
        })
        .collect()
}

fn operators(s: &Search, nodes: &[NodeId]) -> Vec<String> {
    nodes.iter().map(|&k| s.g.op(k).to_owned()).collect()
}

/// Finds the last layer's output and the final state, given the last join's position.
pub(crate) fn last_state(s: &Search, style: &Style, join: usize) -> Result<Last, TapError> {
    let node = match s.trunk.order[join] {
        Vertex::Node(k) => Some(k),
        Vertex::Tensor(t) => s.g.producer(t),
    };
    let node = node.ok_or_else(|| s.refuse("the last layer ends at a graph input"))?;
    let output = |k: NodeId| {
        s.trunk
            .live_outputs(s.g, k)
            .next()
            .ok_or_else(|| s.refuse(format!("node `{}` leads nowhere", s.g.node(k).name)))
    };
    let first =
        |k: NodeId| s.g.output(k, 0).ok_or_else(|| s.refuse(format!("node `{}` has no output", s.g.node(k).name)));
    let sum = skip_sum(s.g.op(node));
    if style.pre {
        if let Some(i) = sum {
            let (layer, evidence) = match s.g.output(node, i) {
                Some(t) => (s.g.name(t).to_owned(), "join of the last layer and the norm fused with it"),
                None => (
                    sum_name(s.g, node).ok_or_else(|| {
                        let node = &s.g.node(node).name;
                        s.refuse(format!("the residual sum of node `{node}` (output {i}) cannot be given a name"))
                    })?,
                    "residual sum inside the join of the last layer, wired as an output, and the norm fused with it",
                ),
            };
            return Ok(Last { layer, state: first(node)?, evidence });
        }
        let layer = s.tensor_at(join)?;
        let state = norm_behind(s, join).unwrap_or(layer);
        let layer = s.g.name(layer).to_owned();
        return Ok(Last { layer, state, evidence: "join of the last layer and the norm behind it" });
    }
    let same = |t, evidence| Ok(Last { layer: s.g.name(t).to_owned(), state: t, evidence });
    if sum.is_some() && style.tails.iter().all(Vec::is_empty) {
        return same(first(node)?, "residual sum and norm in one node");
    }
    let behind = steps(s, join, None);
    let ops = operators(s, &behind);
    for tail in style.tails.iter().filter(|t| !t.is_empty()) {
        if ops.starts_with(tail) {
            return same(output(behind[tail.len() - 1])?, "operators behind the last join as behind inner ones");
        }
    }
    match norm_behind(s, join) {
        Some(t) => same(t, "one norm behind the last join"),
        None => {
            let found: Vec<&String> = ops.iter().take(6).collect();
            Err(s.refuse(format!("the last layer does not end as the others do (operators behind it: {found:?})")))
        }
    }
}

/// The output of the norm that follows the residual sum at position `p`, fused or decomposed:
/// a region with a reduction, another (the variance), then at most one scale and one shift.
fn norm_behind(s: &Search, p: usize) -> Option<TensorId> {
    let (g, cut) = (s.g, &s.trunk.cut);
    if let Vertex::Node(k) = s.trunk.order[p]
        && skip_sum(g.op(k)).is_some()
    {
        return g.output(k, 0);
    }
    let vector = |k: NodeId| {
        g.reads(k).any(|t| {
            g.is_constant(t) && g.constant_shape(t).is_some_and(|s| s.iter().filter(|&&d| d != 1).count() <= 1)
        })
    };
    let (mut norm, mut scaled, mut shifted, mut last) = (false, false, false, None);
    for w in cut[cut.iter().position(|&c| c == p)?..].windows(2) {
        let k = match s.trunk.order[w[1]] {
            Vertex::Tensor(t) => {
                last = if norm { Some(t) } else { last };
                continue;
            }
            Vertex::Node(k) => k,
        };
        let jumped = w[1] - w[0] > 1;
        let inner = || s.trunk.nodes(w[0] + 1, w[1] - 1);
        let reduces = jumped && inner().any(|k| REDUCE.contains(&g.op(k)));
        let op = g.op(k);
        if !norm {
            if reduces {
                norm = true;
            } else if NORM.contains(&op) {
                (norm, scaled, shifted) = (true, true, true);
            } else if !["Cast", "Identity", "Dropout", "Add", "Reshape"].contains(&op) {
                return None;
            }
        } else if ["Cast", "Identity"].contains(&op)
            || (reduces && !scaled && !inner().any(|k| PROJECTION.contains(&g.op(k))))
        {
        } else if op == "Mul" && !jumped && !scaled && vector(k) {
            scaled = true;
        } else if op == "Add" && !jumped && !shifted && scaled && vector(k) {
            shifted = true;
        } else {
            break;
        }
        last = s.trunk.live_outputs(g, k).next().or(last);
    }
    last.filter(|_| norm)
}
