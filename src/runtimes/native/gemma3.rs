//! Gemma 3's text model (Gemma Team 2025) as EmbeddingGemma uses it: every token sees all others, in most layers
//! those in a window; norms before and after the blocks, whose γ is stored less one. Ported from transformers
//! `models/gemma3/modeling_gemma3.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/gemma3/modeling_gemma3.py>.

use std::sync::Arc;

use serde_json::Value;

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
    Architecture { model_types: &["gemma3-text"], parameters, ignorable, keys: &[KEYS], build };

const KEYS: &[Key] = &[
    Key::flag(&["attention_bias"], false, "whether attention has biases"),
    Key::absent(&["attn_logit_softcapping"], "how scores are capped"),
    Key::flag(&["use_bidirectional_attention"], false, "whether a token sees those behind it"),
    Key::whole(&["sliding_window"], DEFAULT_WINDOW, "how far the layers with a window see"),
    Key::resolved(
        &["layer_types", "_sliding_window_pattern", "sliding_window_pattern"],
        "which layers see every token",
        |c| Ok(reaches(c, c.file())?.into_iter().map(|(global, _)| global).collect::<Vec<_>>().into()),
    ),
    Key::resolved(&["query_pre_attn_scalar"], "how scores are scaled", |c| {
        Ok(c.positive("query_pre_attn_scalar")?.unwrap_or(DEFAULT_SCALAR).into())
    }),
    Key::resolved(&["num_key_value_heads"], "how many heads of keys there are", |c| Ok(heads(c).shared.into())),
    Key::resolved(&["head_dim"], "the width of a head", |c| Ok(heads(c).width.into())),
    Key::resolved(
        &["rope_theta", "rope_parameters", "rope_scaling", "partial_rotary_factor"],
        "the rotation's base in layers that see every token",
        |c| Ok(theta(c, c.file(), Some("full_attention"), "rope_theta", DEFAULT_THETAS.0)?.into()),
    ),
    Key::resolved(&["rope_local_base_freq"], "the rotation's base in layers with a window", |c| {
        Ok(theta(c, c.file(), Some("sliding_attention"), "rope_local_base_freq", DEFAULT_THETAS.1)?.into())
    }),
];

/// Where the configuration states none (transformers `Gemma3TextConfig`).
const DEFAULT_SHARED: usize = 4;
const DEFAULT_WIDTH: usize = 256;
const DEFAULT_SCALAR: f64 = 256.0;
const DEFAULT_WINDOW: usize = 4096;
const DEFAULT_PERIOD: usize = 6;
pub(super) const DEFAULT_THETAS: (f64, f64) = (1_000_000.0, 10_000.0);
/// Widest window and longest period believed.
const MAX: usize = 1 << 20;

fn heads(config: &ModelConfig) -> Heads {
    decoder::heads(config, DEFAULT_SHARED, DEFAULT_WIDTH)
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, heads) = (config.hidden_size, heads(config));
    let mut all = Inventory::default();
    all.table("embed_tokens", config.vocab_size, hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("layers.{k}.{part}");
        all.scale(&at("input_layernorm"), hidden);
        decoder::list_projections(&mut all, &format!("layers.{k}"), hidden, heads, false);
        all.scale(&at("self_attn.q_norm"), heads.width);
        all.scale(&at("self_attn.k_norm"), heads.width);
        all.matrix(&at("self_attn.o_proj"), heads.context(), hidden);
        all.scale(&at("post_attention_layernorm"), hidden);
        all.scale(&at("pre_feedforward_layernorm"), hidden);
        decoder::list_feed_forward(&mut all, &format!("layers.{k}"), config);
        all.scale(&at("post_feedforward_layernorm"), hidden);
    }
    all.scale("norm", hidden);
    all.parameters
}

/// The head that predicts words, and the Dense modules that MLX keeps beside the encoder.
fn ignorable(name: &str) -> bool {
    name.starts_with("lm_head.") || name.starts_with("dense.")
}

