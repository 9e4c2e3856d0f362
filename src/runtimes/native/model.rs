//! What an architecture gives the encoder: its stages, one call each.

use super::blocks::{AttentionMemory, FeedForwardMemory};
use super::buffer::Buffer;
use super::ops::{Compute, ProductError};
use crate::tokens::TokenBatch;

/// What a model can take and what it gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Width of a state.
    pub(super) hidden: usize,
    /// Number of layers.
    pub(super) layers: usize,
    /// Rows of the word embedding table.
    pub(super) vocab: usize,
    /// Tokens of the longest row.
    pub(super) positions: usize,
    /// Number of token types; none where the model has none and looks at no token's type.
    pub(super) types: Option<usize>,
    /// A norm follows the last layer, so `final` is not that layer's output.
    pub(super) final_norm: bool,
}

/// One loaded encoder, taken apart at its taps. Private to this room: the outside sees
/// [`crate::runtimes::Encoder`].
pub(super) trait Model: Send + Sync {
    /// Its sizes.
    fn limits(&self) -> Limits;

    /// Ids within [`Limits`] of some of a batch's rows, into `out`: `[tokens, hidden]`.
    fn embed(
        &self,
        batch: &TokenBatch,
        rows: std::ops::Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), ProductError>;

    /// Layer `k < layers` on `[tokens, hidden]`, row `r` owning tokens `offsets[r]..offsets[r+1]`, into `out`.
    fn layer(
        &self,
        k: usize,
        states: &[f32],
        offsets: &[usize],
        out: LayerOut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError>;

    /// The norm behind the last layer, in place; called where [`Limits::final_norm`] says so.
    fn finish(&self, _states: &mut [f32], _compute: Compute) {}
}

/// Where a layer writes, each `[tokens, hidden]`.
pub(super) struct LayerOut<'a> {
    /// Its output.
    pub(super) states: &'a mut [f32],
    /// The taps inside it, where asked for: after attention with residual and norm, and the feed-forward block's
    /// output before its residual.
    pub(super) inside: Option<[&'a mut [f32]; 2]>,
}

/// Memory that a layer works in, kept from layer to layer.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// What every operation's result is rounded to.
    pub(super) compute: Compute,
    pub(super) attended: Buffer,
    pub(super) normed: Buffer,
    pub(super) attention: AttentionMemory,
    pub(super) feed_forward: FeedForwardMemory,
}
