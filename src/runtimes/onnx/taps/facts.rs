//! What the graph itself says about the model, to be held against the configuration.

use super::TapMap;
use crate::runtimes::onnx::graph::operators::{LOOKUP, REDUCE, skip_sum};
use crate::runtimes::onnx::graph::{Graph, NodeId, TensorId};

/// Facts read off the graph. An option is none where the graph does not say, or says two things.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceFacts {
    /// Layers.
    pub layers: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Rows of the word embedding table.
    pub vocab: usize,
    /// Attention heads, from the reshape of the queries.
    pub heads: Option<usize>,
    /// `gelu`, `gelu_tanh`, `relu`, `silu` or `quick_gelu`, when all feed-forward blocks agree.
    pub activation: Option<&'static str>,
    /// Epsilon of the layer norms, when all agree.
    pub layer_norm_eps: Option<f64>,
    /// Width of the feed-forward blocks, when all agree.
    pub intermediate: Option<usize>,
    /// Rows of the position embedding table.
    pub positions: Option<usize>,
    /// True when the graph takes token types.
    pub has_token_type_ids: bool,
    /// Standard operator set.
    pub opset: i64,
    /// Exporter and version.
    pub producer: String,
}

/// Reads the facts.
pub fn facts(g: &Graph, map: &TapMap) -> ReferenceFacts {
    let nodes = |f: fn(&super::Block) -> &Vec<NodeId>| map.blocks.iter().map(move |b| f(b).as_slice());
    // Embeddings may be narrower than the states they are projected to.
    let last = |b: &super::Block| last_product(g, &b.ffn).or_else(|| last_product(g, &b.attention));
    let hidden = agreed(map.blocks.iter().map(|b| Some(last(b)?.1))).unwrap_or(map.hidden);
    ReferenceFacts {
        layers: map.layers,
        hidden,
        vocab: map.vocab,
        heads: agreed(nodes(|b| &b.attention).map(|n| heads(g, n, hidden))),
        activation: agreed(nodes(|b| &b.ffn).map(|n| activation(g, n))),
        layer_norm_eps: agreed((0..g.len()).filter_map(|k| epsilon(g, k)).map(Some)),
        intermediate: agreed(nodes(|b| &b.ffn).map(|n| Some(last_product(g, n)?.0))),
        positions: positions(g, map),
        has_token_type_ids: g.inputs().iter().any(|i| ["token_type_ids", "segment_ids"].contains(&i.name.as_str())),
        opset: g.model().opset(),
        producer: g.model().producer(),
    }
}

/// The one value all agree on.
fn agreed<T: PartialEq>(mut values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = values.next()??;
    values.all(|v| v.as_ref() == Some(&first)).then_some(first)
}

/// `[.., heads, head size]` in a constant reshape whose last two dimensions make the hidden size, or the
/// `num_heads` of a fused attention.
fn heads(g: &Graph, nodes: &[NodeId], hidden: usize) -> Option<usize> {
    let found = nodes.iter().filter_map(|&k| {
        if let Some(a) = g.attribute(k, "num_heads") {
            return usize::try_from(a.i).ok();
        }
        let (heads, size) = (g.op(k) == "Reshape").then(|| last_dimensions(g, g.input(k, 1)?))??;
        // One of the two may be left to the runtime: [rows, tokens, -1, head size].
        match (usize::try_from(heads).ok(), usize::try_from(size).ok()) {
            (Some(heads), Some(size)) => (heads.checked_mul(size) == Some(hidden)).then_some(heads),
            (None, Some(size)) if heads == -1 && size > 0 => (hidden.is_multiple_of(size)).then_some(hidden / size),
            (Some(heads), None) if size == -1 && heads > 0 => (hidden.is_multiple_of(heads)).then_some(heads),
            _ => None,
        }
    });
    agreed(found.map(Some))
}

/// The last two dimensions of a shape that splits the heads, constant or concatenated from parts.
fn last_dimensions(g: &Graph, shape: TensorId) -> Option<(i64, i64)> {
    let all: Vec<Option<i64>> = if let Some(known) = g.ints(shape) {
        known.into_iter().map(Some).collect()
    } else {
        let k = g.producer(shape).filter(|&k| g.op(k) == "Concat")?;
        let part = |t| g.ints(t).map_or_else(|| vec![None], |v| v.into_iter().map(Some).collect());
        g.reads(k).flat_map(part).collect()
    };
    match all.as_slice() {
        // Queries, keys and values may come from one product: [rows, tokens, 3, heads, head size].
        &[_, _, Some(heads), Some(size)] | &[_, _, Some(3), Some(heads), Some(size)] => Some((heads, size)),
        _ => None,
    }
}

