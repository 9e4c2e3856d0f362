//! What stands around the model in a tokenizer file: steps before it and behind it, and the added tokens.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;

use super::template::Template;
use super::{Difference, NAMED, quoted, shown};

/// Texts on which the usual normalizers and pre-tokenizers differ: case, accents, ligatures and widths, CJK, white
/// space, control and zero-width characters, apostrophes, digits, punctuation, long and unknown words.
const PROVOKING: &[&str] = &[
    "The Café's naïve RÉSUMÉ isn't İstanbul's Straße",
    "e\u{301}a\u{308}n\u{303} ﬁne ①② ＡＢＣ ½ ™",
    "中文字符 and 日本語テキスト mixed 한국어",
    " leading, double  spaces,\ttabs\u{a0}and trailing ",
    "zero\u{200b}width soft\u{ad}hyphen bell\u{7} and\r\nline",
    "don't we'll e-mail@example.com http://a.b/c?d=1 1234567.89 10000",
    "``quoted'' \"text\" (brackets) [MASK] under_score CamelCase C++ #hash $5 50%",
    "a\u{1f600}b \u{10330}\u{10331} ελληνικά русский עברית العربية हिन्दी",
];

/// Characters of a word that limits on a word's length are tried with.
const LONG_WORDS: &[usize] = &[6, 12, 24, 51, 99, 101, 201];

/// An added token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedEntry {
    /// Its id.
    pub id: u32,
    /// `special`, `single_word`, `lstrip`, `rstrip`, `normalized`.
    pub flags: [bool; 5],
}

/// Names of [`AddedEntry::flags`].
const FLAGS: [&str; 5] = ["special", "single_word", "lstrip", "rstrip", "normalized"];

impl AddedEntry {
    /// Of an entry of `added_tokens` or `added_tokens_decoder`; flags not stated are false, but `normalized` of a token
    /// that is not special (tokenizers' `AddedToken::from`).
    pub fn of(id: u32, entry: &Value) -> Self {
        let flag = |name: &str| entry.get(name).and_then(Value::as_bool);
        let special = flag("special").unwrap_or(false);
        let of = |name: &str| flag(name).unwrap_or(name == "normalized" && !special);
        Self { id, flags: FLAGS.map(of) }
    }

    /// What differs from `other`, in words.
    pub fn unlike(&self, other: &Self) -> Option<String> {
        if self.id != other.id {
            return Some(format!("id {} in the reference, {} in the candidate", self.id, other.id));
        }
        let at = self.flags.iter().zip(&other.flags).position(|(a, b)| a != b)?;
        let (name, ours, theirs) = (FLAGS.get(at)?, self.flags.get(at)?, other.flags.get(at)?);
        Some(format!("`{name}` is {ours} in the reference, {theirs} in the candidate"))
    }
}

/// The steps and the added tokens of one file, in normal form.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerParts {
    /// Steps of the normalizer; sequences are unrolled.
    pub normalizer: Vec<Value>,
    /// Steps of the pre-tokenizer; sequences are unrolled.
    pub pre_tokenizer: Vec<Value>,
    /// What is put around a text.
    pub template: Template,
    /// Special tokens in the template, by id.
    names: BTreeMap<u32, String>,
    /// Added tokens by their text.
    pub added: BTreeMap<String, AddedEntry>,
    /// The file's own truncation.
    pub truncation: Option<Value>,
    /// The file's own padding.
    pub padding: Option<Value>,
    /// The settings of a WordPiece model: the unknown token, the prefix of a continued word, the longest word in
    /// characters; none for another model.
    pub wordpiece: Option<(String, String, usize)>,
    decoder: Value,
}

/// The library's own JSON of a step.
fn json(step: Option<&impl Serialize>) -> Value {
    step.and_then(|s| serde_json::to_value(s).ok()).unwrap_or(Value::Null)
}

/// A step and those inside it, each in normal form.
fn unrolled(step: Value, inside: &str, normal: fn(&mut Map<String, Value>), out: &mut Vec<Value>) {
    match step {
        Value::Null => {}
        Value::Object(mut map) => {
            if map.get("type").and_then(Value::as_str) == Some("Sequence")
                && let Some(Value::Array(steps)) = map.remove(inside)
            {
                steps.into_iter().for_each(|step| unrolled(step, inside, normal, out));
                return;
            }
            normal(&mut map);
            out.push(Value::Object(map));
        }
        other => out.push(other),
    }
}

