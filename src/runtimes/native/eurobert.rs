//! EuroBERT (Boizard et al. 2025): a decoder's layers with every token seeing all others. Ported from transformers
//! `models/eurobert/modeling_eurobert.py`:
//! <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/eurobert/modeling_eurobert.py>.

use std::sync::Arc;

use serde_json::Value;

use super::blocks::{Norm, PreNorm, PreNormLayer, SelfAttention, decoder, theta};
use super::config::{activation, must_be, unsupported};
use super::keys::Key;
use super::model::Model;
use super::ops::{Heads, Rotary};
use super::parameters::{Inventory, Parameter, rms_norm, table};
use super::{Architecture, NativeError};
use crate::checkpoint::{ModelConfig, Scope, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["eurobert"], parameters, ignorable, keys: &[KEYS], build };

const KEYS: &[Key] = &[
    Key::flag(&["attention_bias"], false, "whether attention has biases"),
    Key::flag(&["mlp_bias"], false, "whether the feed-forward blocks have biases"),
    Key::resolved(&["num_key_value_heads"], "how many heads of keys there are", |c| Ok(heads(c).shared.into())),
    Key::resolved(&["head_dim"], "the width of a head", |c| Ok(heads(c).width.into())),
    Key::resolved(
        &["rope_theta", "rope_parameters", "rope_scaling", "partial_rotary_factor"],
        "the rotation's base",
        |c| Ok(theta(c, c.file(), None, "rope_theta", DEFAULT_THETA)?.into()),
    ),
];

/// The rotation's base where the configuration states none (transformers `EuroBertConfig`).
const DEFAULT_THETA: f64 = 10_000.0;

fn heads(config: &ModelConfig) -> Heads {
    decoder::heads(config, config.num_attention_heads, config.hidden_size / config.num_attention_heads.max(1))
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, heads) = (config.hidden_size, heads(config));
    let mut all = Inventory::default();
    all.table("embed_tokens", config.vocab_size, hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("layers.{k}.{part}");
        all.scale(&at("input_layernorm"), hidden);
        decoder::list_projections(&mut all, &format!("layers.{k}"), hidden, heads, false);
        all.matrix(&at("self_attn.o_proj"), heads.context(), hidden);
        all.scale(&at("post_attention_layernorm"), hidden);
        decoder::list_feed_forward(&mut all, &format!("layers.{k}"), config);
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
        if config.stated(field)?.is_none() {
            return Err(unsupported(label, field, "missing", "a value stated in config.json"));
        }
    }
    let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
    let (heads, activation) = (decoder::checked_heads(config, label, heads(config))?, activation(config, label)?);
    let rotary = Arc::new(Rotary::new(theta(config, label, None, "rope_theta", DEFAULT_THETA)?, heads.width));
    let norm = |at: Scope<'_>| rms_norm(&at, hidden, eps, 0.0).map(Norm::Rms);
    let stack = weights.scope("layers");
    let layers = PreNorm::layers(config.num_hidden_layers, |k| {
        let at = stack.below(k);
        Ok(PreNormLayer {
            before_attention: Some(norm(at.below("input_layernorm"))?),
            attention: SelfAttention {
                rotary: Some(Arc::clone(&rotary)),
                ..decoder::attention(&at, hidden, heads, false)?
            },
            after_attention: None,
            before_feed_forward: norm(at.below("post_attention_layernorm"))?,
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
        final_norm: norm(weights.scope("norm"))?,
    }))
}
