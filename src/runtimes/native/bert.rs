//! BERT (Devlin et al. 2018), ported from transformers `models/bert/modeling_bert.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/bert/modeling_bert.py>.
//!
//! Rows lie end to end, so there is no padding and no attention mask: a row's tokens see exactly the
//! row's tokens. Dropout is off. The pooler (tanh of the first token) feeds no tap and is only checked.

use super::blocks::{LayerNames, LearnedEmbeddings, Positions, PostNorm};
use super::config::{absolute_positions, activation, encoder_only};
use super::keys::{ABSOLUTE, ENCODER_ONLY, Key};
use super::model::Model;
use super::parameters::{Inventory, Parameter, layer_norm, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["bert"], parameters, ignorable, keys: &[KEYS, ENCODER_ONLY, ABSOLUTE], build };

const KEYS: &[Key] = &[Key::whole(&["type_vocab_size"], DEFAULT_TYPES, "how many token types there are")];

/// `type_vocab_size` where the configuration states none (transformers `BertConfig`).
const DEFAULT_TYPES: usize = 2;

fn types(config: &ModelConfig) -> usize {
    config.type_vocab_size.unwrap_or(DEFAULT_TYPES)
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    inventory(config, types(config), config.hidden_size).parameters
}

/// Every tensor, in the order of the forward pass, of a model whose layers are BERT's; tables are `width` wide.
pub(super) fn inventory(config: &ModelConfig, types: usize, width: usize) -> Inventory {
    let hidden = config.hidden_size;
    let mut all = Inventory::default();
    all.table("embeddings.word_embeddings", config.vocab_size, width);
    all.table("embeddings.token_type_embeddings", types, width);
    all.table("embeddings.position_embeddings", config.max_position_embeddings, width);
    all.norm("embeddings.LayerNorm", width);
    for k in 0..config.num_hidden_layers {
        LayerNames::BERT.list(&mut all, &format!("encoder.layer.{k}"), config);
    }
    all.optional();
    all.linear("pooler.dense", hidden, hidden);
    all
}

/// Tensors of a BERT checkpoint that no hidden state depends on: the pretraining heads and the buffer
/// of positions that old exports stored.
pub(super) fn ignorable(name: &str) -> bool {
    name.starts_with("cls.") || name == "position_ids" || name.ends_with(".position_ids")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    load(config, weights, label, types(config), Positions::FromZero)
}

/// A model whose embeddings and layers are BERT's.
pub(super) fn load(
    config: &ModelConfig,
    weights: &WeightSet,
    label: &str,
    types: usize,
    positions: Positions,
) -> Result<Box<dyn Model>, NativeError> {
    absolute_positions(config, label)?;
    encoder_only(config, label)?;
    let activation = activation(config, label)?;
    let embeddings = embeddings(config, weights, types, positions, config.hidden_size)?;
    let stack = weights.scope("encoder.layer");
    let model =
        PostNorm::load(config, embeddings, |k| LayerNames::BERT.load(config, &stack.below(k), activation, None))?;
    pooler(config, weights, "pooler.dense")?;
    Ok(model)
}

/// `BertEmbeddings` with tables of `width` columns.
pub(super) fn embeddings(
    config: &ModelConfig,
    weights: &WeightSet,
    types: usize,
    positions: Positions,
    width: usize,
) -> Result<LearnedEmbeddings, NativeError> {
    let at = weights.scope("embeddings");
    Ok(LearnedEmbeddings {
        word: table(&at.below("word_embeddings"), config.vocab_size, width)?,
        token_type: Some(table(&at.below("token_type_embeddings"), types, width)?),
        position: Some((table(&at.below("position_embeddings"), config.max_position_embeddings, width)?, positions)),
        norm: layer_norm(&at.below("LayerNorm"), width, config.layer_norm_eps)?,
        projection: None,
        width,
    })
}

/// Takes the pooler, where the checkpoint has one.
pub(super) fn pooler(config: &ModelConfig, weights: &WeightSet, name: &str) -> Result<(), NativeError> {
    if weights.tensors().contains_key(&format!("{name}.weight")) {
        let pooler = weights.scope(name);
        pooler.take("weight", &[config.hidden_size, config.hidden_size])?;
        pooler.take("bias", &[config.hidden_size])?;
    }
    Ok(())
}
