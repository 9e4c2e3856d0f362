//! Makes inner tensors visible without touching the file: concatenated protobuf messages merge, so
//! `bytes ++ ModelProto { graph { output { name } } }` is the same model with more outputs
//! (protobuf.dev/programming-guides/encoding, "Last One Wins"). ONNX Runtime infers their types.

use prost::Message;

use super::graph::Graph;
use super::proto::{GraphProto, ModelProto, ValueInfoProto};

/// The model's bytes (functions inlined) with the named tensors among its outputs; those that are outputs already, or are
/// named twice, are left as they are.
pub fn expose<'a>(g: &Graph, tensors: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut output: Vec<ValueInfoProto> = Vec::new();
    for name in tensors {
        if g.outputs().iter().all(|o| o.name != name) && output.iter().all(|o| o.name != name) {
            output.push(ValueInfoProto { name: name.to_owned(), r#type: None });
        }
    }
    let original = g.model().inlined();
    if output.is_empty() {
        return original.to_vec();
    }
    let graph = GraphProto { output, ..GraphProto::default() };
    let tail = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
    let mut bytes = Vec::with_capacity(original.len() + tail.len());
    bytes.extend_from_slice(original);
    bytes.extend_from_slice(&tail);
    bytes
}
