//! What the audit says: how many nodes belong to which block, and the nodes that belong to none.

use std::collections::BTreeMap;

use super::value::{Form, Kind, Value};
use super::walk::{Refused, Walk};
use crate::finding::{Code, Finding, Severity, codes};
use crate::runtimes::onnx::graph::NodeId;
use crate::runtimes::onnx::taps::TapMap;

/// A node whose place in an encoder is not known.
const UNAUDITED: &Code = &codes::GRAPH_UNAUDITED;
/// A node that makes the result depend on ids, lengths, positions or values.
const CONDITIONAL: &Code = &codes::GRAPH_CONDITIONAL;
/// Nodes named one by one; more are counted.
const NAMED: usize = 5;

/// The audit of one graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logic {
    /// The graph's file.
    pub file: String,
    /// Nodes that a graph output depends on.
    pub nodes: usize,
    /// How many of them belong to which block.
    pub blocks: BTreeMap<&'static str, usize>,
    /// Those that are not understood, in the order of the forward pass.
    pub unaudited: Vec<Unaudited>,
}

/// A node that belongs to no known block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaudited {
    /// Its operator.
    pub op: String,
    /// Its name, or its first output's where it has none.
    pub node: String,
    /// Why it is refused.
    pub why: String,
    /// What it reads.
    pub reads: String,
    /// True when it makes the result depend on ids, lengths, positions or values.
    pub conditional: bool,
}

pub(super) fn verdict(w: &Walk, map: &TapMap, live: &[bool], nodes: usize, refused: Vec<(NodeId, Refused)>) -> Logic {
    let mut blocks = BTreeMap::new();
    let mut layer: Vec<Option<&'static str>> = vec![None; w.g.len()];
    for block in &map.blocks {
        for (nodes, name) in [(&block.attention, "attention"), (&block.ffn, "feed-forward")] {
            for &k in nodes {
                if let Some(slot) = layer.get_mut(k) {
                    *slot = Some(name);
                }
            }
        }
    }
    for k in (0..w.g.len()).filter(|&k| live[k]) {
        *blocks.entry(layer[k].unwrap_or_else(|| block(w, k))).or_insert(0) += 1;
    }
    let mut unaudited: Vec<Unaudited> = refused.into_iter().map(|(k, why)| named(w, k, why)).collect();
    for output in w.g.outputs() {
        let value = w.g.find(&output.name).and_then(|t| w.values.get(t)?.as_ref());
        unaudited.extend(value.and_then(|v| unfinished(w, &output.name, v)));
    }
    Logic { file: w.g.model().name().to_owned(), nodes, blocks, unaudited }
}

/// An output in the middle of a formula.
fn unfinished(w: &Walk, name: &str, v: &Value) -> Option<Unaudited> {
    let form = v.form().filter(|f| !f.is_state() && !matches!(f, Form::Probabilities | Form::Scores))?;
    let node = w.g.find(name).and_then(|t| w.g.producer(t))?;
    let why = match form {
        Form::Scaled(_, by) => {
            format!("the output `{}` is multiplied by {}", name.escape_debug(), crate::figures::apart(by, 1.0).0)
        }
        _ => format!("the output `{}` ends in the middle of a formula", name.escape_debug()),
    };
    Some(named(w, node, Refused::Unknown(why)))
}

fn named(w: &Walk, k: NodeId, why: Refused) -> Unaudited {
    let node = w.g.node(k);
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    let mut reads: Vec<&str> = w.all(k).map(|v| v.kind.words()).collect();
    reads.dedup();
    let (why, conditional) = match why {
        Refused::Unknown(why) => (why, false),
        Refused::Conditional(why) => (why, true),
    };
    let name = name.escape_debug().to_string();
    Unaudited { op: node.op_type.escape_debug().to_string(), node: name, why, reads: reads.join(", "), conditional }
}

/// The block of a node outside the layers.
fn block(w: &Walk, k: NodeId) -> &'static str {
    let made = w.g.makes(k).next().and_then(|t| w.values.get(t)?.as_ref());
    match made.map(|v| v.kind) {
        None | Some(Kind::Unknown) => "unknown",
        Some(Kind::Constant) => "constants",
        Some(Kind::Sizes) => "shapes",
        Some(Kind::Ids | Kind::Types | Kind::Hidden(Form::Embedded)) => "embedding",
        Some(Kind::Index(_) | Kind::Table(_) | Kind::Padding | Kind::ShapeOnly) => "positions",
        Some(Kind::Mask | Kind::Lengths) => "mask",
        Some(Kind::NotANumber(_)) => "attention",
        Some(Kind::Hidden(_)) if w.is_after(k) => "head",
        Some(Kind::Hidden(_)) => "norm and residual",
    }
}

impl Logic {
    /// True when every node belongs to a known block.
    pub fn complete(&self) -> bool {
        self.nodes > 0 && self.unaudited.is_empty()
    }

    /// What is not understood is a refusal, or a warning where that is allowed. What makes the result depend on ids,
    /// lengths or values is a refusal always.
    pub fn findings(&self, allowed: bool) -> Vec<Finding> {
        let mut out = Vec::new();
        for (conditional, code) in [(true, CONDITIONAL), (false, UNAUDITED)] {
            let all = || self.unaudited.iter().filter(move |u| u.conditional == conditional);
            let severity = if allowed && !conditional { Severity::Warning } else { Severity::Refusal };
            let fix = match (conditional, allowed) {
                (true, _) => "export the model without it: no test shows what such a node does to other inputs",
                (false, false) => {
                    "export the model with another exporter, or look at the node and pass --allow-unaudited"
                }
                (false, true) => "--allow-unaudited: nobody has shown that the graph treats all inputs alike",
            };
            for u in all().take(NAMED) {
                out.push(Finding::new(severity, code, format!("{}: {u}; {fix}", self.file)));
            }
            if let Some(more) = all().count().checked_sub(NAMED).filter(|&n| n > 0) {
                out.push(Finding::new(severity, code, format!("{}: {more} more nodes of this kind", self.file)));
            }
        }
        out
    }
}

impl std::fmt::Display for Unaudited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} node `{}` belongs to no known block of an encoder: {} (it reads {})",
            self.op, self.node, self.why, self.reads
        )
    }
}

impl std::fmt::Display for Logic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.complete() {
            return write!(f, "all {} nodes belong to known blocks", self.nodes);
        }
        write!(f, "{} of {} nodes belong to no known block", self.unaudited.len(), self.nodes)?;
        match self.unaudited.first() {
            Some(first) => write!(f, ", the first is {} `{}`: {}", first.op, first.node, first.why),
            None => Ok(()),
        }
    }
}
