//! Hidden states saved by another runtime, replayed as one more arm.
//!
//! One safetensors file. Its tensors, rows laid end to end (`tokens` is the sum of their lengths):
//!
//! | tensor | type, shape | what |
//! |---|---|---|
//! | `input_ids` | I32 or U32 `[tokens]` | the ids each row was run on |
//! | `row_offsets` | I64 `[rows + 1]` | where rows begin and end |
//! | `row` | I64 `[rows]` | each row's number in the corpus, from 0; without it 0, 1, 2, … |
//! | `tap/embeddings`, `tap/layer.0`, …, `tap/final` | F32, F16 or BF16 `[tokens, hidden]` | the states |
//! | `tap/sentence` | the same types, `[rows, width]` | sentence vectors as that runtime makes them; optional |
//!
//! `tap/pooled`, the vectors before the modules behind the pooling, may be there too. What is recorded is judged: a tensor
//! of another name is refused, and so is a tap that the candidate does not have.
//!
//! Its metadata, all of it required: `parallax.recording` = `1`, `producer` (`mlx`), `producer_version`, `compute`
//! (`float32`, `float16` or `bfloat16`: the type the states were computed in, which decides the limits; the states must be
//! numbers of that type), `weights` (sha256 of each weight file the states were computed from, separated by spaces: states of
//! other weights are refused). `device` (free words) may be there.

mod provenance;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::fault::Fault;
use crate::hidden_states::{HiddenStates, LayoutError, Tap, TapStates};
use crate::runtimes::native::ops;
use provenance::Stated;

pub use provenance::OWN_PRODUCER;

/// Version of the format.
pub const FORMAT: &str = "1";
/// Metadata keys.
pub const FORMAT_KEY: &str = "parallax.recording";
/// Who made it.
pub const PRODUCER_KEY: &str = "producer";
/// Its version.
pub const VERSION_KEY: &str = "producer_version";
/// What it ran on.
pub const DEVICE_KEY: &str = "device";
/// What it was computed in.
pub const COMPUTE_KEY: &str = "compute";
/// Which weights it was computed from.
pub const WEIGHTS_KEY: &str = "weights";
/// Tensors that say which rows there are.
const LAYOUT: &[&str] = &["input_ids", "row_offsets", "row"];
/// Prefix of the states' names.
pub const TAP_PREFIX: &str = "tap/";
/// Bytes of the largest recording read or written.
pub const LARGEST: u64 = 2 << 30;

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Not a recording, or a damaged one.
    #[error("{file}: not a usable recording: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, naming the tensor.
        reason: String,
    },
    /// States that do not fit their layout: a bug.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl RecordingError {
    /// Bad input.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Layout(_) => Fault::Internal,
            _ => Fault::BadInput,
        }
    }
}

/// A recording in memory.
#[derive(Debug)]
pub struct Recording {
    name: String,
    stated: Stated,
    rounded: bool,
    ids: Vec<u32>,
    offsets: Vec<usize>,
    rows: BTreeMap<u64, usize>,
    taps: BTreeMap<Tap, (usize, Vec<f32>)>,
    /// Names of tensors that nothing judges.
    unjudged: Vec<String>,
    /// Values that are no numbers: how many, and the first row's number.
    broken: BTreeMap<Tap, (usize, u64)>,
}

/// What a runtime computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// IEEE single.
    Float32,
    /// IEEE half.
    Float16,
    /// bfloat16.
    Bfloat16,
}

impl Compute {
    /// Every one, by the name the metadata has for it.
    pub const ALL: &[(&str, Self)] =
        &[("float32", Self::Float32), ("float16", Self::Float16), ("bfloat16", Self::Bfloat16)];

    /// The same type as our encoder has it.
    pub fn emulated(self) -> ops::Compute {
        match self {
            Self::Float32 => ops::Compute::F32,
            Self::Float16 => ops::Compute::F16,
            Self::Bfloat16 => ops::Compute::BF16,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, c)| *c == self).map_or("float32", |c| c.0)
    }
}

