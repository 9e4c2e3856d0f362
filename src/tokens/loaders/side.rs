//! One side's files, and the value that a loader ends at for each key.

use serde_json::{Map, Value};

use super::class::{Chosen, choose};
use crate::tokens::WordTokenizer;
use crate::tokens::structure::{TokenizerParts, quoted, shown};

/// The files beside tokenizer.json that loaders read, as far as they are there.
#[derive(Clone, Debug, Default)]
pub struct LoaderFiles {
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<Map<String, Value>>,
    /// `special_tokens_map.json`; transformers reads it where tokenizer_config.json has no `added_tokens_decoder`.
    pub special_tokens_map: Option<Map<String, Value>>,
    /// `added_tokens.json`, from before tokenizer.json.
    pub added_tokens: Option<Map<String, Value>>,
    /// `sentence_bert_config.json` or one of its older names.
    pub sentence_config: Option<Map<String, Value>>,
    /// Which of these names it has.
    pub sentence_file: Option<String>,
    /// `config.json`.
    pub model_config: Option<Map<String, Value>>,
}

impl LoaderFiles {
    /// The name under which the transformer's settings are known, or would be.
    pub(super) fn sentence_name(&self) -> &str {
        self.sentence_file.as_deref().unwrap_or("sentence_bert_config.json")
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file states it.
    Stated,
    /// The loader's default for the class.
    Default,
    /// tokenizer.json, which the class takes it from.
    Tokenizer,
}

/// The value a loader ends at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The value as JSON; none where nothing says anything.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
}

impl Resolved {
    pub(super) fn new(value: impl Into<Option<String>>, source: Source) -> Self {
        Self { value: value.into(), source }
    }

    /// For people.
    pub(super) fn describe(&self, class: &str) -> String {
        let value = self.value.as_deref().unwrap_or("nothing");
        match self.source {
            Source::Stated => value.to_owned(),
            Source::Default => format!("{value} (unstated; the default of {class})"),
            Source::Tokenizer => format!("{value} (by tokenizer.json)"),
        }
    }
}

/// The text of a token, which files write as a text or as an object.
pub(super) fn content(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) => map.get("content").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    }
}

/// Characters of the longest word that BERT's classes of transformers split.
const LONGEST_WORD: usize = 100;

/// One side as loaders see it.
pub struct LoaderSide<'a> {
    pub(super) files: &'a LoaderFiles,
    /// `tokenizer_config.json` with every key of `special_tokens_map.json` laid over it, as transformers does where no
    /// `added_tokens_decoder` is stated.
    pub(super) merged: Option<Map<String, Value>>,
    pub(super) tokenizer: &'a WordTokenizer,
    pub(super) parts: TokenizerParts,
    pub(super) chosen: Chosen,
}

impl<'a> LoaderSide<'a> {
    /// Of a folder's files and its tokenizer.json.
    pub fn new(files: &'a LoaderFiles, tokenizer: &'a WordTokenizer) -> Self {
        let text = |map: &Option<Map<String, Value>>, key: &str| {
            map.as_ref().and_then(|m| m.get(key)).and_then(Value::as_str).map(str::to_owned)
        };
        let stated =
            text(&files.tokenizer_config, "tokenizer_class").or_else(|| text(&files.model_config, "tokenizer_class"));
        let chosen = choose(stated.as_deref(), text(&files.model_config, "model_type").as_deref());
        let decoder = files.tokenizer_config.as_ref().is_some_and(|c| c.contains_key("added_tokens_decoder"));
        let mut merged = files.tokenizer_config.clone();
        if let Some(map) = files.special_tokens_map.as_ref().filter(|_| !decoder) {
            merged.get_or_insert_default().extend(map.clone());
        }
        Self { files, merged, tokenizer, parts: tokenizer.parts(), chosen }
    }

    /// The name of the class that transformers would load, escaped.
    pub fn class(&self) -> String {
        let name: String = self.chosen.name.escape_default().take(60).collect();
        name
    }

