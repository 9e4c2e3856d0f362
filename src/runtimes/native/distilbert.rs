//! DistilBERT (Sanh et al. 2019): BERT without token types, under names of its own. Ported from transformers
//! `models/distilbert/modeling_distilbert.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/distilbert/modeling_distilbert.py>.

use super::blocks::{LayerNames, LearnedEmbeddings, Positions, PostNorm};
use super::config::activation;
use super::model::Model;
use super::parameters::{Inventory, Parameter, layer_norm, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["distilbert"], parameters, ignorable, keys: &[], build };

const NAMES: LayerNames = LayerNames {
    projections: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    output_norm: "output_layer_norm",
};

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let hidden = config.hidden_size;
    let mut all = Inventory::default();
    all.table("embeddings.word_embeddings", config.vocab_size, hidden);
    all.table("embeddings.position_embeddings", config.max_position_embeddings, hidden);
    all.norm("embeddings.LayerNorm", hidden);
    for k in 0..config.num_hidden_layers {
        NAMES.list(&mut all, &format!("transformer.layer.{k}"), config);
    }
    all.parameters
}

/// The heads of its tasks.
fn ignorable(name: &str) -> bool {
    ["vocab_", "pre_classifier.", "classifier.", "qa_outputs."].iter().any(|head| name.starts_with(head))
}

/// Every norm's ε is 1e-12 in upstream's code, whatever the configuration says; so is the default here.
fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    let (hidden, activation) = (config.hidden_size, activation(config, label)?);
    let at = weights.scope("embeddings");
    let positions = table(&at.below("position_embeddings"), config.max_position_embeddings, hidden)?;
    let embeddings = LearnedEmbeddings {
        word: table(&at.below("word_embeddings"), config.vocab_size, hidden)?,
        token_type: None,
        position: Some((positions, Positions::FromZero)),
        norm: layer_norm(&at.below("LayerNorm"), hidden, config.layer_norm_eps)?,
        projection: None,
        width: hidden,
    };
    let stack = weights.scope("transformer.layer");
    PostNorm::load(config, embeddings, |k| NAMES.load(config, &stack.below(k), activation, None))
}
