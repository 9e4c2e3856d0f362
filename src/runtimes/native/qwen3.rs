//! Qwen3 (Yang et al. 2025) as Qwen3-Embedding uses it: a decoder whose last token is the sentence. Every token sees
//! itself and those before it; fewer keys than queries, heads normalized before they are turned. Ported from
//! transformers `models/qwen3/modeling_qwen3.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/qwen3/modeling_qwen3.py>.

use std::sync::Arc;

use super::blocks::{HeadNorms, Norm, PreNorm, PreNormLayer, SelfAttention, decoder, theta};
use super::config::{activation, must_be, unsupported};
use super::keys::Key;
use super::model::Model;
use super::ops::{Heads, Reach, Rotary};
use super::parameters::{Inventory, Parameter, rms_norm, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["qwen3"], parameters, ignorable, keys: &[KEYS], build };

const KEYS: &[Key] = &[
    Key::flag(&["use_sliding_window"], false, "whether layers see a window only"),
    Key::resolved(&["layer_types"], "which layers see every token", |c| {
        let every = || vec!["full_attention".to_owned(); c.num_hidden_layers];
        Ok(c.per_layer("layer_types")?.unwrap_or_else(every).into())
    }),
    Key::flag(&["is_causal"], true, "whether a token sees those behind it"),
    Key::flag(&["use_bidirectional_attention"], false, "whether a token sees those behind it"),
    Key::flag(&["attention_bias"], false, "whether attention has biases"),
    Key::resolved(&["num_key_value_heads"], "how many heads of keys there are", |c| Ok(heads(c).shared.into())),
    Key::resolved(&["head_dim"], "the width of a head", |c| Ok(heads(c).width.into())),
    Key::resolved(
        &["rope_theta", "rope_parameters", "rope_scaling", "partial_rotary_factor"],
        "the rotation's base",
        |c| Ok(theta(c, c.file(), None, "rope_theta", DEFAULT_THETA)?.into()),
    ),
];

/// `head_dim` and the rotation's base where the configuration states none (transformers `Qwen3Config`).
const DEFAULT_WIDTH: usize = 128;
pub(super) const DEFAULT_THETA: f64 = 10_000.0;

fn heads(config: &ModelConfig) -> Heads {
    decoder::heads(config, config.num_attention_heads, DEFAULT_WIDTH)
}

fn biased(config: &ModelConfig) -> bool {
    config.flag("attention_bias").ok().flatten().unwrap_or(false)
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, heads, biased) = (config.hidden_size, heads(config), biased(config));
    let mut all = Inventory::default();
    all.table("embed_tokens", config.vocab_size, hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("layers.{k}.{part}");
        all.scale(&at("input_layernorm"), hidden);
        decoder::list_projections(&mut all, &format!("layers.{k}"), hidden, heads, biased);
        all.scale(&at("self_attn.q_norm"), heads.width);
        all.scale(&at("self_attn.k_norm"), heads.width);
        all.maybe_biased(&at("self_attn.o_proj"), heads.context(), hidden, biased);
        all.scale(&at("post_attention_layernorm"), hidden);
        decoder::list_feed_forward(&mut all, &format!("layers.{k}"), config);
    }
    all.scale("norm", hidden);
    all.parameters
}

/// The head that predicts words.
fn ignorable(name: &str) -> bool {
    name.starts_with("lm_head.") || name.starts_with("score.")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    for field in ["use_sliding_window", "use_bidirectional_attention"] {
        must_be(config, label, field, &false.into(), "false")?;
    }
    must_be(config, label, "is_causal", &true.into(), "true")?;
    if config.per_layer("layer_types")?.is_some_and(|types| types.iter().any(|t| t != "full_attention")) {
        return Err(unsupported(label, "layer_types", "other than full_attention", "full_attention in every layer"));
    }
    config.flag("attention_bias")?;
    let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
    let (heads, biased, activation) =
        (decoder::checked_heads(config, label, heads(config))?, biased(config), activation(config, label)?);
    let rotary = Arc::new(Rotary::new(theta(config, label, None, "rope_theta", DEFAULT_THETA)?, heads.width));
    let norm =
        |name: &str, at: &crate::checkpoint::Scope<'_>| rms_norm(&at.below(name), hidden, eps, 0.0).map(Norm::Rms);
    let stack = weights.scope("layers");
    let layers = PreNorm::layers(config.num_hidden_layers, |k| {
        let at = stack.below(k);
        let attention = at.below("self_attn");
        Ok(PreNormLayer {
            before_attention: Some(norm("input_layernorm", &at)?),
            attention: SelfAttention {
                reach: Reach::CAUSAL,
                rotary: Some(Arc::clone(&rotary)),
                head_norms: Some(HeadNorms {
                    query: rms_norm(&attention.below("q_norm"), heads.width, eps, 0.0)?,
                    key: rms_norm(&attention.below("k_norm"), heads.width, eps, 0.0)?,
                }),
                ..decoder::attention(&at, hidden, heads, biased)?
            },
            after_attention: None,
            before_feed_forward: norm("post_attention_layernorm", &at)?,
            feed_forward: decoder::feed_forward(&at, config, activation)?,
            after_feed_forward: None,
        })
    })?;
    Ok(Box::new(PreNorm {
        hidden,
        positions: config.max_position_embeddings,
        word: table(&weights.scope("embed_tokens"), config.vocab_size, hidden)?,
        scale: 1.0,
        embedding_norm: None,
        layers,
        final_norm: rms_norm(&weights.scope("norm"), hidden, eps, 0.0).map(Norm::Rms)?,
    }))
}
