//! `config.json`: the numbers an architecture is built from.
//!
//! Read once, checked once. What it does not know stays in [`ModelConfig::raw`], where quantization
//! and the architectures look for their own keys.

use std::sync::Arc;

use serde_json::Value;

use super::config_error::ConfigError;
use super::config_reader::{Reader, shown};

/// Names under which Hugging Face configurations state the same number (`attribute_map` of the
/// configuration classes in transformers). Two of them in one file must agree.
const HIDDEN_SIZE: &[&str] = &["hidden_size", "dim", "d_model", "n_embd"];
const LAYERS: &[&str] = &["num_hidden_layers", "n_layers", "n_layer"];
const HEADS: &[&str] = &["num_attention_heads", "n_heads", "n_head"];
const INTERMEDIATE: &[&str] = &["intermediate_size", "hidden_dim", "n_inner"];
const POSITIONS: &[&str] = &["max_position_embeddings", "n_positions"];
const ACTIVATION: &[&str] = &["hidden_act", "hidden_activation", "activation", "activation_function"];
const NORM_EPS: &[&str] = &["layer_norm_eps", "norm_eps", "layer_norm_epsilon", "rms_norm_eps"];

/// Largest values believed. The largest published text encoders stay a factor of eight below each.
const MAX_LAYERS: usize = 1024;
const MAX_HIDDEN: usize = 65_536;
const MAX_INTERMEDIATE: usize = 1 << 20;
const MAX_VOCAB: usize = 1 << 24;
const MAX_POSITIONS: usize = 1 << 20;
const MAX_TYPES: usize = 65_536;

/// The norms' epsilon and the activation where the file states none, by model type: the defaults of transformers'
/// configuration classes; those of `BertConfig` for all others.
const DEFAULTS: &[(&str, f64, &str)] = &[
    ("modernbert", 1e-5, "gelu"),
    ("albert", 1e-12, "gelu_new"),
    ("nomic_bert", 1e-12, "silu"),
    ("qwen3", 1e-6, "silu"),
    ("gemma3_text", 1e-6, "gelu_pytorch_tanh"),
];
const BERT_DEFAULTS: (f64, &str) = (1e-12, "gelu");
/// Names of gated units that stand where the activation of their gate is meant.
const GATED: &[(&str, &str)] = &[("swiglu", "silu"), ("geglu", "gelu")];
/// `position_embedding_type` where the file states none (transformers `BertConfig`).
const DEFAULT_POSITION_TYPE: &str = "absolute";

/// The numbers of one text encoder.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// `model_type`, as the file spells it.
    pub model_type: String,
    /// `architectures`; empty where the file states none.
    pub architectures: Vec<String>,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Activation of the feed-forward block by its transformers name.
    pub hidden_act: String,
    /// Epsilon of every norm.
    pub layer_norm_eps: f64,
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// Rows of the position embedding table.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding table, where stated.
    pub type_vocab_size: Option<usize>,
    /// Id of the padding token, where stated.
    pub pad_token_id: Option<u32>,
    /// `position_embedding_type`.
    pub position_embedding_type: String,
    /// What word embeddings are multiplied by in place of what the architecture says; no file states it.
    pub embedding_scale: Option<f64>,
    file: String,
    raw: Value,
    /// The only further keys that may be read, once an architecture has said which it reads.
    declared: Option<Arc<[&'static str]>>,
}

impl ModelConfig {
    /// Names of the keys that every architecture reads: the fields of this struct.
    pub const COMMON: &'static [&'static [&'static str]] = &[
        &["model_type", "architectures", "vocab_size"],
        HIDDEN_SIZE,
        LAYERS,
        HEADS,
        INTERMEDIATE,
        POSITIONS,
        ACTIVATION,
        NORM_EPS,
    ];

