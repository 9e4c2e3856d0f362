//! Keys of config.json that decide what an architecture computes.
//!
//! Each architecture declares the keys it reads, and can read no others ([`ModelConfig::declaring`]); a check compares
//! every declared key of both sides, with the defaults of transformers' configuration classes filled in.

use std::sync::Arc;

use serde_json::Value;

use super::{Architecture, NativeError};
use crate::checkpoint::ModelConfig;

/// Two numbers are equal up to this relative difference: both were one number, one of them rounded to float32 (6e-8).
const SAME_NUMBER: f64 = 1e-6;

/// A setting of one architecture.
pub struct Key {
    /// Every key of config.json it is read from; the first names it.
    pub names: &'static [&'static str],
    /// What it decides, for people: "which layers see every token".
    pub decides: &'static str,
    read: Read,
}

/// How a key's value is found.
enum Read {
    /// The file's own value; where it states none, this one.
    Stated(Fallback),
    /// What the architecture makes of the keys.
    Resolved(fn(&ModelConfig) -> Result<Value, NativeError>),
}

/// What transformers' configuration class takes where the file states nothing.
enum Fallback {
    Null,
    Flag(bool),
    Whole(usize),
    Text(&'static str),
}

impl Key {
    /// A switch.
    pub(super) const fn flag(names: &'static [&'static str], default: bool, decides: &'static str) -> Self {
        Self { names, decides, read: Read::Stated(Fallback::Flag(default)) }
    }

    /// A whole number.
    pub(super) const fn whole(names: &'static [&'static str], default: usize, decides: &'static str) -> Self {
        Self { names, decides, read: Read::Stated(Fallback::Whole(default)) }
    }

    /// A name.
    pub(super) const fn text(names: &'static [&'static str], default: &'static str, decides: &'static str) -> Self {
        Self { names, decides, read: Read::Stated(Fallback::Text(default)) }
    }

    /// Anything, absent by default.
    pub(super) const fn absent(names: &'static [&'static str], decides: &'static str) -> Self {
        Self { names, decides, read: Read::Stated(Fallback::Null) }
    }

    /// What the builder itself makes of several keys.
    pub(super) const fn resolved(
        names: &'static [&'static str],
        decides: &'static str,
        value: fn(&ModelConfig) -> Result<Value, NativeError>,
    ) -> Self {
        Self { names, decides, read: Read::Resolved(value) }
    }

    /// Its first name.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// What is computed with.
    ///
    /// # Errors
    /// Values that the architecture cannot compute with.
    pub fn value(&self, config: &ModelConfig) -> Result<Value, NativeError> {
        let default = match &self.read {
            Read::Resolved(value) => return value(config),
            Read::Stated(Fallback::Null) => Value::Null,
            Read::Stated(Fallback::Flag(flag)) => Value::from(*flag),
            Read::Stated(Fallback::Whole(n)) => Value::from(*n),
            Read::Stated(Fallback::Text(text)) => Value::from(*text),
        };
        for name in self.names {
            if let Some(value) = config.stated(name)? {
                return Ok(value.clone());
            }
        }
        Ok(default)
    }

    /// The keys of this setting that the file states.
    pub fn stated<'a>(&'a self, config: &'a ModelConfig) -> impl Iterator<Item = (&'static str, &'a Value)> {
        let value = |name: &&'static str| Some((*name, config.stated(name).ok().flatten()?));
        self.names.iter().filter_map(value)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key{:?}", self.names)
    }
}

impl Architecture {
    /// The settings it reads besides those that every architecture has.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().copied().flatten()
    }

    /// `config`, of which only this architecture's keys can be read.
    pub(super) fn declared(&self, config: &ModelConfig) -> ModelConfig {
        let names: Vec<&'static str> = self.keys().flat_map(|key| key.names).copied().collect();
        config.declaring(Arc::from(names))
    }
}

/// Two values of one key mean the same: numbers up to the rounding to float32, everything else exactly.
pub fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= SAME_NUMBER * a.abs().max(b.abs()),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_value(a, b)))
        }
        _ => a == b,
    }
}

/// Keys of a model that may be a decoder, and must not be.
pub(super) const ENCODER_ONLY: &[Key] = &[
    Key::flag(&["is_decoder"], false, "whether a token sees those behind it"),
    Key::flag(&["add_cross_attention"], false, "whether layers look at another model's states"),
];

/// Keys of a model with a table of absolute positions.
pub(super) const ABSOLUTE: &[Key] = &[Key::text(&["position_embedding_type"], "absolute", "how positions enter")];

/// Every architecture's `config.pad_token_id` where it is read: the position of the first token.
pub(super) const PADDING_DECIDES: &str =
    "the row of the position table that the first token looks up: positions are counted from behind the padding id";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::ARCHITECTURES;
    use super::*;

    #[test]
    fn numbers_are_equal_as_float32_and_nothing_else_is() {
        for (a, b) in
            [(json!(160000), json!(160000.0)), (json!(1e-12), json!(f64::from(1e-12_f32))), (json!([1]), json!([1.0]))]
        {
            assert!(same_value(&a, &b), "{a} {b}");
        }
        for (a, b) in [
            (json!(160000), json!(159000)),
            (json!(0), json!(null)),
            (json!(1), json!(true)),
            (json!([1]), json!([1, 1])),
        ] {
            assert!(!same_value(&a, &b), "{a} {b}");
        }
        assert!(!same_value(&json!({"a": 1}), &json!({"a": 2})) && !same_value(&json!({"a": 1}), &json!({"b": 1})));
    }

    /// The three keys that are fields of `ModelConfig` are read past [`ModelConfig::declaring`]: the source tells who
    /// reads them. Nothing reads the file itself.
    #[test]
    fn a_file_that_reads_a_field_declares_its_key() {
        let sources = [
            ("albert", include_str!("albert.rs")),
            ("bert", include_str!("bert.rs")),
            ("distilbert", include_str!("distilbert.rs")),
            ("electra", include_str!("electra.rs")),
            ("eurobert", include_str!("eurobert.rs")),
            ("gemma3", include_str!("gemma3.rs")),
            ("modernbert", include_str!("modernbert.rs")),
            ("mpnet", include_str!("mpnet.rs")),
            ("nomic_bert", include_str!("nomic_bert.rs")),
            ("qwen3", include_str!("qwen3.rs")),
            ("roberta", include_str!("roberta.rs")),
        ];
        assert_eq!(sources.len(), ARCHITECTURES.len());
        for (file, source) in sources {
            for field in ["pad_token_id", "type_vocab_size"] {
                let reads = source.contains(&format!("config.{field}"));
                assert!(!reads || source.contains(&format!("\"{field}\"")), "{file} reads {field} undeclared");
            }
            let absolute = source.contains("absolute_positions(") || source.contains("bert::load(");
            assert!(!absolute || source.contains("ABSOLUTE"), "{file} reads position_embedding_type undeclared");
            assert!(!source.contains(".raw()"), "{file} reads the file itself");
        }
    }

    #[test]
    fn every_architecture_declares_what_it_reads_and_no_name_twice() {
        for architecture in ARCHITECTURES {
            let mut names: Vec<&str> = architecture.keys().flat_map(|k| k.names).copied().collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(all, names.len(), "{architecture:?} declares a name twice");
            let common = ModelConfig::COMMON.iter().copied().flatten();
            assert!(common.clone().all(|c| !names.contains(c)), "{architecture:?} declares a common key");
        }
    }
}
