//! Reading an ONNX file once, whole, with the data files beside it, and refusing early what cannot be
//! judged.
//!
//! Format: github.com/onnx/onnx, `docs/IR.md` and `onnx/onnx.proto`.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use super::external::{self, DataFile};
use super::functions;
use super::limits::{DOMAINS, MAX_BYTES, MAX_NODES};
use super::opened::regular;
use super::proto::{ModelProto, TensorProto, dtype, elements};
use super::wire;
use crate::runtimes::onnx::error::OnnxError;

/// Operators with sub-graphs, whose values are not visible from outside.
const CONTROL_FLOW: &[&str] = &["If", "Loop", "Scan", "SequenceMap"];

/// An ONNX file: its untouched bytes and what they say.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    name: String,
    bytes: Bytes,
    untouched: Bytes,
    inlined: Bytes,
    sha256: String,
    proto: ModelProto,
    data: Vec<DataFile>,
}

impl OnnxModel {
    /// Reads and checks the file and its external data. Weights stay where they are: slices of one buffer
    /// per file.
    pub fn read(path: &Path) -> Result<Self, OnnxError> {
        let name = path.display().to_string();
        let io = |source| OnnxError::Io { file: name.clone(), source };
        let (file, size) = regular(path, true).map_err(io)?;
        let too_large = |n: u64| OnnxError::TooLarge {
            file: name.clone(),
            what: format!("{n} bytes in one file (save its weights beside it: save_as_external_data=True)"),
            limit: MAX_BYTES,
        };
        if size > MAX_BYTES {
            return Err(too_large(size));
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX)).map_err(|_| too_large(size))?;
        // `take`: the file may grow while it is read.
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_large(bytes.len() as u64));
        }
        let folder = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
        Self::from_parts(name, path, folder, Bytes::from(bytes))
    }

    /// The same from bytes already in memory, which have no data files; `name` is used in messages.
    pub fn from_bytes(name: impl Into<String>, bytes: Bytes) -> Result<Self, OnnxError> {
        let name = name.into();
        Self::from_parts(name.clone(), Path::new(&name), None, bytes)
    }

    fn from_parts(name: String, path: &Path, folder: Option<&Path>, bytes: Bytes) -> Result<Self, OnnxError> {
        let malformed = |reason: String| OnnxError::Malformed { file: name.clone(), reason };
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(malformed("it is a Git LFS pointer: run `git lfs pull`".to_owned()));
        }
        wire::check(&bytes).map_err(malformed)?;
        let decode = |b: &Bytes| ModelProto::decode(b.clone()).map_err(|e| malformed(e.to_string()));
        let mut proto = decode(&bytes)?;
        let inlined = functions::inline(&name, &bytes, &proto)?;
        if let Some(inlined) = &inlined {
            let (what, limit) = (format!("{} bytes after its functions are inlined", inlined.len()), MAX_BYTES);
            if inlined.len() as u64 > limit {
                return Err(OnnxError::TooLarge { file: name, what, limit });
            }
            wire::check(inlined).map_err(malformed)?;
            proto = decode(inlined)?;
        }
        let data = external::resolve(path, folder, &mut proto)?;
        refuse(&name, &proto)?;
        let with_small = |b: Bytes| if data.is_empty() { b } else { external::embed(&b, &proto) };
        let untouched = with_small(bytes.clone());
        let inlined = inlined.map_or_else(|| untouched.clone(), with_small);
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { name, bytes, untouched, inlined, sha256, proto, data })
    }

    /// The path as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What ONNX Runtime is given as the untouched model: the file, with its small external tensors in it.
    pub(crate) fn untouched(&self) -> &Bytes {
        &self.untouched
    }

    /// The same with its functions inlined: every tensor of [`proto`](Self::proto) has its name there.
    pub(crate) fn inlined(&self) -> &Bytes {
        &self.inlined
    }

    /// SHA-256 of the file, lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The external data files, in the order in which tensors name them.
    pub fn data_files(&self) -> &[DataFile] {
        &self.data
    }

    /// What was decoded: functions are inlined, external data is raw data like any other.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Version of the standard operator set.
    pub fn opset(&self) -> i64 {
        let standard = |d: &str| d.is_empty() || d == "ai.onnx";
        self.proto.opset_import.iter().filter(|o| standard(&o.domain)).map(|o| o.version).max().unwrap_or(1)
    }

    /// Exporter and version, `pytorch 2.1.0`.
    pub fn producer(&self) -> String {
        format!("{} {}", self.proto.producer_name, self.proto.producer_version).trim().to_owned()
    }
}

