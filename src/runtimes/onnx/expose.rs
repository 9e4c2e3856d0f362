//! Makes inner tensors visible without touching the file: concatenated protobuf messages merge, so
//! `bytes ++ ModelProto { graph { output { name } } }` is the same model with more outputs
//! (protobuf.dev/programming-guides/encoding, "Last One Wins"). ONNX Runtime infers their types.

use prost::Message;

use super::graph::Graph;
use super::operators::skip_sum;
use super::proto::{GraphProto, ModelProto, ValueInfoProto};
use super::splice;

/// The model's bytes (functions inlined) with the named tensors among its outputs; those that are outputs already, or are
/// named twice, are left as they are.
pub fn expose<'a>(g: &Graph, tensors: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut output: Vec<ValueInfoProto> = Vec::new();
    for name in tensors {
        if g.outputs().iter().all(|o| o.name != name) && output.iter().all(|o| o.name != name) {
            output.push(ValueInfoProto { name: name.to_owned(), r#type: None });
        }
    }
    let mut original = g.model().inlined().clone();
    // A name the graph does not know is a fused node's sum that the file computes and does not give out.
    for k in 0..g.len() {
        let Some((index, first)) = skip_sum(g.op(k)).zip(g.output(k, 0).map(|t| g.name(t))) else { continue };
        let wanted = splice::name(first, index);
        if g.find(&wanted).is_none()
            && output.iter().any(|o| o.name == wanted)
            && let Some(wired) = splice::wire_output(&original, first, index)
        {
            original = wired.into();
        }
    }
    if output.is_empty() {
        return original.to_vec();
    }
    let graph = GraphProto { output, ..GraphProto::default() };
    let tail = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
    let mut bytes = Vec::with_capacity(original.len() + tail.len());
    bytes.extend_from_slice(&original);
    bytes.extend_from_slice(&tail);
    bytes
}
