//! The reference encoder: an ONNX Runtime session over the file's own bytes with its taps as outputs.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ort::ep;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorElementType, ValueType};
use rayon::prelude::*;

use super::error::OnnxError;
use super::expose::expose;
use super::facts::facts;
use super::graph::Graph;
use super::inputs::{InputPlan, plan};
use super::library::{Runtime, words};
use super::model::OnnxModel;
use super::taps::TapMap;
use crate::hidden_states::{HiddenStates, Tap, TapStates};
use crate::runtimes::{Encoder, RunError};
use crate::tokens::TokenBatch;

/// How much ONNX Runtime may rewrite the graph. Levels differ from each other by 2e-6 to 3e-6 relative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Optimization {
    /// As the file says.
    Disabled,
    /// Constant folding and redundant nodes.
    Basic,
    /// Fusions too.
    Extended,
    /// Layout too: what deployments run.
    #[default]
    All,
}

/// How sessions run.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Batches that may run at the same time, each in a session of its own.
    pub sessions: usize,
    /// Threads within one operator.
    pub threads: usize,
    /// Graph rewriting.
    pub optimization: Optimization,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { sessions: 1, threads: 1, optimization: Optimization::default() }
    }
}

/// Builds a session on the CPU from `bytes` and the model's data files, all of them from memory: what was
/// hashed is what runs.
pub(super) fn build(
    runtime: &Runtime,
    model: &OnnxModel,
    bytes: &[u8],
    options: SessionOptions,
) -> Result<Session, String> {
    let level = match options.optimization {
        Optimization::Disabled => GraphOptimizationLevel::Disable,
        Optimization::Basic => GraphOptimizationLevel::Level1,
        Optimization::Extended => GraphOptimizationLevel::Level2,
        Optimization::All => GraphOptimizationLevel::All,
    };
    // Without a memory pattern per shape the arena levels off: 0.7 MB over 2,700 batches of varied shapes
    // (tests/onnx_memory.rs). Without the arena, resident memory swings and nothing is gained.
    let cpu = ep::CPU::default().with_arena_allocator(true).build().error_on_failure();
    let builder = Session::builder(runtime.environment()).map_err(words)?;
    let builder = builder.with_execution_providers([cpu]).map_err(words)?;
    let builder = builder.with_optimization_level(level).map_err(words)?;
    let builder = builder.with_intra_threads(options.threads.max(1)).map_err(words)?;
    let builder = builder.with_inter_threads(1).map_err(words)?;
    let builder = builder.with_intra_op_spinning(false).map_err(words)?;
    let mut builder = builder.with_memory_pattern(false).map_err(words)?;
    for file in model.data_files() {
        for location in file.locations() {
            let bytes = Arc::clone(file.bytes());
            builder = builder.with_external_initializer_file_in_memory(location, bytes).map_err(words)?;
        }
    }
    builder.commit_from_memory(bytes).map_err(words)
}

/// Only these outputs are computed.
pub(super) fn selected<'a>(
    outputs: impl IntoIterator<Item = &'a str>,
) -> Result<RunOptions<HasSelectedOutputs>, String> {
    let selector = outputs.into_iter().fold(OutputSelector::no_default(), |s, name| s.with(name));
    Ok(RunOptions::new().map_err(words)?.with_outputs(selector))
}

/// An output tensor: read where ONNX Runtime wrote it, or widened from float16 (an inexact reference's).
pub(super) enum Output {
    Float(Tensor<f32>),
    Widened(Vec<i64>, Vec<f32>),
}

impl Output {
    fn new(value: DynValue) -> Result<Self, String> {
        match value.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float16, .. } => {
                let half: Tensor<half::f16> = value.downcast().map_err(words)?;
                let (shape, values) = half.extract_tensor();
                Ok(Self::Widened(shape.to_vec(), values.iter().map(|v| v.to_f32()).collect()))
            }
            _ => value.downcast().map(Self::Float).map_err(words),
        }
    }

    pub(super) fn shape(&self) -> &[i64] {
        match self {
            Self::Float(tensor) => tensor.extract_tensor().0,
            Self::Widened(shape, _) => shape,
        }
    }
}

