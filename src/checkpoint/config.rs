//! config.json: the sizes and choices of an encoder.

use serde_json::Value;

use super::CheckpointError;

/// Sizes beyond these are refused before anything is allocated.
const MAX_LAYERS: usize = 1024;
const MAX_WIDTH: usize = 1 << 17;
const MAX_ROWS: usize = 1 << 24;

/// What config.json says, for encoders of the BERT family.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// `model_type`.
    pub model_type: String,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Activation there, by its Hugging Face name.
    pub hidden_act: String,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f64,
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// Rows of the position embedding table.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding table.
    pub type_vocab_size: usize,
    raw: Value,
}

impl ModelConfig {
    /// Reads config.json; `file` is whose, for messages.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, CheckpointError> {
        let malformed = |reason: String| CheckpointError::Malformed { file: file.to_owned(), reason };
        let raw: Value = serde_json::from_slice(json).map_err(|e| malformed(format!("is not JSON: {e}")))?;
        let number = |key: &str, limit: usize| match raw.get(key) {
            None | Some(Value::Null) => Err(malformed(format!("states no {key}"))),
            Some(v) => match v.as_u64().and_then(|n| usize::try_from(n).ok()) {
                Some(n) if (1..=limit).contains(&n) => Ok(n),
                _ => Err(malformed(format!("{key} is {v}; between 1 and {limit} is possible"))),
            },
        };
        let word = |key: &str| raw.get(key).and_then(Value::as_str).map(str::to_owned);
        let config = Self {
            model_type: word("model_type").ok_or_else(|| malformed("states no model_type".to_owned()))?,
            hidden_size: number("hidden_size", MAX_WIDTH)?,
            num_hidden_layers: number("num_hidden_layers", MAX_LAYERS)?,
            num_attention_heads: number("num_attention_heads", MAX_WIDTH)?,
            intermediate_size: number("intermediate_size", MAX_WIDTH)?,
            hidden_act: word("hidden_act").unwrap_or_else(|| "gelu".to_owned()),
            layer_norm_eps: match raw.get("layer_norm_eps") {
                None => 1e-12,
                Some(v) => v
                    .as_f64()
                    .filter(|e| (0.0..1.0).contains(e))
                    .ok_or_else(|| malformed(format!("layer_norm_eps is {v}; between 0 and 1 is possible")))?,
            },
            vocab_size: number("vocab_size", MAX_ROWS)?,
            max_position_embeddings: number("max_position_embeddings", MAX_ROWS)?,
            type_vocab_size: number("type_vocab_size", MAX_ROWS)?,
            raw: Value::Null,
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let reason =
                format!("hidden_size {} cannot be split into {} heads", config.hidden_size, config.num_attention_heads);
            return Err(malformed(reason));
        }
        match word("position_embedding_type").as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                return Err(malformed(format!("position_embedding_type `{other}` is not supported; `absolute` is")));
            }
        }
        Ok(Self { raw, ..config })
    }

    /// The whole of config.json.
    pub fn raw(&self) -> &Value {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> Value {
        json!({"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
               "vocab_size": 10, "max_position_embeddings": 16, "type_vocab_size": 2})
    }

    #[test]
    fn every_number_is_bounded_and_named() {
        assert_eq!(ModelConfig::parse(base().to_string().as_bytes(), "c").unwrap().layer_norm_eps, 1e-12);
        for (key, value) in [
            ("hidden_size", json!(0)),
            ("hidden_size", json!(9)),
            ("num_hidden_layers", json!(1_000_000_000)),
            ("vocab_size", json!(-1)),
            ("vocab_size", json!(null)),
            ("layer_norm_eps", json!("x")),
            ("position_embedding_type", json!("relative_key")),
            ("model_type", json!(3)),
        ] {
            let mut config = base();
            config[key] = value;
            let said = ModelConfig::parse(config.to_string().as_bytes(), "c").unwrap_err().to_string();
            assert!(said.contains(key) && !said.contains('\n'), "{said}");
        }
        assert!(ModelConfig::parse(b"{", "c").is_err());
    }
}
