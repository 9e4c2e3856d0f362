//! config.json, with the model type looked at first.

use serde_json::Value;

use crate::Error;
use crate::checkpoint::ModelConfig;
use crate::runtimes::native::Architecture;

/// Reads a config.json. A model type that is not supported is told as that, whatever else its file lacks: T5's says
/// `num_layers`, and nothing about it is malformed.
pub(crate) fn parse(json: &[u8], file: &str) -> Result<ModelConfig, Error> {
    ModelConfig::parse(json, file).map_err(|e| {
        let raw: Value = serde_json::from_slice(json).unwrap_or_default();
        let model_type = raw.get("model_type").and_then(Value::as_str);
        model_type.and_then(|name| Architecture::named(name, file).err()).map_or_else(|| e.into(), Error::from)
    })
}