impl Recording {
    /// Reads a file whole; every shape is checked against the others.
    ///
    /// # Errors
    /// A file that is no recording; the message names the tensor.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let name = path.display().to_string();
        let io = |source| RecordingError::Io { file: name.clone(), source };
        let malformed = |reason: String| RecordingError::Malformed { file: name.clone(), reason };
        let file = std::fs::File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if !meta.is_file() || meta.len() > LARGEST {
            return Err(malformed(format!("it is no regular file of at most {LARGEST} bytes")));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(io)?;
        Self::parse(&bytes, &name).map_err(malformed)
    }

    fn parse(bytes: &[u8], name: &str) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format!("it is no safetensors file: {e}"))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| format!("it is no safetensors file: {e}"))?;
        let said = header.metadata().clone().unwrap_or_default();
        match said.get(FORMAT_KEY).map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) => return Err(format!("its format is {other:?}, this version reads {FORMAT}")),
            None => {
                return Err(format!(
                    "its metadata has no `{FORMAT_KEY}`; parallax record or scripts/record_mlx.py make one"
                ));
            }
        }
        let named = |compute: &String| {
            let known = Compute::ALL.iter().find(|(n, _)| n == compute).map(|c| c.1);
            known.ok_or_else(|| format!("its `{COMPUTE_KEY}` is {compute:?}, expected float32, float16 or bfloat16"))
        };
        let compute = said.get(COMPUTE_KEY).map(named).transpose()?;
        let tensor = |name: &str| file.tensor(name).map_err(|_| format!("`{name}` is missing"));
        let ids = integers(&tensor("input_ids")?, "input_ids")?;
        let ids: Vec<u32> = ids
            .into_iter()
            .map(|id| u32::try_from(id).map_err(|_| format!("`input_ids` holds {id}, which is no token")))
            .collect::<Result<_, _>>()?;
        let offsets = integers(&tensor("row_offsets")?, "row_offsets")?;
        let offsets: Vec<usize> = offsets
            .into_iter()
            .map(|o| usize::try_from(o).map_err(|_| format!("`row_offsets` holds {o}")))
            .collect::<Result<_, _>>()?;
        let ends = (offsets.first().copied(), offsets.last().copied());
        if ends != (Some(0), Some(ids.len())) || offsets.windows(2).any(|w| w[0] >= w[1]) {
            return Err(format!("`row_offsets` does not cut {} tokens into rows", ids.len()));
        }
        let count = offsets.len() - 1;
        let numbers = match file.tensor("row") {
            Ok(view) => integers(&view, "row")?,
            Err(_) => (0..count as i64).collect(),
        };
        if numbers.len() != count {
            return Err(format!("`row` names {} rows, `row_offsets` has {count}", numbers.len()));
        }
        let mut rows = BTreeMap::new();
        for (i, number) in numbers.into_iter().enumerate() {
            let number = u64::try_from(number).map_err(|_| format!("`row` holds {number}"))?;
            if rows.insert(number, i).is_some() {
                return Err(format!("`row` names row {number} twice"));
            }
        }
        let (mut taps, mut rounded) = (BTreeMap::new(), false);
        let (mut unjudged, mut broken) = (Vec::new(), BTreeMap::new());
        for (full, view) in file.tensors() {
            let Some(tap) = full.strip_prefix(TAP_PREFIX) else {
                if !LAYOUT.contains(&full.as_str()) {
                    unjudged.push(full);
                }
                continue;
            };
            let tap: Tap = tap.parse().map_err(|e| format!("`{full}`: {e}"))?;
            let length = if tap.is_sentence_level() { count } else { ids.len() };
            let &[n, width] = view.shape() else { return Err(format!("`{full}` has shape {:?}", view.shape())) };
            if n != length || width == 0 {
                return Err(format!("`{full}` has shape {:?}, expected [{length}, width]", view.shape()));
            }
            rounded |= view.dtype() != Dtype::F32;
            let values = floats(&view, &full)?;
            if let Some(first) = values.iter().position(|v| !v.is_finite()) {
                let token = first / width;
                let row = if tap.is_sentence_level() { token } else { offsets.partition_point(|o| *o <= token) - 1 };
                let number = rows.iter().find(|(_, i)| **i == row).map_or(0, |(number, _)| *number);
                broken.insert(tap, (values.iter().filter(|v| !v.is_finite()).count(), number));
            }
            taps.insert(tap, (width, values));
        }
        if !taps.contains_key(&Tap::Final) {
            return Err(format!("`{TAP_PREFIX}final` is missing"));
        }
        unjudged.sort_unstable();
        let text = |key: &str| said.get(key).cloned().unwrap_or_default();
        let weights = text(WEIGHTS_KEY).split_whitespace().map(str::to_owned).collect();
        let (producer, version, device) = (text(PRODUCER_KEY), text(VERSION_KEY), text(DEVICE_KEY));
        let stated = Stated { producer, version, device, compute, weights };
        Ok(Self { name: name.to_owned(), stated, rounded, ids, offsets, rows, taps, unjudged, broken })
    }

    /// The path as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who made it, in its own words.
    pub fn producer(&self) -> String {
        self.stated.in_words()
    }

    /// What it was computed in: float32, the strictest, where it does not say (which is refused).
    pub fn compute(&self) -> Compute {
        self.stated.compute.unwrap_or(Compute::Float32)
    }

    /// True when states were stored in less than float32.
    pub fn rounded(&self) -> bool {
        self.rounded
    }

    /// The numbers of its rows, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.rows.keys().copied()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The taps it holds.
    pub fn taps(&self) -> impl Iterator<Item = Tap> {
        self.taps.keys().copied()
    }

    /// The ids of the corpus row with this number.
    pub fn ids(&self, row: u64) -> Option<&[u32]> {
        let i = *self.rows.get(&row)?;
        self.ids.get(self.offsets[i]..self.offsets[i + 1])
    }

    /// The states of these corpus rows, each of which must be there.
    ///
    /// # Errors
    /// A row it does not have.
    pub fn states(&self, rows: &[u64]) -> Result<HiddenStates, RecordingError> {
        let places: Option<Vec<usize>> = rows.iter().map(|r| self.rows.get(r).copied()).collect();
        let places = places.ok_or_else(|| RecordingError::Malformed {
            file: self.name.clone(),
            reason: "a row was asked for that it does not have".to_owned(),
        })?;
        let mut out = HiddenStates::new();
        for (tap, (width, all)) in &self.taps {
            let (mut values, mut offsets) = (Vec::new(), vec![0]);
            for &i in &places {
                let span = if tap.is_sentence_level() { i..i + 1 } else { self.offsets[i]..self.offsets[i + 1] };
                offsets.push(offsets[offsets.len() - 1] + span.len());
                values.extend_from_slice(&all[span.start * width..span.end * width]);
            }
            out.insert(*tap, Arc::new(TapStates::ragged(*width, &offsets, values)?));
        }
        Ok(out)
    }
}

