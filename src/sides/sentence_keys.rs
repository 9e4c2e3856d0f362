//! What `config_sentence_transformers.json` states beside the default prompt: every prompt by name, the score, the width.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::Error;
use crate::align::Preflight;
use crate::checkpoint::{ModelFolder, Prompts};
use crate::finding::{Finding, Severity, codes};
use crate::report::escape;
use crate::tokens::loaders::{counts_from_the_start, left};

/// The file.
const FILE: &str = "config_sentence_transformers.json";
/// Characters of a value that a message shows.
const SHOWN: usize = 80;

/// One key: its file, its name, and what sentence-transformers does where it is not stated.
struct SentenceKey {
    file: &'static str,
    key: &'static str,
    default: &'static str,
    /// True where silence of a whole file means the default as well: the width of a vector and the score that ranks are
    /// what a user gets.
    always: bool,
}

const KEYS: &[SentenceKey] = &[
    SentenceKey { file: FILE, key: "similarity_fn_name", default: "\"cosine\"", always: true },
    SentenceKey { file: FILE, key: "truncate_dim", default: "null", always: true },
    SentenceKey { file: FILE, key: "padding_side", default: "null", always: false },
    SentenceKey { file: FILE, key: "max_seq_length", default: "null", always: false },
    SentenceKey { file: FILE, key: "model_type", default: "\"SentenceTransformer\"", always: false },
    SentenceKey { file: "config.json", key: "truncate_dim", default: "null", always: true },
];

/// Compares both folders' keys and prompts; each fact is also a row of the preflight table.
pub(crate) fn compare(
    reference: Option<&ModelFolder>,
    candidate: &ModelFolder,
    preflight: &mut Preflight,
) -> Result<Vec<Finding>, Error> {
    let mut out = Vec::new();
    let Some(reference) = reference else { return Ok(out) };
    for key in KEYS {
        let (ours, theirs) = (reference.json_object(key.file)?, candidate.json_object(key.file)?);
        let stated = |map: &Option<Map<String, Value>>| map.as_ref().map(|map| value(map, key));
        let (a, b) = (stated(&ours), stated(&theirs));
        let silent = |side: &Option<String>| if side.is_none() { " (there is no such file)" } else { "" };
        let (no_ours, no_theirs) = (silent(&a), silent(&b));
        let default = key.always.then(|| key.default.to_owned());
        let (a, b) = (a.or_else(|| default.clone()), b.or(default));
        let (Some(a), Some(b)) = (a, b) else { continue };
        if a == key.default && b == key.default {
            continue;
        }
        let (a, b) = (escape::plain(&a, SHOWN), escape::plain(&b, SHOWN));
        preflight.told(key.key, Some(a.clone()), Some(b.clone()));
        if a != b {
            let message = format!(
                "{}: `{}` is {a} in {}{no_ours}, {b} in {}{no_theirs}",
                key.file,
                key.key,
                reference.shown(),
                candidate.shown()
            );
            out.push(Finding::of(Severity::Failure, &codes::PREFLIGHT_FACT, key.key, message));
        } else if key.key == "padding_side" && a == "\"left\"" {
            let config = candidate.json_object("config.json")?;
            let kind = config.as_ref().and_then(|c| c.get("model_type")).and_then(Value::as_str);
            if counts_from_the_start(kind) {
                let message = left(&format!("{FILE} of both sides"));
                out.push(Finding::new(Severity::Refusal, &codes::PREFLIGHT_PADDING_SIDE, message));
            }
        }
    }
    // A folder without the file has no prompts: that is what its runtime does.
    let prompts = (reference.prompts()?, candidate.prompts()?);
    if prompts.0.is_some() || prompts.1.is_some() {
        let (ours, theirs) = (prompts.0.unwrap_or_default(), prompts.1.unwrap_or_default());
        let said = differing(&ours, &theirs);
        let named = |prompts: &Prompts| prompts.by_name.keys().map(|name| escape::plain(name, 40)).collect::<Vec<_>>();
        let list = |prompts: &Prompts| match named(prompts) {
            names if names.is_empty() => "none".to_owned(),
            names => names.join(", "),
        };
        preflight.told("prompts", Some(list(&ours)), Some(list(&theirs)));
        if let Some(said) = said {
            let message = format!("{FILE}: {said} ({} and {})", reference.shown(), candidate.shown());
            out.push(Finding::new(Severity::Failure, &codes::PREFLIGHT_PROMPTS, message));
        }
    }
    Ok(out)
}

/// The width both sides cut their vectors to, where both state the same.
pub(crate) fn truncated(reference: Option<&ModelFolder>, candidate: &ModelFolder) -> Result<Option<usize>, Error> {
    let Some(reference) = reference else { return Ok(None) };
    let width = |folder: &ModelFolder| -> Result<Option<u64>, Error> {
        let value = |file: &str| -> Result<Option<u64>, Error> {
            Ok(folder.json_object(file)?.and_then(|map| map.get("truncate_dim").and_then(Value::as_u64)))
        };
        Ok(value(FILE)?.or(value("config.json")?))
    };
    let (ours, theirs) = (width(reference)?, width(candidate)?);
    Ok(ours.filter(|_| ours == theirs).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0))
}

/// As JSON; null is not stated.
fn value(map: &Map<String, Value>, key: &SentenceKey) -> String {
    map.get(key.key).filter(|v| !v.is_null()).map_or_else(|| key.default.to_owned(), Value::to_string)
}

/// The first prompt that differs. A name without a text is no prompt: sentence-transformers 5 writes `query` and
/// `document` with empty texts where a model has none.
fn differing(reference: &Prompts, candidate: &Prompts) -> Option<String> {
    let names: BTreeSet<&String> = reference.by_name.keys().chain(candidate.by_name.keys()).collect();
    let text = |prompts: &Prompts, name: &str| prompts.by_name.get(name).filter(|text| !text.is_empty()).cloned();
    let name = |name: &str| escape::plain(name, 40);
    let shown =
        |text: Option<String>| text.map_or_else(|| "absent".to_owned(), |text| format!("{:?}", escape_cut(&text)));
    for prompt in names {
        let (ours, theirs) = (text(reference, prompt), text(candidate, prompt));
        if ours != theirs {
            return Some(format!(
                "the prompt `{}` is {} in the reference, {} in the candidate",
                name(prompt),
                shown(ours),
                shown(theirs)
            ));
        }
    }
    let default = |prompts: &Prompts| prompts.default_name.clone().filter(|_| !prompts.default_text().is_empty());
    let (ours, theirs) = (default(reference), default(candidate));
    (ours != theirs).then(|| {
        let shown = |n: Option<String>| n.map_or_else(|| "none".to_owned(), |n| format!("`{}`", name(&n)));
        format!("`default_prompt_name` is {} in the reference, {} in the candidate", shown(ours), shown(theirs))
    })
}

fn escape_cut(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
