//! The residual stream: the points every value on its way from the token lookup to the output must pass.
//!
//! Tensors and nodes are both vertices. In topological order, a vertex is a cut vertex when no edge
//! jumps over it; one sweep finds them all.

use super::operators::{LOOKUP, PASS_IDS, REORDER_IDS, SHAPE};
use super::{Graph, NodeId, TensorId};

/// The token lookup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Its result.
    pub(crate) tensor: TensorId,
    /// The graph input the ids come from.
    pub(crate) ids: TensorId,
    /// Rows and columns of the table.
    pub(crate) table: [usize; 2],
}

/// Finds the token lookup: a lookup in a constant matrix by values that come from a graph input.
/// Position and type ids lose by name, directness and number of rows; optimizers leave lookups behind
/// that nothing reads any more, which do not count.
pub(crate) fn find_source(g: &Graph, vocab: Option<usize>) -> Option<Source> {
    let mut best: Option<((bool, bool, bool, usize), Source)> = None;
    let live = live(g);
    for node in (0..g.len()).filter(|&k| live[k]) {
        let fused = g.op(node) == "EmbedLayerNormalization";
        let (table, ids) = match (fused, LOOKUP.contains(&g.op(node))) {
            (true, _) => (g.input(node, 2), g.input(node, 0)),
            (_, true) if g.attribute(node, "axis").is_none_or(|a| a.i == 0) => (g.input(node, 0), g.input(node, 1)),
            _ => continue,
        };
        let (Some(table), Some(ids), Some(tensor)) = (table, ids, g.output(node, 0)) else { continue };
        let Some(&[rows, columns]) = g.constant_shape(table).as_deref() else { continue };
        let Some((ids, direct)) = ids_from(g, ids) else { continue };
        let name = g.name(ids).to_ascii_lowercase();
        let named = ["input_ids", "inputids", "input_word_ids", "tokens"].iter().any(|n| name.contains(n));
        let score = (vocab == Some(rows), direct && named, direct, rows);
        if best.as_ref().is_none_or(|(s, _)| score > *s) {
            best = Some((score, Source { tensor, ids, table: [rows, columns] }));
        }
    }
    best.map(|(_, s)| s)
}

/// Nodes some graph output depends on by value.
fn live(g: &Graph) -> Vec<bool> {
    let mut live = vec![false; g.len()];
    let mut open: Vec<TensorId> = g.outputs().iter().filter_map(|o| g.find(&o.name)).collect();
    while let Some(t) = open.pop() {
        if let Some(k) = g.producer(t).filter(|&k| !std::mem::replace(&mut live[k], true)) {
            open.extend(g.reads(k).filter(|_| !SHAPE.contains(&g.op(k))));
        }
    }
    live
}

/// The graph input whose values reach `t`, and whether they come unrearranged.
fn ids_from(g: &Graph, t: TensorId) -> Option<(TensorId, bool)> {
    let is_input = |t: TensorId| g.inputs().iter().any(|i| i.name == g.name(t));
    let mut open = vec![(t, true)];
    let mut seen = vec![false; g.tensors()];
    while let Some((t, direct)) = open.pop() {
        if is_input(t) {
            return Some((t, direct));
        }
        let Some(k) = g.producer(t) else { continue };
        if std::mem::replace(&mut seen[t], true) {
            continue;
        }
        if PASS_IDS.contains(&g.op(k)) {
            open.extend(g.input(k, 0).map(|t| (t, direct)));
        } else if REORDER_IDS.contains(&g.op(k)) {
            open.extend(g.reads(k).filter(|&i| !g.is_constant(i)).map(|i| (i, false)));
        }
    }
    None
}

/// A vertex of the value sub-graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vertex {
    /// A tensor.
    Tensor(TensorId),
    /// A node.
    Node(NodeId),
}

/// The value sub-graph between source and sink, in topological order, with its cut vertices.
#[derive(Debug)]
pub(crate) struct Trunk {
    /// The token lookup.
    pub(crate) source: Source,
    /// The tensor everything flows to.
    pub(crate) sink: TensorId,
    /// Vertices in topological order; positions are indices into this.
    pub(crate) order: Vec<Vertex>,
    /// Positions of the cut vertices, rising.
    pub(crate) cut: Vec<usize>,
    live: Vec<bool>,
}

