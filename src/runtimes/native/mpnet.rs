//! MPNet (Song et al. 2020): BERT without token types, whose layers add a learned bias by distance to their scores.
//! Ported from transformers `models/mpnet/modeling_mpnet.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/mpnet/modeling_mpnet.py>.

use std::sync::Arc;

use super::blocks::{LayerNames, LearnedEmbeddings, Positions, PostNorm};
use super::config::activation;
use super::keys::Key;
use super::model::Model;
use super::ops::RelativeBias;
use super::parameters::{Inventory, Parameter, layer_norm, table};
use super::{Architecture, NativeError, bert};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["mpnet"], parameters, ignorable, keys: &[KEYS], build };

const KEYS: &[Key] = &[Key::whole(&["relative_attention_num_buckets"], BUCKETS, "which distances share a bias")];

const NAMES: LayerNames = LayerNames {
    projections: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// The padding id is a constant in upstream's code.
const PADDING: u32 = 1;
/// `relative_attention_num_buckets` where the configuration states none (transformers `MPNetConfig`), and in
/// upstream's `compute_position_bias`, whatever it states.
const BUCKETS: usize = 32;
/// Distances from here on share a bucket (`max_distance`).
const FARTHEST: usize = 128;

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let hidden = config.hidden_size;
    let mut all = Inventory::default();
    all.table("embeddings.word_embeddings", config.vocab_size, hidden);
    all.table("embeddings.position_embeddings", config.max_position_embeddings, hidden);
    all.norm("embeddings.LayerNorm", hidden);
    all.table("encoder.relative_attention_bias", BUCKETS, config.num_attention_heads);
    for k in 0..config.num_hidden_layers {
        NAMES.list(&mut all, &format!("encoder.layer.{k}"), config);
    }
    all.optional();
    all.linear("pooler.dense", hidden, hidden);
    all.parameters
}

fn ignorable(name: &str) -> bool {
    bert::ignorable(name) || name.starts_with("lm_head.") || name.starts_with("classifier.")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    super::config::must_be(config, label, "relative_attention_num_buckets", &BUCKETS.into(), "32")?;
    let (hidden, activation) = (config.hidden_size, activation(config, label)?);
    let at = weights.scope("embeddings");
    let positions = table(&at.below("position_embeddings"), config.max_position_embeddings, hidden)?;
    let embeddings = LearnedEmbeddings {
        word: table(&at.below("word_embeddings"), config.vocab_size, hidden)?,
        token_type: None,
        position: Some((positions, Positions::AfterPadding(PADDING))),
        norm: layer_norm(&at.below("LayerNorm"), hidden, config.layer_norm_eps)?,
        projection: None,
        width: hidden,
    };
    let heads = config.num_attention_heads;
    let buckets = table(&weights.scope("encoder.relative_attention_bias"), BUCKETS, heads)?;
    let distances = -(FARTHEST as i64)..=FARTHEST as i64;
    let by_distance = (0..heads).flat_map(|h| distances.clone().map(move |d| (h, d)));
    let by_distance = by_distance.map(|(h, d)| buckets.row(bucket(d))[h]).collect();
    let bias = Arc::new(RelativeBias { by_distance, farthest: FARTHEST });
    let stack = weights.scope("encoder.layer");
    let model = PostNorm::load(config, embeddings, |k| {
        NAMES.load(config, &stack.below(k), activation, Some(Arc::clone(&bias)))
    })?;
    bert::pooler(config, weights, "pooler.dense")?;
    Ok(model)
}

/// The bucket of a key so many tokens ahead (`relative_position_bucket`): half of them for either direction, half of
/// those for single distances, the others growing with the logarithm.
fn bucket(ahead: i64) -> usize {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let (distance, first) = (ahead.unsigned_abs() as usize, if ahead > 0 { half } else { 0 });
    if distance < exact {
        return first + distance;
    }
    // In float32, as torch computes it: at the powers of two between, the rounding decides.
    let share = libm::logf(distance as f32 / exact as f32) / libm::log(FARTHEST as f64 / exact as f64) as f32;
    first + (exact + (share * (half - exact) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    /// What torch gives for upstream's function.
    #[test]
    fn buckets_are_upstreams() {
        let found: Vec<usize> = [-500, -128, -64, -16, -9, -8, -7, -1, 0, 1, 7, 8, 11, 12, 16, 32, 64, 127, 128]
            .map(super::bucket)
            .to_vec();
        assert_eq!(found, [15, 15, 14, 10, 8, 8, 7, 1, 0, 17, 23, 24, 24, 25, 26, 28, 30, 31, 31]);
    }
}
