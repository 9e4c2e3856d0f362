//! Nodes and functions with their attributes left as bytes, so that what is put elsewhere is put there
//! whole: presence of fields, element types and unknown fields included.

use bytes::Bytes;
use prost::Message;

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct RawNode {
    /// Input tensors.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Output tensors.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Operator or function.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Attributes, see [`AttributeHead`].
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub attribute: Vec<Bytes>,
    /// Domain.
    #[prost(string, tag = "7")]
    pub domain: String,
    /// Which of several functions of one name.
    #[prost(string, tag = "8")]
    pub overload: String,
    /// Free key/value pairs.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub metadata: Vec<Bytes>,
}

/// What must be known of an attribute to move it.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeHead {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Sub-graph.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub graph: Option<Bytes>,
    /// Sub-graphs.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub graphs: Vec<Bytes>,
    /// Kind of value.
    #[prost(int32, tag = "20")]
    pub kind: i32,
    /// The function's attribute whose value this one has.
    #[prost(string, tag = "21")]
    pub reference: String,
}

/// `FunctionProto`.
#[derive(Clone, PartialEq, Message)]
pub struct RawFunction {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Formal inputs.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// Formal outputs.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Attributes without a default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// Body.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<RawNode>,
    /// Operator sets of the body.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetId>,
    /// Domain.
    #[prost(string, tag = "10")]
    pub domain: String,
    /// Attributes with their defaults, see [`AttributeHead`].
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub default: Vec<Bytes>,
    /// Which of several functions of one name.
    #[prost(string, tag = "13")]
    pub overload: String,
}

/// Domain and version of an operator set.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    /// Domain, empty for the standard one.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}