    /// Reads a `config.json`; `file` is its name for messages.
    pub fn parse(json: &[u8], file: &str) -> Result<Self, ConfigError> {
        let not_json = |message: String| ConfigError::Json { file: file.to_owned(), message };
        let raw: Value = serde_json::from_slice(json).map_err(|e| not_json(e.to_string()))?;
        if !raw.is_object() {
            return Err(not_json(format!("it holds {}", shown(&raw))));
        }
        let read = Reader { file, raw: &raw };
        let model_type = read.text(&["model_type"])?.ok_or_else(|| read.missing("model_type"))?;
        let known = DEFAULTS.iter().find(|(name, ..)| *name == model_type.replace('-', "_"));
        let (eps, act) = known.map_or(BERT_DEFAULTS, |(_, eps, act)| (*eps, *act));
        let act = read.text(ACTIVATION)?.unwrap_or_else(|| act.to_owned());
        let act =
            GATED.iter().find(|(name, _)| known.is_some() && *name == act).map_or(act.clone(), |g| g.1.to_owned());
        let config = Self {
            model_type,
            architectures: read.texts("architectures")?,
            hidden_size: read.required(HIDDEN_SIZE, MAX_HIDDEN)?,
            num_hidden_layers: read.required(LAYERS, MAX_LAYERS)?,
            num_attention_heads: read.required(HEADS, MAX_HIDDEN)?,
            intermediate_size: read.required(INTERMEDIATE, MAX_INTERMEDIATE)?,
            embedding_scale: None,
            hidden_act: act,
            layer_norm_eps: read.epsilon(NORM_EPS)?.unwrap_or(eps),
            vocab_size: read.required(&["vocab_size"], MAX_VOCAB)?,
            max_position_embeddings: read.required(POSITIONS, MAX_POSITIONS)?,
            type_vocab_size: read.whole(&["type_vocab_size"], 0, MAX_TYPES)?,
            pad_token_id: read.whole(&["pad_token_id"], 0, MAX_VOCAB)?.and_then(|n| u32::try_from(n).ok()),
            position_embedding_type: read
                .text(&["position_embedding_type"])?
                .unwrap_or_else(|| DEFAULT_POSITION_TYPE.to_owned()),
            file: file.to_owned(),
            raw: Value::Null,
            declared: None,
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(ConfigError::Value {
                file: file.to_owned(),
                field: "num_attention_heads".to_owned(),
                found: config.num_attention_heads.to_string(),
                expected: format!("a divisor of the hidden size {}", config.hidden_size),
            });
        }
        Ok(Self { raw, ..config })
    }

