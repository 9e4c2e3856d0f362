//! RoBERTa (Liu et al. 2019), XLM-RoBERTa (Conneau et al. 2020) and CamemBERT (Martin et al. 2020): BERT whose
//! positions are counted behind the padding id. Ported from transformers `models/roberta/modeling_roberta.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/roberta/modeling_roberta.py>.

use super::blocks::Positions;
use super::keys::{ABSOLUTE, ENCODER_ONLY, Key, PADDING_DECIDES};
use super::model::Model;
use super::parameters::Parameter;
use super::{Architecture, NativeError, bert};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    model_types: &["roberta", "xlm-roberta", "camembert", "data2vec-text"],
    parameters,
    ignorable,
    keys: &[KEYS, ENCODER_ONLY, ABSOLUTE],
    build,
};

const KEYS: &[Key] = &[
    Key::whole(&["type_vocab_size"], DEFAULT_TYPES, "how many token types there are"),
    Key::whole(&["pad_token_id"], DEFAULT_PADDING as usize, PADDING_DECIDES),
];

/// `pad_token_id` and `type_vocab_size` where the configuration states none (transformers `RobertaConfig`).
const DEFAULT_PADDING: u32 = 1;
const DEFAULT_TYPES: usize = 2;

fn types(config: &ModelConfig) -> usize {
    config.type_vocab_size.unwrap_or(DEFAULT_TYPES)
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    bert::inventory(config, types(config), config.hidden_size).parameters
}

/// The head of masked language models, and classifiers.
fn ignorable(name: &str) -> bool {
    bert::ignorable(name) || name.starts_with("lm_head.") || name.starts_with("classifier.")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    let padding = Positions::AfterPadding(config.pad_token_id.unwrap_or(DEFAULT_PADDING));
    bert::load(config, weights, label, types(config), padding)
}
