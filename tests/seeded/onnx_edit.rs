//! Edits of an ONNX file: nodes behind its outputs and before its inputs, with every byte that is not edited kept.
#![allow(dead_code, reason = "several tests share it, each uses a part")]

use prost::Message;

use crate::common::plant::Copy;

/// What exports call the last hidden state.
pub(crate) const LAST: &str = "last_hidden_state";
/// What the last hidden state is called once something is put behind it.
pub(crate) const INNER: &str = "planted_inner";

/// Element types of tensors, and types of attributes (`onnx.proto`).
pub(crate) const FLOAT: i32 = 1;
pub(crate) const INT64: i32 = 7;
pub(crate) const BOOL: i64 = 9;
const INT: i32 = 2;
const INTS: i32 = 7;

/// `onnx.proto` with every field that an export writes: what is not edited keeps its bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct File {
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(crate) producer: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<Graph>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(crate) opset: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "25")]
    pub(crate) functions: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(string, tag = "4")]
    pub(crate) op: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(crate) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(float, optional, tag = "2")]
    pub(crate) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) s: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(crate) t: Option<Vec<u8>>,
    #[prost(float, repeated, tag = "7")]
    pub(crate) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(crate) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(crate) kind: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(crate) float_data: Vec<f32>,
    #[prost(int64, repeated, tag = "7")]
    pub(crate) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) kind: Option<Vec<u8>>,
}

/// Edits the graph of a reference's ONNX file.
pub(crate) fn edited(folder: Copy, edit: impl Fn(&mut Graph)) -> Copy {
    let file = ["onnx/model.onnx", "dyn18.onnx"].into_iter().find(|f| folder.file(f).exists()).unwrap();
    folder.bytes(file, |file| {
        let mut model = File::decode(file.as_slice()).unwrap();
        edit(model.graph.as_mut().unwrap());
        *file = model.encode_to_vec();
    })
}

pub(crate) fn node(op: &str, input: &[&str], output: &str) -> Node {
    let input = input.iter().map(|&n| n.to_owned()).collect();
    Node { op: op.into(), name: format!("planted_{output}"), input, output: vec![output.to_owned()], ..Node::default() }
}

pub(crate) fn with(mut node: Node, name: &str, i: i64) -> Node {
    node.attribute.push(Attribute { name: name.into(), i: Some(i), kind: INT, ..Attribute::default() });
    node
}

pub(crate) fn with_list(mut node: Node, name: &str, ints: &[i64]) -> Node {
    node.attribute.push(Attribute { name: name.into(), ints: ints.to_vec(), kind: INTS, ..Attribute::default() });
    node
}

pub(crate) fn floats(name: &str, dims: &[i64], value: impl Fn(usize) -> f32) -> Tensor {
    let n = dims.iter().product::<i64>() as usize;
    let raw_data = (0..n).flat_map(|i| value(i).to_le_bytes()).collect();
    Tensor { name: name.into(), dims: dims.to_vec(), data_type: FLOAT, raw_data, ..Tensor::default() }
}

pub(crate) fn ints(name: &str, dims: &[i64], value: impl Fn(usize) -> i64) -> Tensor {
    let n = dims.iter().product::<i64>() as usize;
    let raw_data = (0..n).flat_map(|i| value(i).to_le_bytes()).collect();
    Tensor { name: name.into(), dims: dims.to_vec(), data_type: INT64, raw_data, ..Tensor::default() }
}

/// Rows and columns of the word embeddings: the longest table.
pub(crate) fn words(g: &Graph) -> [i64; 2] {
    let tables = g.initializer.iter().filter(|t| t.data_type == FLOAT && t.name.ends_with("_embeddings.weight"));
    let longest = tables.max_by_key(|t| t.dims[0]).unwrap();
    [longest.dims[0], longest.dims[1]]
}

/// Width of the states.
pub(crate) fn hidden(g: &Graph) -> usize {
    words(g)[1] as usize
}

/// Puts nodes between the last hidden state and its output; what else reads it goes on reading the right one.
pub(crate) fn behind(g: &mut Graph, constants: Vec<Tensor>, nodes: Vec<Node>) {
    for name in g.node.iter_mut().flat_map(|n| n.input.iter_mut().chain(&mut n.output)) {
        if name == LAST {
            *name = INNER.to_owned();
        }
    }
    g.initializer.extend(constants);
    g.node.extend(nodes);
}

/// Puts nodes between an input and all that reads it; they read `input` and make `planted_in`.
pub(crate) fn before(g: &mut Graph, input: &str, constants: Vec<Tensor>, nodes: Vec<Node>) {
    for name in g.node.iter_mut().flat_map(|n| &mut n.input) {
        if name == input {
            *name = "planted_in".to_owned();
        }
    }
    g.initializer.extend(constants);
    g.node.splice(0..0, nodes);
}

/// Declares a float output; its shape is for ONNX Runtime to infer.
pub(crate) fn output(g: &mut Graph, name: &str) {
    g.output.push(Value { name: name.into(), kind: None });
}

/// The type of an input: element type, and `[rows, tokens]` where they are fixed (`TypeProto` of `onnx.proto`).
pub(crate) fn tensor_type(element: i32, dims: [Option<u16>; 2]) -> Vec<u8> {
    let field = |number: u8, content: &[u8]| [&[(number << 3) | 2, content.len() as u8][..], content].concat();
    // A dimension of up to 16,383 takes two bytes.
    let varint = |number: u8, n: u16| match n {
        0..128 => vec![number << 3, n as u8],
        _ => vec![number << 3, ((n & 127) as u8) | 128, (n >> 7) as u8],
    };
    let shape: Vec<u8> = dims.iter().flat_map(|n| field(1, &n.map_or_else(Vec::new, |n| varint(1, n)))).collect();
    field(1, &[varint(1, element as u16), field(2, &shape)].concat())
}