/// The activation by its operators: `Erf` is exact GELU, `Tanh` its approximation.
pub(crate) fn activation(g: &Graph, nodes: &[NodeId]) -> Option<&'static str> {
    let found = nodes.iter().filter_map(|&k| match g.op(k) {
        "Erf" | "BiasGelu" => Some("gelu"),
        "Gelu" if g.attribute(k, "approximate").is_some_and(|a| a.s.as_ref() == b"tanh") => Some("gelu_tanh"),
        "Gelu" => Some("gelu"),
        "Tanh" | "FastGelu" => Some("gelu_tanh"),
        "Relu" => Some("relu"),
        // x·sigmoid(x), and x·sigmoid(1.702·x)
        "Sigmoid" => {
            let x = g.input(k, 0)?;
            let own = |t: TensorId| g.makes(k).any(|s| multiplied(g, s, t));
            let scaled = g.producer(x).filter(|&p| g.op(p) == "Mul");
            let scaled = scaled.is_some_and(|p| g.reads(p).any(&own) && g.reads(p).any(|t| g.is_constant(t)));
            if own(x) { Some("silu") } else { scaled.then_some("quick_gelu") }
        }
        "Silu" => Some("silu"),
        _ => None,
    });
    agreed(found.map(Some))
}

/// True when some product multiplies the two.
fn multiplied(g: &Graph, a: TensorId, b: TensorId) -> bool {
    g.consumers(a).iter().any(|&c| g.op(c) == "Mul" && g.reads(c).any(|t| t == b))
}

/// Widths into and out of a block's last product: the first one's is doubled in gated blocks.
fn last_product(g: &Graph, nodes: &[NodeId]) -> Option<(usize, usize)> {
    let k = *nodes.iter().rfind(|&&k| crate::runtimes::onnx::graph::regions::is_projection(g, k))?;
    let shape = g.constant_shape(g.input(k, 1).filter(|&t| g.is_constant(t))?)?;
    let transposed = g.attribute(k, "transB").is_some_and(|a| a.i != 0);
    match *shape.as_slice() {
        [rows, columns] => Some(if transposed { (columns, rows) } else { (rows, columns) }),
        _ => None,
    }
}

/// The epsilon of a norm: an attribute of the fused node, or the small constant added to the variance.
fn epsilon(g: &Graph, k: NodeId) -> Option<f64> {
    if g.op(k).ends_with("LayerNormalization") || g.op(k) == "RMSNormalization" {
        // ONNX and Microsoft's contrib operators differ in what they assume (onnx/docs/Operators.md,
        // onnxruntime/docs/ContribOperators.md).
        let assumed = if skip_sum(g.op(k)).is_some() { 1e-12 } else { 1e-5 };
        return Some(g.attribute(k, "epsilon").map_or(assumed, |a| widened(a.f)));
    }
    if g.op(k) != "Add" {
        return None;
    }
    let variance = g.reads(k).any(|t| g.producer(t).is_some_and(|p| REDUCE.contains(&g.op(p))));
    let root = g.makes(k).any(|t| g.consumers(t).iter().any(|&c| ["Sqrt", "Rsqrt", "Pow"].contains(&g.op(c))));
    let constant = g.reads(k).find(|&t| g.is_constant(t))?;
    if variance && root { g.scalar(constant).map(widened) } else { None }
}

/// The shortest decimal that is this float32: `1e-12`, not `9.999999960041972e-13`.
fn widened(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

/// Rows of the table that is added to the word embeddings and indexed by positions: the longest lookup
/// above the first layer that reads neither the ids nor the token types.
fn positions(g: &Graph, map: &TapMap) -> Option<usize> {
    embedding_tables(g, map).positions.and_then(|t| g.constant_shape(t)).and_then(|s| s.first().copied())
}

/// The three tables of a BERT embedding block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) words: Option<TensorId>,
    pub(crate) positions: Option<TensorId>,
    pub(crate) types: Option<TensorId>,
}

