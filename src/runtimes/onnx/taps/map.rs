//! Where the layers of a graph begin and end.

use super::splice::sum_of;
use crate::hidden_states::Tap;
use crate::runtimes::onnx::graph::{Graph, NodeId};

/// A tap and the tensor that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapEntry {
    /// The tap.
    pub tap: Tap,
    /// The tensor's name in the graph.
    pub tensor: String,
    /// Why it is this tensor.
    pub evidence: String,
    /// The node that makes it, as a person would look for it: operator and name.
    pub node: String,
}

impl TapEntry {
    /// An entry for a tensor of the graph, or for a fused sum that has yet to be wired.
    pub(crate) fn new(g: &Graph, tap: Tap, tensor: String, evidence: impl Into<String>) -> Self {
        let made = g.find(&tensor).and_then(|t| g.producer(t)).or_else(|| sum_of(g, &tensor).map(|(k, _)| k));
        let node = made.map_or_else(|| "graph input".to_owned(), |k| format!("{} `{}`", g.op(k), g.node(k).name));
        Self { tap, tensor, evidence: evidence.into(), node }
    }
}

/// The nodes of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Between the fork and the join of the attention region, both excluded.
    pub attention: Vec<NodeId>,
    /// The same for the feed-forward regions; empty when the layer runs both in parallel.
    pub ffn: Vec<NodeId>,
}

/// Every layer boundary of one graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapMap {
    /// `embeddings`, `layer.0` ..., `final`, in the order of the forward pass.
    pub entries: Vec<TapEntry>,
    /// `layer.N.attention`, one per layer; empty when layers have no separate feed-forward region.
    pub middles: Vec<TapEntry>,
    /// Number of layers.
    pub layers: usize,
    /// The graph input that holds the token ids.
    pub ids_input: String,
    /// The lookup's result: the word embeddings before anything is added.
    pub words: String,
    /// Rows of the word embedding table.
    pub vocab: usize,
    /// Columns of the word embedding table.
    pub hidden: usize,
    /// The tensor the search ran towards, normally `last_hidden_state`.
    pub sink: String,
    /// True when norms follow the residual sums (BERT), false when they precede the blocks.
    pub post_norm: bool,
    /// The nodes of each layer.
    pub blocks: Vec<Block>,
}

impl TapMap {
    /// The tensor of a tap, middles included.
    pub fn tensor(&self, tap: Tap) -> Option<&str> {
        self.entries.iter().chain(&self.middles).find(|e| e.tap == tap).map(|e| e.tensor.as_str())
    }
}
