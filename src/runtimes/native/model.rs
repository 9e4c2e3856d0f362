//! What an architecture gives the encoder: its stages, one call each.

use super::ops::ProductError;
use crate::hidden_states::Tap;
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
    /// Number of token types.
    pub(super) types: usize,
}

/// One loaded encoder, taken apart at its taps. Private to this room: the outside sees
/// [`crate::runtimes::Encoder`].
pub(super) trait Model: Send + Sync {
    /// Its sizes.
    fn limits(&self) -> Limits;

    /// Ids within [`Limits`] to `[tokens, hidden]`.
    fn embed(&self, batch: &TokenBatch) -> Vec<f32>;

    /// Layer `k < layers` on `[tokens, hidden]`, row `r` owning tokens `offsets[r]..offsets[r+1]`. Tells
    /// `observe` the states at the taps inside the layer.
    fn layer(
        &self,
        k: usize,
        states: &[f32],
        offsets: &[usize],
        observe: Observe<'_>,
    ) -> Result<Vec<f32>, ProductError>;

    /// The norm behind the last layer; none where `final` is the last layer's output itself.
    fn finish(&self, last: &[f32]) -> Option<Vec<f32>>;
}

/// Hears the states (`[tokens, hidden]`) at a tap inside a layer.
pub(super) type Observe<'a> = &'a mut dyn FnMut(Tap, &[f32]);
