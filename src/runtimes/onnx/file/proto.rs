//! The subset of `onnx.proto` (github.com/onnx/onnx, `onnx/onnx.proto`, IR version 3 to 13) that is read
//! here. Field numbers are the specification's; fields left out are skipped by the decoder and stay in
//! the file's bytes, which are only ever edited field by field.

use bytes::Bytes;
use prost::Message;

use super::raw::{OperatorSetId, RawFunction};

/// Elements of a shape; none when a dimension is negative or the product overflows.
pub(crate) fn elements(dims: &[i64]) -> Option<usize> {
    dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))
}

/// Element types of `TensorProto.DataType` that are named somewhere in this room.
pub mod dtype {
    /// IEEE float32.
    pub const FLOAT: i32 = 1;
    /// Signed 32-bit.
    pub const INT32: i32 = 6;
    /// Signed 64-bit.
    pub const INT64: i32 = 7;
    /// One byte, 0 or 1.
    pub const BOOL: i32 = 9;
    /// IEEE float16.
    pub const FLOAT16: i32 = 10;
    /// IEEE float64.
    pub const DOUBLE: i32 = 11;
    /// bfloat16.
    pub const BFLOAT16: i32 = 16;

    /// The name the specification gives an element type.
    pub fn name(t: i32) -> &'static str {
        const NAMES: [&str; 24] = [
            "undefined",
            "float32",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "int32",
            "int64",
            "string",
            "bool",
            "float16",
            "float64",
            "uint32",
            "uint64",
            "complex64",
            "complex128",
            "bfloat16",
            "float8e4m3fn",
            "float8e4m3fnuz",
            "float8e5m2",
            "float8e5m2fnuz",
            "uint4",
            "int4",
            "float4e2m1",
        ];
        usize::try_from(t).ok().and_then(|i| NAMES.get(i)).copied().unwrap_or("unknown")
    }

    /// Bytes of one element; none for packed, string and unknown types.
    pub const fn bytes(t: i32) -> Option<usize> {
        match t {
            2 | 3 | 9 | 17..=20 => Some(1),
            4 | 5 | 10 | 16 => Some(2),
            1 | 6 | 12 => Some(4),
            7 | 11 | 13 | 14 => Some(8),
            15 => Some(16),
            _ => None,
        }
    }
}

/// A model file.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// IR version.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Exporter.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Exporter's version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Operator sets imported.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
    /// Free key/value pairs.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringEntry>,
    /// Model-local functions; none once they are inlined.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<RawFunction>,
}

/// One key/value pair.
#[derive(Clone, PartialEq, Message)]
pub struct StringEntry {
    /// Key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A graph.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// Nodes.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Stored tensors.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Inputs (older files list initializers here too).
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Sparse tensors; only their presence matters.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
}

/// A sparse tensor; not read.
#[derive(Clone, PartialEq, Message)]
pub struct SparseTensorProto {}

/// A node.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Input tensors; an empty name is an omitted optional input.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Output tensors.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Attributes.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Operator set domain.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// An attribute. A sub-graph is kept as bytes: no operator with one is accepted.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Float.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// Integer.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// String.
    #[prost(bytes = "bytes", tag = "4")]
    pub s: Bytes,
    /// Tensor.
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    /// Sub-graph, undecoded.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub g: Option<Bytes>,
    /// Floats.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Integers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Sub-graphs, undecoded.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub graphs: Vec<Bytes>,
}

/// A tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// Element type, see [`dtype`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Values as floats.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Values as 32-bit integers (narrow types too).
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Values as 64-bit integers.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Values, little endian; a slice of the file's bytes.
    #[prost(bytes = "bytes", tag = "9")]
    pub raw_data: Bytes,
    /// Values as doubles.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Where external data lies; empty once it is resolved.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringEntry>,
    /// 0 in the file, 1 external.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// Name and type of a graph input or output.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// A type; only tensors are read.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// Tensor type.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// Element type and shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// Element type, see [`dtype`].
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Shape, if declared.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<ShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct ShapeProto {
    /// Dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimProto>,
}

/// A dimension: a number, or symbolic.
#[derive(Clone, PartialEq, Message)]
pub struct DimProto {
    /// The number, when it is one.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
}
