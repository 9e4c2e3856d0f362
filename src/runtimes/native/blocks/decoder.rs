//! The parts that decoders' layers are made of, encoders now: fewer keys than queries, a gated feed-forward block.

use super::super::NativeError;
use super::super::config::unsupported;
use super::super::ops::{Activation, Heads};
use super::super::parameters::{Inventory, side_by_side};
use super::{FeedForward, SelfAttention};
use crate::checkpoint::{ModelConfig, Scope};

/// Widest head and most heads believed.
const MAX: usize = 65_536;

/// Query heads, key and value heads, and their width, where the configuration states none as `shared` and `width`; values
/// that are none are told of by [`checked_heads`].
pub(in crate::runtimes::native) fn heads(config: &ModelConfig, shared: usize, width: usize) -> Heads {
    let read = |name, default| config.whole(name, MAX).ok().flatten().unwrap_or(default);
    let count = config.num_attention_heads;
    Heads { count, shared: read("num_key_value_heads", shared), width: read("head_dim", width) }
}

/// [`heads`], held against what they must be.
pub(in crate::runtimes::native) fn checked_heads(
    config: &ModelConfig,
    label: &str,
    heads: Heads,
) -> Result<Heads, NativeError> {
    for name in ["num_key_value_heads", "head_dim"] {
        config.whole(name, MAX)?;
    }
    if !heads.count.is_multiple_of(heads.shared) {
        return Err(unsupported(label, "num_key_value_heads", heads.shared, "a divisor of num_attention_heads"));
    }
    match heads.width.is_multiple_of(2) {
        true => Ok(heads),
        false => Err(unsupported(label, "head_dim", heads.width, "an even number")),
    }
}

/// The projections of an attention block below `prefix`, but for its last one.
pub(in crate::runtimes::native) fn list_projections(
    all: &mut Inventory,
    prefix: &str,
    hidden: usize,
    heads: Heads,
    biased: bool,
) {
    let keys = heads.shared * heads.width;
    for (name, outputs) in [("q_proj", heads.context()), ("k_proj", keys), ("v_proj", keys)] {
        all.maybe_biased(&format!("{prefix}.self_attn.{name}"), hidden, outputs, biased);
    }
}

/// The matrices of a gated block below `prefix`.
pub(in crate::runtimes::native) fn list_feed_forward(all: &mut Inventory, prefix: &str, config: &ModelConfig) {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    all.matrix(&format!("{prefix}.mlp.gate_proj"), hidden, inner);
    all.matrix(&format!("{prefix}.mlp.up_proj"), hidden, inner);
    all.matrix(&format!("{prefix}.mlp.down_proj"), inner, hidden);
}

/// The attention of layer `at`, seeing its whole row, scaled by 1/√d.
pub(in crate::runtimes::native) fn attention(
    at: &Scope<'_>,
    hidden: usize,
    heads: Heads,
    biased: bool,
) -> Result<SelfAttention, NativeError> {
    let (at, keys) = (at.below("self_attn"), heads.shared * heads.width);
    let parts = [("q_proj", heads.context()), ("k_proj", keys), ("v_proj", keys)];
    let projections = side_by_side(&parts.map(|(name, n)| (at.below(name), n)), hidden, biased)?;
    let output = side_by_side(&[(at.below("o_proj"), hidden)], heads.context(), biased)?;
    Ok(SelfAttention::new(heads, projections, output))
}

/// The gated block of layer `at`.
pub(in crate::runtimes::native) fn feed_forward(
    at: &Scope<'_>,
    config: &ModelConfig,
    activation: Activation,
) -> Result<FeedForward, NativeError> {
    let (at, hidden, inner) = (at.below("mlp"), config.hidden_size, config.intermediate_size);
    Ok(FeedForward {
        up: side_by_side(&[(at.below("gate_proj"), inner), (at.below("up_proj"), inner)], hidden, false)?,
        activation,
        gated: true,
        down: side_by_side(&[(at.below("down_proj"), hidden)], inner, false)?,
    })
}
