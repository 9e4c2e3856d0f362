//! Edits of a model's bytes: giving a fused residual-sum-and-norm its optional sum as an output, and
//! leaving out what one tensor does not need.
//!
//! Protobuf concatenation can add graph outputs but cannot reach into a node that is already there, so
//! that node's record is replaced where it lies. Everything else, known or not, is copied as raw bytes.

use std::collections::HashSet;

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

use crate::runtimes::onnx::file::proto::{NodeProto, ValueInfoProto};
use crate::runtimes::onnx::graph::operators::skip_sum;
use crate::runtimes::onnx::graph::{Graph, NodeId};

/// What the fresh output is called, behind the name of the node's first output.
const SUFFIX: &str = "::residual_sum";
/// Field of `ModelProto` that holds the graph.
const GRAPH: u32 = 7;
/// Field of `GraphProto` that holds the nodes.
const NODE: u32 = 1;
/// Field of `NodeProto` that holds the outputs.
const OUTPUT: u32 = 2;
/// Fields of `GraphProto` that hold the stored tensors, the graph's outputs, and remarks on inner tensors
/// (`value_info`, `quantization_annotation`).
const INITIALIZER: u32 = 5;
const GRAPH_OUTPUT: u32 = 12;
const REMARKS: [u32; 2] = [13, 14];
/// Field of `TensorProto` that holds its name.
const TENSOR_NAME: u32 = 8;

/// The name under which an unwired residual sum of node `k` can be exposed; none when the operator has no
/// such output, when it is wired already, or when the name is taken.
pub(crate) fn sum_name(g: &Graph, k: NodeId) -> Option<String> {
    let i = skip_sum(g.op(k))?;
    let name = format!("{}{SUFFIX}", g.name(g.output(k, 0)?));
    (g.output(k, i).is_none() && g.find(&name).is_none()).then_some(name)
}

/// The node and the output index behind a name given by [`sum_name`].
pub(crate) fn sum_of(g: &Graph, name: &str) -> Option<(NodeId, usize)> {
    let k = g.producer(g.find(name.strip_suffix(SUFFIX)?)?)?;
    (sum_name(g, k)? == name).then_some((k, skip_sum(g.op(k))?))
}

/// The model's bytes with output `index` of the node that makes exactly `outputs` called `name`; none
/// when no single node does.
pub(crate) fn with_output(model: &[u8], outputs: &[String], index: usize, name: &str) -> Option<Vec<u8>> {
    let mut edited = 0usize;
    let bytes = replace(model, GRAPH, &mut |graph| {
        replace(graph, NODE, &mut |node| {
            let decoded = NodeProto::decode(node).ok()?;
            if decoded.output != outputs {
                return Some(node.to_vec());
            }
            edited += 1;
            let mut all = decoded.output;
            all.resize(all.len().max(index + 1), String::new());
            all[index] = name.to_owned();
            // All outputs anew: an empty name in their midst can be replaced, not overwritten.
            let mut bytes = without(node, OUTPUT)?;
            for output in &all {
                record(&mut bytes, OUTPUT, output.as_bytes());
            }
            Some(bytes)
        })
    })?;
    (edited == 1).then_some(bytes)
}