impl Trunk {
    /// Builds the sub-graph towards `sink`, or towards the graph output that looks most like the hidden
    /// states of all tokens; none when nothing depends on the source.
    pub(crate) fn new(g: &Graph, source: Source, sink: Option<TensorId>) -> Option<Self> {
        let (reach, reached) = forward(g, source);
        let sink = sink.or_else(|| best_sink(g, &reach))?;
        let mut live = vec![false; g.tensors()];
        let mut used = vec![false; g.len()];
        live[sink] = true;
        for k in (0..g.len()).rev().filter(|&k| reached[k]) {
            if g.makes(k).any(|o| live[o]) {
                used[k] = true;
                g.reads(k).filter(|&i| reach[i]).for_each(|i| live[i] = true);
            }
        }
        let mut order = vec![Vertex::Tensor(source.tensor)];
        let (mut node_at, mut tensor_at) = (vec![usize::MAX; g.len()], vec![usize::MAX; g.tensors()]);
        tensor_at[source.tensor] = 0;
        for k in (0..g.len()).filter(|&k| used[k]) {
            node_at[k] = order.len();
            order.push(Vertex::Node(k));
            for o in g.makes(k).filter(|&o| live[o]) {
                tensor_at[o] = order.len();
                order.push(Vertex::Tensor(o));
            }
        }
        let mut far = 0;
        let mut cut = Vec::new();
        for (p, v) in order.iter().enumerate() {
            if far <= p {
                cut.push(p);
            }
            let last = match *v {
                Vertex::Tensor(t) => g.consumers(t).iter().filter(|&&k| used[k]).map(|&k| node_at[k]).max(),
                Vertex::Node(k) => g.makes(k).filter(|&o| live[o]).map(|o| tensor_at[o]).max(),
            };
            far = far.max(last.unwrap_or(p));
        }
        Some(Self { source, sink, order, cut, live })
    }

    /// The live outputs of a node.
    pub(crate) fn live_outputs<'g>(&'g self, g: &'g Graph, k: NodeId) -> impl Iterator<Item = TensorId> + 'g {
        g.makes(k).filter(|&o| self.live[o])
    }

    /// The nodes at positions `from..=to`.
    pub(crate) fn nodes(&self, from: usize, to: usize) -> impl Iterator<Item = NodeId> {
        self.order.iter().take(to + 1).skip(from).filter_map(|v| match *v {
            Vertex::Node(k) => Some(k),
            Vertex::Tensor(_) => None,
        })
    }
}

/// Tensors and nodes that depend on the values of the source.
pub(crate) fn forward(g: &Graph, source: Source) -> (Vec<bool>, Vec<bool>) {
    let mut reach = vec![false; g.tensors()];
    let mut reached = vec![false; g.len()];
    reach[source.tensor] = true;
    for (k, reached) in reached.iter_mut().enumerate() {
        if !SHAPE.contains(&g.op(k)) && g.reads(k).any(|i| reach[i]) {
            *reached = true;
            g.makes(k).for_each(|o| reach[o] = true);
        }
    }
    (reach, reached)
}

/// Rank 3 first, then a known name, then the latest.
fn best_sink(g: &Graph, reach: &[bool]) -> Option<TensorId> {
    const NAMES: &[&str] = &["last_hidden_state", "token_embeddings", "hidden_states", "hidden_state", "output_0"];
    let rank = |o: &crate::runtimes::onnx::file::proto::ValueInfoProto| {
        let shape = o.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
        Some(shape.dim.len())
    };
    let outputs = g.outputs().iter().filter_map(|o| Some((o, g.find(&o.name)?))).filter(|&(_, t)| reach[t]);
    outputs
        .max_by_key(|(o, t)| {
            let per_token =
                rank(o).map_or_else(|| o.name.contains("hidden") || o.name.contains("token_emb"), |r| r == 3);
            (per_token, NAMES.contains(&o.name.as_str()), g.producer(*t))
        })
        .map(|(_, t)| t)
}
