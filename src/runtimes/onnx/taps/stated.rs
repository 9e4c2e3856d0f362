//! Taps stated by a person, for a graph the search does not understand, or against it.
//!
//! `{"embeddings": "tensor", "layer.0": "tensor", ..., "final": "tensor"}`, and `layer.N.attention` for all
//! layers or none. Every statement is checked against the graph; a search that succeeds keeps its opinion.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::{TapEntry, TapError, TapHints, TapMap, find_taps};
use crate::fault::Fault;
use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::runtimes::onnx::graph::cut::{find_source, forward};
use crate::runtimes::onnx::graph::operators::NO_FLOATS;
use crate::runtimes::onnx::graph::{Graph, TensorId};

/// The code of a statement that the graph's structure contradicts.
const CODE: &Code = &codes::ALIGNMENT_STATED_TAPS;
/// A taps file larger than this is something else.
pub const MAX_BYTES: usize = 1 << 20;

/// Stated taps, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Stated {
    /// The map. Its blocks come from the search, and are empty where that found nothing or another number
    /// of layers.
    pub map: TapMap,
    /// One warning per tap that the search, where it succeeded, sees elsewhere.
    pub findings: Vec<Finding>,
}

/// What can be wrong with a taps file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatedError {
    /// Not such a file.
    #[error(
        "{file}: not a taps file: {reason}; write {{\"embeddings\": \"tensor\", \"layer.0\": \"tensor\", ..., \"final\": \"tensor\"}}"
    )]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The taps stated are not those of a model, or not of this one.
    #[error("{file}: {reason}")]
    Taps {
        /// The file.
        file: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A tensor that cannot be what it is said to be.
    #[error("{file}: `{tap}` is stated as `{tensor}`: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// The tap.
        tap: Tap,
        /// The tensor stated.
        tensor: String,
        /// Why it cannot be.
        reason: String,
    },
    /// The graph itself is not understood.
    #[error(transparent)]
    Graph(#[from] TapError),
}

impl StatedError {
    /// The class of the error.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Malformed { .. } => Fault::Usage,
            Self::Taps { .. } | Self::Tensor { .. } => Fault::BadInput,
            Self::Graph(e) => e.fault(),
        }
    }
}

/// Reads and checks the content `bytes` of a taps file called `file`.
pub fn stated_taps(g: &Graph, file: &str, bytes: &[u8], hints: TapHints) -> Result<Stated, StatedError> {
    let stated = parse(file, bytes)?;
    let wrong = |reason: String| StatedError::Taps { file: file.to_owned(), reason };
    let layers = complete(&stated, hints).map_err(wrong)?;
    let refuse = |reason: String| TapError::NotUnderstood { file: g.model().name().to_owned(), reason };
    let source = find_source(g, hints.vocab)
        .ok_or_else(|| refuse("no lookup of token ids in a constant table, stated taps or not".to_owned()))?;
    if let Some(vocab) = hints.vocab.filter(|&v| v != source.table[0]) {
        let found = source.table[0];
        return Err(refuse(format!("the word table has {found} rows, the configuration says {vocab}")).into());
    }
    check_tensors(g, file, &stated, &forward(g, source).0)?;

    let entry = |(tap, tensor): &(Tap, String)| TapEntry::new(g, *tap, tensor.clone(), format!("stated in {file}"));
    let (middles, entries): (Vec<_>, Vec<_>) =
        stated.iter().map(entry).partition(|e| matches!(e.tap, Tap::Attention(_)));
    let named = |tap| entries.iter().find(|e| e.tap == tap).map(|e| e.tensor.clone()).unwrap_or_default();
    let (last, end) = (named(Tap::Layer(layers - 1)), named(Tap::Final));
    let mut map = TapMap {
        post_norm: last == end,
        sink: end,
        layers,
        ids_input: g.name(source.ids).to_owned(),
        words: g.name(source.tensor).to_owned(),
        vocab: source.table[0],
        hidden: source.table[1],
        blocks: Vec::new(),
        entries,
        middles,
    };
    let mut findings = Vec::new();
    if let Ok(found) = find_taps(g, hints) {
        findings = disagreements(file, &map, &found);
        if found.layers == layers {
            map.blocks = found.blocks;
        }
        if map.middles.is_empty() && findings.is_empty() {
            map.middles = found.middles;
        }
    }
    Ok(Stated { map, findings })
}

