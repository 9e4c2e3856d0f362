//! Nomic BERT (Nussbaum et al. 2024): BERT with rotary positions in place of a table, a gated feed-forward block, no
//! biases. Ported from transformers `models/nomic_bert/modeling_nomic_bert.py`; the names are those of checkpoints, which
//! the model's own code (`modeling_hf_nomic_bert.py`) gave them and transformers writes, too.

use std::sync::Arc;

use serde_json::Value;

use super::blocks::{FeedForward, LearnedEmbeddings, PostNorm, PostNormLayer, SelfAttention, theta};
use super::config::{activation, head_width, must_be};
use super::keys::Key;
use super::model::Model;
use super::ops::{Heads, Rotary};
use super::parameters::{Inventory, Parameter, layer_norm, side_by_side, table};
use super::{Architecture, NativeError, bert};
use crate::checkpoint::{ModelConfig, WeightSet};

/// Its row in the table.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { model_types: &["nomic-bert"], parameters, ignorable, keys: &[KEYS], build };

const KEYS: &[Key] = &[
    Key::whole(&["type_vocab_size"], DEFAULT_TYPES, "how many token types there are"),
    Key::flag(&["prenorm"], false, "whether norms precede the blocks"),
    Key::flag(&["parallel_block"], false, "whether attention and feed-forward run side by side"),
    Key::flag(&["qkv_proj_bias"], false, "whether attention has biases"),
    Key::flag(&["mlp_fc1_bias"], false, "whether the feed-forward blocks have biases"),
    Key::flag(&["mlp_fc2_bias"], false, "whether the feed-forward blocks have biases"),
    Key::flag(&["use_rms_norm"], false, "the kind of norm"),
    Key::flag(&["causal"], false, "whether a token sees those behind it"),
    Key::flag(&["rotary_emb_interleaved"], false, "which dimensions are turned together"),
    Key::resolved(&["rotary_emb_fraction"], "how much of a head is turned", |c| {
        Ok(c.positive("rotary_emb_fraction")?.unwrap_or(1.0).into())
    }),
    Key::absent(&["rotary_scaling_factor"], "how the rotation is stretched"),
    Key::absent(&["rotary_emb_scale_base"], "how the rotation decays"),
    Key::resolved(&["head_dim"], "the width of a head", |c| {
        Ok(c.whole("head_dim", c.hidden_size)?.unwrap_or(c.hidden_size / c.num_attention_heads.max(1)).into())
    }),
    Key::resolved(
        &["rotary_emb_base", "rope_parameters", "rope_scaling", "partial_rotary_factor"],
        "the rotation's base",
        |c| Ok(theta(c, c.file(), None, "rotary_emb_base", DEFAULT_THETA)?.into()),
    ),
];

/// Where the configuration states none (transformers `NomicBertConfig`).
const DEFAULT_TYPES: usize = 2;
pub(super) const DEFAULT_THETA: f64 = 1000.0;

/// Settings of the model's own code, and the only values under which it is this architecture.
const FIXED: &[(&str, Value)] = &[
    ("prenorm", Value::Bool(false)),
    ("parallel_block", Value::Bool(false)),
    ("qkv_proj_bias", Value::Bool(false)),
    ("mlp_fc1_bias", Value::Bool(false)),
    ("mlp_fc2_bias", Value::Bool(false)),
    ("use_rms_norm", Value::Bool(false)),
    ("causal", Value::Bool(false)),
    ("rotary_emb_interleaved", Value::Bool(false)),
];

fn types(config: &ModelConfig) -> usize {
    config.type_vocab_size.unwrap_or(DEFAULT_TYPES)
}

fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut all = Inventory::default();
    all.table("embeddings.word_embeddings", config.vocab_size, hidden);
    all.table("embeddings.token_type_embeddings", types(config), hidden);
    all.norm("emb_ln", hidden);
    for k in 0..config.num_hidden_layers {
        let at = |part: &str| format!("encoder.layers.{k}.{part}");
        all.matrix(&at("attn.Wqkv"), hidden, 3 * hidden);
        all.matrix(&at("attn.out_proj"), hidden, hidden);
        all.norm(&at("norm1"), hidden);
        all.matrix(&at("mlp.fc11"), hidden, inner);
        all.matrix(&at("mlp.fc12"), hidden, inner);
        all.matrix(&at("mlp.fc2"), inner, hidden);
        all.norm(&at("norm2"), hidden);
    }
    all.optional();
    all.linear("pooler.dense", hidden, hidden);
    all.parameters
}

/// The heads of its tasks.
fn ignorable(name: &str) -> bool {
    bert::ignorable(name) || name.starts_with("classifier.")
}

fn build(config: &ModelConfig, weights: &WeightSet, label: &str) -> Result<Box<dyn Model>, NativeError> {
    for (field, wanted) in FIXED {
        must_be(config, label, field, wanted, &wanted.to_string())?;
    }
    must_be(config, label, "rotary_emb_fraction", &1.0.into(), "1.0 (whole heads are turned)")?;
    for field in ["rotary_scaling_factor", "rotary_emb_scale_base"] {
        must_be(config, label, field, &Value::Null, "null (a rotation that is not scaled)")?;
    }
    let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let width = head_width(config, label)?;
    must_be(config, label, "head_dim", &width.into(), "the hidden size over the number of heads")?;
    let rotary = Arc::new(Rotary::new(theta(config, label, None, "rotary_emb_base", DEFAULT_THETA)?, width));
    let activation = activation(config, label)?;
    let at = weights.scope("embeddings");
    let embeddings = LearnedEmbeddings {
        word: table(&at.below("word_embeddings"), config.vocab_size, hidden)?,
        token_type: Some(table(&at.below("token_type_embeddings"), types(config), hidden)?),
        position: None,
        norm: layer_norm(&weights.scope("emb_ln"), hidden, eps)?,
        projection: None,
        width: hidden,
    };
    let stack = weights.scope("encoder.layers");
    let model = PostNorm::load(config, embeddings, |k| {
        let at = stack.below(k);
        let heads = Heads::own(config.num_attention_heads, width);
        let matrix = |names: &[&str], inputs, outputs| {
            let parts: Vec<_> = names.iter().map(|name| (at.below(name), outputs)).collect();
            side_by_side(&parts, inputs, false)
        };
        let projections = matrix(&["attn.Wqkv"], hidden, 3 * hidden)?;
        let output = matrix(&["attn.out_proj"], hidden, hidden)?;
        Ok(PostNormLayer {
            attention: SelfAttention {
                rotary: Some(Arc::clone(&rotary)),
                ..SelfAttention::new(heads, projections, output)
            },
            attention_norm: layer_norm(&at.below("norm1"), hidden, eps)?,
            feed_forward: FeedForward {
                up: matrix(&["mlp.fc12", "mlp.fc11"], hidden, inner)?,
                activation,
                gated: true,
                down: matrix(&["mlp.fc2"], inner, hidden)?,
            },
            output_norm: layer_norm(&at.below("norm2"), hidden, eps)?,
        })
    })?;
    bert::pooler(config, weights, "pooler.dense")?;
    Ok(model)
}
