//! Qwen3 (Yang et al. 2025) as Qwen3-Embedding uses it: a decoder whose last token is the sentence. Every token sees
//! itself and those before it; fewer keys than queries, heads normalized before they are turned. Ported from
//! transformers `models/qwen3/modeling_qwen3.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/qwen3/modeling_qwen3.py>.

use std::sync::Arc;

use super::blocks::{FeedForward, HeadNorms, Norm, PreNorm, PreNormLayer, SelfAttention, theta};
use super::config::{activation, must_be, unsupported};
use super::model::Model;
use super::ops::{Heads, Reach, Rotary};
use super::parameters::{Inventory, Parameter, rms_norm, side_by_side, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, PoolingMode, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    model_types: &["qwen3"],
    parameters,
    ignorable,
    mlx: &[],
    mlx_pooling: Some(PoolingMode::LastToken),
    build,
};

/// `head_dim` and the rotation's base where the configuration states none (transformers `Qwen3Config`).
const DEFAULT_WIDTH: usize = 128;
const DEFAULT_THETA: f64 = 10_000.0;
/// Widest head and most heads believed.
const MAX: usize = 65_536;

/// Query heads, key and value heads, and their width; values that are none are told of by [`build`].
fn heads(config: &ModelConfig) -> Heads {
    let read = |name, default| config.whole(name, MAX).ok().flatten().unwrap_or(default);
    let count = config.num_attention_heads;
    Heads { count, shared: read("num_key_value_heads", count), width: read("head_dim", DEFAULT_WIDTH) }
}

fn biased(config: &ModelConfig) -> bool {
    config.flag("attention_bias").ok().flatten().unwrap_or(false)
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, inner, heads, biased) = (config.hidden_size, config.intermediate_size, heads(config), biased(config));
    let mut all = Inventory::default();
    all.table("embed_tokens", config.vocab_size, hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("layers.{k}.{part}");
        all.scale(&at("input_layernorm"), hidden);
        all.maybe_biased(&at("self_attn.q_proj"), hidden, heads.context(), biased);
        all.maybe_biased(&at("self_attn.k_proj"), hidden, heads.shared * heads.width, biased);
        all.maybe_biased(&at("self_attn.v_proj"), hidden, heads.shared * heads.width, biased);
        all.scale(&at("self_attn.q_norm"), heads.width);
        all.scale(&at("self_attn.k_norm"), heads.width);
        all.maybe_biased(&at("self_attn.o_proj"), heads.context(), hidden, biased);
        all.scale(&at("post_attention_layernorm"), hidden);
        all.matrix(&at("mlp.gate_proj"), hidden, inner);
        all.matrix(&at("mlp.up_proj"), hidden, inner);
        all.matrix(&at("mlp.down_proj"), inner, hidden);
    }
    all.scale("norm", hidden);
    all.parameters
}

/// The head that predicts words.
fn ignorable(name: &str) -> bool {
    name.starts_with("lm_head.") || name.starts_with("score.")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    must_be(config, label, "use_sliding_window", &false.into(), "false")?;
    if config.per_layer("layer_types")?.is_some_and(|types| types.iter().any(|t| t != "full_attention")) {
        return Err(unsupported(label, "layer_types", "other than full_attention", "full_attention in every layer"));
    }
    for name in ["num_key_value_heads", "head_dim"] {
        config.whole(name, MAX)?;
    }
    config.flag("attention_bias")?;
    let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let (heads, biased, activation) = (heads(config), biased(config), activation(config, label)?);
    if !heads.count.is_multiple_of(heads.shared) || !heads.width.is_multiple_of(2) {
        return Err(unsupported(label, "num_key_value_heads", heads.shared, "a divisor of num_attention_heads"));
    }
    let rotary = Arc::new(Rotary::new(theta(config, label, None, "rope_theta", DEFAULT_THETA)?, heads.width));
    let norm =
        |name: &str, at: &crate::checkpoint::Scope<'_>| rms_norm(&at.below(name), hidden, eps, 0.0).map(Norm::Rms);
    let stack = weights.scope("layers");
    let layers = PreNorm::layers(config.num_hidden_layers, |k| {
        let at = stack.below(k);
        let attention = at.below("self_attn");
        let keys = heads.shared * heads.width;
        let parts = [("q_proj", heads.context()), ("k_proj", keys), ("v_proj", keys)];
        let projections = side_by_side(&parts.map(|(name, n)| (attention.below(name), n)), hidden, biased)?;
        let output = side_by_side(&[(attention.below("o_proj"), hidden)], heads.context(), biased)?;
        let mlp = at.below("mlp");
        Ok(PreNormLayer {
            before_attention: Some(norm("input_layernorm", &at)?),
            attention: SelfAttention {
                reach: Reach::CAUSAL,
                rotary: Some(Arc::clone(&rotary)),
                head_norms: Some(HeadNorms {
                    query: rms_norm(&attention.below("q_norm"), heads.width, eps, 0.0)?,
                    key: rms_norm(&attention.below("k_norm"), heads.width, eps, 0.0)?,
                }),
                ..SelfAttention::new(heads, projections, output)
            },
            after_attention: None,
            before_feed_forward: norm("post_attention_layernorm", &at)?,
            feed_forward: FeedForward {
                up: side_by_side(&[(mlp.below("gate_proj"), inner), (mlp.below("up_proj"), inner)], hidden, false)?,
                activation,
                gated: true,
                down: side_by_side(&[(mlp.below("down_proj"), hidden)], inner, false)?,
            },
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
