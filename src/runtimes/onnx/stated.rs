//! Taps as a person states them: for a graph the search does not understand, or to overrule it. They are
//! held against the numbers like any others.

use std::collections::BTreeMap;

use super::cut::find_source;
use super::graph::Graph;
use super::taps::{TapEntry, TapError, TapHints, TapMap, find_taps};
use crate::hidden_states::Tap;

/// Bytes of the largest file read; a map of a thousand layers is a hundredth of it.
pub const LARGEST_STATED: usize = 1 << 20;

/// A stated map, and where the search, if it found one too, says otherwise.
#[derive(Clone, Debug)]
pub struct Stated {
    /// The map.
    pub map: TapMap,
    /// One line per tap on which the two differ.
    pub disagreements: Vec<String>,
}

/// Reads `{"embeddings": "tensor", "layer.0": "tensor", …, "final": "tensor"}`; `file` is for messages.
///
/// # Errors
/// A name that is no tap or no tensor, a layer left out, two taps on one tensor.
pub fn stated_taps(g: &Graph, json: &[u8], file: &str, hints: TapHints) -> Result<Stated, TapError> {
    let wrong = |reason: String| TapError::Stated { file: file.to_owned(), reason };
    if json.len() > LARGEST_STATED {
        return Err(wrong(format!("{} bytes are no map of taps", json.len())));
    }
    let named: BTreeMap<String, String> = serde_json::from_slice(json)
        .map_err(|e| wrong(format!("it is no JSON object of tap names to tensor names: {e}")))?;
    let mut entries = Vec::with_capacity(named.len());
    for (tap, tensor) in named {
        let tap: Tap = tap.parse().map_err(|e| wrong(format!("{e}")))?;
        if !matches!(tap, Tap::Embeddings | Tap::Layer(_) | Tap::Final) {
            return Err(wrong(format!("`{tap}` cannot be stated; embeddings, layer.N and final can")));
        }
        if g.find(&tensor).is_none_or(|t| g.is_constant(t)) {
            return Err(wrong(format!("{tap}: the graph computes no tensor `{tensor}`")));
        }
        entries.push(TapEntry { tap, tensor, evidence: format!("stated in {file}") });
    }
    entries.sort_by_key(|e| e.tap);
    let layers = entries.iter().filter(|e| matches!(e.tap, Tap::Layer(_))).count();
    if let Some(expected) = hints.layers.filter(|n| *n != layers) {
        return Err(TapError::Layers { file: file.to_owned(), found: layers, expected });
    }
    let wanted: Vec<Tap> =
        std::iter::once(Tap::Embeddings).chain((0..layers).map(Tap::Layer)).chain([Tap::Final]).collect();
    if let Some(missing) = wanted.iter().find(|t| entries.iter().all(|e| e.tap != **t)) {
        return Err(wrong(format!("`{missing}` is not stated")));
    }
    for (i, a) in entries.iter().enumerate() {
        let last = Tap::Layer(layers.saturating_sub(1));
        if let Some(b) = entries[i + 1..].iter().find(|b| a.tensor == b.tensor && (a.tap, b.tap) != (last, Tap::Final))
        {
            return Err(wrong(format!("`{}` and `{}` are both `{}`", a.tap, b.tap, a.tensor)));
        }
    }
    let source = find_source(g, hints.vocab)
        .ok_or_else(|| wrong("the graph looks up no token ids in a constant table".to_owned()))?;
    let searched = find_taps(g, hints).ok();
    let disagreements = searched.iter().flat_map(|map| disagreements(map, &entries)).collect();
    let found = |of: fn(&TapMap) -> String| searched.as_ref().map(of);
    let map = TapMap {
        layers,
        post_norm: entries.iter().rev().take(2).map(|e| &e.tensor).is_sorted_by(|a, b| a == b),
        middles: Vec::new(),
        ids_input: g.name(source.ids).to_owned(),
        words: g.name(source.tensor).to_owned(),
        vocab: source.table[0],
        hidden: source.table[1],
        sink: found(|m| m.sink.clone())
            .unwrap_or_else(|| entries.last().map_or_else(String::new, |e| e.tensor.clone())),
        blocks: searched.map_or_else(Vec::new, |m| m.blocks),
        entries,
    };
    Ok(Stated { map, disagreements })
}

fn disagreements(searched: &TapMap, stated: &[TapEntry]) -> Vec<String> {
    let differs = |e: &&TapEntry| searched.tensor(e.tap).is_none_or(|t| t != e.tensor);
    let said = |e: &TapEntry| {
        let found = searched.tensor(e.tap).unwrap_or("nothing");
        format!("{} is stated as `{}`, the graph's structure says `{found}`", e.tap, e.tensor)
    };
    stated.iter().filter(differs).map(said).collect()
}
