//! Makes inner tensors visible without re-encoding the file: concatenated protobuf messages merge, so
//! `bytes ++ ModelProto { graph { output { name } } }` is the same model with more outputs
//! (protobuf.dev/programming-guides/encoding, "Last One Wins"). ONNX Runtime infers their types.

use prost::Message;

use crate::runtimes::onnx::file::proto::{GraphProto, ModelProto, ValueInfoProto};
use crate::runtimes::onnx::graph::Graph;
use crate::runtimes::onnx::taps::splice;

/// The model's bytes (functions inlined) with the named tensors among its outputs; those that are outputs already, or are
/// named twice, are left as they are. A residual sum that its fused node does not give out yet is wired
/// first. A name of nothing stays in the list, for ONNX Runtime to refuse.
pub fn expose<'a>(g: &Graph, tensors: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut output: Vec<ValueInfoProto> = Vec::new();
    for name in tensors {
        if g.outputs().iter().all(|o| o.name != name) && output.iter().all(|o| o.name != name) {
            output.push(ValueInfoProto { name: name.to_owned(), r#type: None });
        }
    }
    let original = g.model().inlined();
    let mut wired: Option<Vec<u8>> = None;
    for output in &output {
        if let Some((k, i)) = splice::sum_of(g, &output.name) {
            let bytes = wired.as_deref().unwrap_or(original);
            wired = splice::with_output(bytes, &g.node(k).output, i, &output.name).or(wired);
        }
    }
    let original = wired.as_deref().unwrap_or(original);
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
