//! The weights of a BERT or DistilBERT encoder, recovered from its export under their Hugging Face names.
//!
//! Structure decides (what feeds the softmax from the left is the query); where initializers have kept
//! their names, a name that contradicts the structure is an error. Nothing is guessed: a scale folded
//! into a weight is returned as it stands in the file.

pub mod audit;
pub(crate) mod constants;
mod fused;
mod linear;
mod resemblance;

use std::collections::BTreeMap;
use std::path::Path;

use super::error::OnnxError;
use super::graph::cut::{find_source, forward};
use super::graph::operators::ATTENTION;
use super::graph::regions::is_projection;
use super::graph::{Graph, NodeId, TensorId};
use super::taps::facts::embedding_tables;
use super::taps::{Block, TapMap};
use crate::checkpoint::{Storage, Weight, WeightSet};
use crate::hidden_states::Tap;
use constants::Array;
use fused::fused;
use linear::{Linear, above, linear, norm, origin};

/// What a family of encoders calls the parts of a layer.
struct Names {
    layer: &'static str,
    /// Query, key, value, output.
    attention: [&'static str; 4],
    attention_norm: &'static str,
    ffn: [&'static str; 2],
    output_norm: &'static str,
}

const BERT: Names = Names {
    layer: "encoder.layer",
    attention: ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"],
    attention_norm: "attention.output.LayerNorm",
    ffn: ["intermediate.dense", "output.dense"],
    output_norm: "output.LayerNorm",
};
const DISTILBERT: Names = Names {
    layer: "transformer.layer",
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    attention_norm: "sa_layer_norm",
    ffn: ["ffn.lin1", "ffn.lin2"],
    output_norm: "output_layer_norm",
};

/// Recovers every weight, complete or not at all.
pub fn recover(g: &Graph, map: &TapMap) -> Result<WeightSet, OnnxError> {
    let path = Path::new(g.model().name());
    let file = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut found = Found { g, file, tensors: BTreeMap::new() };
    if !map.post_norm {
        return Err(found.missing("*", "its norms precede the blocks, and only post-norm encoders are read back"));
    }
    if map.blocks.len() != map.layers {
        return Err(found.missing("*", "the nodes of its layers are unknown"));
    }
    let tables = embedding_tables(g, map);
    // DistilBERT is BERT without token types. Where types are merely not found, names may know better.
    let typed = tables.types.is_some() || (0..g.tensors()).any(|t| g.stored(t).is_some() && known_as_bert(g.name(t)));
    let names = if typed { &BERT } else { &DISTILBERT };
    let all = [("word", tables.words), ("position", tables.positions), ("token_type", tables.types)];
    for (name, table) in all.into_iter().take(if typed { 3 } else { 2 }) {
        let name = format!("embeddings.{name}_embeddings.weight");
        let values = table.and_then(|t| Some((g.floats(t)?, t)));
        let (values, from) = values.ok_or_else(|| found.missing(&name, "no such float32 table is looked up"))?;
        found.insert(name, values, Some(from))?;
    }
    let source = find_source(g, Some(map.vocab)).filter(|s| g.name(s.tensor) == map.words);
    let source = source.ok_or_else(|| found.missing("embeddings", "the taps belong to another graph"))?;
    let (carries, _) = forward(g, source);
    found.norm("embeddings.LayerNorm", map.tensor(Tap::Embeddings))?;
    for (layer, block) in map.blocks.iter().enumerate() {
        let prefix = format!("{}.{layer}", names.layer);
        found.attention(&prefix, names, block, &carries)?;
        found.norm(&format!("{prefix}.{}", names.attention_norm), map.tensor(Tap::Attention(layer)))?;
        let products: Vec<NodeId> = block.ffn.iter().copied().filter(|&k| is_projection(g, k)).collect();
        let &[first, second] = products.as_slice() else {
            let reason = format!("the feed-forward block has {} products, not 2", products.len());
            return Err(found.missing(&format!("{prefix}.{}.weight", names.ffn[0]), reason));
        };
        found.linear(&format!("{prefix}.{}", names.ffn[0]), first)?;
        found.linear(&format!("{prefix}.{}", names.ffn[1]), second)?;
        found.norm(&format!("{prefix}.{}", names.output_norm), map.tensor(Tap::Layer(layer)))?;
    }
    if let Some(k) = pooler(g, map).filter(|_| typed) {
        found.linear("pooler.dense", k)?;
    }
    Ok(WeightSet::new(g.model().name(), found.tensors)?)
}

fn known_as_bert(name: &str) -> bool {
    plain(name).is_some_and(|n| n.starts_with("encoder.layer.") || n.starts_with("embeddings.token_type"))
}

struct Found<'a, 'm> {
    g: &'a Graph<'m>,
    file: String,
    tensors: BTreeMap<String, Weight>,
}

impl Found<'_, '_> {
    fn missing(&self, weight: &str, reason: impl Into<String>) -> OnnxError {
        let file = self.g.model().name().to_owned();
        OnnxError::Unrecovered { file, weight: weight.to_owned(), reason: reason.into() }
    }

    fn insert(&mut self, name: String, array: Array, from: Option<TensorId>) -> Result<(), OnnxError> {
        let kept = from.and_then(|t| origin(self.g, t)).and_then(plain);
        if let Some(kept) = kept.filter(|kept| *kept != name) {
            return Err(self.missing(&name, format!("the initializer in its place is called `{kept}`")));
        }
        let storage = Storage {
            dtype: "F32".to_owned(),
            mode: None,
            bits: None,
            group_size: None,
            bytes: 4 * array.values.len() as u64,
            file: self.file.clone(),
        };
        let weight = Weight::new(&name, array.shape, array.values, storage);
        self.tensors.insert(name, weight);
        Ok(())
    }

    fn norm(&mut self, name: &str, tensor: Option<&str>) -> Result<(), OnnxError> {
        let found = tensor.and_then(|t| norm(self.g, self.g.find(t)?));
        let [scale, shift] = found.ok_or_else(|| {
            self.missing(&format!("{name}.weight"), format!("no norm makes `{}`", tensor.unwrap_or("")))
        })?;
        self.insert(format!("{name}.weight"), scale.0, Some(scale.1))?;
        self.insert(format!("{name}.bias"), shift.0, Some(shift.1))
    }

    fn linear(&mut self, name: &str, k: NodeId) -> Result<(), OnnxError> {
        let linear = linear(self.g, k).map_err(|e| self.missing(&format!("{name}.weight"), e))?;
        self.keep(name, linear)
    }

    fn keep(&mut self, name: &str, linear: Linear) -> Result<(), OnnxError> {
        let Linear { weight, weight_from, bias, bias_from } = linear;
        self.insert(format!("{name}.weight"), weight, Some(weight_from))?;
        self.insert(format!("{name}.bias"), bias, bias_from)
    }

    fn attention(&mut self, prefix: &str, names: &Names, block: &Block, carries: &[bool]) -> Result<(), OnnxError> {
        let query = format!("{prefix}.{}.weight", names.attention[0]);
        let kernel = kernel(self.g, block).map_err(|e| self.missing(&query, e))?;
        if self.g.op(kernel) != "Softmax" {
            let all = fused(self.g, kernel, &block.attention, carries).map_err(|e| self.missing(&query, e))?;
            for (role, linear) in names.attention.into_iter().zip(all) {
                self.keep(&format!("{prefix}.{role}"), linear)?;
            }
            return Ok(());
        }
        let roles = roles(self.g, block, kernel, carries).map_err(|e| self.missing(&query, e))?;
        for (role, k) in names.attention.into_iter().zip(roles) {
            self.linear(&format!("{prefix}.{role}"), k)?;
        }
        Ok(())
    }
}

/// The softmax or fused attention of a block.
fn kernel(g: &Graph, block: &Block) -> Result<NodeId, String> {
    let found: Vec<NodeId> = block.attention.iter().copied().filter(|&k| ATTENTION.contains(&g.op(k))).collect();
    match found.as_slice() {
        &[one] => Ok(one),
        all => Err(format!("the attention block has {} softmax operators", all.len())),
    }
}

/// The products of one attention block: query, key, value, output.
fn roles(g: &Graph, block: &Block, softmax: NodeId, carries: &[bool]) -> Result<[NodeId; 4], String> {
    let nodes = &block.attention;
    let bilinear =
        |k: NodeId| ["MatMul", "FusedMatMul"].contains(&g.op(k)) && g.reads(k).filter(|&t| carries[t]).count() == 2;
    let input = g.input(softmax, 0).ok_or("the softmax has no input")?;
    let scores = above(g, input, carries, bilinear).ok_or("no product of queries and keys feeds the softmax")?;
    let both: Vec<NodeId> = nodes.iter().copied().filter(|&k| bilinear(k)).collect();
    let &[first, context] = both.as_slice() else {
        return Err(format!("the attention block has {} products of hidden values, not 2", both.len()));
    };
    if first != scores {
        return Err("the first product of hidden values does not feed the softmax".to_owned());
    }
    let projection = |what: &str, t: Option<TensorId>| {
        let found = t.and_then(|t| above(g, t, carries, |k| is_projection(g, k)));
        found.ok_or_else(|| format!("no single product makes the {what}"))
    };
    let query = projection("queries", g.input(scores, 0))?;
    let key = projection("keys", g.input(scores, 1))?;
    let value = projection("values", g.input(context, 1))?;
    let all: Vec<NodeId> = nodes.iter().copied().filter(|&k| is_projection(g, k)).collect();
    let mut rest = all.iter().copied().filter(|k| ![query, key, value].contains(k));
    match (all.len(), rest.next()) {
        (4, Some(output)) if query != key && key != value && query != value => Ok([query, key, value, output]),
        _ => Err(format!("the attention block has {} products with weights, not 4 separate ones", all.len())),
    }
}

/// The product behind the final state whose result passes a `Tanh`, if there is exactly one.
fn pooler(g: &Graph, map: &TapMap) -> Option<NodeId> {
    let end = g.find(map.tensor(Tap::Final)?)?;
    let mut below = vec![false; g.tensors()];
    below[end] = true;
    for k in 0..g.len() {
        if g.reads(k).any(|t| below[t]) {
            g.makes(k).for_each(|t| below[t] = true);
        }
    }
    let last = g.producer(end)?;
    let before = g.ancestors(end);
    let mut found = (0..g.len())
        .filter(|&k| g.op(k) == "Tanh" && !before[k])
        .filter_map(|k| above(g, g.input(k, 0)?, &below, |k| is_projection(g, k)).filter(|&k| k > last));
    let one = found.next()?;
    found.next().is_none().then_some(one)
}

/// A name that says which weight it is, without the prefixes models and wrappers put before it.
fn plain(name: &str) -> Option<&str> {
    let known = ["embeddings.", "encoder.layer.", "transformer.layer.", "pooler."];
    let at = known.iter().filter_map(|k| name.find(k)).min()?;
    let inside = at == 0 || name.as_bytes()[at - 1] == b'.';
    (inside && (name.ends_with(".weight") || name.ends_with(".bias"))).then(|| &name[at..])
}
