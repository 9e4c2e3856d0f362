//! External data: the files beside an ONNX file that hold its large tensors.
//!
//! A location is a path chosen by whoever made the file, so it is judged before anything is opened, the
//! file is opened once, and what was read is what is hashed, recovered from and given to ONNX Runtime
//! (format: github.com/onnx/onnx, `docs/ExternalData.md`).

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use super::opened::regular;
use super::proto::{ModelProto, TensorProto, dtype, elements};
use super::rewrite::{Edit, Level, rewrite};
use crate::runtimes::onnx::error::OnnxError;

/// Most bytes of external data held at once; the largest text encoders have 30 GB in float32.
const MAX_BYTES: u64 = 1 << 36;
/// Largest single tensor ONNX Runtime 1.32 takes from memory.
const MAX_TENSOR: u64 = 1 << 31;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;
/// External tensors up to this many bytes are put into the model: ONNX Runtime infers shapes from some
/// before it looks into the data files it was given.
const SMALL: usize = 4096;
/// `GraphProto.initializer`.
const INITIALIZER: u64 = 5;
/// Keys the format defines. `checksum` (SHA-1, rarely written) is not held against the file: its SHA-256
/// is recorded instead.
const KEYS: [&str; 4] = ["location", "offset", "length", "checksum"];

/// One external data file, whole.
#[derive(Clone, Debug)]
pub struct DataFile {
    name: String,
    locations: Vec<String>,
    sha256: String,
    bytes: Arc<[u8]>,
}

impl DataFile {
    /// The path as the model and its tensors name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the file, lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What was read.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The words by which tensors name this file.
    pub(crate) fn locations(&self) -> &[String] {
        &self.locations
    }
}

/// What one tensor says about its place.
struct Place<'t> {
    location: &'t str,
    offset: u64,
    length: Option<u64>,
}

/// Reads every external tensor of the graph, turning it into raw data: slices of one buffer per file.
/// `folder` is where the model lies; a model in memory has none.
pub(crate) fn resolve(model: &Path, folder: Option<&Path>, proto: &mut ModelProto) -> Result<Vec<DataFile>, OnnxError> {
    let mut files: Vec<DataFile> = Vec::new();
    let (mut by_location, mut by_path) = (HashMap::<String, usize>::new(), HashMap::<PathBuf, usize>::new());
    let mut total = 0u64;
    for t in proto.graph.iter_mut().flat_map(|g| &mut g.initializer) {
        if t.data_location == 0 && t.external_data.is_empty() {
            continue;
        }
        let refused =
            |reason: String| OnnxError::External { file: model.display().to_string(), tensor: t.name.clone(), reason };
        let Some(folder) = folder else {
            return Err(OnnxError::Unsupported {
                file: model.display().to_string(),
                what: format!("external data of a model in memory (tensor `{}`) is", t.name),
                fix: "read the model from its folder, or save as a single file",
            });
        };
        let place = place(t).map_err(refused)?;
        let expected = size(t).map_err(refused)?;
        let k = match by_location.get(place.location) {
            Some(&k) => k,
            None => {
                let path = locate(model, folder, place.location).map_err(refused)?;
                let k = match by_path.get(&path) {
                    Some(&k) => k,
                    None => {
                        let name = folder.join(place.location).display().to_string();
                        let file = read(name, &path, &mut total).map_err(refused)?;
                        files.push(file);
                        by_path.insert(path, files.len() - 1);
                        files.len() - 1
                    }
                };
                // ONNX Runtime takes `./a` and `a` for one name, which may be given once.
                let plain: PathBuf =
                    Path::new(place.location).components().filter(|c| *c != Component::CurDir).collect();
                let plain = plain.display().to_string();
                if !files[k].locations.contains(&plain) {
                    files[k].locations.push(plain);
                }
                by_location.insert(place.location.to_owned(), k);
                k
            }
        };
        let file = &files[k];
        let length = place.length.unwrap_or_else(|| file.size().saturating_sub(place.offset));
        if length != expected {
            let shape = format!("{:?} {}", t.dims, dtype::name(t.data_type));
            return Err(refused(format!("{shape} takes {expected} bytes, its entry has {length}")));
        }
        if place.offset > file.size() || length > file.size() - place.offset {
            let (offset, size) = (place.offset, file.size());
            let reason = format!("{length} bytes from byte {offset} expected, `{}` has {size}", place.location);
            return Err(refused(format!("{reason}: copy the file again, it is cut short or another model's")));
        }
        // Both ends fit a length in memory now.
        let from = place.offset as usize;
        t.raw_data = Bytes::from_owner(Arc::clone(&file.bytes)).slice(from..from + length as usize);
        t.data_location = 0;
        t.external_data.clear();
    }
    Ok(files)
}

/// The model with its small external tensors inside; `resolved` is the same model after [`resolve`].
pub(crate) fn embed(bytes: &Bytes, resolved: &ModelProto) -> Bytes {
    let mut tensors = resolved.graph.iter().flat_map(|g| &g.initializer);
    let edited = rewrite(bytes, &mut |level, number, payload| {
        if (level, number) != (Level::Graph, INITIALIZER) {
            return Ok(Edit::Keep);
        }
        // The order is the file's, so the next tensor is this one.
        let outside = TensorProto::decode(payload).is_ok_and(|t| t.data_location == EXTERNAL);
        let small = tensors.next().filter(|t| outside && t.raw_data.len() <= SMALL);
        Ok::<_, std::convert::Infallible>(small.map_or(Edit::Keep, |t| Edit::Replace(vec![t.encode_to_vec()])))
    });
    match edited {
        Ok(bytes) => bytes.into(),
        Err(never) => match never {},
    }
}

