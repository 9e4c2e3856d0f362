//! The loop over the layers, and what it reports.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::error::unlike;
use super::model::{LayerOut, Model, Scratch};
use super::ops::{Compute, ProductError, inputs_of};
use super::recycled::Recycled;
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, Weight, WeightSet};
use crate::hidden_states::{HiddenStates, LayoutError, Tap, TapStates};
use crate::runtimes::{Encoder, RunError};
use crate::tokens::TokenBatch;

/// Tokens that go through a layer together: enough to fill the kernels whatever the rows' lengths, little enough for
/// the layer's states to stay in a core's cache.
const CHUNK_TOKENS: usize = 256;
/// Chunks that one thread takes through a layer before it goes on to the next one, at most: the layer's weights are
/// read from memory once for all of them. Against one chunk at a time through all layers, interleaved runs: 1.02 to 1.13
/// times as fast with 2 to 16 chunks.
const GROUP_CHUNKS: usize = 16;

/// A text encoder on float32 weights. Rows lie end to end, so no arithmetic is spent on padding.
///
/// Uses the ambient rayon pool; its results do not depend on the pool's size, on the other rows of a
/// batch, or on the run.
pub struct NativeEncoder {
    label: String,
    model: Box<dyn Model>,
    taps: Vec<Tap>,
    inner_taps: bool,
    compute: Compute,
}

impl NativeEncoder {
    /// Builds the architecture that `config` names on `weights`, every tensor of which must find its
    /// place. `label` says for people what the weights are ("mlx 8-bit weights").
    pub fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Self, NativeError> {
        let architecture = Architecture::of(config, label).map_err(|_| unlike(config, weights, label))?;
        let model = (architecture.build)(&architecture.declared(config), weights, label)?;
        weights.finish(architecture.ignorable)?;
        let mut encoder =
            Self { label: label.to_owned(), model, taps: Vec::new(), inner_taps: false, compute: Compute::F32 };
        encoder.taps = encoder.all_taps();
        Ok(encoder)
    }

    /// Also reports the taps inside each layer (`layer.k.attention`, `layer.k.ffn`).
    pub fn with_inner_taps(mut self) -> Self {
        self.inner_taps = true;
        self.taps = self.all_taps();
        self
    }

    /// Rounds what every operation gives, as a device does that computes in half precision: the error it adds to that of
    /// the weights. Products and sums themselves are of float32, as they are in its matrix units.
    pub fn computing_in(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.model.limits().layers
    }

    /// Tokens of the longest row it can take: for the RoBERTa family fewer than `max_position_embeddings`, because
    /// positions are counted behind the padding id.
    pub fn positions(&self) -> usize {
        self.model.limits().positions
    }

    /// Token ids it knows: rows of the word embedding table.
    pub fn vocab(&self) -> usize {
        self.model.limits().vocab
    }

    /// Width of a state.
    pub fn hidden(&self) -> usize {
        self.model.limits().hidden
    }

    /// What some of its own linear layers inside layer `k` are fed with when the layer is given these states:
    /// `[tokens, inputs]` for each weight, empty for one that is not a linear layer's there.
    ///
    /// # Errors
    /// Layers that it has not, states of another width.
    pub fn inputs_in_layer(
        &self,
        k: usize,
        states: &TapStates,
        weights: &[&Weight],
    ) -> Result<Vec<Vec<f32>>, RunError> {
        self.fits(k, states)?;
        let (offsets, values) = end_to_end(states);
        let panels: Vec<_> = weights.iter().map(|weight| weight.panels()).collect();
        let run = || {
            let mut output = vec![0.0; values.len()];
            let out = LayerOut { states: &mut output, inside: None };
            with_scratch(self.compute, |scratch| self.model.layer(k, &values, &offsets, out, scratch))
        };
        let (done, inputs) = inputs_of(&panels, run);
        done.map_err(|e| self.product(&e)).map(|()| inputs)
    }

    fn fits(&self, k: usize, states: &TapStates) -> Result<(), RunError> {
        if k < self.layers() && states.hidden() == self.hidden() {
            return Ok(());
        }
        let (layers, hidden, width) = (self.layers(), self.hidden(), states.hidden());
        let message = format!("layer {k} on states of width {width}: it has {layers} layers of width {hidden}");
        Err(self.failed(message))
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
        if let Some(types) = limits.types
            && let Some(id) = batch.all_type_ids().iter().find(|id| **id as usize >= types)
        {
            return Err(self.failed(format!("token type id {id} is beyond its {types} token types")));
        }
        let tokens = batch.longest();
        if tokens > limits.positions {
            return Err(RunError::TooLong { encoder: self.describe(), tokens, limit: limits.positions });
        }
        Ok(())
    }

    fn states(&self, offsets: &[usize], values: Recycled) -> Result<TapStates, RunError> {
        TapStates::ragged_in(self.hidden(), offsets, Box::new(values))
            .map_err(|e: LayoutError| self.failed(e.to_string()))
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

/// Rows that go through a layer together, by number: as many as fit [`CHUNK_TOKENS`], at least one.
fn chunks(offsets: &[usize]) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut first = 0;
    for r in 1..offsets.len() {
        if r > first + 1 && offsets[r] - offsets[first] > CHUNK_TOKENS {
            chunks.push(first..r - 1);
            first = r - 1;
        }
    }
    if first + 1 < offsets.len() {
        chunks.push(first..offsets.len() - 1);
    }
    chunks
}

/// The chunk's rows, their tokens counted from 0.
fn rebased(offsets: &[usize], chunk: &Range<usize>) -> Vec<usize> {
    offsets[chunk.start..=chunk.end].iter().map(|o| o - offsets[chunk.start]).collect()
}

/// Cuts a `[tokens, hidden]` buffer into the chunks' parts.
fn split<'a>(
    mut buffer: &'a mut [f32],
    offsets: &'a [usize],
    chunks: &'a [Range<usize>],
    hidden: usize,
) -> impl Iterator<Item = &'a mut [f32]> {
    chunks.iter().map(move |chunk| {
        let len = (offsets[chunk.end] - offsets[chunk.start]) * hidden;
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(len);
        buffer = rest;
        part
    })
}

