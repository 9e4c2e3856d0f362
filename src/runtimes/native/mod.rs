//! Our own encoder: float32, ragged rows laid end to end, no padding anywhere, every layer reported.
//!
//! A new architecture is one file and one row in [`ARCHITECTURES`].

mod bert;
pub mod ops;
mod pooling;

use std::sync::Arc;

use crate::checkpoint::{ModelConfig, WeightError, WeightSet};
use crate::fault::Fault;
use crate::hidden_states::{HiddenStates, Tap, TapStates};
use crate::runtimes::{Encoder, RunError};
use crate::tokens::TokenBatch;

pub use pooling::SentenceHead;

/// One family of encoders.
pub struct Architecture {
    /// `model_type` in config.json.
    pub model_type: &'static str,
    /// Tensors a checkpoint may hold that the encoder does not run.
    ignorable: fn(&str) -> bool,
    /// Takes the weights.
    build: fn(&ModelConfig, &WeightSet, &str) -> Result<Box<dyn Stack>, NativeError>,
}

/// Every family parallax runs.
pub const ARCHITECTURES: &[Architecture] =
    &[Architecture { model_type: "bert", ignorable: bert::ignorable, build: bert::build }];

/// What an architecture provides: an embedding block and a stack of layers, each on `[tokens, hidden]`.
pub(crate) trait Stack: Send {
    /// Width of a state.
    fn hidden(&self) -> usize;
    /// Number of layers.
    fn layers(&self) -> usize;
    /// The embedding block.
    fn embed(&self, batch: &TokenBatch) -> Result<Vec<f32>, RunError>;
    /// Layer `i`; row `r` owns tokens `offsets[r]..offsets[r+1]`.
    fn layer(&self, i: usize, x: &[f32], offsets: &[usize]) -> Result<Vec<f32>, RunError>;
}

/// An encoder that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// An architecture parallax does not run.
    #[error("model_type `{model_type}` is not supported; parallax runs {known}")]
    Architecture {
        /// As config.json states it.
        model_type: String,
        /// What it runs.
        known: String,
    },
    /// An activation parallax does not compute.
    #[error("hidden_act `{name}` is not supported; parallax computes {known}")]
    Activation {
        /// As config.json states it.
        name: String,
        /// What it computes.
        known: String,
    },
    /// A tensor missing, left over, or of another shape.
    #[error(transparent)]
    Weight(#[from] WeightError),
}

impl NativeError {
    /// Always bad input.
    pub fn fault(&self) -> Fault {
        Fault::BadInput
    }
}

/// A float32 encoder on given weights.
pub struct NativeEncoder {
    label: String,
    stack: Box<dyn Stack>,
    taps: Vec<Tap>,
}

impl NativeEncoder {
    /// Builds the encoder `config` describes; every weight is used exactly once. `label` is what it is, for people.
    ///
    /// # Errors
    /// An architecture or activation parallax does not know; a tensor missing, left over or misshapen.
    pub fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Self, NativeError> {
        let family = ARCHITECTURES.iter().find(|a| a.model_type == config.model_type).ok_or_else(|| {
            let known: Vec<_> = ARCHITECTURES.iter().map(|a| a.model_type).collect();
            NativeError::Architecture { model_type: config.model_type.clone(), known: known.join(", ") }
        })?;
        let stack = (family.build)(config, weights, label)?;
        weights.finish(family.ignorable)?;
        let layers = (0..stack.layers()).map(Tap::Layer);
        let taps = std::iter::once(Tap::Embeddings).chain(layers).chain([Tap::Final]).collect();
        Ok(Self { label: label.to_owned(), stack, taps })
    }

    /// One layer on states of another run: what that layer does by itself.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn layer(&self, i: usize, input: &[f32], batch: &TokenBatch) -> Result<TapStates, RunError> {
        self.states(batch, self.stack.layer(i, input, batch.offsets())?)
    }

    fn states(&self, batch: &TokenBatch, values: Vec<f32>) -> Result<TapStates, RunError> {
        TapStates::ragged(self.stack.hidden(), batch.offsets(), values)
            .map_err(|e| RunError::Failed { encoder: self.label.clone(), message: e.to_string() })
    }
}

impl Encoder for NativeEncoder {
    fn describe(&self) -> String {
        self.label.clone()
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn encode(&mut self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        let mut out = HiddenStates::new();
        let mut x = self.stack.embed(batch)?; // [tokens, hidden]
        for i in 0..self.stack.layers() {
            let next = self.stack.layer(i, &x, batch.offsets())?;
            let tap = if i == 0 { Tap::Embeddings } else { Tap::Layer(i - 1) };
            out.insert(tap, Arc::new(self.states(batch, std::mem::replace(&mut x, next))?));
        }
        let last = Arc::new(self.states(batch, x)?);
        out.insert(Tap::Layer(self.stack.layers().saturating_sub(1)), Arc::clone(&last));
        out.insert(Tap::Final, last);
        Ok(out)
    }
}
