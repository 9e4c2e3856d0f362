//! Finds every layer boundary of an encoder from the shape of its graph alone: no names, no weights.
//!
//! Hidden state `k` is the tensor through which every value must pass just before attention block `k`:
//! the fork of the `k`-th attention region on the residual stream.

use super::cut::{Trunk, Vertex, find_source, forward};
use super::graph::{Graph, NodeId, TensorId};
use super::last::{last_state, style};
use super::operators::{ATTENTION, SHAPE, skip_sum};
use super::regions::{Kind, Region, regions};
use super::splice::sum_of;
use crate::fault::Fault;
use crate::hidden_states::Tap;

/// Inner sinks tried when the graph's output also collects earlier states.
const MAX_INNER_SINKS: usize = 64;

/// What is known beforehand; each makes the search stricter.
#[derive(Clone, Copy, Debug, Default)]
pub struct TapHints {
    /// Layers by configuration.
    pub layers: Option<usize>,
    /// Vocabulary by configuration.
    pub vocab: Option<usize>,
}

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
    pub(super) fn new(g: &Graph, tap: Tap, tensor: String, evidence: impl Into<String>) -> Self {
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

/// Why no layer boundaries were found. Nothing is guessed: comparing wrong states proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapError {
    /// The graph is not understood.
    #[error("{file}: layer boundaries not found: {reason}")]
    NotUnderstood {
        /// The file.
        file: String,
        /// What did not fit.
        reason: String,
    },
    /// Another number of layers than configured.
    #[error(
        "{file}: the graph shows {found} layers in a form that is known, the configuration says {expected}; where it has the others, state its taps with --taps"
    )]
    Layers {
        /// The file.
        file: String,
        /// Blocks found.
        found: usize,
        /// Layers configured.
        expected: usize,
    },
}

impl TapError {
    /// The class of the error.
    pub fn fault(&self) -> Fault {
        Fault::Incomparable
    }
}

/// Finds the taps; refuses, with the reason, a graph it does not understand.
pub fn find_taps(g: &Graph, hints: TapHints) -> Result<TapMap, TapError> {
    let first = match Search::run(g, hints, None) {
        Ok(map) => return Ok(map),
        Err(e) => e,
    };
    // An output that mixes layers has no cut vertices above it: look for one below the last attention.
    let Some(source) = find_source(g, hints.vocab) else { return Err(first) };
    let (_, reached) = forward(g, source);
    let Some(last) = (0..g.len()).rev().find(|&k| reached[k] && ATTENTION.contains(&g.op(k))) else {
        return Err(first);
    };
    let mut below = vec![false; g.tensors()];
    g.makes(last).for_each(|o| below[o] = true);
    let mut candidates = Vec::new();
    for k in last + 1..g.len() {
        if !SHAPE.contains(&g.op(k)) && g.reads(k).any(|i| below[i]) {
            g.makes(k).for_each(|o| below[o] = true);
            candidates.extend(g.makes(k));
        }
    }
    for &sink in candidates.iter().rev().take(MAX_INNER_SINKS) {
        let found = Search::run(g, hints, Some(sink)).ok();
        if let Some(map) = found.filter(|m| m.post_norm && m.tensor(Tap::Final) == Some(g.name(sink))) {
            return Ok(map);
        }
    }
    Err(first)
}

/// One search towards one sink.
pub(super) struct Search<'a, 'm> {
    pub(super) g: &'a Graph<'m>,
    pub(super) trunk: Trunk,
}

impl<'a, 'm> Search<'a, 'm> {
    pub(super) fn refuse(&self, reason: impl Into<String>) -> TapError {
        refusal(self.g, reason)
    }

    fn run(g: &'a Graph<'m>, hints: TapHints, sink: Option<TensorId>) -> Result<TapMap, TapError> {
        let source = find_source(g, hints.vocab).ok_or_else(|| {
            refusal(g, "no lookup of token ids in a constant table (does the graph take embeddings as its input?)")
        })?;
        if let Some(vocab) = hints.vocab.filter(|&v| v != source.table[0]) {
            let found = source.table[0];
            return Err(refusal(g, format!("the word table has {found} rows, the configuration says {vocab}")));
        }
        let trunk =
            Trunk::new(g, source, sink).ok_or_else(|| refusal(g, "no graph output depends on the token lookup"))?;
        Search { g, trunk }.map(hints)
    }

