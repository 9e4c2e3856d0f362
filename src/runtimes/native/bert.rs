//! BERT (Devlin et al. 2018), ported from transformers `models/bert/modeling_bert.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/bert/modeling_bert.py>.
//!
//! Rows lie end to end, so there is no padding and no attention mask: a row's tokens see exactly the
//! row's tokens. Dropout is off. The pooler (tanh of the first token) feeds no tap and is only checked.

use std::ops::Range;

use rayon::prelude::*;

use super::model::{LayerOut, Limits, Model, Scratch};
use super::ops::{ACTIVATIONS, Activation, Heads, LayerNorm, PackedLinear, ProductError, attention};
use super::parameters::{Inventory, Parameter, Table, layer_norm, linear, linears, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, Scope, WeightSet};
use crate::tokens::TokenBatch;

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture = Architecture { model_types: &["bert"], parameters, ignorable, build };

/// `type_vocab_size` where the configuration states none (transformers `BertConfig`).
const DEFAULT_TYPES: usize = 2;

fn types(config: &ModelConfig) -> usize {
    config.type_vocab_size.unwrap_or(DEFAULT_TYPES)
}

/// Every tensor, in the order of the forward pass.
fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut all = Inventory::default();
    all.table("embeddings.word_embeddings", config.vocab_size, hidden);
    all.table("embeddings.token_type_embeddings", types(config), hidden);
    all.table("embeddings.position_embeddings", config.max_position_embeddings, hidden);
    all.norm("embeddings.LayerNorm", hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("encoder.layer.{k}.{part}");
        all.linear(&at("attention.self.query"), hidden, hidden);
        all.linear(&at("attention.self.key"), hidden, hidden);
        all.linear(&at("attention.self.value"), hidden, hidden);
        all.linear(&at("attention.output.dense"), hidden, hidden);
        all.norm(&at("attention.output.LayerNorm"), hidden);
        all.linear(&at("intermediate.dense"), hidden, inner);
        all.linear(&at("output.dense"), inner, hidden);
        all.norm(&at("output.LayerNorm"), hidden);
    }
    all.optional();
    all.linear("pooler.dense", hidden, hidden);
    all.parameters
}

/// Tensors of a BERT checkpoint that no hidden state depends on: the pretraining heads and the buffer
/// of positions that old exports stored.
fn ignorable(name: &str) -> bool {
    name.starts_with("cls.") || name == "position_ids" || name.ends_with(".position_ids")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    let unsupported = |field: &str, found: String, expected: String| NativeError::Unsupported {
        label: label.to_owned(),
        field: field.to_owned(),
        found,
        expected,
    };
    if config.position_embedding_type != "absolute" {
        let found = config.position_embedding_type.clone();
        return Err(unsupported("position_embedding_type", found, "`absolute`".to_owned()));
    }
    for field in ["is_decoder", "add_cross_attention"] {
        match config.raw().get(field) {
            None | Some(serde_json::Value::Null | serde_json::Value::Bool(false)) => {}
            Some(other) => return Err(unsupported(field, other.to_string(), "false (an encoder)".to_owned())),
        }
    }
    let known = ACTIVATIONS.iter().find(|(name, ..)| *name == config.hidden_act);
    let Some((.., activation)) = known else {
        let names: Vec<_> = ACTIVATIONS.iter().map(|(name, ..)| *name).collect();
        return Err(unsupported("hidden_act", config.hidden_act.clone(), format!("one of {}", names.join(", "))));
    };
    Ok(Box::new(Bert::load(config, weights, *activation)?))
}

