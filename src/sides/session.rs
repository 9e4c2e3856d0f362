//! The reference in ONNX Runtime: opened as it is judged, and again in every way that must not matter.

use std::sync::Arc;

use super::Variation;
use crate::Error;
use crate::report::RuntimeRecord;
use crate::runtimes::Encoder;
use crate::runtimes::onnx::{
    ObserverEffect, OnnxEncoder, OnnxModel, Optimization, Runtime, SessionOptions, TapMap, observer_effects,
};
use crate::tokens::TokenBatch;

/// Everything a session is opened from.
#[derive(Debug)]
pub struct ReferenceSession {
    runtime: Runtime,
    model: OnnxModel,
    taps: TapMap,
    options: SessionOptions,
}

impl ReferenceSession {
    pub(crate) fn new(runtime: Runtime, model: OnnxModel, taps: TapMap, options: SessionOptions) -> Self {
        Self { runtime, model, taps, options }
    }

    /// With its taps exposed, as it is judged.
    pub(crate) fn encoder(&self) -> Result<OnnxEncoder, Error> {
        self.with(self.options)
    }

    fn with(&self, options: SessionOptions) -> Result<OnnxEncoder, Error> {
        Ok(OnnxEncoder::open(&self.runtime, &self.model, &self.taps, options)?)
    }

    /// The embeddings without the layers, one session: each holds a copy of the vocabulary's table.
    ///
    /// # Errors
    /// Where ONNX Runtime does not take the graph cut there.
    pub fn embeddings(&self) -> Result<Box<dyn Encoder>, Error> {
        let options = SessionOptions { sessions: 1, ..self.options };
        Ok(Box::new(OnnxEncoder::open_embeddings(&self.runtime, &self.model, &self.taps, options)?))
    }

    /// What exposing the taps changes of the outputs; none where the graph has no output to compare.
    ///
    /// # Errors
    /// Those of a run.
    pub fn effect_of_taps(&self, batches: &[TokenBatch]) -> Result<Option<ObserverEffect>, Error> {
        Ok(observer_effects(&self.runtime, &self.model, &self.taps, self.options, batches)?)
    }

    /// With more threads within an operator, and without graph optimizations.
    pub(crate) fn variations(self: &Arc<Self>) -> Vec<Variation> {
        let options = SessionOptions { sessions: 1, ..self.options };
        let ways = [
            ("2 threads in place of 1", SessionOptions { threads: 2, ..options }),
            ("graph optimizations off", SessionOptions { optimization: Optimization::Disabled, ..options }),
        ];
        let variation = |(name, options): (&str, SessionOptions)| {
            let session = Arc::clone(self);
            let open = move || Ok(Box::new(session.with(options)?) as Box<dyn Encoder>);
            Variation { name: name.to_owned(), open: Box::new(open) }
        };
        ways.into_iter().map(variation).collect()
    }

    /// The runtime as a report names it.
    pub(crate) fn record(&self) -> RuntimeRecord {
        RuntimeRecord {
            onnxruntime_version: self.runtime.version().to_owned(),
            library: self.runtime.path().display().to_string(),
            sha256: self.runtime.sha256().to_owned(),
            execution_provider: "CPUExecutionProvider".to_owned(),
            optimization: format!("{:?}", self.options.optimization).to_lowercase(),
        }
    }

    /// The model it runs.
    pub(crate) fn model(&self) -> &OnnxModel {
        &self.model
    }
}
