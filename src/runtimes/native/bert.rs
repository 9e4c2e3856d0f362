//! BERT (Devlin et al. 2018, §3; the layer is that of Vaswani et al. 2017, §3.1, post-norm).
//!
//! Source: huggingface/transformers `models/bert/modeling_bert.py`, whose names the weights carry.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::ops::{ACTIVATIONS, LayerNorm, Linear, attention};
use super::{NativeError, Stack};
use crate::checkpoint::{ModelConfig, Scope, WeightError, WeightSet};
use crate::runtimes::RunError;
use crate::tokens::TokenBatch;

/// Weights of a BERT encoder.
pub(super) struct Bert {
    words: Vec<f32>,
    positions: Vec<f32>,
    types: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    hidden: usize,
    vocab: usize,
    max_positions: usize,
    type_vocab: usize,
    label: String,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    activation: fn(f32) -> f32,
    heads: usize,
}

/// Tensors a BERT checkpoint may hold that the encoder does not run.
pub(super) fn ignorable(name: &str) -> bool {
    ["pooler.", "cls."].iter().any(|p| name.starts_with(p))
}

/// Takes the weights of `config` out of `weights`.
pub(super) fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Stack>, NativeError> {
    let hidden = config.hidden_size;
    let embeddings = weights.scope("embeddings");
    let table = |name: &str, rows: usize| -> Result<Vec<f32>, WeightError> {
        Ok(embeddings.below(name).take("weight", &[rows, hidden])?.values.clone())
    };
    let layers = (0..config.num_hidden_layers)
        .map(|i| Layer::load(config, &weights.scope(format!("encoder.layer.{i}"))))
        .collect::<Result<_, NativeError>>()?;
    let pooler = weights.scope("pooler.dense");
    if weights.tensors().contains_key("pooler.dense.weight") {
        pooler.take("weight", &[hidden, hidden])?;
        pooler.take("bias", &[hidden])?;
    }
    Ok(Box::new(Bert {
        words: table("word_embeddings", config.vocab_size)?,
        positions: table("position_embeddings", config.max_position_embeddings)?,
        types: table("token_type_embeddings", config.type_vocab_size)?,
        norm: LayerNorm::load(&embeddings.below("LayerNorm"), hidden, config.layer_norm_eps)?,
        layers,
        hidden,
        vocab: config.vocab_size,
        max_positions: config.max_position_embeddings,
        type_vocab: config.type_vocab_size,
        label: label.to_owned(),
    }))
}

impl Layer {
    fn load(config: &ModelConfig, scope: &Scope<'_>) -> Result<Self, NativeError> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let activation = ACTIVATIONS.iter().find(|a| a.name == config.hidden_act).ok_or_else(|| {
            let known: Vec<_> = ACTIVATIONS.iter().map(|a| a.name).collect();
            NativeError::Activation { name: config.hidden_act.clone(), known: known.join(", ") }
        })?;
        let attention = scope.below("attention");
        Ok(Self {
            query: Linear::load(&attention.below("self.query"), hidden, hidden)?,
            key: Linear::load(&attention.below("self.key"), hidden, hidden)?,
            value: Linear::load(&attention.below("self.value"), hidden, hidden)?,
            attention_output: Linear::load(&attention.below("output.dense"), hidden, hidden)?,
            attention_norm: LayerNorm::load(&attention.below("output.LayerNorm"), hidden, eps)?,
            intermediate: Linear::load(&scope.below("intermediate.dense"), hidden, inner)?,
            output: Linear::load(&scope.below("output.dense"), inner, hidden)?,
            output_norm: LayerNorm::load(&scope.below("output.LayerNorm"), hidden, eps)?,
            activation: activation.apply,
            heads: config.num_attention_heads,
        })
    }

    /// `x` is `[tokens, hidden]`.
    fn forward(&self, x: &[f32], hidden: usize, offsets: &[usize]) -> Result<Vec<f32>, ndarray::ShapeError> {
        let tokens = x.len() / hidden;
        let (q, k, v) = (self.query.apply(x), self.key.apply(x), self.value.apply(x));
        let view = |m| ArrayView2::from_shape((tokens, hidden), m);
        let context = attention(view(&q)?, view(&k)?, view(&v)?, offsets, self.heads);
        let mut attended = self.attention_output.apply(&context); // [tokens, hidden]
        add(&mut attended, x);
        self.attention_norm.apply(&mut attended);
        let mut inner = self.intermediate.apply(&attended); // [tokens, intermediate]
        inner.par_chunks_mut(4096).for_each(|c| c.iter_mut().for_each(|v| *v = (self.activation)(*v)));
        let mut out = self.output.apply(&inner); // [tokens, hidden]
        add(&mut out, &attended);
        self.output_norm.apply(&mut out);
        Ok(out)
    }
}

impl Stack for Bert {
    fn hidden(&self) -> usize {
        self.hidden
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn embed(&self, batch: &TokenBatch) -> Result<Vec<f32>, RunError> {
        self.check(batch)?;
        let mut x = Vec::with_capacity(batch.tokens() * self.hidden); // [tokens, hidden]
        let row_of = |table: &[f32], i: usize| -> Vec<f32> { table[i * self.hidden..(i + 1) * self.hidden].to_vec() };
        for r in 0..batch.rows() {
            for (position, (&id, &kind)) in batch.ids(r).iter().zip(batch.type_ids(r)).enumerate() {
                let mut state = row_of(&self.words, id as usize);
                add(&mut state, &row_of(&self.types, kind as usize));
                add(&mut state, &row_of(&self.positions, position));
                x.extend_from_slice(&state);
            }
        }
        self.norm.apply(&mut x);
        Ok(x)
    }

    fn layer(&self, i: usize, x: &[f32], offsets: &[usize]) -> Result<Vec<f32>, RunError> {
        let failed = |message: String| RunError::Failed { encoder: self.label.clone(), message };
        let layer = self.layers.get(i).ok_or_else(|| failed(format!("has no layer {i}")))?;
        layer.forward(x, self.hidden, offsets).map_err(|e| failed(e.to_string()))
    }
}

impl Bert {
    fn check(&self, batch: &TokenBatch) -> Result<(), RunError> {
        let encoder = || self.label.clone();
        if let Some(&id) = batch.all_ids().iter().find(|id| **id as usize >= self.vocab) {
            return Err(RunError::TokenId { encoder: encoder(), id, vocab: self.vocab });
        }
        if let Some(&id) = batch.all_type_ids().iter().find(|id| **id as usize >= self.type_vocab) {
            let message = format!("token type {id} is beyond its {} types", self.type_vocab);
            return Err(RunError::Failed { encoder: encoder(), message });
        }
        if batch.longest() > self.max_positions {
            return Err(RunError::TooLong { encoder: encoder(), tokens: batch.longest(), limit: self.max_positions });
        }
        Ok(())
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(a, b)| *a += b);
}
