//! ONNX Runtime sessions: how they are built, what a run returns, and how threads share them.

pub mod encoder;
pub mod expose;
pub(crate) mod inputs;
pub mod library;
pub mod observer;
pub(crate) mod outlets;

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ort::ep;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorElementType, ValueType};

use super::file::model::OnnxModel;
use library::{Runtime, words};

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
pub(super) struct Sessions {
    idle: Mutex<Vec<Idle>>,
    returned: Condvar,
}

/// A session, and which of its outputs are wanted.
pub(super) struct Idle {
    pub(super) session: Session,
    pub(super) wanted: RunOptions<HasSelectedOutputs>,
}

impl Sessions {
    pub(super) fn new(idle: Vec<Idle>) -> Self {
        Self { idle: Mutex::new(idle), returned: Condvar::new() }
    }

    /// Waits for an idle session.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Idle) -> R) -> R {
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