/// The entry's keys, each known, once, and well formed.
fn place(t: &TensorProto) -> Result<Place<'_>, String> {
    if t.data_location != EXTERNAL {
        return Err(format!("location kind {} with external data entries: 1 expected", t.data_location));
    }
    let typed = [t.raw_data.len(), t.float_data.len(), t.int32_data.len(), t.int64_data.len(), t.double_data.len()];
    if typed.iter().any(|&n| n > 0) {
        return Err("values both in the file and outside it".to_owned());
    }
    let mut values: [Option<&str>; 4] = [None; 4];
    for entry in &t.external_data {
        let known = KEYS.iter().position(|k| *k == entry.key);
        let slot = known.ok_or_else(|| format!("key `{}`: known are {}", entry.key, KEYS.join(", ")))?;
        if values[slot].replace(&entry.value).is_some() {
            return Err(format!("key `{}` twice", entry.key));
        }
    }
    let number = |slot: usize| {
        // `parse` takes a leading plus, which no exporter writes and other readers refuse.
        let digits = |v: &&str| v.bytes().all(|b| b.is_ascii_digit());
        let parse = |v: &str| Some(v).filter(digits).and_then(|v| v.parse::<u64>().ok());
        let bad = |v: &str| format!("{} `{v}`: a number of bytes expected", KEYS[slot]);
        values[slot].map(|v| parse(v).ok_or_else(|| bad(v))).transpose()
    };
    let location = values[0].ok_or("no location")?;
    Ok(Place { location, offset: number(1)?.unwrap_or(0), length: number(2)? })
}

/// Bytes the values take.
fn size(t: &TensorProto) -> Result<u64, String> {
    let count = elements(&t.dims).ok_or_else(|| format!("{:?} is no shape", t.dims))?;
    let bytes = match (dtype::bytes(t.data_type), t.data_type) {
        (Some(width), _) => count.checked_mul(width),
        // uint4, int4, float4: two to a byte.
        (None, 21..=23) => Some(count.div_ceil(2)),
        _ => return Err(format!("{} values cannot lie outside the file", dtype::name(t.data_type))),
    };
    let bytes = bytes.map(|n| n as u64).ok_or_else(|| format!("{:?} is no shape", t.dims))?;
    if bytes > MAX_TENSOR {
        let shape = format!("{:?} {}", t.dims, dtype::name(t.data_type));
        let limit = format!("ONNX Runtime takes {MAX_TENSOR} bytes at most");
        return Err(format!("{shape} takes {bytes} bytes, {limit}: such a table is not supported yet"));
    }
    Ok(bytes)
}

/// The real path behind a location, or why it is refused.
fn locate(model: &Path, folder: &Path, location: &str) -> Result<PathBuf, String> {
    let hostile = |why: &str| format!("location {location:?}: {why}; a path below the model's folder expected");
    if location.is_empty() {
        return Err(hostile("empty"));
    }
    if location.contains("_ORT_MEM_ADDR_") {
        return Err(hostile("an address in memory"));
    }
    if location.contains(['\0', '\\']) || location.as_bytes().get(1) == Some(&b':') {
        return Err(hostile("NUL, backslash or drive"));
    }
    let path = Path::new(location);
    if path.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(hostile("absolute or with `..`"));
    }
    let system = |what: &Path, e: std::io::Error| format!("`{}`: {e}; copy it beside the model", what.display());
    let real = |p: &Path| p.canonicalize().map_err(|e| system(p, e));
    let home = real(folder)?;
    let target = real(&folder.join(path))?;
    let inside = target.starts_with(&home);
    if inside || blobs(&home).is_some_and(|b| target.parent() == Some(&b) && in_folder(model, &b)) {
        return Ok(target);
    }
    Err(hostile("it leads out of the folder"))
}

fn in_folder(file: &Path, folder: &Path) -> bool {
    file.canonicalize().is_ok_and(|f| f.parent() == Some(folder))
}

/// The store a Hugging Face cache entry links into: `ENTRY/blobs` for a folder `ENTRY/snapshots/REV[/..]`.
fn blobs(home: &Path) -> Option<PathBuf> {
    let revision = home.ancestors().find(|a| a.parent().and_then(Path::file_name).is_some_and(|n| n == "snapshots"))?;
    let blobs = revision.parent()?.parent()?.join("blobs");
    // A link in its place would lead anywhere.
    blobs.canonicalize().is_ok_and(|real| real == blobs).then_some(blobs)
}

/// Reads one file whole.
fn read(name: String, path: &Path, total: &mut u64) -> Result<DataFile, String> {
    let system = |e: std::io::Error| format!("`{name}`: {e}");
    let (mut file, size) = regular(path, false).map_err(system)?;
    let too_large = || format!("`{name}`: {size} bytes, {MAX_BYTES} of external data are the limit");
    *total = total.saturating_add(size);
    let length = usize::try_from(size).ok().filter(|_| *total <= MAX_BYTES).ok_or_else(too_large)?;
    // The shared buffer below cannot fail softly, so the system is asked first.
    Vec::<u8>::new().try_reserve_exact(length).map_err(|_| too_large())?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0u8, length).collect();
    let buffer = Arc::get_mut(&mut bytes).ok_or_else(too_large)?;
    std::io::Read::read_exact(&mut file, buffer).map_err(system)?;
    let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    Ok(DataFile { name, locations: Vec::new(), sha256, bytes })
}