fn refuse(name: &str, proto: &ModelProto) -> Result<(), OnnxError> {
    let file = || name.to_owned();
    let malformed = |reason: String| OnnxError::Malformed { file: file(), reason };
    let unsupported = |what: String, fix| OnnxError::Unsupported { file: file(), what, fix };
    let Some(graph) = &proto.graph else {
        return Err(malformed("it holds no graph".to_owned()));
    };
    if graph.node.is_empty() {
        return Err(malformed("its graph has no nodes".to_owned()));
    }
    if graph.node.len() > MAX_NODES {
        let what = format!("{} nodes", graph.node.len());
        return Err(OnnxError::TooLarge { file: file(), what, limit: MAX_NODES as u64 });
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(unsupported("sparse weights are".to_owned(), "export them dense"));
    }
    for node in &graph.node {
        if !DOMAINS.contains(&node.domain.as_str()) {
            let what = format!("operator {} of domain `{}` (node `{}`) is", node.op_type, node.domain, node.name);
            return Err(unsupported(what, "export with standard operators"));
        }
        let nested = node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty());
        if nested || CONTROL_FLOW.contains(&node.op_type.as_str()) {
            let what = format!("control flow ({} node `{}`) is", node.op_type, node.name);
            return Err(unsupported(what, "export the encoder without it"));
        }
        for tensor in node.attribute.iter().filter_map(|a| a.t.as_ref()) {
            check_tensor(name, &node.name, tensor)?;
        }
    }
    let mut named = std::collections::BTreeSet::new();
    if let Some(twice) = graph.initializer.iter().find(|t| !named.insert(t.name.as_str())) {
        return Err(malformed(format!(
            "two initializers are called `{}`, and runtimes choose between them",
            twice.name.escape_debug()
        )));
    }
    graph.initializer.iter().try_for_each(|t| check_tensor(name, &t.name, t))
}

/// Refuses external data (what a graph stores is resolved by now), and dimensions that do not fit the bytes.
fn check_tensor(file: &str, tensor: &str, t: &TensorProto) -> Result<(), OnnxError> {
    if t.data_location != 0 || !t.external_data.is_empty() {
        return Err(OnnxError::Unsupported {
            file: file.to_owned(),
            what: format!("external data of an attribute (tensor `{tensor}`) is"),
            fix: "save with convert_attribute=False, or as a single file",
        });
    }
    let bad = |expected: String, found: String| OnnxError::Tensor {
        file: file.to_owned(),
        tensor: tensor.to_owned(),
        expected,
        found,
    };
    let filled = [
        t.raw_data.is_empty(),
        t.float_data.is_empty(),
        t.int32_data.is_empty(),
        t.int64_data.is_empty(),
        t.double_data.is_empty(),
    ];
    if filled.iter().filter(|empty| !**empty).count() > 1 {
        return Err(bad("values in one field".to_owned(), "values in several, of which runtimes read one".to_owned()));
    }
    let count = elements(&t.dims).ok_or_else(|| bad("a shape".to_owned(), format!("{:?}", t.dims)))?;
    let Some(width) = dtype::bytes(t.data_type) else { return Ok(()) };
    let typed = match t.data_type {
        dtype::FLOAT => t.float_data.len(),
        dtype::INT64 => t.int64_data.len(),
        dtype::DOUBLE => t.double_data.len(),
        2..=6 | 9 | 10 | 16..=20 => t.int32_data.len(),
        // uint32, uint64 and complex numbers in typed fields play no part in an encoder.
        _ => return Ok(()),
    };
    let (found, unit) = if typed > 0 && t.raw_data.is_empty() {
        (typed.checked_mul(width), "typed values")
    } else {
        (Some(t.raw_data.len()), "raw bytes")
    };
    if found != count.checked_mul(width) {
        let found = format!("{} bytes of {unit}", found.unwrap_or(usize::MAX));
        return Err(bad(format!("{:?} {}", t.dims, dtype::name(t.data_type)), found));
    }
    Ok(())
}