    /// Its file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The same configuration, of which only `names` can be read from here on besides [`Self::COMMON`]: what an
    /// architecture reads is what it declares, and what it declares is compared.
    pub fn declaring(&self, names: Arc<[&'static str]>) -> Self {
        Self { declared: Some(names), ..self.clone() }
    }

    /// The reader of `name`, which the architecture must have declared.
    fn read(&self, name: &'static str) -> Result<Reader<'_>, ConfigError> {
        // Those that every architecture has are fields of this struct, and compared as such.
        let common = NORM_EPS.contains(&name) || ACTIVATION.contains(&name);
        match common || self.declared.as_ref().is_none_or(|names| names.contains(&name)) {
            true => Ok(Reader { file: &self.file, raw: &self.raw }),
            false => Err(ConfigError::Undeclared { file: self.file.clone(), field: name }),
        }
    }

    /// What the file says under a key; none where it says nothing or null.
    ///
    /// # Errors
    /// A key that the architecture does not declare.
    pub fn stated(&self, name: &'static str) -> Result<Option<&Value>, ConfigError> {
        Ok(self.read(name)?.raw.get(name).filter(|v| !v.is_null()))
    }

    /// A whole number that only some architectures have; none where it is not stated.
    ///
    /// # Errors
    /// A value that is none, or not within `1..=most`.
    pub fn whole(&self, name: &'static str, most: usize) -> Result<Option<usize>, ConfigError> {
        self.read(name)?.whole(&[name], 1, most)
    }

    /// A number above 0 that only some architectures have.
    ///
    /// # Errors
    /// A value that is none.
    pub fn positive(&self, name: &'static str) -> Result<Option<f64>, ConfigError> {
        let read = self.read(name)?;
        let Some((field, value)) = read.one(&[name])? else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number > 0.0 && number.is_finite() => Ok(Some(number)),
            _ => Err(read.wrong(field, value, "a number above 0")),
        }
    }

    /// A switch that only some architectures have.
    ///
    /// # Errors
    /// A value that is neither true nor false.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        let read = self.read(name)?;
        let Some((field, value)) = read.one(&[name])? else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| read.wrong(field, value, "true or false"))
    }

    /// A name per layer that only some architectures state.
    ///
    /// # Errors
    /// A value that is no list of names, or names more or fewer layers than there are.
    pub fn per_layer(&self, name: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let read = self.read(name)?;
        if read.one(&[name])?.is_none() {
            return Ok(None);
        }
        let names = read.texts(name)?;
        if names.len() != self.num_hidden_layers {
            let expected = format!("{} names, one per layer", self.num_hidden_layers);
            return Err(read.wrong(name, &Value::from(names.len()), expected));
        }
        Ok(Some(names))
    }

    /// Makes the file say something else.
    pub(crate) fn state(&mut self, name: &str, value: impl Into<Value>) {
        self.raw[name] = value.into();
    }

    /// The file as it is: quantization settings and the keys of single architectures live here.
    pub fn raw(&self) -> &Value {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bert() -> Value {
        json!({
            "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 160, "max_position_embeddings": 64,
            "type_vocab_size": 2, "pad_token_id": 0, "quantization": {"group_size": 64, "bits": 8}
        })
    }

    fn parse(value: &Value) -> Result<ModelConfig, ConfigError> {
        ModelConfig::parse(value.to_string().as_bytes(), "config.json")
    }

    #[test]
    fn defaults_are_those_of_transformers_and_the_raw_file_is_kept() {
        let c = parse(&bert()).unwrap();
        assert_eq!((c.hidden_act.as_str(), c.layer_norm_eps), ("gelu", 1e-12));
        assert_eq!(c.position_embedding_type, "absolute");
        assert_eq!(c.raw()["quantization"]["bits"], 8);
    }

    #[test]
    fn every_required_field_is_named_when_it_is_missing_or_absurd() {
        let required = [
            "model_type",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "vocab_size",
            "max_position_embeddings",
        ];
        for field in required {
            let mut v = bert();
            v.as_object_mut().unwrap().shift_remove(field);
            let e = parse(&v).unwrap_err();
            assert_eq!(e.to_string(), format!("config.json: `{field}` is missing"));
            assert_eq!(e.fault(), crate::fault::Fault::BadInput);
            for bad in [json!(0), json!(-1), json!(1u64 << 60), json!(1.5), json!([]), json!({"a": 1})] {
                let mut v = bert();
                v[field] = bad.clone();
                let message = parse(&v).expect_err(&format!("{field} = {bad}")).to_string();
                assert!(message.contains(field), "{message}");
            }
        }
    }

    #[test]
    fn contradictions_and_indivisible_heads_are_refused() {
        let mut v = bert();
        v["layer_norm_eps"] = json!(1e-12);
        v["norm_eps"] = json!(1e-5);
        assert!(matches!(parse(&v), Err(ConfigError::Contradiction { .. })));
        v["norm_eps"] = json!(1e-12);
        assert!(parse(&v).is_ok());
        v["num_attention_heads"] = json!(5);
        assert!(parse(&v).unwrap_err().to_string().contains("divisor of the hidden size 64"));
        for eps in [json!(0), json!(-1e-5), json!(1), json!("small")] {
            let mut v = bert();
            v["layer_norm_eps"] = eps;
            assert!(parse(&v).is_err());
        }
    }

    #[test]
    fn truncated_and_hostile_files_are_errors_not_panics() {
        let text = bert().to_string();
        for cut in 0..text.len() {
            assert!(ModelConfig::parse(&text.as_bytes()[..cut], "config.json").is_err(), "cut at {cut}");
        }
        let deep = "[".repeat(100_000);
        for bad in ["[]", "null", "7", "{\"model_type\": NaN}", "\u{feff}{}", deep.as_str()] {
            let message = ModelConfig::parse(bad.as_bytes(), "config.json").unwrap_err().to_string();
            assert!(!message.contains('\n') && message.len() < 200, "{message}");
        }
    }
}