/// Runs `f` with this thread's working memory.
fn with_scratch<R>(compute: Compute, f: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    let mut scratch = SCRATCH.take();
    scratch.compute = compute;
    let result = f(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// A chunk's rows, and its part of every tap's buffer, in the order of the forward pass; `final` only where a norm
/// makes it another tensor than the last layer's output.
type ChunkWork<'a> = (&'a Range<usize>, Vec<&'a mut [f32]>);

impl NativeEncoder {
    /// Some chunks through the whole model, layer by layer: a layer's weights are read from memory once for all of them.
    fn forward(
        &self,
        batch: &TokenBatch,
        group: &mut [ChunkWork<'_>],
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        for (rows, out) in &mut *group {
            if let Some(embeddings) = out.first_mut() {
                self.model.embed(batch, (*rows).clone(), embeddings, scratch)?;
            }
        }
        let step = if self.inner_taps { 3 } else { 1 };
        for k in 0..self.layers() {
            for (rows, out) in &mut *group {
                let (before, behind) = out.split_at_mut(k * step + 1);
                let (Some(states), Some((next, inside))) = (before.last(), behind[..step].split_last_mut()) else {
                    continue;
                };
                let inside = <&mut [_; 2]>::try_from(inside).ok().map(|[a, f]| [&mut **a, &mut **f]);
                let out = LayerOut { states: next, inside };
                self.model.layer(k, states, &rebased(batch.offsets(), rows), out, scratch)?;
            }
        }
        for (_, out) in &mut *group {
            if let [.., last, norm] = &mut out[self.layers() * step..] {
                norm.copy_from_slice(last);
                self.model.finish(norm, scratch.compute);
            }
        }
        Ok(())
    }
}

impl Encoder for NativeEncoder {
    fn describe(&self) -> String {
        format!("native encoder on {}", self.label)
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        self.check(batch)?;
        let (offsets, hidden) = (batch.offsets(), self.hidden());
        let mut buffers: Vec<(Tap, Recycled)> = Vec::new();
        for tap in self.taps.iter().filter(|t| **t != Tap::Final || self.model.limits().final_norm) {
            buffers.push((*tap, Recycled::of(batch.tokens() * hidden)));
        }
        let chunks = chunks(offsets);
        let mut work: Vec<ChunkWork<'_>> =
            chunks.iter().map(|rows| (rows, Vec::with_capacity(buffers.len()))).collect();
        for (_, buffer) in &mut buffers {
            work.iter_mut()
                .zip(split(buffer.as_mut(), offsets, &chunks, hidden))
                .for_each(|((_, parts), part)| parts.push(part));
        }
        let threads = rayon::current_num_threads();
        let groups = work.len().div_ceil(GROUP_CHUNKS).next_multiple_of(threads);
        let size = work.len().div_ceil(groups.max(1)).max(1);
        work.par_chunks_mut(size)
            .try_for_each(|group| with_scratch(self.compute, |scratch| self.forward(batch, group, scratch)))
            .map_err(|e| self.product(&e))?;

        let mut reported = HiddenStates::new();
        for (tap, values) in buffers {
            reported.insert(tap, Arc::new(self.states(offsets, values)?));
        }
        let last = self.layers().checked_sub(1).map_or(Tap::Embeddings, Tap::Layer);
        if let (None, Some(last)) = (reported.get(Tap::Final), reported.get(last).cloned()) {
            reported.insert(Tap::Final, last);
        }
        Ok(reported)
    }

    fn embeddings(&self, batch: &TokenBatch) -> Result<Option<Arc<TapStates>>, RunError> {
        self.check(batch)?;
        let mut values = Recycled::of(batch.tokens() * self.hidden());
        let rows = 0..batch.rows();
        with_scratch(self.compute, |scratch| self.model.embed(batch, rows, values.as_mut(), scratch))
            .map_err(|e| self.product(&e))?;
        Ok(Some(Arc::new(self.states(batch.offsets(), values)?)))
    }

    fn layer(&self, k: usize, states: &TapStates) -> Result<Option<TapStates>, RunError> {
        self.fits(k, states)?;
        let (offsets, values) = end_to_end(states);
        let hidden = self.hidden();
        let mut output = Recycled::of(values.len());
        let chunks = chunks(&offsets);
        let run = |(rows, out): (&Range<usize>, &mut [f32])| {
            let values = &values[offsets[rows.start] * hidden..offsets[rows.end] * hidden];
            let out = LayerOut { states: out, inside: None };
            with_scratch(self.compute, |scratch| self.model.layer(k, values, &rebased(&offsets, rows), out, scratch))
        };
        let parts: Vec<&mut [f32]> = split(output.as_mut(), &offsets, &chunks, hidden).collect();
        chunks.par_iter().zip(parts).try_for_each(run).map_err(|e| self.product(&e))?;
        self.states(&offsets, output).map(Some)
    }
}

impl std::fmt::Debug for NativeEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NativeEncoder({}, {:?})", self.label, self.model.limits())
    }
}