    fn map(self, hints: TapHints) -> Result<TapMap, TapError> {
        let all = regions(self.g, &self.trunk);
        let attention: Vec<&Region> = all.iter().filter(|r| r.kind == Kind::Attention).collect();
        let layers = attention.len();
        if let Some(expected) = hints.layers.filter(|&n| n != layers) {
            let file = self.g.model().name().to_owned();
            return Err(TapError::Layers { file, found: layers, expected });
        }
        if layers == 0 {
            return Err(self.refuse("no attention block lies on the residual stream"));
        }
        let mut ffns: Vec<Vec<&Region>> = Vec::with_capacity(layers);
        for (k, r) in attention.iter().enumerate() {
            let end = attention.get(k + 1).map_or(usize::MAX, |n| n.fork);
            let after = all.iter().filter(|q| q.kind == Kind::FeedForward && q.fork >= r.join && q.fork < end);
            // Behind the last layer a pooler or a Dense head may follow: take as many as a layer has.
            let most = if end < usize::MAX { usize::MAX } else { ffns.first().map_or(1, Vec::len) };
            ffns.push(after.take(most).collect());
        }
        if ffns.iter().any(|f| f.len() != ffns[0].len()) {
            let counts: Vec<usize> = ffns.iter().map(Vec::len).collect();
            return Err(self.refuse(format!("layers differ in feed-forward blocks: {counts:?}")));
        }
        let ends: Vec<usize> = attention.iter().zip(&ffns).map(|(a, f)| f.last().map_or(a.join, |r| r.join)).collect();
        let mut bounds: Vec<(usize, usize)> = (1..layers).map(|k| (ends[k - 1], attention[k].fork)).collect();
        bounds.extend(attention.iter().zip(&ffns).filter_map(|(a, f)| Some((a.join, f.first()?.fork))));
        let style = style(&self, &bounds, layers)?;
        let last = last_state(&self, &style, ends[layers - 1])?;

        let name = |t: TensorId| self.g.name(t).to_owned();
        let fork = |r: &Region| self.tensor_at(r.fork);
        let mut entries = Vec::with_capacity(layers + 2);
        for (k, r) in attention.iter().enumerate() {
            let tap = if k == 0 { Tap::Embeddings } else { Tap::Layer(k - 1) };
            let evidence = format!("fork of attention block {k} of {layers}{}", self.softmax(r));
            entries.push(TapEntry::new(self.g, tap, name(fork(r)?), evidence));
        }
        entries.push(TapEntry::new(self.g, Tap::Layer(layers - 1), last.layer, last.evidence));
        entries.push(TapEntry::new(self.g, Tap::Final, name(last.state), last.evidence));
        let mut middles = Vec::new();
        for (k, f) in ffns.iter().enumerate() {
            if let Some(r) = f.first() {
                let evidence = format!("fork of the feed-forward block of layer {k}");
                middles.push(TapEntry::new(self.g, Tap::Attention(k), name(fork(r)?), evidence));
            }
        }
        let nodes = |f: &[&Region]| f.iter().flat_map(|r| r.nodes.iter().copied()).collect();
        let blocks = attention.iter().zip(&ffns).map(|(a, f)| Block { attention: a.nodes.clone(), ffn: nodes(f) });
        let Trunk { source, sink, .. } = self.trunk;
        Ok(TapMap {
            layers,
            entries,
            middles,
            ids_input: name(source.ids),
            words: name(source.tensor),
            vocab: source.table[0],
            hidden: source.table[1],
            sink: name(sink),
            post_norm: style.post,
            blocks: blocks.collect(),
        })
    }

    fn softmax(&self, r: &Region) -> String {
        let node = r.nodes.iter().find(|&&k| ATTENTION.contains(&self.g.op(k)));
        node.map_or_else(String::new, |&k| format!(" ({} `{}`)", self.g.op(k), self.g.node(k).name))
    }

    /// The tensor that carries the residual stream at a cut vertex.
    pub(super) fn tensor_at(&self, p: usize) -> Result<TensorId, TapError> {
        let k = match self.trunk.order[p] {
            Vertex::Tensor(t) => return Ok(t),
            Vertex::Node(k) => k,
        };
        let live: Vec<TensorId> = self.trunk.live_outputs(self.g, k).collect();
        let sum = skip_sum(self.g.op(k)).and_then(|i| self.g.output(k, i));
        match (live.as_slice(), sum) {
            (&[one], _) => Ok(one),
            (_, Some(sum)) => Ok(sum),
            _ => Err(self.refuse(format!("the residual stream forks inside node `{}`", self.g.node(k).name))),
        }
    }
}

fn refusal(g: &Graph, reason: impl Into<String>) -> TapError {
    TapError::NotUnderstood { file: g.model().name().to_owned(), reason: reason.into() }
}