/// The pairs in the order of the forward pass.
fn parse(file: &str, bytes: &[u8]) -> Result<Vec<(Tap, String)>, StatedError> {
    let malformed = |reason: String| StatedError::Malformed { file: file.to_owned(), reason };
    if bytes.len() > MAX_BYTES {
        return Err(malformed(format!("{} bytes, the limit is {MAX_BYTES}", bytes.len())));
    }
    let Pairs(pairs) = serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
    let mut stated: Vec<(Tap, String)> = Vec::with_capacity(pairs.len());
    for (name, tensor) in pairs {
        let tap = name.parse::<Tap>().ok();
        let tap =
            tap.filter(|t| matches!(t, Tap::Embeddings | Tap::Final) || matches!(t, Tap::Layer(_) | Tap::Attention(_)));
        let tap = tap.ok_or_else(|| malformed(format!("{name:?} is no tap that can be stated")))?;
        if stated.iter().any(|(t, _)| *t == tap) {
            return Err(malformed(format!("`{tap}` is stated twice")));
        }
        stated.push((tap, tensor));
    }
    stated.sort_by_key(|(tap, _)| *tap);
    Ok(stated)
}

/// A JSON object as it stands: a map would drop a key said twice.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tap names and tensor names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        d.deserialize_map(Read)
    }
}

/// The number of layers, if nothing is missing.
fn complete(stated: &[(Tap, String)], hints: TapHints) -> Result<usize, String> {
    let has = |tap: Tap| stated.iter().any(|(t, _)| *t == tap);
    let layers = stated.iter().filter(|(t, _)| matches!(t, Tap::Layer(_))).count();
    let middles = stated.iter().filter(|(t, _)| matches!(t, Tap::Attention(_))).count();
    let needed = [Tap::Embeddings, Tap::Final].into_iter().chain((0..layers.max(1)).map(Tap::Layer));
    let mut needed = needed.chain((0..if middles > 0 { layers } else { 0 }).map(Tap::Attention));
    if let Some(tap) = needed.find(|&t| !has(t)) {
        return Err(format!("`{tap}` is missing: state `embeddings`, every layer without a gap, and `final`"));
    }
    if middles > layers {
        return Err(format!("{middles} attention taps for {layers} layers"));
    }
    match hints.layers {
        Some(expected) if expected != layers => {
            Err(format!("{layers} layers are stated, the configuration says {expected}"))
        }
        _ => Ok(layers),
    }
}

/// Each tensor is there, holds floats that depend on the tokens, is stated once, and depends on the one before.
fn check_tensors(g: &Graph, file: &str, stated: &[(Tap, String)], carries: &[bool]) -> Result<(), StatedError> {
    let mut before: Option<(Tap, TensorId)> = None;
    for (tap, tensor) in stated {
        let wrong =
            |reason: String| StatedError::Tensor { file: file.to_owned(), tap: *tap, tensor: tensor.clone(), reason };
        let t = g.find(tensor).ok_or_else(|| wrong(format!("{} has no such tensor", g.model().name())))?;
        if let Some(k) = g.producer(t).filter(|&k| NO_FLOATS.contains(&g.op(k)) || to_no_float(g, k)) {
            return Err(wrong(format!("operator {} makes no float32 values", g.op(k))));
        }
        if !carries[t] {
            return Err(wrong("it does not depend on the token embeddings, so it is no hidden state".to_owned()));
        }
        if let Some((earlier, _)) = stated.iter().find(|(e, n)| {
            n == tensor && e < tap && !(*tap == Tap::Final && matches!(e, Tap::Layer(_)) && last(stated) == Some(*e))
        }) {
            return Err(wrong(format!("`{earlier}` is stated as the same tensor")));
        }
        if let Some((earlier, b)) = before
            && b != t
            && !g.producer(b).is_none_or(|p| g.ancestors(t)[p])
        {
            return Err(wrong(format!("it does not depend on `{earlier}`, which comes before it")));
        }
        before = Some((*tap, t));
    }
    Ok(())
}

fn last(stated: &[(Tap, String)]) -> Option<Tap> {
    stated.iter().map(|(t, _)| *t).rfind(|t| matches!(t, Tap::Layer(_)))
}

fn to_no_float(g: &Graph, k: usize) -> bool {
    g.op(k) == "Cast"
        && g.attribute(k, "to").is_none_or(|a| a.i != i64::from(crate::runtimes::onnx::file::proto::dtype::FLOAT))
}

fn disagreements(file: &str, stated: &TapMap, found: &TapMap) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut warn = |text: String| out.push(Finding::new(Severity::Warning, CODE, format!("{file}: {text}")));
    if stated.layers != found.layers {
        warn(format!("{} layers are stated, the graph's structure has {}", stated.layers, found.layers));
        return out;
    }
    for e in stated.entries.iter().chain(&stated.middles) {
        if let Some(other) = found.entries.iter().chain(&found.middles).find(|f| f.tap == e.tap && f.tensor != e.tensor)
        {
            let (tap, by, evidence) = (e.tap, &other.tensor, &other.evidence);
            warn(format!("`{tap}` is stated as `{}`, the graph's structure says `{by}` ({evidence})", e.tensor));
        }
    }
    out
}
