//! The loop over the layers, and what it reports.

use std::borrow::Cow;
use std::sync::Arc;

use super::model::Model;
use super::ops::ProductError;
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, WeightSet};
use crate::hidden_states::{HiddenStates, LayoutError, Tap, TapStates};
use crate::runtimes::{Encoder, RunError};
use crate::tokens::TokenBatch;

/// A text encoder on float32 weights.
///
/// Uses the ambient rayon pool; its results do not depend on the pool's size, on the other rows of a
/// batch, or on the run.
pub struct NativeEncoder {
    label: String,
    model: Box<dyn Model>,
    taps: Vec<Tap>,
    inner_taps: bool,
}

impl NativeEncoder {
    /// Builds the architecture that `config` names on `weights`, every tensor of which must find its
    /// place. `label` says for people what the weights are ("mlx 8-bit weights").
    pub fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Self, NativeError> {
        let architecture = Architecture::of(config, label)?;
        let model = (architecture.build)(config, weights, label)?;
        weights.finish(architecture.ignorable)?;
        let mut encoder = Self { label: label.to_owned(), model, taps: Vec::new(), inner_taps: false };
        encoder.taps = encoder.all_taps();
        Ok(encoder)
    }

    /// Also reports the taps inside each layer (`layer.k.attention`, `layer.k.ffn`).
    pub fn with_inner_taps(mut self) -> Self {
        self.inner_taps = true;
        self.taps = self.all_taps();
        self
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.model.limits().layers
    }

    /// Width of a state.
    pub fn hidden(&self) -> usize {
        self.model.limits().hidden
    }

    fn all_taps(&self) -> Vec<Tap> {
        let inside = |k| if self.inner_taps { vec![Tap::Attention(k), Tap::Ffn(k)] } else { Vec::new() };
        let layers = (0..self.layers()).flat_map(|k| [inside(k), vec![Tap::Layer(k)]].concat());
        std::iter::once(Tap::Embeddings).chain(layers).chain([Tap::Final]).collect()
    }

    /// Refuses what the tables have no rows for.
    fn check(&self, batch: &TokenBatch) -> Result<(), RunError> {
        let limits = self.model.limits();
        if let Some(id) = batch.all_ids().iter().find(|id| **id as usize >= limits.vocab) {
            return Err(RunError::TokenId { encoder: self.describe(), id: *id, vocab: limits.vocab });
        }
        if let Some(id) = batch.all_type_ids().iter().find(|id| **id as usize >= limits.types) {
            return Err(self.failed(format!("token type id {id} is beyond its {} token types", limits.types)));
        }
        let tokens = batch.longest();
        if tokens > limits.positions {
            return Err(RunError::TooLong { encoder: self.describe(), tokens, limit: limits.positions });
        }
        Ok(())
    }

    fn states(&self, offsets: &[usize], values: Vec<f32>) -> Result<TapStates, RunError> {
        TapStates::ragged(self.hidden(), offsets, values).map_err(|e: LayoutError| self.failed(e.to_string()))
    }

    fn failed(&self, message: String) -> RunError {
        RunError::Failed { encoder: self.describe(), message }
    }

    fn product(&self, e: &ProductError) -> RunError {
        self.failed(e.to_string())
    }
}

/// Row offsets and all tokens as one `[tokens, hidden]` slice, copied only where padding lies between rows.
fn end_to_end(states: &TapStates) -> (Vec<usize>, Cow<'_, [f32]>) {
    let mut offsets = vec![0];
    for r in 0..states.rows() {
        offsets.push(offsets[r] + states.tokens(r));
    }
    let gathered = || (0..states.rows()).flat_map(|r| states.row(r)).copied().collect();
    (offsets, states.end_to_end().map_or_else(|| Cow::Owned(gathered()), Cow::Borrowed))
}

impl Encoder for NativeEncoder {
    fn describe(&self) -> String {
        format!("native encoder on {}", self.label)
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn encode(&mut self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        self.check(batch)?;
        let offsets = batch.offsets();
        let mut reported = HiddenStates::new();
        let mut states = Arc::new(self.states(offsets, self.model.embed(batch))?);
        reported.insert(Tap::Embeddings, Arc::clone(&states));
        for k in 0..self.layers() {
            let mut inside = Vec::new();
            let mut observe = |tap, values: &[f32]| {
                if self.inner_taps {
                    inside.push((tap, values.to_vec()));
                }
            };
            let (_, input) = end_to_end(&states);
            let next = self.model.layer(k, &input, offsets, &mut observe).map_err(|e| self.product(&e))?;
            for (tap, values) in inside {
                reported.insert(tap, Arc::new(self.states(offsets, values)?));
            }
            states = Arc::new(self.states(offsets, next)?);
            reported.insert(Tap::Layer(k), Arc::clone(&states));
        }
        if let Some(normed) = self.model.finish(&end_to_end(&states).1) {
            states = Arc::new(self.states(offsets, normed)?);
        }
        reported.insert(Tap::Final, states);
        Ok(reported)
    }

    fn layer(&mut self, k: usize, states: &TapStates) -> Result<Option<TapStates>, RunError> {
        if k >= self.layers() || states.hidden() != self.hidden() {
            let (layers, hidden, width) = (self.layers(), self.hidden(), states.hidden());
            let message = format!("layer {k} on states of width {width}: it has {layers} layers of width {hidden}");
            return Err(self.failed(message));
        }
        let (offsets, values) = end_to_end(states);
        let output = self.model.layer(k, &values, &offsets, &mut |_, _| {}).map_err(|e| self.product(&e))?;
        self.states(&offsets, output).map(Some)
    }
}

impl std::fmt::Debug for NativeEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NativeEncoder({}, {:?})", self.label, self.model.limits())
    }
}
