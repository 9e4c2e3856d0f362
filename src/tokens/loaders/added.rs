//! Tokens that files beside tokenizer.json add to its vocabulary.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::side::{LoaderSide, content};
use crate::finding::{Finding, Severity, codes};
use crate::tokens::structure::{AddedEntry, quoted};

/// Entries that a message names.
const NAMED: usize = 3;

/// `added_tokens_decoder`, by text.
fn decoder(side: &LoaderSide<'_>) -> Option<BTreeMap<String, AddedEntry>> {
    let map = side.config("added_tokens_decoder")?.as_object()?;
    let entry = |(id, token): (&String, &Value)| {
        let content = token.get("content")?.as_str()?.to_owned();
        Some((content, AddedEntry::of(id.parse().ok()?, token)))
    };
    Some(map.iter().filter_map(entry).collect())
}

/// Texts of `extra_special_tokens` (once `additional_special_tokens`) and of the other files that tokenizer.json does not
/// list as added tokens: the loader makes them such, and a word that is one is cut out of the words around it.
fn extra(side: &LoaderSide<'_>) -> Vec<String> {
    let mapped = side.files.special_tokens_map.as_ref().filter(|_| side.config("added_tokens_decoder").is_none());
    let of = |map: &Map<String, Value>, key: &str| match map.get(key) {
        Some(Value::Array(list)) => list.iter().filter_map(content).collect(),
        Some(Value::Object(map)) => map.values().filter_map(content).collect(),
        _ => Vec::new(),
    };
    let maps = [mapped, side.files.tokenizer_config.as_ref()];
    let keys = ["extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens"];
    let mut all: Vec<String> = maps.iter().flatten().flat_map(|map| keys.iter().flat_map(|key| of(map, key))).collect();
    all.extend(side.files.added_tokens.iter().flat_map(Map::keys).cloned());
    all.extend(decoder(side).into_iter().flat_map(BTreeMap::into_keys));
    all.retain(|token| !side.parts.added.contains_key(token));
    all.sort();
    all.dedup();
    all
}

fn listed(tokens: &[String]) -> String {
    if tokens.is_empty() {
        return "none".to_owned();
    }
    let named: Vec<String> = tokens.iter().take(NAMED).map(|t| quoted(t)).collect();
    format!("{}{}", named.join(", "), if tokens.len() > NAMED { ", …" } else { "" })
}

/// Differences in what both sides' files add, and a side's files that contradict its own tokenizer.json.
pub(super) fn findings(reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    let (ours, theirs) = (extra(reference), extra(candidate));
    if ours != theirs {
        let message = format!(
            "tokens that files beside tokenizer.json add to its vocabulary: {} in the reference, {} in the candidate; \
             transformers gives them ids of their own",
            listed(&ours),
            listed(&theirs)
        );
        out.push(Finding::new(Severity::Failure, &codes::TOKENIZER_ADDED_TOKENS, message));
    } else if !ours.is_empty() {
        let message = format!(
            "{} of tokenizer_config.json, special_tokens_map.json or added_tokens.json are not in tokenizer.json on either side; \
             transformers gives them ids of their own",
            listed(&ours)
        );
        out.push(Finding::new(Severity::Warning, &codes::TOKENIZER_CONTRADICTS_ITSELF, message));
    }
    // Where only one side has a decoder, its tokenizer.json stands for the other's.
    let (a, b) = (decoder(reference), decoder(candidate));
    if a.is_some() || b.is_some() {
        let table = |own: &Option<BTreeMap<String, AddedEntry>>, side: &LoaderSide<'_>| {
            own.clone().unwrap_or_else(|| side.parts.added.clone())
        };
        let (ours, theirs) = (table(&a, reference), table(&b, candidate));
        let unlike = |(token, entry): (&String, &AddedEntry)| {
            let other = theirs.get(token).or_else(|| candidate.parts.added.get(token));
            Some((token.clone(), entry.unlike(other?)?))
        };
        let all: Vec<(String, String)> = ours.iter().filter_map(unlike).collect();
        if let Some((token, unlike)) = all.first() {
            let message = format!(
                "tokenizer_config.json: `added_tokens_decoder` differs for {} tokens, first {}: {unlike}; transformers obeys it",
                all.len(),
                quoted(token)
            );
            out.push(Finding::new(Severity::Failure, &codes::TOKENIZER_ADDED_TOKENS_DECODER, message));
        }
    }
    for (whose, side) in [("the reference", reference), ("the candidate", candidate)] {
        let moved = |(token, entry): (&String, &AddedEntry)| {
            let id = side.tokenizer.id(token)?;
            (id != entry.id).then(|| format!("{} is {} there and {id} in tokenizer.json", quoted(token), entry.id))
        };
        let first = decoder(side).into_iter().flatten().find_map(|(token, entry)| moved((&token, &entry)));
        let listed = side.files.added_tokens.iter().flatten().find_map(|(token, id)| {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok())?;
            moved((token, &AddedEntry { id, flags: [false; 5] }))
        });
        for (file, said) in [("tokenizer_config.json: `added_tokens_decoder`", first), ("added_tokens.json", listed)] {
            let Some(said) = said else { continue };
            let message = format!("{whose}'s {file} contradicts its tokenizer.json: {said}");
            out.push(Finding::new(Severity::Warning, &codes::TOKENIZER_CONTRADICTS_ITSELF, message));
        }
    }
    out
}
