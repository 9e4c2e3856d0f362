//! Texts that are put before a sentence, as `config_sentence_transformers.json` states them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::modules_error::{ModulesError, malformed};
use super::pooling_config::object;

/// The file.
pub(super) const FILE: &str = "config_sentence_transformers.json";

/// Prompts by name, and which is used where the caller names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// By name; the texts end as they are to be joined to the sentence.
    pub by_name: BTreeMap<String, String>,
    /// Used where the caller names none.
    pub default_name: Option<String>,
}

impl Prompts {
    /// Reads the file's JSON.
    pub(super) fn parse(value: &Value) -> Result<Self, ModulesError> {
        let map = object(value, FILE)?;
        let mut prompts = Self::default();
        match map.get("prompts") {
            None | Some(Value::Null) => {}
            Some(Value::Object(all)) => {
                for (name, text) in all {
                    let text = text.as_str().ok_or_else(|| malformed(FILE, "`prompts` must map names to texts"))?;
                    prompts.by_name.insert(name.clone(), text.to_owned());
                }
            }
            Some(_) => return Err(malformed(FILE, "`prompts` must map names to texts")),
        }
        match map.get("default_prompt_name") {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) if prompts.by_name.contains_key(name) => {
                prompts.default_name = Some(name.clone())
            }
            Some(other) => {
                let shown: String = other.to_string().chars().take(40).collect();
                return Err(malformed(
                    FILE,
                    format!("`default_prompt_name` is {shown}, which its prompts do not have"),
                ));
            }
        }
        Ok(prompts)
    }

    /// The text used where the caller names no prompt; empty where the file states none.
    pub fn default_text(&self) -> &str {
        self.default_name.as_ref().and_then(|name| self.by_name.get(name)).map_or("", String::as_str)
    }
}