    /// The class's row in the table.
    pub(super) fn row(&self) -> Option<&'static super::Class> {
        self.chosen.class
    }

    /// True where nothing but tokenizer.json says how to load it.
    pub(super) fn silent(&self) -> bool {
        self.files.tokenizer_config.is_none()
    }

    pub(super) fn config(&self, key: &str) -> Option<&Value> {
        self.merged.as_ref()?.get(key)
    }

    /// `special_tokens_map.json` says it, and `tokenizer_config.json` by itself does not.
    pub(super) fn is_of_the_map(&self, key: &str) -> bool {
        let own = self.files.tokenizer_config.as_ref().and_then(|config| config.get(key));
        self.config(key).is_some_and(|value| Some(value) != own)
    }

    /// A key of tokenizer_config.json as it is stated; null is not stated.
    pub(super) fn stated(&self, key: &str) -> Option<String> {
        self.config(key).filter(|v| !v.is_null()).map(shown)
    }

    /// A special token's text and where it comes from.
    pub(super) fn token_text(&self, role: &str) -> (Option<String>, Source) {
        if let Some(value) = self.config(role) {
            return (content(value), Source::Stated);
        }
        let default = self.row().and_then(|c| c.tokens.iter().find(|(name, _)| *name == role)).map(|(_, token)| *token);
        if let Some(token) = default {
            return (Some(token.to_owned()), Source::Default);
        }
        let padding = self.parts.padding.as_ref().filter(|_| role == "pad_token");
        (padding.and_then(|p| p.get("pad_token")).and_then(content), Source::Tokenizer)
    }

    /// The same, for the table.
    pub(super) fn token(&self, role: &str) -> Resolved {
        let (text, source) = self.token_text(role);
        Resolved::new(text.map(|t| quoted(&t)), source)
    }

    /// The id of a special token in tokenizer.json.
    pub(super) fn token_id(&self, role: &str) -> Option<u32> {
        self.tokenizer.id(&self.token_text(role).0?)
    }

    /// True where long texts lose their beginning.
    pub fn cuts_left(&self) -> bool {
        self.truncation_side().value.as_deref() == Some("\"left\"")
    }

    /// A side of cutting or padding: tokenizer_config.json, else the block in tokenizer.json, else the class.
    pub(super) fn end(&self, key: &str, block: Option<&Value>, default: &str) -> Resolved {
        if let Some(stated) = self.config(key).and_then(Value::as_str) {
            return Resolved::new(shown(&Value::from(stated.to_lowercase())), Source::Stated);
        }
        match block.and_then(|b| b.get("direction")).and_then(Value::as_str) {
            Some(direction) => Resolved::new(shown(&Value::from(direction.to_lowercase())), Source::Tokenizer),
            None => Resolved::new(shown(&Value::from(default)), Source::Default),
        }
    }

    /// The end of a long text that is cut.
    pub(super) fn truncation_side(&self) -> Resolved {
        self.end("truncation_side", self.parts.truncation.as_ref(), "right")
    }

    /// A step of the normalizer or the pre-tokenizer, by its type.
    fn step<'b>(steps: &'b [Value], kind: &str) -> Option<&'b Value> {
        steps.iter().find(|step| step.get("type").and_then(Value::as_str) == Some(kind))
    }

    /// A switch of BERT's normalizer in tokenizer.json.
    pub(super) fn bert_switch(&self, key: &str) -> Option<String> {
        let step = Self::step(&self.parts.normalizer, "BertNormalizer")?;
        step.get(key).map(Value::to_string)
    }

    /// Whether tokenizer.json lower-cases.
    pub(super) fn lowers(&self) -> Option<String> {
        let plain = Self::step(&self.parts.normalizer, "Lowercase").is_some();
        Some(self.bert_switch("lowercase").unwrap_or_else(|| plain.to_string()))
    }

    /// Whether tokenizer.json keeps accents.
    pub(super) fn keeps_accents(&self) -> Option<String> {
        Some(Self::step(&self.parts.normalizer, "StripAccents").is_none().to_string())
    }

    /// Whether tokenizer.json puts a space before a text.
    pub(super) fn prefixes(&self) -> Option<String> {
        if let Some(step) = Self::step(&self.parts.pre_tokenizer, "ByteLevel") {
            return step.get("add_prefix_space").map(Value::to_string);
        }
        let step = Self::step(&self.parts.pre_tokenizer, "Metaspace")?;
        Some((step.get("prepend_scheme").and_then(Value::as_str) != Some("never")).to_string())
    }

    /// What BERT's classes of transformers build instead of what tokenizer.json says; none where the file says the same.
    pub(super) fn rebuilt(&self) -> Option<&'static str> {
        if !self.row().is_some_and(|class| class.builds_bert) {
            return None;
        }
        let kinds = |steps: &[Value], kind: &str| steps.len() == 1 && Self::step(steps, kind).is_some();
        if !kinds(&self.parts.normalizer, "BertNormalizer") || self.bert_switch("clean_text").as_deref() != Some("true")
        {
            return Some("the normalizer");
        }
        if !kinds(&self.parts.pre_tokenizer, "BertPreTokenizer") {
            return Some("the pre-tokenizer");
        }
        let unknown = self.token_text("unk_token").0.unwrap_or_default();
        if self.parts.wordpiece != Some((unknown, "##".to_owned(), LONGEST_WORD)) {
            return Some("the WordPiece model");
        }
        let around = self.parts.template.around();
        let expected =
            self.token_id("cls_token").zip(self.token_id("sep_token")).map(|(cls, sep)| (vec![cls], vec![sep]));
        (around.is_none() || around != expected).then_some("the template")
    }
}