/// The model's bytes (functions inlined) with one output, `name`, and only the nodes and stored tensors that it needs;
/// none where the graph has no such tensor.
pub(crate) fn only(g: &Graph, name: &str) -> Option<Vec<u8>> {
    let wanted = g.find(name)?;
    g.producer(wanted)?;
    let above = g.ancestors(wanted);
    let mut nodes: HashSet<&str> = HashSet::new();
    let mut tensors: HashSet<&str> = HashSet::new();
    for k in (0..g.len()).filter(|&k| above[k]) {
        nodes.extend(g.makes(k).map(|t| g.name(t)));
        tensors.extend(g.reads(k).map(|t| g.name(t)));
    }
    replace(g.model().inlined(), GRAPH, &mut |graph| {
        let (mut rest, mut out) = (graph, Vec::with_capacity(graph.len() / 2));
        while !rest.is_empty() {
            let (field, content, raw) = next(&mut rest)?;
            let kept = match (field, content) {
                (NODE, Some(node)) => {
                    NodeProto::decode(node).ok()?.output.iter().any(|made| nodes.contains(made.as_str()))
                }
                (INITIALIZER, Some(tensor)) => tensors.contains(text_of(tensor, TENSOR_NAME)?),
                (GRAPH_OUTPUT, _) => false,
                (field, _) => !REMARKS.contains(&field),
            };
            if kept {
                out.extend_from_slice(raw);
            }
        }
        let output = ValueInfoProto { name: name.to_owned(), r#type: None };
        record(&mut out, GRAPH_OUTPUT, &output.encode_to_vec());
        Some(out)
    })
}

/// The last string in `field` of a message; empty where there is none.
fn text_of(message: &[u8], field: u32) -> Option<&str> {
    let (mut rest, mut text) = (message, "");
    while !rest.is_empty() {
        if let (found, Some(content), _) = next(&mut rest)?
            && found == field
        {
            text = std::str::from_utf8(content).ok()?;
        }
    }
    Some(text)
}

fn record(out: &mut Vec<u8>, field: u32, content: &[u8]) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// One record of a message: its field, its content when it has a length, and all of its bytes.
type Record<'a> = (u32, Option<&'a [u8]>, &'a [u8]);

fn next<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    let whole = *rest;
    let (field, wire) = decode_key(rest).ok()?;
    let mut content = None;
    match wire {
        WireType::Varint => _ = decode_varint(rest).ok()?,
        WireType::SixtyFourBit => *rest = rest.get(8..)?,
        WireType::ThirtyTwoBit => *rest = rest.get(4..)?,
        WireType::LengthDelimited => {
            let len = usize::try_from(decode_varint(rest).ok()?).ok()?;
            content = Some(rest.get(..len)?);
            *rest = rest.get(len..)?;
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    }
    Some((field, content, whole.get(..whole.len() - rest.len())?))
}

/// A message with the content of every record of `field` put through `f`; the others as they are.
fn replace(message: &[u8], field: u32, f: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let (mut rest, mut out) = (message, Vec::with_capacity(message.len() + 64));
    while !rest.is_empty() {
        match next(&mut rest)? {
            (found, Some(content), _) if found == field => record(&mut out, field, &f(content)?),
            (_, _, raw) => out.extend_from_slice(raw),
        }
    }
    Some(out)
}

fn without(message: &[u8], field: u32) -> Option<Vec<u8>> {
    let (mut rest, mut out) = (message, Vec::with_capacity(message.len()));
    while !rest.is_empty() {
        let (found, _, raw) = next(&mut rest)?;
        if found != field {
            out.extend_from_slice(raw);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtimes::onnx::file::proto::{GraphProto, ModelProto};

    fn node(op: &str, output: &[&str]) -> NodeProto {
        NodeProto { op_type: op.into(), output: output.iter().map(|&o| o.into()).collect(), ..NodeProto::default() }
    }

    #[test]
    fn one_node_is_edited_and_everything_else_keeps_its_bytes() {
        for outputs in [&["y"][..], &["y", "", "", ""]] {
            let graph = GraphProto { node: vec![node("Skip", outputs), node("Add", &["z"])], ..GraphProto::default() };
            let model = ModelProto { graph: Some(graph), producer_name: "p".into(), ..ModelProto::default() };
            let mut bytes = model.encode_to_vec();
            // An unknown field, which decoding and encoding would lose.
            record(&mut bytes, 900, b"kept");
            let names: Vec<String> = outputs.iter().map(|&o| o.into()).collect();
            let edited = with_output(&bytes, &names, 3, "sum").unwrap();
            assert!(edited.ends_with(b"kept"));
            let mut expected = model.clone();
            expected.graph.as_mut().unwrap().node[0].output = ["y", "", "", "sum"].map(String::from).to_vec();
            assert_eq!(ModelProto::decode(edited.as_slice()).unwrap(), expected);
        }
    }

    #[test]
    fn a_node_that_is_not_there_or_a_broken_file_is_no_edit() {
        let graph = GraphProto { node: vec![node("Skip", &["y"])], ..GraphProto::default() };
        let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
        assert!(with_output(&bytes, &["other".to_owned()], 3, "sum").is_none());
        assert!(with_output(&bytes[..bytes.len() - 1], &["y".to_owned()], 3, "sum").is_none());
    }
}