/// BERT strips accents where it lower-cases, unless the file says otherwise.
fn normalizer(map: &mut Map<String, Value>) {
    if map.get("type").and_then(Value::as_str) == Some("BertNormalizer")
        && map.get("strip_accents").is_none_or(Value::is_null)
    {
        let lowercase = map.get("lowercase").cloned().unwrap_or_default();
        map.insert("strip_accents".to_owned(), lowercase);
    }
}

/// Offsets are not ids.
fn pre_tokenizer(map: &mut Map<String, Value>) {
    map.remove("trim_offsets");
}

impl TokenizerParts {
    /// Of what the library made of a file; `truncation` and `padding` as the file has them.
    pub(in crate::tokens) fn of(inner: &Tokenizer, truncation: Option<Value>, padding: Option<Value>) -> Self {
        let (mut before, mut splits) = (Vec::new(), Vec::new());
        unrolled(json(inner.get_normalizer()), "normalizers", normalizer, &mut before);
        unrolled(json(inner.get_pre_tokenizer()), "pretokenizers", pre_tokenizer, &mut splits);
        let template = Template::of(json(inner.get_post_processor()));
        let entry = |(id, token): (&u32, &tokenizers::AddedToken)| {
            let flags = [token.special, token.single_word, token.lstrip, token.rstrip, token.normalized];
            (token.content.clone(), AddedEntry { id: *id, flags })
        };
        let ids = template.around().map(|(before, after)| [before, after].concat()).unwrap_or_default();
        Self {
            normalizer: before,
            pre_tokenizer: splits,
            names: ids.into_iter().filter_map(|id| Some((id, inner.id_to_token(id)?))).collect(),
            template,
            added: inner.get_added_tokens_decoder().iter().map(entry).collect(),
            truncation,
            padding,
            wordpiece: match inner.get_model() {
                ModelWrapper::WordPiece(model) => Some((
                    model.unk_token.clone(),
                    model.continuing_subword_prefix.clone(),
                    model.max_input_chars_per_word,
                )),
                _ => None,
            },
            decoder: json(inner.get_decoder()),
        }
    }

    /// The token of an id in the template.
    pub fn named(&self, id: u32) -> String {
        self.names.get(&id).map_or_else(|| format!("#{id}"), |name| quoted(name))
    }

    pub(super) fn differences(&self, candidate: &Self) -> Vec<Difference> {
        let mut out = Vec::new();
        out.extend(self.added_tokens(candidate));
        out.extend(steps("normalizer", &self.normalizer, &candidate.normalizer));
        out.extend(steps("pre_tokenizer", &self.pre_tokenizer, &candidate.pre_tokenizer));
        if !self.template.same_single(&candidate.template) {
            let (ours, theirs) =
                (self.template.describe(&|id| self.named(id)), candidate.template.describe(&|id| candidate.named(id)));
            let message = format!("a row is {ours} in the reference, {theirs} in the candidate");
            out.push(Difference::of("post_processor", message).with(["a".to_owned()]));
        } else if let (Template::Pieces { pair: a, .. }, Template::Pieces { pair: b, .. }) =
            (&self.template, &candidate.template)
            && !a.is_null()
            && !b.is_null()
            && a != b
        {
            let message = "the templates for pairs of texts differ; rows of one text are the same".to_owned();
            out.push(Difference::note("post_processor", message));
        }
        out.extend(self.cutting(candidate));
        if self.decoder != candidate.decoder {
            let message = format!(
                "{} in the reference, {} in the candidate; a decoder turns ids into text and changes no vector",
                shown(&self.decoder),
                shown(&candidate.decoder)
            );
            out.push(Difference::note("decoder", message));
        }
        out
    }

