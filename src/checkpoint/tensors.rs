//! Tensors on disk: one safetensors file, or shards with an index, or shards by their usual names, or `weights.npz`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};

use super::npz::NPZ;
use super::weight::{Bytes, first_non_finite};
use super::{CheckpointError, ModelFolder, npz};
use crate::finding::{Code, Finding, Severity, codes};
use crate::memory::Memory;

/// Largest tensor file read.
const MAX_TENSOR_FILE: u64 = 64 << 30;
const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// The code of a tensor file that is not read here and would be read elsewhere.
pub const STALE_SHARD: &Code = &codes::CHECKPOINT_STALE_SHARD;

/// One stored tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// Element type as stored.
    pub dtype: Dtype,
    /// Shape as stored.
    pub shape: Vec<usize>,
    /// File within the folder.
    pub file: String,
    start: usize,
    end: usize,
}

/// Every stored tensor of a checkpoint, by name.
#[derive(Debug)]
pub struct RawTensors {
    shown: String,
    files: BTreeMap<String, Arc<Memory<u8>>>,
    tensors: BTreeMap<String, RawTensor>,
    findings: Vec<Finding>,
}

/// The names that hold weights, by the convention every loader follows.
fn is_tensor_file(name: &str) -> bool {
    name.starts_with("model") && name.ends_with(".safetensors")
}

impl RawTensors {
    /// Reads all tensor files of a folder.
    pub fn open(folder: &ModelFolder) -> Result<Self, CheckpointError> {
        let mut out = Self {
            shown: folder.shown().to_owned(),
            files: BTreeMap::new(),
            tensors: BTreeMap::new(),
            findings: Vec::new(),
        };
        let present: Vec<String> = folder.names()?.into_iter().filter(|n| is_tensor_file(n)).collect();
        match folder.read(INDEX)? {
            Some(bytes) => out.read_indexed(folder, &bytes)?,
            None if present.is_empty() && folder.exists(NPZ)? => out.read_arrays(folder)?,
            None if present.is_empty() => {
                return Err(CheckpointError::Absent { folder: folder.shown().to_owned(), name: SINGLE.to_owned() });
            }
            None => present.iter().try_for_each(|name| out.read_file(folder, name).map(drop))?,
        }
        // mlx-embeddings globs for `**/model*.safetensors`.
        let modules = folder.sentence_modules().ok().flatten();
        let of_module = |file: &str| {
            let paths = modules.iter().flat_map(|m| &m.stages).filter_map(|stage| stage.path());
            paths.into_iter().any(|path| file.strip_prefix(path).is_some_and(|rest| rest == format!("/{SINGLE}")))
        };
        if !present.is_empty() && folder.exists(NPZ)? {
            let message = format!("{}/{NPZ} was not read, since {} is there", out.shown, present[0]);
            out.findings.push(Finding::new(Severity::Warning, &codes::CHECKPOINT_SECOND_FILE, message));
        }
        let unread = |name: &&String| !out.files.contains_key(*name) && !of_module(name);
        let stale: Vec<String> = folder.names_below(is_tensor_file, false)?.iter().filter(unread).cloned().collect();
        for stale in stale {
            let message = format!(
                "{}/{stale} was not read, and loaders that go by file name would read it; take it out of the folder",
                out.shown
            );
            out.findings.push(Finding::new(Severity::Warning, STALE_SHARD, message));
        }
        Ok(out)
    }

    /// Reads one tensor file of a folder.
    pub fn open_file(folder: &ModelFolder, name: &str) -> Result<Self, CheckpointError> {
        let mut out = Self {
            shown: folder.shown().to_owned(),
            files: BTreeMap::new(),
            tensors: BTreeMap::new(),
            findings: Vec::new(),
        };
        out.read_file(folder, name)?;
        Ok(out)
    }

