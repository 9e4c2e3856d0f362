//! ELECTRA (Clark et al. 2020): BERT whose embeddings may be narrower than its states. Ported from transformers
//! `models/electra/modeling_electra.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/electra/modeling_electra.py>.

use super::blocks::{LayerNames, LearnedEmbeddings, Positions, PostNorm};
use super::config::{absolute_positions, activation, encoder_only};
use super::keys::{ABSOLUTE, ENCODER_ONLY, Key};
use super::model::Model;
use super::parameters::{Parameter, linear};
use super::{Architecture, NativeError, bert};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["electra"], parameters, ignorable, keys: &[KEYS, ENCODER_ONLY, ABSOLUTE], build };

const KEYS: &[Key] = &[
    Key::whole(&["type_vocab_size"], DEFAULT_TYPES, "how many token types there are"),
    Key::whole(&["embedding_size"], DEFAULT_WIDTH, "the width of the tables"),
];

/// `embedding_size` and `type_vocab_size` where the configuration states none (transformers `ElectraConfig`).
const DEFAULT_WIDTH: usize = 128;
const DEFAULT_TYPES: usize = 2;
/// Widest embeddings believed.
const MAX_WIDTH: usize = 65_536;

fn types(config: &ModelConfig) -> usize {
    config.type_vocab_size.unwrap_or(DEFAULT_TYPES)
}

/// Width of the tables; one that is no number is told of by [`build`].
fn width(config: &ModelConfig) -> usize {
    config.whole("embedding_size", MAX_WIDTH).ok().flatten().unwrap_or(DEFAULT_WIDTH)
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (width, hidden) = (width(config), config.hidden_size);
    let mut all = bert::inventory(config, types(config), width);
    all.parameters.retain(|p| !p.name.starts_with("pooler."));
    if width != hidden {
        all.required();
        all.linear("embeddings_project", width, hidden);
    }
    all.parameters
}

/// The heads of generator and discriminator.
fn ignorable(name: &str) -> bool {
    bert::ignorable(name) || name.starts_with("discriminator_") || name.starts_with("generator_")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    absolute_positions(config, label)?;
    encoder_only(config, label)?;
    config.whole("embedding_size", MAX_WIDTH)?;
    let (width, hidden, activation) = (width(config), config.hidden_size, activation(config, label)?);
    let narrow = bert::embeddings(config, weights, types(config), Positions::FromZero, width)?;
    let projection =
        (width != hidden).then(|| linear(&weights.scope("embeddings_project"), width, hidden)).transpose()?;
    let stack = weights.scope("encoder.layer");
    PostNorm::load(config, LearnedEmbeddings { projection, ..narrow }, |k| {
        LayerNames::BERT.load(config, &stack.below(k), activation, None)
    })
}