impl AsRef<[f32]> for Output {
    fn as_ref(&self) -> &[f32] {
        match self {
            Self::Float(tensor) => tensor.extract_tensor().1,
            Self::Widened(_, values) => values,
        }
    }
}

/// Runs a session and takes the named outputs.
pub(super) fn run(
    session: &mut Session,
    inputs: Vec<(String, SessionInputValue<'static>)>,
    options: &RunOptions<HasSelectedOutputs>,
    names: &[String],
) -> Result<Vec<Output>, String> {
    let mut outputs = session.run_with_options(inputs, options).map_err(words)?;
    let take = |name: &String| {
        let value = outputs.remove(name).ok_or_else(|| format!("output `{name}` was not returned"))?;
        Output::new(value).map_err(|e| format!("output `{name}`: {e}"))
    };
    names.iter().map(take).collect()
}

/// Sessions that take turns: `ort` lets one run at a time in each, because ONNX Runtime's `Run` has not always been
/// safe to call from several threads.
struct Sessions {
    idle: Mutex<Vec<Idle>>,
    returned: Condvar,
}

/// A session, and which of its outputs are wanted.
struct Idle {
    session: Session,
    wanted: RunOptions<HasSelectedOutputs>,
}

impl Sessions {
    fn new(idle: Vec<Idle>) -> Self {
        Self { idle: Mutex::new(idle), returned: Condvar::new() }
    }

    /// Waits for an idle session.
    fn with<R>(&self, f: impl FnOnce(&mut Idle) -> R) -> R {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut session = loop {
            match idle.pop() {
                Some(session) => break session,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(idle);
        let result = f(&mut session);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        self.returned.notify_one();
        result
    }
}

/// An ONNX export under ONNX Runtime, reporting every tap of its map.
pub struct OnnxEncoder {
    description: String,
    file: String,
    sessions: Sessions,
    /// ONNX Runtime may point into these, so they outlive the session.
    _data: Vec<Arc<[u8]>>,
    inputs: Vec<InputPlan>,
    taps: Vec<Tap>,
    /// Which of `tensors` carries each tap.
    carrier: Vec<usize>,
    tensors: Vec<String>,
    hidden: usize,
    vocab: usize,
    positions: Option<usize>,
}

impl std::fmt::Debug for OnnxEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OnnxEncoder[{}, {} taps]", self.description, self.taps.len())
    }
}

impl OnnxEncoder {
    /// Opens a session whose outputs are the taps of `map`, middles included.
    pub fn open(
        runtime: &Runtime,
        model: &OnnxModel,
        map: &TapMap,
        options: SessionOptions,
    ) -> Result<Self, OnnxError> {
        let file = || model.name().to_owned();
        let refused = |message| OnnxError::Runtime { file: file(), message };
        let g = Graph::new(model)?;
        let inputs = plan(&g, map)?;
        let told = facts(&g, map);
        let mut entries: Vec<_> = map.entries.iter().chain(&map.middles).collect();
        entries.sort_by_key(|e| e.tap);
        let mut tensors: Vec<String> = Vec::new();
        let mut carrier = Vec::new();
        for e in &entries {
            carrier.push(tensors.iter().position(|t| *t == e.tensor).unwrap_or_else(|| {
                tensors.push(e.tensor.clone());
                tensors.len() - 1
            }));
        }
        let bytes = expose(&g, tensors.iter().map(String::as_str));
        let open = |_| {
            let session = build(runtime, model, &bytes, options)?;
            Ok(Idle { session, wanted: selected(tensors.iter().map(String::as_str))? })
        };
        let opened: Vec<Idle> =
            (0..options.sessions.max(1)).into_par_iter().map(open).collect::<Result<_, _>>().map_err(refused)?;
        let mut hidden = None;
        for name in &tensors {
            let outlet = opened.iter().flat_map(|idle| idle.session.outputs()).find(|o| o.name() == name);
            let bad = |found: String| OnnxError::Tensor {
                file: file(),
                tensor: name.clone(),
                expected: "float32 [rows, tokens, hidden]".to_owned(),
                found,
            };
            match outlet.map(|o| o.dtype()) {
                Some(ValueType::Tensor {
                    ty: TensorElementType::Float32 | TensorElementType::Float16, shape, ..
                }) if shape.len() == 3 || shape.is_empty() => {
                    let width = shape.last().and_then(|&d| usize::try_from(d).ok());
                    if width.is_some() && hidden.is_some() && width != hidden {
                        return Err(bad(format!("width {width:?} where other taps have {hidden:?}")));
                    }
                    hidden = width.or(hidden);
                }
                Some(other) => return Err(bad(other.to_string())),
                None => return Err(bad("nothing".to_owned())),
            }
        }
        Ok(Self {
            description: format!("ONNX Runtime {}", runtime.version()),
            file: file(),
            sessions: Sessions::new(opened),
            _data: model.data_files().iter().map(|f| Arc::clone(f.bytes())).collect(),
            inputs,
            taps: entries.iter().map(|e| e.tap).collect(),
            carrier,
            tensors,
            hidden: hidden.unwrap_or(told.hidden),
            vocab: map.vocab,
            positions: told.positions,
        })
    }

    fn failed(&self, message: String) -> RunError {
        RunError::Failed { encoder: self.description.clone(), message: format!("{}: {message}", self.file) }
    }

    fn check(&self, batch: &TokenBatch) -> Result<(), RunError> {
        let encoder = || self.description.clone();
        if let Some(&id) = batch.all_ids().iter().find(|&&id| id as usize >= self.vocab) {
            return Err(RunError::TokenId { encoder: encoder(), id, vocab: self.vocab });
        }
        match self.positions {
            Some(limit) if batch.longest() > limit => {
                Err(RunError::TooLong { encoder: encoder(), tokens: batch.longest(), limit })
            }
            _ => Ok(()),
        }
    }
}

impl Encoder for OnnxEncoder {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        self.check(batch)?;
        let mut states = HiddenStates::new();
        if batch.is_empty() {
            let none = TapStates::ragged(self.hidden, &[0], Vec::new()).map_err(|e| self.failed(e.to_string()))?;
            let none = Arc::new(none);
            self.taps.iter().for_each(|&tap| states.insert(tap, Arc::clone(&none)));
            return Ok(states);
        }
        let (rows, seq) = (batch.rows(), batch.longest().max(1));
        let inputs = super::inputs::fill(&self.inputs, batch, seq).map_err(|m| self.failed(m))?;
        let outputs = self
            .sessions
            .with(|idle| run(&mut idle.session, inputs, &idle.wanted, &self.tensors))
            .map_err(|m| self.failed(format!("on a batch of {rows} rows of {seq} tokens: {m}")))?;
        let lengths: Vec<usize> = (0..rows).map(|r| batch.len(r)).collect();
        let mut shared = Vec::with_capacity(outputs.len());
        for (name, output) in self.tensors.iter().zip(outputs) {
            let expected = [rows, seq, self.hidden];
            if !output.shape().iter().map(|&d| usize::try_from(d).ok()).eq(expected.map(Some)) {
                let message = format!("tensor `{name}`: shape {expected:?} expected, found {:?}", output.shape());
                return Err(self.failed(message));
            }
            let tap = TapStates::padded(self.hidden, seq, &lengths, Box::new(output));
            shared.push(Arc::new(tap.map_err(|e| self.failed(e.to_string()))?));
        }
        for (&tap, &carrier) in self.taps.iter().zip(&self.carrier) {
            states.insert(tap, Arc::clone(&shared[carrier]));
        }
        Ok(states)
    }
}
