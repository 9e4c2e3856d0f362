//! The model of a tokenizer file: its kind, its parameters, its vocabulary both ways, merges and scores.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::parts::provoking_words;
use super::{Difference, NAMED, quoted, shown};
use crate::tokens::TokenizerError;

/// Scores are stored as float32 by sentencepiece and written with more or fewer digits: as far apart as one rounding to
/// float32 (2⁻²⁴, 6e-8) moves them, they are the same score.
const SCORE_ROUNDING: f64 = 6e-8;

/// Parameters where a file states none (tokenizers 0.23, the builders of each model).
const DEFAULTS: &[(&str, &str, Value)] = &[
    ("BPE", "dropout", Value::Null),
    ("BPE", "unk_token", Value::Null),
    ("BPE", "continuing_subword_prefix", Value::Null),
    ("BPE", "end_of_word_suffix", Value::Null),
    ("BPE", "fuse_unk", Value::Bool(false)),
    ("BPE", "byte_fallback", Value::Bool(false)),
    ("BPE", "ignore_merges", Value::Bool(false)),
    ("Unigram", "unk_id", Value::Null),
    ("Unigram", "byte_fallback", Value::Bool(false)),
    ("WordPiece", "unk_token", Value::Null),
    ("WordPiece", "continuing_subword_prefix", Value::Null),
    ("WordPiece", "max_input_chars_per_word", Value::Null),
    ("WordLevel", "unk_token", Value::Null),
];

/// The model of one file.
pub struct TokenizerWords {
    /// `WordPiece`, `BPE`, `Unigram`, `WordLevel`.
    pub kind: String,
    /// Its parameters, defaults filled in.
    pub parameters: BTreeMap<String, Value>,
    vocabulary: HashMap<String, u32>,
    /// By rank.
    merges: Vec<(String, String)>,
    /// By id.
    scores: Vec<f64>,
    /// Keys that the library does not read.
    unread: BTreeMap<String, Value>,
}

impl TokenizerWords {
    /// Of the file's bytes, which the library has read before.
    pub(super) fn read(bytes: &[u8], file: &str) -> Result<Self, TokenizerError> {
        let malformed = |reason: &str| TokenizerError::Malformed { file: file.to_owned(), reason: reason.to_owned() };
        let mut all: Value = serde_json::from_slice(bytes).map_err(|e| malformed(&e.to_string()))?;
        let mut model = match all.get_mut("model").map(Value::take) {
            Some(Value::Object(model)) => model,
            _ => return Err(malformed("it has no `model`")),
        };
        let kind = match model.remove("type") {
            Some(Value::String(kind)) => kind,
            // Files from before there was a type.
            _ if model.contains_key("merges") => "BPE".to_owned(),
            _ if model.contains_key("max_input_chars_per_word") => "WordPiece".to_owned(),
            _ if model.get("vocab").is_some_and(Value::is_array) => "Unigram".to_owned(),
            _ => "WordLevel".to_owned(),
        };
        let (vocabulary, scores) = match model.remove("vocab") {
            Some(Value::Object(map)) => (by_token(map).ok_or_else(|| malformed("an id is not a number"))?, Vec::new()),
            Some(Value::Array(list)) => scored(list).ok_or_else(|| malformed("a token is not a text with a score"))?,
            _ => return Err(malformed("its model has no `vocab`")),
        };
        let merges = match model.remove("merges") {
            Some(Value::Array(list)) => pairs(list).ok_or_else(|| malformed("a merge is not a pair of tokens"))?,
            _ => Vec::new(),
        };
        let mut parameters = BTreeMap::new();
        for (_, name, default) in DEFAULTS.iter().filter(|(of, ..)| *of == kind) {
            let value = model.remove(*name).unwrap_or_else(|| default.clone());
            // Nothing put before or behind a piece is no prefix.
            let nothing = kind == "BPE" && value.as_str() == Some("");
            parameters.insert((*name).to_owned(), if nothing { Value::Null } else { value });
        }
        Ok(Self { kind, parameters, vocabulary, merges, scores, unread: model.into_iter().collect() })
    }

    pub(super) fn differences(&self, candidate: &Self) -> Vec<Difference> {
        let mut out = Vec::new();
        if self.kind != candidate.kind {
            let message =
                format!("{} in the reference, {} in the candidate", quoted(&self.kind), quoted(&candidate.kind));
            out.push(Difference::of("model", message).with(provoking_words()));
            return out;
        }
        let names = self.parameters.keys().filter(|name| self.parameters.get(*name) != candidate.parameters.get(*name));
        for name in names {
            let said = |of: &Self| of.parameters.get(name).map_or_else(|| "nothing".to_owned(), shown);
            let message = format!("{name} is {} in the reference, {} in the candidate", said(self), said(candidate));
            out.push(Difference::of("model", message).with(provoking_words()));
        }
        out.extend(self.other_ids(candidate));
        out.extend(self.other_merges(candidate));
        out.extend(self.other_scores(candidate));
        if self.unread != candidate.unread {
            let names: Vec<String> = self.unread.keys().chain(candidate.unread.keys()).map(|k| quoted(k)).collect();
            let message = format!("keys of the model that tokenizers does not read differ: {}", names.join(", "));
            out.push(Difference::note("model", message));
        }
        out
    }

