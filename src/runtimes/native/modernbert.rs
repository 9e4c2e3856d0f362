//! ModernBERT (Warner et al. 2024): norms before the blocks, rotary positions with two bases, every third layer global
//! and the others local, a gated feed-forward block, no biases. Ported from transformers
//! `models/modernbert/modeling_modernbert.py`:
//! <https://github.com/huggingface/transformers/blob/v4.57.1/src/transformers/models/modernbert/modeling_modernbert.py>.

use std::sync::Arc;

use serde_json::Value;

use super::blocks::{FeedForward, Norm, PreNorm, PreNormLayer, SelfAttention, theta};
use super::config::{activation, head_width, must_be, unsupported};
use super::keys::Key;
use super::model::Model;
use super::ops::{Heads, Reach, Rotary};
use super::parameters::{Inventory, Parameter, layer_norm_without_shift, side_by_side, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, Scope, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["modernbert"], parameters, ignorable, keys: &[KEYS], build };

const KEYS: &[Key] = &[
    Key::flag(&["norm_bias"], false, "whether norms have a bias"),
    Key::flag(&["attention_bias"], false, "whether attention has biases"),
    Key::flag(&["mlp_bias"], false, "whether the feed-forward blocks have biases"),
    Key::resolved(&["global_attn_every_n_layers", "layer_types"], "which layers see every token", |c| {
        Ok(global(c, c.file())?.into())
    }),
    Key::whole(&["local_attention"], DEFAULT_LOCAL, "how far the other layers see"),
    Key::resolved(
        &["global_rope_theta", "rope_parameters", "rope_scaling", "partial_rotary_factor"],
        "the rotation's base in layers that see every token",
        |c| Ok(theta(c, c.file(), Some("full_attention"), "global_rope_theta", DEFAULT_THETAS.0)?.into()),
    ),
    Key::resolved(&["local_rope_theta"], "the rotation's base in the other layers", |c| {
        Ok(theta(c, c.file(), Some("sliding_attention"), "local_rope_theta", DEFAULT_THETAS.1)?.into())
    }),
];

/// Where the configuration states none (transformers `ModernBertConfig`).
const DEFAULT_GLOBAL_EVERY: usize = 3;
const DEFAULT_LOCAL: usize = 128;
pub(super) const DEFAULT_THETAS: (f64, f64) = (160_000.0, 10_000.0);
/// Widest window and longest period believed.
const MAX: usize = 1 << 20;

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut all = Inventory::default();
    all.table("embeddings.tok_embeddings", config.vocab_size, hidden);
    all.scale("embeddings.norm", hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("layers.{k}.{part}");
        if k > 0 {
            all.scale(&at("attn_norm"), hidden);
        }
        all.matrix(&at("attn.Wqkv"), hidden, 3 * hidden);
        all.matrix(&at("attn.Wo"), hidden, hidden);
        all.scale(&at("mlp_norm"), hidden);
        all.matrix(&at("mlp.Wi"), hidden, 2 * inner);
        all.matrix(&at("mlp.Wo"), inner, hidden);
    }
    all.scale("final_norm", hidden);
    all.parameters
}

/// The heads of its tasks.
fn ignorable(name: &str) -> bool {
    ["head.", "decoder.", "classifier."].iter().any(|head| name.starts_with(head))
}

/// Whether each layer is global (`layer_types`, else one in `global_attn_every_n_layers`).
pub(super) fn global(config: &ModelConfig, label: &str) -> Result<Vec<bool>, NativeError> {
    let every = config.whole("global_attn_every_n_layers", MAX)?.unwrap_or(DEFAULT_GLOBAL_EVERY);
    let by_period: Vec<bool> = (0..config.num_hidden_layers).map(|k| k % every == 0).collect();
    let Some(types) = config.per_layer("layer_types")? else { return Ok(by_period) };
    let kind = |name: &String| match name.as_str() {
        "full_attention" => Ok(true),
        "sliding_attention" => Ok(false),
        other => Err(unsupported(label, "layer_types", other, "full_attention and sliding_attention")),
    };
    let by_type: Vec<bool> = types.iter().map(kind).collect::<Result<_, _>>()?;
    // MLX and transformers 4 read the one, transformers 5 the other.
    match by_type == by_period || config.stated("global_attn_every_n_layers")?.is_none() {
        true => Ok(by_type),
        false => {
            let expected = "the layers that `layer_types` lists as full_attention; remove the wrong one of the two";
            Err(unsupported(label, "global_attn_every_n_layers", every, expected))
        }
    }
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    for field in ["norm_bias", "attention_bias", "mlp_bias"] {
        must_be(config, label, field, &Value::Bool(false), "false")?;
    }
    let (hidden, eps, width) = (config.hidden_size, config.layer_norm_eps, head_width(config, label)?);
    let rotary = |kind, older, default| {
        theta(config, label, Some(kind), older, default).map(|theta| Arc::new(Rotary::new(theta, width)))
    };
    let everywhere = rotary("full_attention", "global_rope_theta", DEFAULT_THETAS.0)?;
    let nearby = rotary("sliding_attention", "local_rope_theta", DEFAULT_THETAS.1)?;
    let window = config.whole("local_attention", MAX)?.unwrap_or(DEFAULT_LOCAL);
    let (global, activation) = (global(config, label)?, activation(config, label)?);
    let norm = |at: Scope<'_>| layer_norm_without_shift(&at, hidden, eps).map(Norm::Layer);
    let matrix = |at: Scope<'_>, inputs, outputs| side_by_side(&[(at, outputs)], inputs, false);

    let stack = weights.scope("layers");
    let layers = PreNorm::layers(config.num_hidden_layers, |k| {
        let at = stack.below(k);
        let heads = Heads::own(config.num_attention_heads, width);
        let projections = matrix(at.below("attn.Wqkv"), hidden, 3 * hidden)?;
        let output = matrix(at.below("attn.Wo"), hidden, hidden)?;
        let (rotary, reach) = if global[k] { (&everywhere, Reach::ALL) } else { (&nearby, Reach::within(window / 2)) };
        Ok(PreNormLayer {
            // The first layer reads the embeddings, which have a norm of their own.
            before_attention: (k > 0).then(|| norm(at.below("attn_norm"))).transpose()?,
            attention: SelfAttention {
                rotary: Some(Arc::clone(rotary)),
                reach,
                ..SelfAttention::new(heads, projections, output)
            },
            after_attention: None,
            before_feed_forward: norm(at.below("mlp_norm"))?,
            feed_forward: FeedForward {
                up: matrix(at.below("mlp.Wi"), hidden, 2 * config.intermediate_size)?,
                activation,
                gated: true,
                down: matrix(at.below("mlp.Wo"), config.intermediate_size, hidden)?,
            },
            after_feed_forward: None,
        })
    })?;
    Ok(Box::new(PreNorm {
        hidden,
        positions: config.max_position_embeddings,
        word: table(&weights.scope("embeddings.tok_embeddings"), config.vocab_size, hidden)?,
        scale: 1.0,
        embedding_norm: Some(norm(weights.scope("embeddings.norm"))?),
        layers,
        final_norm: norm(weights.scope("final_norm"))?,
    }))
}
