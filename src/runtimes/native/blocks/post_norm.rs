//! Layers whose norms follow the blocks: BERT and what came of it.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::NativeError;
use super::super::model::{LayerOut, Limits, Model, Scratch};
use super::super::ops::{Activation, Compute, Heads, LayerNorm, ProductError, RelativeBias};
use super::super::parameters::{Inventory, layer_norm, linear, linears};
use super::{FeedForward, LearnedEmbeddings, SelfAttention};
use crate::checkpoint::{ModelConfig, Scope};
use crate::tokens::TokenBatch;

/// What an architecture calls the parts of a layer.
pub(in crate::runtimes::native) struct LayerNames {
    pub(in crate::runtimes::native) projections: [&'static str; 3],
    pub(in crate::runtimes::native) attention_output: &'static str,
    pub(in crate::runtimes::native) attention_norm: &'static str,
    pub(in crate::runtimes::native) up: &'static str,
    pub(in crate::runtimes::native) down: &'static str,
    pub(in crate::runtimes::native) output_norm: &'static str,
}

impl LayerNames {
    /// BERT's.
    pub(in crate::runtimes::native) const BERT: Self = Self {
        projections: ["attention.self.query", "attention.self.key", "attention.self.value"],
        attention_output: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
        up: "intermediate.dense",
        down: "output.dense",
        output_norm: "output.LayerNorm",
    };

    /// The tensors of a layer below `prefix`, in the order of the forward pass.
    pub(in crate::runtimes::native) fn list(&self, all: &mut Inventory, prefix: &str, config: &ModelConfig) {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let at = |part: &str| format!("{prefix}.{part}");
        self.projections.iter().for_each(|part| all.linear(&at(part), hidden, hidden));
        all.linear(&at(self.attention_output), hidden, hidden);
        all.norm(&at(self.attention_norm), hidden);
        all.linear(&at(self.up), hidden, inner);
        all.linear(&at(self.down), inner, hidden);
        all.norm(&at(self.output_norm), hidden);
    }

    /// A layer with these names below `at`.
    pub(in crate::runtimes::native) fn load(
        &self,
        config: &ModelConfig,
        at: &Scope<'_>,
        activation: Activation,
        bias: Option<Arc<RelativeBias>>,
    ) -> Result<PostNormLayer, NativeError> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let heads = Heads::own(config.num_attention_heads, hidden / config.num_attention_heads.max(1));
        let projections = self.projections.map(|part| at.below(part));
        let projections = linears(&projections, hidden, hidden)?;
        let output = linear(&at.below(self.attention_output), hidden, hidden)?;
        Ok(PostNormLayer {
            attention: SelfAttention { bias, ..SelfAttention::new(heads, projections, output) },
            attention_norm: layer_norm(&at.below(self.attention_norm), hidden, eps)?,
            feed_forward: FeedForward {
                up: linear(&at.below(self.up), hidden, inner)?,
                activation,
                gated: false,
                down: linear(&at.below(self.down), inner, hidden)?,
            },
            output_norm: layer_norm(&at.below(self.output_norm), hidden, eps)?,
        })
    }
}

/// Attention, then a feed-forward block, each followed by its residual and norm (Vaswani et al. 2017).
pub(in crate::runtimes::native) struct PostNormLayer {
    pub(in crate::runtimes::native) attention: SelfAttention,
    pub(in crate::runtimes::native) attention_norm: LayerNorm,
    pub(in crate::runtimes::native) feed_forward: FeedForward,
    pub(in crate::runtimes::native) output_norm: LayerNorm,
}

impl PostNormLayer {
    /// `x` is `[tokens, hidden]`, and so is the result.
    fn forward(
        &self,
        x: &[f32],
        offsets: &[usize],
        out: LayerOut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        let attended = scratch.attended.of(x.len()); // [tokens, hidden]
        let compute = scratch.compute;
        self.attention.apply(x, offsets, compute, &mut scratch.attention, attended)?;
        normed_sum(&self.attention_norm, attended, x, compute);
        self.feed_forward.apply(attended, compute, &mut scratch.feed_forward, out.states)?;
        if let Some([attention, ffn]) = out.inside {
            attention.copy_from_slice(attended);
            ffn.copy_from_slice(out.states);
        }
        normed_sum(&self.output_norm, out.states, attended, compute);
        Ok(())
    }
}

/// `states` becomes norm(states + residual): one pass where nothing is rounded between.
fn normed_sum(norm: &LayerNorm, states: &mut [f32], residual: &[f32], compute: Compute) {
    if compute == Compute::F32 {
        norm.apply_residual(states, residual);
    } else {
        states.iter_mut().zip(residual).for_each(|(x, r)| *x += r);
        compute.round(states);
        norm.apply(states);
        compute.round(states);
    }
}

/// Learned embeddings and a stack of such layers.
pub(in crate::runtimes::native) struct PostNorm {
    limits: Limits,
    embeddings: LearnedEmbeddings,
    layers: Vec<PostNormLayer>,
    /// Which of `layers` the layer of a number is, where some are the same.
    which: Vec<usize>,
}

impl PostNorm {
    /// `layer(k)` loads layer `k`; layers are loaded by many threads.
    pub(in crate::runtimes::native) fn load(
        config: &ModelConfig,
        embeddings: LearnedEmbeddings,
        layer: impl Fn(usize) -> Result<PostNormLayer, NativeError> + Send + Sync,
    ) -> Result<Box<dyn Model>, NativeError> {
        let all = 0..config.num_hidden_layers;
        Self::sharing(config, embeddings, all.collect(), config.num_hidden_layers, layer)
    }

    /// Where layer `k` is the `which[k]`th of `distinct` ones.
    pub(in crate::runtimes::native) fn sharing(
        config: &ModelConfig,
        embeddings: LearnedEmbeddings,
        which: Vec<usize>,
        distinct: usize,
        layer: impl Fn(usize) -> Result<PostNormLayer, NativeError> + Send + Sync,
    ) -> Result<Box<dyn Model>, NativeError> {
        let limits = embeddings.limits(config.hidden_size, which.len(), config.max_position_embeddings);
        let layers = (0..distinct).into_par_iter().map(&layer);
        // All of them first: the error told is the first layer's, whichever came first.
        let layers = layers.collect::<Vec<_>>().into_iter().collect::<Result<_, _>>()?;
        Ok(Box::new(Self { limits, embeddings, layers, which }))
    }
}

impl Model for PostNorm {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn embed(
        &self,
        batch: &TokenBatch,
        rows: Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        self.embeddings.apply(batch, rows, scratch.compute, &mut scratch.attended, out)
    }

    fn layer(
        &self,
        k: usize,
        states: &[f32],
        offsets: &[usize],
        out: LayerOut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        self.layers[self.which[k]].forward(states, offsets, out, scratch)
    }
}