fn integers(view: &TensorView<'_>, name: &str) -> Result<Vec<i64>, String> {
    if view.shape().len() != 1 {
        return Err(format!("`{name}` has shape {:?}, expected one dimension", view.shape()));
    }
    let bytes = view.data();
    match view.dtype() {
        Dtype::I32 => Ok(bytes.as_chunks().0.iter().map(|c| i64::from(i32::from_le_bytes(*c))).collect()),
        Dtype::U32 => Ok(bytes.as_chunks().0.iter().map(|c| i64::from(u32::from_le_bytes(*c))).collect()),
        Dtype::I64 => Ok(bytes.as_chunks().0.iter().map(|c| i64::from_le_bytes(*c)).collect()),
        other => Err(format!("`{name}` is stored as {other:?}, expected integers")),
    }
}

fn floats(view: &TensorView<'_>, name: &str) -> Result<Vec<f32>, String> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(bytes.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c)).collect()),
        Dtype::F16 => Ok(bytes.as_chunks().0.iter().map(|c| half::f16::from_le_bytes(*c).to_f32()).collect()),
        Dtype::BF16 => Ok(bytes.as_chunks().0.iter().map(|c| half::bf16::from_le_bytes(*c).to_f32()).collect()),
        other => Err(format!("`{name}` is stored as {other:?}, expected floats")),
    }
}