/// What every layer sees: all, or a window (`layer_types`, else one layer in `sliding_window_pattern` sees all).
pub(super) fn reaches(config: &ModelConfig, label: &str) -> Result<Vec<(bool, Reach)>, NativeError> {
    let both_ways = config.flag("use_bidirectional_attention")?.unwrap_or(false);
    let window = config.whole("sliding_window", MAX)?.unwrap_or(DEFAULT_WINDOW);
    let period = config.whole("_sliding_window_pattern", MAX)?.or(config.whole("sliding_window_pattern", MAX)?);
    let period = period.unwrap_or(DEFAULT_PERIOD);
    let everything = if both_ways { Reach::ALL } else { Reach::CAUSAL };
    // Both ways `distance < window / 2 + 1`; back alone `distance < window`.
    let near = if both_ways { Reach::within(window / 2) } else { Reach { back: window - 1, ahead: 0 } };
    let types = config.per_layer("layer_types")?.unwrap_or_else(|| {
        let kind = |k: usize| if (k + 1).is_multiple_of(period) { "full_attention" } else { "sliding_attention" };
        (0..config.num_hidden_layers).map(|k| kind(k).to_owned()).collect()
    });
    let reach = |name: &String| match name.as_str() {
        "full_attention" => Ok((true, everything)),
        "sliding_attention" => Ok((false, near)),
        other => Err(unsupported(label, "layer_types", other, "full_attention and sliding_attention")),
    };
    types.iter().map(reach).collect()
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    must_be(config, label, "attention_bias", &Value::Bool(false), "false")?;
    must_be(config, label, "attn_logit_softcapping", &Value::Null, "null")?;
    let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
    let (heads, activation, reaches) =
        (decoder::checked_heads(config, label, heads(config))?, activation(config, label)?, reaches(config, label)?);
    let scale = (1.0 / config.positive("query_pre_attn_scalar")?.unwrap_or(DEFAULT_SCALAR).sqrt()) as f32;
    let rotary = |kind, older, default| {
        theta(config, label, Some(kind), older, default).map(|theta| Arc::new(Rotary::new(theta, heads.width)))
    };
    let everywhere = rotary("full_attention", "rope_theta", DEFAULT_THETAS.0)?;
    let nearby = rotary("sliding_attention", "rope_local_base_freq", DEFAULT_THETAS.1)?;
    let norm =
        |name: &str, at: &crate::checkpoint::Scope<'_>| rms_norm(&at.below(name), hidden, eps, 1.0).map(Norm::Rms);
    let stack = weights.scope("layers");
    let layers = PreNorm::layers(config.num_hidden_layers, |k| {
        let at = stack.below(k);
        let attention = at.below("self_attn");
        let (global, reach) = reaches[k];
        Ok(PreNormLayer {
            before_attention: Some(norm("input_layernorm", &at)?),
            attention: SelfAttention {
                scale,
                reach,
                rotary: Some(Arc::clone(if global { &everywhere } else { &nearby })),
                head_norms: Some(HeadNorms {
                    query: rms_norm(&attention.below("q_norm"), heads.width, eps, 1.0)?,
                    key: rms_norm(&attention.below("k_norm"), heads.width, eps, 1.0)?,
                }),
                ..decoder::attention(&at, hidden, heads, false)?
            },
            after_attention: Some(norm("post_attention_layernorm", &at)?),
            before_feed_forward: norm("pre_feedforward_layernorm", &at)?,
            feed_forward: decoder::feed_forward(&at, config, activation)?,
            after_feed_forward: Some(norm("post_feedforward_layernorm", &at)?),
        })
    })?;
    Ok(Box::new(PreNorm {
        hidden,
        positions: config.max_position_embeddings,
        word: table(&weights.scope("embed_tokens"), config.vocab_size, hidden)?,
        scale: config.embedding_scale.unwrap_or((hidden as f64).sqrt()) as f32,
        embedding_norm: None,
        layers,
        final_norm: rms_norm(&weights.scope("norm"), hidden, eps, 1.0).map(Norm::Rms)?,
    }))
}