    fn read_indexed(&mut self, folder: &ModelFolder, bytes: &[u8]) -> Result<(), CheckpointError> {
        let file = format!("{}/{INDEX}", folder.shown());
        let malformed = |reason: String| CheckpointError::Malformed { file: file.clone(), reason };
        let index: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| malformed(format!("is not JSON: {e}")))?;
        let map =
            index.get("weight_map").and_then(|m| m.as_object()).ok_or_else(|| malformed("has no weight_map".into()))?;
        let mut shards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (tensor, shard) in map {
            let shard = shard.as_str().ok_or_else(|| malformed(format!("names no file for tensor `{tensor}`")))?;
            shards.entry(shard).or_default().insert(tensor);
        }
        for (shard, listed) in shards {
            let found = self.read_file(folder, shard)?;
            if let Some(missing) = listed.iter().find(|t| !found.contains(**t)) {
                return Err(malformed(format!("promises tensor `{missing}` in {shard}, which does not hold it")));
            }
            if let Some(extra) = found.iter().find(|t| !listed.contains(t.as_str())) {
                return Err(malformed(format!("does not list tensor `{extra}`, which {shard} holds")));
            }
        }
        Ok(())
    }

    fn read_arrays(&mut self, folder: &ModelFolder) -> Result<(), CheckpointError> {
        let file = format!("{}/{NPZ}", folder.shown());
        let Some(archive) = folder.read_up_to(NPZ, MAX_TENSOR_FILE)? else { return Ok(()) };
        let malformed = |reason| CheckpointError::Malformed { file: file.clone(), reason };
        let (bytes, arrays) = npz::read(&archive).map_err(malformed)?;
        for npz::Array { name, dtype, shape, start, end } in arrays {
            let raw = RawTensor { dtype, shape, file: NPZ.to_owned(), start, end };
            if self.tensors.insert(name.clone(), raw).is_some() {
                return Err(CheckpointError::Tensor { file, tensor: name, reason: "is there twice".to_owned() });
            }
        }
        self.files.insert(NPZ.to_owned(), Arc::new(bytes));
        Ok(())
    }

    fn read_file(&mut self, folder: &ModelFolder, name: &str) -> Result<BTreeSet<String>, CheckpointError> {
        let file = format!("{}/{name}", folder.shown());
        let bytes = folder
            .read_up_to(name, MAX_TENSOR_FILE)?
            .ok_or_else(|| CheckpointError::Absent { folder: folder.shown().to_owned(), name: name.to_owned() })?;
        if bytes.starts_with(b"version https://git-lfs") {
            let reason = "is a Git LFS pointer: run `git lfs pull`".to_owned();
            return Err(CheckpointError::Malformed { file, reason });
        }
        let malformed = |e: safetensors::SafeTensorError| CheckpointError::Malformed {
            file: file.clone(),
            reason: format!(
                "is not a whole safetensors file: {}",
                e.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
            ),
        };
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(malformed)?;
        let data = header + 8;
        let mut names = BTreeSet::new();
        for (tensor, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let raw = RawTensor {
                dtype: info.dtype,
                shape: info.shape.clone(),
                file: name.to_owned(),
                start: data + start,
                end: data + end,
            };
            if bytes.get(raw.start..raw.end).is_none() {
                return Err(CheckpointError::Malformed { file, reason: format!("ends before tensor `{tensor}` does") });
            }
            if let Some(other) = self.tensors.insert(tensor.clone(), raw) {
                let reason = format!("is also in {}", other.file);
                return Err(CheckpointError::Tensor { file, tensor, reason });
            }
            names.insert(tensor);
        }
        self.files.insert(name.to_owned(), Arc::new(bytes));
        Ok(names)
    }

    /// The folder, as the user named it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What was noticed while reading.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// All tensors by stored name.
    pub fn tensors(&self) -> &BTreeMap<String, RawTensor> {
        &self.tensors
    }

    /// A tensor's little-endian bytes; they may lie at any address.
    pub fn bytes(&self, tensor: &RawTensor) -> &[u8] {
        self.files.get(&tensor.file).and_then(|f| f.get(tensor.start..tensor.end)).unwrap_or(&[])
    }

    /// The same bytes, to be kept: they keep the file's.
    pub fn kept(&self, tensor: &RawTensor) -> Bytes {
        Bytes::new(self.files.get(&tensor.file).cloned().unwrap_or_default(), tensor.start..tensor.end)
    }

    /// An error about one tensor.
    pub fn refuse(&self, tensor: &str, reason: impl Into<String>) -> CheckpointError {
        let file = self.tensors.get(tensor).map_or(String::new(), |t| format!("/{}", t.file));
        CheckpointError::Tensor {
            file: format!("{}{file}", self.shown),
            tensor: tensor.to_owned(),
            reason: reason.into(),
        }
    }

    /// A float tensor's values as float32 (exact for F16 and BF16); a NaN or infinity is refused.
    pub fn floats(&self, name: &str, tensor: &RawTensor) -> Result<Vec<f32>, CheckpointError> {
        let bytes = self.bytes(tensor);
        let values: Vec<f32> = match tensor.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|c| half::f16::from_le_bytes(*c).to_f32()).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|c| half::bf16::from_le_bytes(*c).to_f32()).collect(),
            other => {
                return Err(self.refuse(
                    name,
                    format!("is stored as {other:?}; parallax reads F32, F16 and BF16 (and U32 codes)"),
                ));
            }
        };
        match first_non_finite(&values) {
            Some(i) => Err(self.refuse(
                name,
                format!("holds {} at element {i}; a model with such a weight cannot be judged", values[i]),
            )),
            None => Ok(values),
        }
    }
}
