//! EuroBERT (Boizard et al. 2025): a decoder's layers with every token seeing all others. Ported from transformers
//! `models/eurobert/modeling_eurobert.py`:
//! <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/eurobert/modeling_eurobert.py>.

use std::sync::Arc;

use serde_json::Value;

use super::blocks::{FeedForward, Norm, PreNorm, PreNormLayer, SelfAttention, theta};
use super::config::{activation, must_be, unsupported};
use super::model::Model;
use super::ops::{Heads, Rotary};
use super::parameters::{Inventory, Parameter, rms_norm, side_by_side, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, Scope, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["eurobert"], parameters, ignorable, mlx: &[], mlx_pooling: None, build };

/// The rotation's base where the configuration states none (transformers `EuroBertConfig`).
const DEFAULT_THETA: f64 = 10_000.0;
/// Widest head and most heads believed.
const MAX: usize = 65_536;

/// Query heads, key and value heads, and their width; values that are none are told of by [`build`].
fn heads(config: &ModelConfig) -> Heads {
    let read = |name, default| config.whole(name, MAX).ok().flatten().unwrap_or(default);
    let count = config.num_attention_heads;
    let width = config.hidden_size / count.max(1);
    Heads { count, shared: read("num_key_value_heads", count), width: read("head_dim", width) }
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, inner, heads) = (config.hidden_size, config.intermediate_size, heads(config));
    let mut all = Inventory::default();
    all.table("embed_tokens", config.vocab_size, hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("layers.{k}.{part}");
        all.scale(&at("input_layernorm"), hidden);
        all.matrix(&at("self_attn.q_proj"), hidden, heads.context());
        all.matrix(&at("self_attn.k_proj"), hidden, heads.shared * heads.width);
        all.matrix(&at("self_attn.v_proj"), hidden, heads.shared * heads.width);
        all.matrix(&at("self_attn.o_proj"), heads.context(), hidden);
        all.scale(&at("post_attention_layernorm"), hidden);
        all.matrix(&at("mlp.gate_proj"), hidden, inner);
        all.matrix(&at("mlp.up_proj"), hidden, inner);
        all.matrix(&at("mlp.down_proj"), inner, hidden);
    }
    all.scale("norm", hidden);
    all.parameters
}

/// The heads of its tasks.
fn ignorable(name: &str) -> bool {
    ["lm_head.", "dense.", "classifier."].iter().any(|head| name.starts_with(head))
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    for field in ["attention_bias", "mlp_bias"] {
        must_be(config, label, field, &Value::Bool(false), "false")?;
    }
    // Its defaults are not BERT's: they are to be stated.
    for field in ["rms_norm_eps", "hidden_act"] {
        if config.raw().get(field).is_none() {
            return Err(unsupported(label, field, "missing", "a value stated in config.json"));
        }
    }
    for name in ["num_key_value_heads", "head_dim"] {
        config.whole(name, MAX)?;
    }
    let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let (heads, activation) = (heads(config), activation(config, label)?);
    if !heads.count.is_multiple_of(heads.shared) || !heads.width.is_multiple_of(2) {
        return Err(unsupported(label, "num_key_value_heads", heads.shared, "a divisor of num_attention_heads"));
    }
    let rotary = Arc::new(Rotary::new(theta(config, label, None, "rope_theta", DEFAULT_THETA)?, heads.width));
    let norm = |at: Scope<'_>| rms_norm(&at, hidden, eps, 0.0).map(Norm::Rms);
    let stack = weights.scope("layers");
    let layers = PreNorm::layers(config.num_hidden_layers, |k| {
        let at = stack.below(k);
        let (attention, mlp) = (at.below("self_attn"), at.below("mlp"));
        let keys = heads.shared * heads.width;
        let parts = [("q_proj", heads.context()), ("k_proj", keys), ("v_proj", keys)];
        let projections = side_by_side(&parts.map(|(name, n)| (attention.below(name), n)), hidden, false)?;
        let output = side_by_side(&[(attention.below("o_proj"), hidden)], heads.context(), false)?;
        Ok(PreNormLayer {
            before_attention: Some(norm(at.below("input_layernorm"))?),
            attention: SelfAttention {
                rotary: Some(Arc::clone(&rotary)),
                ..SelfAttention::new(heads, projections, output)
            },
            after_attention: None,
            before_feed_forward: norm(at.below("post_attention_layernorm"))?,
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
        final_norm: norm(weights.scope("norm"))?,
    }))
}