/// Finds the tables among what flows into the `embeddings` tap.
pub(crate) fn embedding_tables(g: &Graph, map: &TapMap) -> Tables {
    let mut tables = Tables::default();
    if let Some(k) = g.find(&map.words).and_then(|t| g.producer(t)).filter(|&k| g.op(k) == "EmbedLayerNormalization") {
        let tables = Tables { words: g.input(k, 2), positions: g.input(k, 3), types: g.input(k, 4) };
        // The optimizer takes the one table beside the words for positions. Where every token is given row 0 of it, it
        // is the token types' (Nomic BERT, whose positions are rotary).
        return match g.input(k, 8) {
            Some(index) if tables.types.is_none() && zeros(g, index) => {
                Tables { positions: None, types: tables.positions, ..tables }
            }
            _ => tables,
        };
    }
    let Some(end) = map.entries.first().and_then(|e| g.find(&e.tensor)) else { return tables };
    let above = g.ancestors(end);
    let mut others: Vec<(NodeId, TensorId)> = Vec::new();
    let words = g.find(&map.words).and_then(|t| g.producer(t));
    for k in (0..g.len()).filter(|&k| above[k]) {
        let matrix = |t: TensorId| g.constant_shape(t).is_some_and(|s| s.len() == 2 && s[1] == map.hidden);
        if Some(k) == words {
            tables.words = g.input(k, 0);
        } else if let Some(t) = g.input(k, 0).filter(|&t| LOOKUP.contains(&g.op(k)) && matrix(t)) {
            others.push((k, t));
        } else if g.op(k) == "Add" {
            // A table sliced by a constant range is folded into the graph or behind a Slice/Gather of rank 3.
            let sliced = g.reads(k).filter_map(|t| g.producer(t)).find(|&p| g.op(p) == "Slice");
            if let Some(t) = sliced.and_then(|p| g.input(p, 0)).filter(|&t| g.is_constant(t) && matrix(t)) {
                tables.positions = Some(t);
            }
        }
    }
    // Types are told by their input; without one, by being the smaller of two tables.
    let typed = |&&(k, _): &&(NodeId, _)| g.input(k, 1).is_some_and(|i| from_types(g, i) || zeros(g, i));
    let types = others.iter().find(typed).or_else(|| {
        let smallest = others.iter().min_by_key(|&&(_, t)| g.constant_shape(t));
        smallest.filter(|_| others.len() + usize::from(tables.positions.is_some()) == 2)
    });
    tables.types = types.map(|&(_, t)| t);
    let positions = others.iter().find(|&&(_, t)| Some(t) != tables.types).map(|&(_, t)| t);
    tables.positions = positions.or(tables.positions);
    tables
}

/// True when an index tensor holds nothing but zeros, whatever the input: types that nobody states.
fn zeros(g: &Graph, mut index: TensorId) -> bool {
    // As long as a chain of shape operators may be; a graph has no cycles, but may be hostile.
    for _ in 0..64 {
        if let Some(values) = g.ints(index) {
            return values.iter().all(|v| *v == 0);
        }
        let Some(k) = g.producer(index) else { return false };
        let next = match g.op(k) {
            "ConstantOfShape" => {
                let value = g.attribute(k, "value").and_then(|a| a.t.as_ref());
                return value
                    .is_none_or(|t| t.int64_data.iter().all(|v| *v == 0) && t.raw_data.iter().all(|b| *b == 0));
            }
            "Expand" | "Reshape" | "Unsqueeze" | "Squeeze" | "Cast" | "Identity" | "Tile" | "Slice" | "Gather"
            | "GatherElements" => g.input(k, 0),
            _ => None,
        };
        let Some(next) = next else { return false };
        index = next;
    }
    false
}

/// True when an index tensor comes from the token type input (by value).
fn from_types(g: &Graph, index: TensorId) -> bool {
    let mut open = vec![index];
    let mut seen = vec![false; g.tensors()];
    while let Some(t) = open.pop() {
        if ["token_type_ids", "segment_ids"].contains(&g.name(t)) || g.name(t).ends_with("token_type_ids") {
            return true;
        }
        if !std::mem::replace(&mut seen[t], true)
            && let Some(k) = g.producer(t).filter(|&k| g.op(k) != "Shape")
        {
            open.extend(g.reads(k));
        }
    }
    false
}
