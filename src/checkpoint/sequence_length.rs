//! How long a row may be: the one rule for both sides.

use serde_json::Value;

use super::{ModelConfig, SentenceModules};

/// `model_max_length` at or above this is transformers' "unlimited" (it writes 1e30).
const UNLIMITED: f64 = 1e9;
/// Model types whose positions start behind the padding id, and that id where the file states none; upstream's MPNet
/// has it as a constant.
const POSITIONS_AFTER_PADDING: &[(&str, u32)] =
    &[("roberta", 1), ("xlm-roberta", 1), ("camembert", 1), ("data2vec-text", 1), ("mpnet", 1)];

/// Tokens of the longest row that the model has positions for.
pub fn usable_positions(config: &ModelConfig) -> usize {
    let family = config.model_type.replace('_', "-");
    let reserved = match POSITIONS_AFTER_PADDING.iter().find(|(name, _)| *name == family) {
        Some(("mpnet", padding)) => *padding as usize + 1,
        Some((_, padding)) => config.pad_token_id.unwrap_or(*padding) as usize + 1,
        None => 0,
    };
    config.max_position_embeddings.saturating_sub(reserved)
}

/// The longest row a check uses, in tokens, special tokens included.
///
/// `chosen` on the command line, else what the folder states, else the smaller of the tokenizer's own
/// limit and the positions the model has (those after the padding id, for the RoBERTa family).
pub fn max_sequence_length(
    chosen: Option<usize>,
    modules: Option<&SentenceModules>,
    config: &ModelConfig,
    tokenizer_max: Option<usize>,
) -> usize {
    let positions = usable_positions(config);
    chosen
        .or_else(|| modules.and_then(|m| m.max_seq_length))
        .unwrap_or_else(|| tokenizer_max.map_or(positions, |n| n.min(positions)))
}

/// `model_max_length` of a `tokenizer_config.json`, unless it is transformers' "unlimited".
pub fn stated_model_max_length(tokenizer_config: &Value) -> Option<usize> {
    let stated = tokenizer_config.get("model_max_length")?.as_f64()?;
    (1.0..UNLIMITED).contains(&stated).then_some(stated as usize)
}
