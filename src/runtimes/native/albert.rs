//! ALBERT (Lan et al. 2020): narrow embeddings, and layers that share their weights. Ported from transformers
//! `models/albert/modeling_albert.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/albert/modeling_albert.py>.

use super::blocks::{LayerNames, LearnedEmbeddings, Positions, PostNorm};
use super::config::{absolute_positions, activation, must_be, unsupported};
use super::keys::{ABSOLUTE, Key};
use super::model::Model;
use super::parameters::{Inventory, Parameter, linear};
use super::{Architecture, NativeError, bert};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["albert"], parameters, ignorable, keys: &[KEYS, ABSOLUTE], build };

const KEYS: &[Key] = &[
    Key::whole(&["type_vocab_size"], DEFAULT_TYPES, "how many token types there are"),
    Key::whole(&["embedding_size"], DEFAULT_WIDTH, "the width of the tables"),
    Key::whole(&["num_hidden_groups"], DEFAULT_GROUPS, "which layers share their weights"),
    Key::whole(&["inner_group_num"], 1, "how many layers a group has"),
];

const NAMES: LayerNames = LayerNames {
    projections: ["attention.query", "attention.key", "attention.value"],
    attention_output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: "ffn",
    down: "ffn_output",
    output_norm: "full_layer_layer_norm",
};

/// `embedding_size`, `type_vocab_size`, `num_hidden_groups` and `hidden_act` where the configuration states none
/// (transformers `AlbertConfig`).
const DEFAULT_WIDTH: usize = 128;
const DEFAULT_TYPES: usize = 2;
const DEFAULT_GROUPS: usize = 1;
/// Widest embeddings and most groups believed.
const MAX: usize = 65_536;

/// Widths of the tables and number of groups; values that are none are told of by [`build`].
fn sizes(config: &ModelConfig) -> (usize, usize) {
    let read = |name, default| config.whole(name, MAX).ok().flatten().unwrap_or(default);
    // More groups than layers are none of this architecture's, and are not to be listed by the thousand.
    let groups = read("num_hidden_groups", DEFAULT_GROUPS).min(config.num_hidden_layers + 1);
    (read("embedding_size", DEFAULT_WIDTH), groups)
}

/// Where a group's one layer is.
fn group(g: usize) -> String {
    format!("encoder.albert_layer_groups.{g}.albert_layers.0")
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let ((width, groups), hidden) = (sizes(config), config.hidden_size);
    let mut all = Inventory::default();
    all.table("embeddings.word_embeddings", config.vocab_size, width);
    all.table("embeddings.token_type_embeddings", config.type_vocab_size.unwrap_or(DEFAULT_TYPES), width);
    all.table("embeddings.position_embeddings", config.max_position_embeddings, width);
    all.norm("embeddings.LayerNorm", width);
    all.linear("encoder.embedding_hidden_mapping_in", width, hidden);
    for g in 0..groups {
        NAMES.list(&mut all, &group(g), config);
    }
    all.optional();
    all.linear("pooler", hidden, hidden);
    all.parameters
}

/// The heads of its tasks.
fn ignorable(name: &str) -> bool {
    bert::ignorable(name) || ["predictions.", "sop_classifier.", "classifier."].iter().any(|h| name.starts_with(h))
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    absolute_positions(config, label)?;
    must_be(config, label, "inner_group_num", &1.into(), "1 (a tap per layer)")?;
    config.whole("embedding_size", MAX)?;
    config.whole("num_hidden_groups", MAX)?;
    let ((width, groups), layers) = (sizes(config), config.num_hidden_layers);
    if groups > layers {
        return Err(unsupported(label, "num_hidden_groups", groups, &format!("at most its {layers} layers")));
    }
    let activation = activation(config, label)?;
    let types = config.type_vocab_size.unwrap_or(DEFAULT_TYPES);
    let narrow = bert::embeddings(config, weights, types, Positions::FromZero, width)?;
    let projection = linear(&weights.scope("encoder.embedding_hidden_mapping_in"), width, config.hidden_size)?;
    // `int(i / (layers / groups))`
    let which = (0..layers).map(|k| k * groups / layers).collect();
    let embeddings = LearnedEmbeddings { projection: Some(projection), ..narrow };
    let model = PostNorm::sharing(config, embeddings, which, groups, |g| {
        NAMES.load(config, &weights.scope(group(g)), activation, None)
    })?;
    bert::pooler(config, weights, "pooler")?;
    Ok(model)
}