/// The whole encoder.
struct Bert {
    limits: Limits,
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

/// `BertEmbeddings`.
struct Embeddings {
    word: Table,       // [vocab, hidden]
    token_type: Table, // [types, hidden]
    position: Table,   // [positions, hidden]
    norm: LayerNorm,
}

/// `BertLayer`: attention, then a feed-forward block, each followed by its residual and norm.
struct Layer {
    heads: Heads,
    activation: Activation,
    /// Query, key and value.
    projections: PackedLinear,
    attention_output: PackedLinear,
    attention_norm: LayerNorm,
    intermediate: PackedLinear,
    output: PackedLinear,
    output_norm: LayerNorm,
}

impl Bert {
    fn load(config: &ModelConfig, weights: &WeightSet, activation: Activation) -> Result<Self, NativeError> {
        let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
        let limits = Limits {
            hidden,
            layers: config.num_hidden_layers,
            vocab: config.vocab_size,
            positions: config.max_position_embeddings,
            types: types(config),
            final_norm: false,
        };
        let at = weights.scope("embeddings");
        let embeddings = Embeddings {
            word: table(&at.below("word_embeddings"), limits.vocab, hidden)?,
            token_type: table(&at.below("token_type_embeddings"), limits.types, hidden)?,
            position: table(&at.below("position_embeddings"), limits.positions, hidden)?,
            norm: layer_norm(&at.below("LayerNorm"), hidden, eps)?,
        };
        let stack = weights.scope("encoder.layer");
        let layers = (0..limits.layers).into_par_iter().map(|k| Layer::load(config, &stack.below(k), activation));
        // All of them first: the error told is the first layer's, whichever came first.
        let layers = layers.collect::<Vec<_>>().into_iter().collect::<Result<_, _>>()?;
        if weights.tensors().contains_key("pooler.dense.weight") {
            let pooler = weights.scope("pooler.dense");
            pooler.take("weight", &[hidden, hidden])?;
            pooler.take("bias", &[hidden])?;
        }
        Ok(Self { limits, embeddings, layers })
    }
}

impl Layer {
    fn load(config: &ModelConfig, at: &Scope<'_>, activation: Activation) -> Result<Self, NativeError> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let projections = ["query", "key", "value"].map(|part| at.below("attention.self").below(part));
        let count = config.num_attention_heads;
        Ok(Self {
            heads: Heads { count, width: hidden / count.max(1) },
            activation,
            projections: linears(&projections, hidden, hidden)?,
            attention_output: linear(&at.below("attention.output.dense"), hidden, hidden)?,
            attention_norm: layer_norm(&at.below("attention.output.LayerNorm"), hidden, eps)?,
            intermediate: linear(&at.below("intermediate.dense"), hidden, inner)?,
            output: linear(&at.below("output.dense"), inner, hidden)?,
            output_norm: layer_norm(&at.below("output.LayerNorm"), hidden, eps)?,
        })
    }

    /// `x` is `[tokens, hidden]`, and so is the result.
    fn forward(
        &self,
        x: &[f32],
        offsets: &[usize],
        out: LayerOut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), ProductError> {
        let tokens = offsets.last().copied().unwrap_or(0);

        // BertSelfAttention
        let projected = scratch.projected.of(tokens * self.projections.outputs()); // [tokens, 3 · hidden]
        self.projections.apply(x, projected)?;
        let context = scratch.context.of(x.len()); // [tokens, hidden]
        attention(projected, offsets, self.heads, &mut scratch.attention, context)?;

        // BertSelfOutput
        let attended = scratch.attended.of(x.len()); // [tokens, hidden]
        self.attention_output.apply(context, attended)?;
        self.attention_norm.apply_residual(attended, x);

        // BertIntermediate
        let inner = scratch.inner.of(tokens * self.intermediate.outputs()); // [tokens, intermediate]
        self.intermediate.apply(attended, inner)?;
        (self.activation)(inner);

        // BertOutput
        self.output.apply(inner, out.states)?; // [tokens, hidden]
        if let Some([attention, ffn]) = out.inside {
            attention.copy_from_slice(attended);
            ffn.copy_from_slice(out.states);
        }
        self.output_norm.apply_residual(out.states, attended);
        Ok(())
    }
}

impl Model for Bert {
    fn limits(&self) -> Limits {
        self.limits
    }

    /// LayerNorm(word + type + position), positions counted from 0 in every row.
    fn embed(&self, batch: &TokenBatch, rows: Range<usize>, out: &mut [f32]) {
        let Embeddings { word, token_type, position, norm } = &self.embeddings;
        let hidden = self.limits.hidden;
        let mut states = out.chunks_exact_mut(hidden);
        for r in rows {
            let tokens = batch.ids(r).iter().zip(batch.type_ids(r)).zip(&mut states);
            for (p, ((id, type_id), state)) in tokens.enumerate() {
                let word = word.row(*id as usize);
                let token_type = token_type.row(*type_id as usize);
                let position = position.row(p);
                for (((x, w), t), p) in state.iter_mut().zip(word).zip(token_type).zip(position) {
                    *x = w + t + p;
                }
            }
        }
        norm.apply(out);
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
}