    /// Truncation and padding: loaders set the length and the strategy themselves, what they keep are the sides (compared
    /// with the keys of tokenizer_config.json) and the id to pad with.
    fn cutting(&self, candidate: &Self) -> Vec<Difference> {
        let mut out = Vec::new();
        let said = |v: &Option<Value>| v.as_ref().map_or_else(|| "none".to_owned(), shown);
        if self.truncation != candidate.truncation {
            let message = format!(
                "the file's own truncation is {} in the reference, {} in the candidate; loaders override the length",
                said(&self.truncation),
                said(&candidate.truncation)
            );
            out.push(Difference::note("truncation", message));
        }
        if self.padding != candidate.padding {
            let id = |v: &Option<Value>| v.as_ref().and_then(|p| p.get("pad_id")).and_then(Value::as_u64);
            let both = (id(&self.padding), id(&candidate.padding));
            let message = format!(
                "the file's own padding is {} in the reference, {} in the candidate",
                said(&self.padding),
                said(&candidate.padding)
            );
            out.push(match both {
                (Some(a), Some(b)) if a != b => Difference::of("padding", message),
                _ => Difference::note("padding", format!("{message}; loaders override it")),
            });
        }
        out
    }

    fn added_tokens(&self, candidate: &Self) -> Option<Difference> {
        let mut said = Vec::new();
        let mut texts = Vec::new();
        let all: std::collections::BTreeSet<&String> = self.added.keys().chain(candidate.added.keys()).collect();
        for content in all {
            let unlike = match (self.added.get(content), candidate.added.get(content)) {
                (Some(a), Some(b)) => a.unlike(b),
                (Some(a), None) => Some(format!("only in the reference (id {})", a.id)),
                (None, Some(b)) => Some(format!("only in the candidate (id {})", b.id)),
                (None, None) => None,
            };
            if let Some(unlike) = unlike {
                said.push(format!("{}: {unlike}", quoted(content)));
                let (lower, upper) = (content.to_lowercase(), content.to_uppercase());
                texts.extend([content.clone(), format!("x  {content}  y"), format!("x{content}y"), lower, upper]);
            }
        }
        let count = said.len();
        (count > 0).then(|| {
            said.truncate(NAMED);
            let more = if count > NAMED { "; …" } else { "" };
            Difference::of("added_tokens", format!("{count} added tokens differ: {}{more}", said.join("; ")))
                .with(texts.into_iter().take(5 * NAMED))
        })
    }
}

fn steps(part: &'static str, reference: &[Value], candidate: &[Value]) -> Option<Difference> {
    if reference == candidate {
        return None;
    }
    let at = reference.iter().zip(candidate).position(|(a, b)| a != b);
    let at = at.unwrap_or(reference.len().min(candidate.len()));
    let said = |steps: &[Value]| steps.get(at).map_or_else(|| "nothing".to_owned(), shown);
    let keys = keys_apart(reference.get(at), candidate.get(at));
    let message =
        format!("step {} is {} in the reference, {} in the candidate{keys}", at + 1, said(reference), said(candidate));
    // A step may hold the very text it acts on.
    let mut texts = Vec::new();
    for step in reference.iter().chain(candidate) {
        strings(step, &mut texts);
    }
    texts.extend(PROVOKING.iter().map(|t| (*t).to_owned()));
    Some(Difference::of(part, message).with(texts))
}

/// The settings in which two steps of one kind differ: a step may be longer than what is shown of it.
fn keys_apart(reference: Option<&Value>, candidate: Option<&Value>) -> String {
    let (Some(Value::Object(a)), Some(Value::Object(b))) = (reference, candidate) else { return String::new() };
    let all: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let apart: Vec<String> = all.into_iter().filter(|key| a.get(*key) != b.get(*key)).map(|key| quoted(key)).collect();
    format!(" (they differ in {})", apart.join(", "))
}

/// Texts inside a step, alone and inside a word.
fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) if text.chars().count() <= 64 => out.extend([text.clone(), format!("a{text}b {text}")]),
        Value::Array(values) => values.iter().for_each(|v| strings(v, out)),
        Value::Object(map) => map.iter().filter(|(k, _)| *k != "type").for_each(|(_, v)| strings(v, out)),
        _ => {}
    }
}

/// Texts that a model's parameters act on.
pub(super) fn provoking_words() -> Vec<String> {
    let long = LONG_WORDS.iter().map(|n| "a".repeat(*n));
    PROVOKING.iter().map(|t| (*t).to_owned()).chain(long).collect()
}
