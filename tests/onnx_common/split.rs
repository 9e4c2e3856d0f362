//! One export written as a model file and data files. Everything but the initializers is carried as bytes.

use std::path::Path;

use bytes::Bytes;
use parallax::runtimes::onnx::file::proto::{StringEntry, TensorProto};
use prost::Message;

use super::folder;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Model {
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<Graph>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub(crate) opsets: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "25")]
    pub(crate) functions: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Graph {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) nodes: Vec<Bytes>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializers: Vec<TensorProto>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub(crate) inputs: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "12")]
    pub(crate) outputs: Vec<Bytes>,
    /// Shapes inside; ONNX Runtime fuses differently without them.
    #[prost(bytes = "bytes", repeated, tag = "13")]
    pub(crate) values: Vec<Bytes>,
}

pub(crate) fn decoded(export: &str) -> Model {
    Model::decode(Bytes::from(std::fs::read(folder().join(format!("{export}.onnx"))).unwrap())).unwrap()
}

/// An entry as exporters write it.
pub(crate) fn entry(key: &str, value: impl ToString) -> StringEntry {
    StringEntry { key: key.to_owned(), value: value.to_string() }
}

/// `model.onnx` in `folder`, its larger initializers in `data` files by turns, each aligned to 64 bytes.
pub(crate) fn split(export: &str, folder: &Path, data: &[&str]) -> Model {
    let mut model = decoded(export);
    let mut files = vec![Vec::new(); data.len()];
    for (i, t) in model.graph.as_mut().unwrap().initializers.iter_mut().enumerate() {
        if t.raw_data.len() < 16 {
            continue;
        }
        let (name, file) = (data[i % data.len()], &mut files[i % data.len()]);
        file.resize(file.len().next_multiple_of(64), 0);
        t.external_data = vec![entry("location", name), entry("offset", file.len()), entry("length", t.raw_data.len())];
        t.data_location = 1;
        file.extend_from_slice(&t.raw_data);
        t.raw_data.clear();
    }
    for (name, bytes) in data.iter().zip(&files) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    write(&model, folder);
    model
}

pub(crate) fn write(model: &Model, folder: &Path) {
    std::fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
}
