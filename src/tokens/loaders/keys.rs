//! The table of keys that loaders obey: one row says which file, which loaders, the default, and what it changes.

use serde_json::Value;

use super::side::{LoaderSide, Resolved, Source};
use crate::tokens::structure::shown;

/// What a key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The ids of a text.
    Ids,
    /// Which end of a long text is cut, or where.
    Cut,
    /// Where a short row is padded.
    Padding,
    /// A special token; it is added to the vocabulary where it is not in it.
    Token,
    /// Text made of ids, which no encoder sees.
    Text,
}

/// One key.
pub struct LoaderKey {
    /// File it stands in.
    pub file: &'static str,
    /// Its name.
    pub key: &'static str,
    /// Who obeys it.
    pub obeyed_by: &'static str,
    /// What is assumed where it is not stated.
    pub default: &'static str,
    /// What it changes.
    pub effect: Effect,
    /// The value a loader ends at.
    pub value: fn(&LoaderSide<'_>) -> Resolved,
    /// What tokenizer.json itself says of it, for classes that do not take it from there.
    pub own: fn(&LoaderSide<'_>) -> Option<String>,
}

pub(super) const CONFIG: &str = "tokenizer_config.json";
const SENTENCE: &str = "sentence_bert_config.json";
const BERT_LIKE: &str = "transformers (BertTokenizer and its kin build the normalizer from it), swift-transformers";
const TRANSFORMERS: &str = "transformers (mlx-embeddings, mlx-lm, sentence-transformers)";
const SENTENCE_TRANSFORMERS: &str = "sentence-transformers";

fn unsaid(_: &LoaderSide<'_>) -> Option<String> {
    None
}

/// A switch that a class obeys, else what tokenizer.json does.
fn switch(side: &LoaderSide<'_>, key: &str, default: Option<String>, own: Option<String>) -> Resolved {
    match (default, side.stated(key)) {
        (None, _) => Resolved::new(own, Source::Tokenizer),
        (Some(_), Some(stated)) => Resolved::new(stated, Source::Stated),
        (Some(default), None) => Resolved::new(default, Source::Default),
    }
}

fn lower_case(side: &LoaderSide<'_>) -> Resolved {
    let default = side.row().and_then(|c| c.lower_case).map(|d| d.to_string());
    switch(side, "do_lower_case", default, side.lowers())
}

/// Accents go where letters are lower-cased, unless a file says otherwise.
fn strip_accents(side: &LoaderSide<'_>) -> Resolved {
    let default = side.row().filter(|c| c.builds_bert).and_then(|_| lower_case(side).value);
    switch(side, "strip_accents", default, side.bert_switch("strip_accents"))
}

fn chinese(side: &LoaderSide<'_>) -> Resolved {
    let default = side.row().filter(|c| c.builds_bert).map(|_| "true".to_owned());
    switch(side, "tokenize_chinese_chars", default, side.bert_switch("handle_chinese_chars"))
}

fn keep_accents(side: &LoaderSide<'_>) -> Resolved {
    let default = side.row().and_then(|c| c.keep_accents).map(|d| d.to_string());
    let own = side.row().and_then(|c| c.keep_accents).and_then(|_| side.keeps_accents());
    switch(side, "keep_accents", default, own)
}

fn prefix_space(side: &LoaderSide<'_>) -> Resolved {
    let default = side.row().and_then(|c| c.prefix_space).map(|d| d.to_string());
    switch(side, "add_prefix_space", default, side.prefixes())
}

pub(super) fn padding_side(side: &LoaderSide<'_>) -> Resolved {
    let default = side.row().map_or("right", |c| c.padding_side);
    side.end("padding_side", side.parts.padding.as_ref(), default)
}

/// The number, unless it is transformers' "unlimited".
fn model_max_length(side: &LoaderSide<'_>) -> Resolved {
    let limit = side.config("model_max_length").and_then(Value::as_f64).filter(|n| *n < 1e9);
    Resolved::new(limit.map(|n| n.to_string()), Source::Stated)
}

/// As stated, else a default that no class changes.
fn plain(side: &LoaderSide<'_>, key: &str, default: &str) -> Resolved {
    match side.stated(key) {
        Some(stated) => Resolved::new(stated, Source::Stated),
        None => Resolved::new((!default.is_empty()).then(|| default.to_owned()), Source::Default),
    }
}

fn sentence(side: &LoaderSide<'_>, key: &str, default: &str) -> Resolved {
    let stated = side.files.sentence_config.as_ref().and_then(|map| map.get(key)).filter(|v| !v.is_null());
    match stated {
        Some(value) => Resolved::new(shown(value), Source::Stated),
        None => Resolved::new(default.to_owned(), Source::Default),
    }
}

/// Special tokens that the template puts around a text.
fn around(side: &LoaderSide<'_>, first: bool) -> Option<String> {
    let (before, after) = side.row().filter(|c| !c.tokens.is_empty()).and(side.parts.template.around())?;
    let id = if first { before.first() } else { after.last() }?;
    Some(side.parts.named(*id))
}

const fn token(key: &'static str, value: fn(&LoaderSide<'_>) -> Resolved) -> LoaderKey {
    LoaderKey {
        file: CONFIG,
        key,
        obeyed_by: TRANSFORMERS,
        default: "the class's",
        effect: Effect::Token,
        value,
        own: unsaid,
    }
}

const fn of_class(
    key: &'static str,
    default: &'static str,
    value: fn(&LoaderSide<'_>) -> Resolved,
    own: fn(&LoaderSide<'_>) -> Option<String>,
) -> LoaderKey {
    LoaderKey { file: CONFIG, key, obeyed_by: BERT_LIKE, default, effect: Effect::Ids, value, own }
}

const fn of_sentence(key: &'static str, default: &'static str, value: fn(&LoaderSide<'_>) -> Resolved) -> LoaderKey {
    LoaderKey {
        file: SENTENCE,
        key,
        obeyed_by: SENTENCE_TRANSFORMERS,
        default,
        effect: Effect::Ids,
        value,
        own: unsaid,
    }
}

/// Every key.
pub const KEYS: &[LoaderKey] = &[
    of_class("do_lower_case", "true for BERT's classes and ALBERT's", lower_case, |s| s.lowers()),
    of_class("strip_accents", "as do_lower_case", strip_accents, |s| s.bert_switch("strip_accents")),
    of_class("tokenize_chinese_chars", "true", chinese, |s| s.bert_switch("handle_chinese_chars")),
    LoaderKey {
        obeyed_by: "transformers (AlbertTokenizer)",
        ..of_class("keep_accents", "false", keep_accents, |s| s.keeps_accents())
    },
    LoaderKey {
        obeyed_by: "transformers (byte-level and sentencepiece classes)",
        ..of_class("add_prefix_space", "false for RoBERTa, true for XLM-R", prefix_space, |s| s.prefixes())
    },
    LoaderKey {
        obeyed_by: "transformers 4 and swift-transformers (Llama and Gemma classes)",
        ..of_class("add_bos_token", "the template in tokenizer.json", |s| plain(s, "add_bos_token", ""), unsaid)
    },
    LoaderKey {
        obeyed_by: "transformers 4 and swift-transformers (Llama and Gemma classes)",
        ..of_class("add_eos_token", "the template in tokenizer.json", |s| plain(s, "add_eos_token", ""), unsaid)
    },
    LoaderKey {
        obeyed_by: TRANSFORMERS,
        ..of_class("split_special_tokens", "false", |s| plain(s, "split_special_tokens", "false"), unsaid)
    },
    LoaderKey {
        obeyed_by: "swift-transformers",
        ..of_class("fuse_unk", "false", |s| plain(s, "fuse_unk", "false"), unsaid)
    },
    LoaderKey {
        obeyed_by: TRANSFORMERS,
        effect: Effect::Cut,
        ..of_class(
            "truncation_side",
            "the truncation in tokenizer.json, else right",
            |side| side.truncation_side(),
            unsaid,
        )
    },
    LoaderKey {
        obeyed_by: TRANSFORMERS,
        effect: Effect::Cut,
        ..of_class("model_max_length", "unlimited", model_max_length, unsaid)
    },
    LoaderKey {
        obeyed_by: TRANSFORMERS,
        effect: Effect::Padding,
        ..of_class("padding_side", "the padding in tokenizer.json, else the class's", padding_side, unsaid)
    },
    LoaderKey { own: |s| around(s, true), ..token("cls_token", |s| s.token("cls_token")) },
    LoaderKey { own: |s| around(s, false), ..token("sep_token", |s| s.token("sep_token")) },
    token("pad_token", |s| s.token("pad_token")),
    token("unk_token", |s| s.token("unk_token")),
    token("mask_token", |s| s.token("mask_token")),
    token("bos_token", |s| s.token("bos_token")),
    token("eos_token", |s| s.token("eos_token")),
    LoaderKey {
        obeyed_by: TRANSFORMERS,
        effect: Effect::Text,
        ..of_class(
            "clean_up_tokenization_spaces",
            "false",
            |s| plain(s, "clean_up_tokenization_spaces", "false"),
            unsaid,
        )
    },
    of_sentence("do_lower_case", "false", |s| sentence(s, "do_lower_case", "false")),
    of_sentence("tokenizer_args", "{}", |s| sentence(s, "tokenizer_args", "{}")),
    of_sentence("tokenizer_name_or_path", "null", |s| sentence(s, "tokenizer_name_or_path", "null")),
];
