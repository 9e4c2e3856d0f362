//! Finds every layer boundary of an encoder from the shape of its graph alone: no names, no weights.
//!
//! Hidden state `k` is the tensor through which every value must pass just before attention block `k`:
//! the fork of the `k`-th attention region on the residual stream.

pub mod exactness;
pub mod facts;
mod last;
mod map;
mod search;
pub(crate) mod splice;
pub mod stated;

use super::graph::cut::{Trunk, find_source, forward};
use super::graph::operators::{ATTENTION, SHAPE};
use super::graph::regions::{Kind, Region, regions};
use super::graph::{Graph, TensorId};
use crate::hidden_states::Tap;
use last::{last_state, style};
pub use map::{Block, TapEntry, TapMap};
pub use search::TapError;
use search::{Search, refusal};

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

impl<'a, 'm> Search<'a, 'm> {
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
}
