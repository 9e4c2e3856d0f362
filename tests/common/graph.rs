//! A small editor of ONNX graphs, for faults planted in copies of them. What it does not read it keeps byte for byte.
#![allow(dead_code, clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;

use bytes::Bytes;
use parallax::runtimes::onnx::file::proto::{TensorProto, dtype};
use parallax::runtimes::onnx::file::raw::RawNode;
use parallax::runtimes::onnx::{Graph, OnnxModel, TapHints, TapMap, find_taps};
use prost::Message;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Nodes>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    opset_import: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "14")]
    metadata: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "25")]
    functions: Vec<Bytes>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Nodes {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<RawNode>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    input: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "12")]
    output: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "13")]
    value_info: Vec<Bytes>,
}

/// `AttributeProto`, a whole number.
#[derive(Clone, PartialEq, Message)]
struct Whole {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int32, tag = "20")]
    kind: i32,
}

/// A graph being edited, and where its taps were before.
pub(crate) struct Edited {
    proto: Model,
    pub(crate) map: TapMap,
}

/// Reads a file.
pub(crate) fn open(file: &Path) -> Edited {
    let model = OnnxModel::read(file).unwrap();
    let map = find_taps(&Graph::new(&model).unwrap(), TapHints::default()).unwrap();
    Edited { proto: Model::decode(model.bytes().clone()).unwrap(), map }
}

/// Edits a file in place.
pub(crate) fn edit(file: &Path, change: impl FnOnce(&mut Edited)) {
    let mut edited = open(file);
    change(&mut edited);
    std::fs::write(file, edited.proto.encode_to_vec()).unwrap();
}

impl Edited {
    pub(crate) fn graph(&mut self) -> &mut Nodes {
        self.proto.graph.as_mut().unwrap()
    }

    pub(crate) fn model(&self) -> OnnxModel {
        OnnxModel::from_bytes("planted.onnx", self.proto.encode_to_vec().into()).unwrap()
    }

    /// Stores a tensor of whole numbers.
    pub(crate) fn ints(&mut self, name: &str, dims: &[i64], values: &[i64]) {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.store(name, dims, dtype::INT64, raw);
    }

    /// Stores a tensor of floats.
    pub(crate) fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.store(name, dims, dtype::FLOAT, raw);
    }

    fn store(&mut self, name: &str, dims: &[i64], data_type: i32, raw: Vec<u8>) {
        let (name, dims, raw_data) = (name.to_owned(), dims.to_vec(), raw.into());
        self.graph().initializer.push(TensorProto { name, dims, data_type, raw_data, ..TensorProto::default() });
    }

    /// Changes the values of a stored tensor of floats.
    pub(crate) fn change(&mut self, name: &str, change: impl FnOnce(&mut Vec<f32>)) {
        let tensor = self.graph().initializer.iter_mut().find(|t| t.name == name).unwrap();
        let mut values: Vec<f32> = match tensor.float_data.is_empty() {
            true => tensor.raw_data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            false => std::mem::take(&mut tensor.float_data),
        };
        change(&mut values);
        tensor.raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into();
    }

    /// Adds nodes that read `tensor`; what read it before reads `planted` instead, which the last of them makes.
    pub(crate) fn behind(&mut self, tensor: &str, nodes: Vec<RawNode>) {
        self.readers(tensor, |_| true);
        self.insert(tensor, nodes);
    }

    /// The same for the operators of one kind that read it.
    pub(crate) fn before(&mut self, op: &str, tensor: &str, nodes: Vec<RawNode>) {
        self.readers(tensor, |n| n.op_type == op);
        self.insert(tensor, nodes);
    }

    /// Behind what makes the tensor: some readers want nodes in order.
    fn insert(&mut self, tensor: &str, nodes: Vec<RawNode>) {
        let all = &mut self.graph().node;
        let at = all.iter().position(|n| n.output.iter().any(|o| o == tensor)).map_or(0, |at| at + 1);
        all.splice(at..at, nodes);
    }

    fn readers(&mut self, tensor: &str, which: impl Fn(&RawNode) -> bool) {
        let mut found = 0;
        for node in self.graph().node.iter_mut().filter(|n| which(n)) {
            for input in node.input.iter_mut().filter(|i| *i == tensor) {
                *input = "planted".to_owned();
                found += 1;
            }
        }
        assert!(found > 0, "nothing reads {tensor}");
    }

    /// What makes a tensor.
    pub(crate) fn maker(&mut self, made: &str) -> &mut RawNode {
        self.graph().node.iter_mut().find(|n| n.output.iter().any(|o| o == made)).unwrap()
    }
}

/// A node named after what it makes.
pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> RawNode {
    RawNode {
        op_type: op.to_owned(),
        name: format!("planted_{output}"),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..RawNode::default()
    }
}

/// The same with a whole number as attribute.
pub(crate) fn with(mut node: RawNode, name: &str, i: i64) -> RawNode {
    let attribute = Whole { name: name.to_owned(), i, kind: 2 };
    node.attribute.push(attribute.encode_to_vec().into());
    node
}

/// A cast.
pub(crate) fn cast(input: &str, to: i32, output: &str) -> RawNode {
    with(node("Cast", &[input], output), "to", i64::from(to))
}
