//! Runtimes: whatever turns token ids into hidden states. One trait, [`Encoder`].

pub mod known;
pub mod native;
pub mod onnx;
mod padding;
pub mod recorded;

use std::sync::Arc;

use crate::hidden_states::{HiddenStates, Tap, TapStates};
use crate::tokens::TokenBatch;

/// Turns batches of token ids into hidden states at named taps. Threads share it, each with a batch of its own.
pub trait Encoder: Send + Sync {
    /// What this is, for people: "ONNX Runtime 1.32.0", "native encoder on mlx 8-bit weights".
    fn describe(&self) -> String;

    /// The taps it reports, in the order of the forward pass.
    fn taps(&self) -> &[Tap];

    /// Runs one batch. Every tap of [`Encoder::taps`] is in the answer, each with the batch's rows.
    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError>;

    /// The `embeddings` tap alone, without the layers behind it. None where a runtime runs a model only whole.
    fn embeddings(&self, _batch: &TokenBatch) -> Result<Option<Arc<TapStates>>, RunError> {
        Ok(None)
    }

    /// Layer `k` alone, fed with states from elsewhere (`[tokens, hidden]` rows), so that its own error can
    /// be told from what arrives. None where a runtime runs a model only whole.
    fn layer(&self, _k: usize, _states: &TapStates) -> Result<Option<TapStates>, RunError> {
        Ok(None)
    }
}

/// A forward pass that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A token id beyond the vocabulary.
    #[error("{encoder}: token id {id} is beyond its vocabulary of {vocab}")]
    TokenId {
        /// Which encoder.
        encoder: String,
        /// The id.
        id: u32,
        /// Rows of the word embedding table.
        vocab: usize,
    },
    /// A row longer than the position table.
    #[error("{encoder}: a row of {tokens} tokens is longer than its {limit} positions; lower --max-length")]
    TooLong {
        /// Which encoder.
        encoder: String,
        /// Tokens of the row.
        tokens: usize,
        /// Rows of the position embedding table.
        limit: usize,
    },
    /// The runtime itself refused.
    #[error("{encoder}: {message}")]
    Failed {
        /// Which encoder.
        encoder: String,
        /// Its own words, on one line.
        message: String,
    },
}
