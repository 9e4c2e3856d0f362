//! Layers whose norms precede the blocks: the residual stream itself is never normalized but at its end.

use std::ops::Range;

use rayon::prelude::*;

use super::super::NativeError;
use super::super::model::{LayerOut, Limits, Model, Scratch};
use super::super::ops::{Compute, LayerNorm, ProductError, RmsNorm};
use super::super::parameters::Table;
use super::{FeedForward, SelfAttention};
use crate::tokens::TokenBatch;

/// A norm of either kind.
pub(in crate::runtimes::native) enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    /// `states` is `[tokens, hidden]`.
    fn apply(&self, states: &mut [f32], compute: Compute) {
        match self {
            Self::Layer(norm) => norm.apply(states),
            Self::Rms(norm) => norm.apply(states),
        }
        compute.round(states);
    }
}

/// Attention, then a feed-forward block, each added to the stream it reads through a norm.
pub(in crate::runtimes::native) struct PreNormLayer {
    /// Missing where the stream is normalized already.
    pub(in crate::runtimes::native) before_attention: Option<Norm>,
    pub(in crate::runtimes::native) attention: SelfAttention,
    /// Of what attention adds.
    pub(in crate::runtimes::native) after_attention: Option<Norm>,
    pub(in crate::runtimes::native) before_feed_forward: Norm,
    pub(in crate::runtimes::native) feed_forward: FeedForward,
    /// Of what the feed-forward block adds.
    pub(in crate::runtimes::native) after_feed_forward: Option<Norm>,
}

fn add(states: &mut [f32], residual: &[f32], compute: Compute) {
    states.iter_mut().zip(residual).for_each(|(x, r)| *x += r);
    compute.round(states);
}

impl PreNormLayer {
    /// `x` is `[tokens, hidden]`, and so is the result.
    fn forward(
        &self,
        x: &[f32],
        offsets: &[usize],
        out: LayerOut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        let normed = scratch.normed.of(x.len()); // [tokens, hidden]
        let stream = scratch.attended.of(x.len()); // [tokens, hidden]
        let compute = scratch.compute;
        normed.copy_from_slice(x);
        self.before_attention.iter().for_each(|norm| norm.apply(normed, compute));
        self.attention.apply(normed, offsets, compute, &mut scratch.attention, stream)?;
        self.after_attention.iter().for_each(|norm| norm.apply(stream, compute));
        add(stream, x, compute);

        normed.copy_from_slice(stream);
        self.before_feed_forward.apply(normed, compute);
        self.feed_forward.apply(normed, compute, &mut scratch.feed_forward, out.states)?;
        self.after_feed_forward.iter().for_each(|norm| norm.apply(out.states, compute));
        if let Some([attention, ffn]) = out.inside {
            attention.copy_from_slice(stream);
            ffn.copy_from_slice(out.states);
        }
        add(out.states, stream, compute);
        Ok(())
    }
}

/// Word embeddings, a stack of such layers, and a norm.
pub(in crate::runtimes::native) struct PreNorm {
    pub(in crate::runtimes::native) hidden: usize,
    /// Tokens of the longest row.
    pub(in crate::runtimes::native) positions: usize,
    pub(in crate::runtimes::native) word: Table, // [vocab, hidden]
    /// Factor of the embeddings.
    pub(in crate::runtimes::native) scale: f32,
    pub(in crate::runtimes::native) embedding_norm: Option<Norm>,
    pub(in crate::runtimes::native) layers: Vec<PreNormLayer>,
    pub(in crate::runtimes::native) final_norm: Norm,
}

impl PreNorm {
    /// Layers `0..count`, loaded by many threads.
    pub(in crate::runtimes::native) fn layers(
        count: usize,
        layer: impl Fn(usize) -> Result<PreNormLayer, NativeError> + Sync,
    ) -> Result<Vec<PreNormLayer>, NativeError> {
        // All of them first: the error told is the first layer's, whichever came first.
        (0..count).into_par_iter().map(&layer).collect::<Vec<_>>().into_iter().collect()
    }
}

impl Model for PreNorm {
    fn limits(&self) -> Limits {
        Limits {
            hidden: self.hidden,
            layers: self.layers.len(),
            vocab: self.word.rows(),
            positions: self.positions,
            types: None,
            final_norm: true,
        }
    }

    fn embed(
        &self,
        batch: &TokenBatch,
        rows: Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        let ids = rows.flat_map(|r| batch.ids(r));
        for (id, state) in ids.zip(out.chunks_exact_mut(self.hidden)) {
            state.iter_mut().zip(self.word.row(*id as usize)).for_each(|(x, w)| *x = w * self.scale);
        }
        scratch.compute.round(out);
        self.embedding_norm.iter().for_each(|norm| norm.apply(out, scratch.compute));
        Ok(())
    }

    fn layer(
        &self,
        k: usize,
        states: &[f32],
        offsets: &[usize],
        out: LayerOut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        self.layers[k].forward(states, offsets, out, scratch)
    }

    fn finish(&self, states: &mut [f32], compute: Compute) {
        self.final_norm.apply(states, compute);
    }
}