    /// Tokens whose ids differ, or that only one side has.
    fn other_ids(&self, candidate: &Self) -> Option<Difference> {
        let mut differing: Vec<(Option<u32>, Option<u32>, &str)> = Vec::new();
        for (token, id) in &self.vocabulary {
            let other = candidate.vocabulary.get(token).copied();
            if other != Some(*id) {
                differing.push((Some(*id), other, token));
            }
        }
        let only = candidate.vocabulary.iter().filter(|(token, _)| !self.vocabulary.contains_key(*token));
        differing.extend(only.map(|(token, id)| (None, Some(*id), token.as_str())));
        if differing.is_empty() {
            return None;
        }
        differing.sort_by_key(|(ours, theirs, token)| (ours.or(*theirs), *token));
        let said = |id: Option<u32>| id.map_or_else(|| "absent".to_owned(), |id| id.to_string());
        let named: Vec<String> = differing
            .iter()
            .take(NAMED)
            .map(|(ours, theirs, token)| {
                format!("{} is {} in the reference, {} in the candidate", quoted(token), said(*ours), said(*theirs))
            })
            .collect();
        let message = format!(
            "{} of {} tokens have another id: {}{}",
            differing.len(),
            self.vocabulary.len().max(candidate.vocabulary.len()),
            named.join("; "),
            if differing.len() > NAMED { "; …" } else { "" }
        );
        let texts = differing.iter().take(8 * NAMED).flat_map(|(.., token)| spoken(token));
        Some(Difference::of("vocabulary", message).with(texts))
    }

    fn other_merges(&self, candidate: &Self) -> Option<Difference> {
        if self.merges == candidate.merges {
            return None;
        }
        let shorter = self.merges.len().min(candidate.merges.len());
        let at = self.merges.iter().zip(&candidate.merges).position(|(a, b)| a != b).unwrap_or(shorter);
        let said = |of: &Self| {
            let pair = |(a, b): &(String, String)| format!("{} + {}", quoted(a), quoted(b));
            of.merges.get(at).map_or_else(|| "nothing".to_owned(), pair)
        };
        let message = format!(
            "{} merges in the reference, {} in the candidate; the first that differ, at rank {at}, are {} and {}",
            self.merges.len(),
            candidate.merges.len(),
            said(self),
            said(candidate)
        );
        let differing = self.merges.iter().skip(at).take(NAMED).chain(candidate.merges.iter().skip(at).take(NAMED));
        let texts = differing.flat_map(|(a, b)| spoken(&format!("{a}{b}")));
        Some(Difference::of("merges", message).with(texts.chain(provoking_words())))
    }

    fn other_scores(&self, candidate: &Self) -> Option<Difference> {
        // Tokens are matched by id: where the vocabularies differ, that is said already.
        let tokens: HashMap<u32, &str> = self.vocabulary.iter().map(|(token, id)| (*id, token.as_str())).collect();
        let mut differing = Vec::new();
        for (id, (a, b)) in self.scores.iter().zip(&candidate.scores).enumerate() {
            // Written so that NaN differs.
            let same = a == b || (a - b).abs() <= SCORE_ROUNDING * a.abs().max(b.abs());
            let token = u32::try_from(id).ok().and_then(|id| tokens.get(&id)).copied().unwrap_or_default();
            if !same && candidate.vocabulary.get(token).copied() == u32::try_from(id).ok() {
                differing.push((token, *a, *b));
            }
        }
        let (token, a, b) = *differing.first()?;
        let message = format!(
            "{} of {} scores differ: {} has {a} in the reference, {b} in the candidate",
            differing.len(),
            self.scores.len(),
            quoted(token)
        );
        let texts = differing.iter().take(8 * NAMED).flat_map(|(token, ..)| spoken(token));
        Some(Difference::of("scores", message).with(texts.chain(provoking_words())))
    }
}

fn by_token(map: Map<String, Value>) -> Option<HashMap<String, u32>> {
    map.into_iter().map(|(token, id)| Some((token, u32::try_from(id.as_u64()?).ok()?))).collect()
}

fn scored(list: Vec<Value>) -> Option<(HashMap<String, u32>, Vec<f64>)> {
    let mut vocabulary = HashMap::with_capacity(list.len());
    let mut scores = Vec::with_capacity(list.len());
    for (id, entry) in list.into_iter().enumerate() {
        let Value::Array(pair) = entry else { return None };
        let [Value::String(token), score] = <[Value; 2]>::try_from(pair).ok()? else { return None };
        scores.push(score.as_f64()?);
        vocabulary.insert(token, u32::try_from(id).ok()?);
    }
    Some((vocabulary, scores))
}

/// `["a", "b"]`, or `"a b"` of older files, whose first line may state a version.
fn pairs(list: Vec<Value>) -> Option<Vec<(String, String)>> {
    let pair = |entry: Value| match entry {
        Value::String(text) if text.starts_with("#version") => None,
        Value::String(text) => {
            Some(text.split_once(' ').filter(|(_, b)| !b.contains(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())))
        }
        Value::Array(two) => Some(match <[Value; 2]>::try_from(two) {
            Ok([Value::String(a), Value::String(b)]) => Some((a, b)),
            _ => None,
        }),
        _ => Some(None),
    };
    list.into_iter().filter_map(pair).collect()
}

/// Texts that a token comes from: marks of words' beginnings and ends are not text.
fn spoken(token: &str) -> Vec<String> {
    let bare = token.strip_prefix("##").unwrap_or(token);
    let bare: String = bare.chars().map(|c| if matches!(c, 'Ġ' | '▁') { ' ' } else { c }).collect();
    let trimmed = bare.trim().to_owned();
    if trimmed.is_empty() { vec![bare] } else { vec![trimmed.clone(), format!("the {trimmed} a{trimmed}")] }
}
