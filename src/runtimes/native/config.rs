//! What architectures ask of a configuration.

use serde_json::Value;

use super::NativeError;
use super::keys::same_value;
use super::ops::{ACTIVATIONS, Activation};
use crate::checkpoint::ModelConfig;

/// A setting under which the architecture computes something that is not computed here.
pub(super) fn unsupported(label: &str, field: &str, found: impl ToString, expected: &str) -> NativeError {
    let found = found.to_string().chars().take(60).collect();
    NativeError::Unsupported { label: label.to_owned(), field: field.to_owned(), found, expected: expected.to_owned() }
}

/// The activation the configuration names.
pub(super) fn activation(config: &ModelConfig, label: &str) -> Result<Activation, NativeError> {
    let known = ACTIVATIONS.iter().find(|(name, ..)| *name == config.hidden_act);
    known.map(|(.., activation)| *activation).ok_or_else(|| {
        let names: Vec<_> = ACTIVATIONS.iter().map(|(name, ..)| *name).collect();
        unsupported(label, "hidden_act", &config.hidden_act, &format!("one of {}", names.join(", ")))
    })
}

/// Columns of a head, where heads share out the hidden state; an even number, so that it can be turned.
pub(super) fn head_width(config: &ModelConfig, label: &str) -> Result<usize, NativeError> {
    let width = config.hidden_size / config.num_attention_heads.max(1);
    match width.is_multiple_of(2) && width * config.num_attention_heads == config.hidden_size {
        true => Ok(width),
        false => {
            let expected = format!("a number that parts {} into heads of even width", config.hidden_size);
            Err(unsupported(label, "num_attention_heads", config.num_attention_heads, &expected))
        }
    }
}

/// Refuses a decoder, and one that looks at other states than its own.
pub(super) fn encoder_only(config: &ModelConfig, label: &str) -> Result<(), NativeError> {
    for field in ["is_decoder", "add_cross_attention"] {
        must_be(config, label, field, &Value::Bool(false), "false (an encoder)")?;
    }
    Ok(())
}

/// Refuses positions that are not looked up in a table of absolute ones.
pub(super) fn absolute_positions(config: &ModelConfig, label: &str) -> Result<(), NativeError> {
    match config.position_embedding_type.as_str() {
        "absolute" => Ok(()),
        other => Err(unsupported(label, "position_embedding_type", other, "`absolute`")),
    }
}

/// Refuses a key that is stated and is another value.
pub(super) fn must_be(
    config: &ModelConfig,
    label: &str,
    field: &'static str,
    wanted: &Value,
    expected: &str,
) -> Result<(), NativeError> {
    match config.stated(field)? {
        None => Ok(()),
        Some(found) if same_value(found, wanted) => Ok(()),
        Some(found) => Err(unsupported(label, field, found, expected)),
    }
}
