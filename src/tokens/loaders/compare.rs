//! Both sides' keys, row by row.

use serde_json::{Map, Value};

use super::added;
use super::inputs::{self, MODEL_INPUTS};
use super::keys::{CONFIG, Effect, KEYS, LoaderKey};
use super::side::{LoaderSide, Resolved};
use crate::finding::{Finding, Severity, codes};
use crate::tokens::structure::{quoted, shown};

/// One key as both sides end at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's file.
    pub file: &'static str,
    /// The key.
    pub key: &'static str,
    /// Who obeys it.
    pub obeyed_by: &'static str,
    /// What the reference's loader ends at, and why.
    pub reference: String,
    /// What the candidate's loader ends at, and why.
    pub candidate: String,
    /// Whether that is the same.
    pub same: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Every key that either side has a value for.
    pub rows: Vec<KeyRow>,
    /// Differences, contradictions, and silence.
    pub findings: Vec<Finding>,
}

/// Keys of tokenizer_config.json that no row of [`KEYS`] has and that say nothing about ids.
const KEPT_BOOKS: &[&str] = &[
    "tokenizer_class",
    "added_tokens_decoder",
    "additional_special_tokens",
    "extra_special_tokens",
    "model_specific_special_tokens",
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
    "backend",
    "is_local",
    "local_files_only",
    "processor_class",
    "chat_template",
    "_commit_hash",
    "transformers_version",
    // Written by transformers 5 out of tokenizer.json's own blocks, and set anew by each call.
    "max_length",
    "stride",
    "truncation_strategy",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "errors",
    "trim_offsets",
    // Of the tokenizers in Python only.
    "do_basic_tokenize",
    "never_split",
];

/// Keys of tokenizer_config.json that hand the loader another tokenizer than tokenizer.json, and what each does.
const ELSEWHERE: &[(&str, &str)] = &[
    ("fast_tokenizer_files", "transformers loads the file of its version in place of tokenizer.json"),
    ("init_inputs", "transformers passes them to the class, the first as its vocabulary"),
    ("vocab", "transformers passes it to the class"),
    ("merges", "transformers passes them to the class"),
    ("tokenizer_object", "transformers takes it in place of tokenizer.json"),
    ("post_processor", "transformers takes it in place of the template in tokenizer.json"),
    ("tokenizer_truncation", "transformers takes it in place of the truncation in tokenizer.json"),
    ("tokenizer_padding", "transformers takes it in place of the padding in tokenizer.json"),
];

/// A side whose loader would not use its tokenizer.json.
fn elsewhere(whose: &str, side: &LoaderSide<'_>) -> Vec<Finding> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    // Only versioned names count among those.
    let own = |value: &Value| value.as_array().is_some_and(|l| l.iter().all(|f| f.as_str() == Some("tokenizer.json")));
    let finding = |(key, does): &(&str, &str)| {
        side.config(key).filter(|value| !empty(value) && !own(value))?;
        let message = format!("{whose}'s tokenizer_config.json states `{key}`: {does}; remove it");
        Some(Finding::new(Severity::Refusal, &codes::TOKENIZER_ELSEWHERE, message))
    };
    ELSEWHERE.iter().filter_map(finding).collect()
}

/// A key of special_tokens_map.json that is no special token, where none of the findings `told` is of it.
fn no_token(whose: &str, side: &LoaderSide<'_>, told: &[Finding]) -> Option<Finding> {
    const LISTS: &[&str] = &["additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"];
    let map = side.files.special_tokens_map.as_ref()?;
    let is_told = |key: &str| {
        side.is_of_the_map(key)
            && told.iter().any(|f| f.severity == Severity::Failure && f.code == format!("tokenizer.{key}"))
    };
    let other = |key: &&String| !key.ends_with("_token") && !LISTS.contains(&key.as_str()) && !is_told(key);
    let key = map.keys().find(other)?;
    let message = format!(
        "{whose}'s special_tokens_map.json states {}, which is no special token: transformers hands every key of that file to \
         the tokenizer; take it out",
        quoted(key)
    );
    Some(Finding::new(Severity::Refusal, &codes::TOKENIZER_ELSEWHERE, message))
}

/// Compares what loaders make of both sides.
pub fn compare(reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> Loaded {
    let mut out = Loaded::default();
    let sides = [("the reference", reference), ("the candidate", candidate)];
    for (whose, side) in sides {
        if side.silent() {
            let message = format!(
                "{whose} has no tokenizer_config.json; the defaults of {} are taken, as transformers takes them",
                side.class()
            );
            out.findings.push(Finding::new(Severity::Note, &codes::TOKENIZER_CONFIG_ABSENT, message));
        }
    }
    out.findings.extend(classes(reference, candidate));
    for key in KEYS {
        let (ours, theirs) = ((key.value)(reference), (key.value)(candidate));
        let told = judge(key, &ours, &theirs, reference, candidate);
        if ours.value.is_some() || theirs.value.is_some() {
            out.rows.push(KeyRow {
                file: key.file,
                key: key.key,
                obeyed_by: key.obeyed_by,
                reference: ours.describe(&reference.class()),
                candidate: theirs.describe(&candidate.class()),
                same: told.is_none(),
            });
        }
        // A contradiction between the sides is told by the finding above.
        let before = told.is_some();
        out.findings.extend(told);
        if before {
            continue;
        }
        for (whose, side, value) in [("the reference", reference, &ours), ("the candidate", candidate, &theirs)] {
            out.findings.extend(contradiction(key, whose, side, value));
        }
    }
    out.findings.extend(added::findings(reference, candidate));
    for (whose, side) in sides {
        out.findings.extend(elsewhere(whose, side));
        let of_the_map = no_token(whose, side, &out.findings);
        out.findings.extend(of_the_map);
        if let Some(part) = side.rebuilt() {
            let message = format!(
                "{whose}'s tokenizer_class is {}, for which transformers 5 builds {part} anew; tokenizer.json says something else, \
                 so that loaders which read it get other ids",
                side.class()
            );
            out.findings.push(Finding::new(Severity::Warning, &codes::TOKENIZER_CONTRADICTS_ITSELF, message));
        }
    }
    out.findings.extend(inputs::findings(reference, candidate));
    out.findings.extend(unknown(reference, candidate));
    out.findings.extend(unknown_of_sentences(reference, candidate));
    out.findings.extend(uncomputed(reference, candidate));
    out
}

/// The finding of a key on which the sides differ.
fn judge(
    key: &LoaderKey,
    ours: &Resolved,
    theirs: &Resolved,
    reference: &LoaderSide<'_>,
    candidate: &LoaderSide<'_>,
) -> Option<Finding> {
    if ours.value == theirs.value {
        return None;
    }
    let (severity, so) = match key.effect {
        Effect::Text => (Severity::Note, "it changes text made of ids, and no vector"),
        // Where both sides state how long a sentence may be, this limit is not reached.
        Effect::Cut if key.key == "model_max_length" && sentence_limit([reference, candidate]).is_some() => {
            cut_otherwise(&[ours, theirs], sentence_limit([reference, candidate]))
        }
        Effect::Token if missing(key.key, reference, candidate) => return None,
        // A switch that neither class reads, or that one side leaves to its tokenizer.json.
        Effect::Ids | Effect::Cut if ours.value.is_none() || theirs.value.is_none() => return None,
        // What is not written down anywhere is not proven.
        _ if reference.silent() || candidate.silent() => {
            (Severity::Refusal, "one side has no tokenizer_config.json; put the model's own there")
        }
        Effect::Token => (Severity::Failure, "the two sides use different special tokens"),
        Effect::Padding => (Severity::Failure, "rows of a batch are padded at different ends"),
        Effect::Cut => (Severity::Failure, "long texts are cut differently"),
        Effect::Ids => (Severity::Failure, "the two sides give a text different ids"),
    };
    let of_the_map = key.file == CONFIG && [reference, candidate].iter().any(|side| side.is_of_the_map(key.key));
    let message = format!(
        "{}: `{}` is {} in the reference, {} in the candidate; {so} (obeyed by {})",
        if of_the_map { "special_tokens_map.json" } else { key.file },
        key.key,
        ours.describe(&reference.class()),
        theirs.describe(&candidate.class()),
        key.obeyed_by
    );
    Some(Finding::of(severity, &codes::TOKENIZER_PART, key.key, message))
}

/// One side names no token, and the other's is in its vocabulary all the same: nothing is added.
fn missing(role: &str, reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> bool {
    let (token, silent) = match (reference.token_text(role).0, candidate.token_text(role).0) {
        (Some(token), None) => (token, candidate),
        (None, Some(token)) => (token, reference),
        _ => return false,
    };
    silent.tokenizer.id(&token).is_some()
}

/// The smaller `max_seq_length`, where both sides state one.
fn sentence_limit(sides: [&LoaderSide<'_>; 2]) -> Option<u64> {
    let stated =
        |side: &LoaderSide<'_>| side.files.sentence_config.as_ref().and_then(|map| map.get("max_seq_length")?.as_u64());
    let [a, b] = sides.map(stated);
    Some(a?.min(b?))
}

/// What two limits of a tokenizer do where `max_seq_length` is stated beside both: loaders that read that file obey it
/// alone, all others obey the tokenizer's.
fn cut_otherwise(limits: &[&Resolved; 2], sentence: Option<u64>) -> (Severity, &'static str) {
    let cuts = |limit: &&Resolved| {
        let tokens = limit.value.as_ref().and_then(|v| v.parse::<f64>().ok());
        tokens.zip(sentence).is_some_and(|(tokens, sentence)| tokens < sentence as f64)
    };
    match limits.iter().any(cuts) {
        true => (Severity::Failure, "loaders that do not read sentence_bert_config.json cut long texts there"),
        false => (Severity::Note, "max_seq_length of sentence_bert_config.json is below it on both sides"),
    }
}

/// A side whose tokenizer.json says something else than what its loader ends at.
fn contradiction(key: &LoaderKey, whose: &str, side: &LoaderSide<'_>, value: &Resolved) -> Option<Finding> {
    let said = value.value.as_ref()?;
    if key.effect == Effect::Token && side.token_id(key.key).is_none() {
        let message = format!(
            "{whose}'s `{}` {said} is not in its tokenizer.json; transformers adds it with an id beyond the embedding table",
            key.key
        );
        return Some(Finding::new(Severity::Warning, &codes::TOKENIZER_CONTRADICTS_ITSELF, message));
    }
    let own = (key.own)(side)?;
    (own != *said).then(|| {
        let message = format!(
            "{whose}'s `{}` is {} for loaders that obey it ({}), {own} by its tokenizer.json",
            key.key,
            value.describe(&side.class()),
            key.obeyed_by
        );
        Finding::new(Severity::Warning, &codes::TOKENIZER_CONTRADICTS_ITSELF, message)
    })
}

/// Two classes that build different tokenizers of one file.
fn classes(reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> Option<Finding> {
    if reference.chosen == candidate.chosen {
        return None;
    }
    let plain = |side: &LoaderSide<'_>| side.row().is_some_and(|c| c.tokens.is_empty());
    let by_file =
        |side: &LoaderSide<'_>| plain(side) || (side.row().is_some_and(|c| c.builds_bert) && side.rebuilt().is_none());
    let names = format!("{} in the reference, {} in the candidate", reference.class(), candidate.class());
    if by_file(reference) && by_file(candidate) {
        let message = format!("tokenizer_class is {names}; both make what tokenizer.json says");
        return Some(Finding::new(Severity::Note, &codes::TOKENIZER_CLASS, message));
    }
    let message = format!(
        "tokenizer_config.json: `tokenizer_class` is {names}; transformers builds a tokenizer by its class, and these two are not \
         proven to build the same; state the same class on both sides"
    );
    Some(Finding::new(Severity::Refusal, &codes::TOKENIZER_CLASS, message))
}

/// Keys of which nothing is known, and that differ or that one side has alone. transformers 5 makes the value of any key
/// that ends in `_token` a token of its own, and hands the others to the class.
fn unknown(reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> Option<Finding> {
    let (ours, theirs) = (reference.merged.as_ref()?, candidate.merged.as_ref()?);
    let known = |key: &str| {
        KEPT_BOOKS.contains(&key) || KEYS.iter().any(|k| k.key == key) || ELSEWHERE.iter().any(|(name, _)| *name == key)
    };
    let said = |map: &Map<String, Value>, key: &str| map.get(key).filter(|value| !is_nothing(key, value)).cloned();
    let all: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).filter(|key| !known(key)).collect();
    let differing: Vec<&String> = all.into_iter().filter(|key| said(ours, key) != said(theirs, key)).collect();
    let names: Vec<String> = differing.iter().map(|key| quoted(key)).take(8).collect();
    let adds = |key: &str| key.ends_with("_token") || key == MODEL_INPUTS;
    let severity = match differing.iter().any(|key| adds(key)) {
        true => Severity::Failure,
        false => Severity::Refusal,
    };
    let of_the_map = differing.iter().any(|key| [reference, candidate].iter().any(|side| side.is_of_the_map(key)));
    (!names.is_empty()).then(|| {
        let message = format!(
            "{}: the sides state {} differently; transformers makes a token of its own of each key that ends in \
             `_token`, and hands the others to the tokenizer: state the same on both sides",
            if of_the_map { "special_tokens_map.json" } else { CONFIG },
            names.join(", ")
        );
        Finding::new(severity, &codes::TOKENIZER_UNREAD_KEYS, message)
    })
}

/// Keys of sentence_bert_config.json that no row of [`KEYS`] has, that differ or that one side has alone.
fn unknown_of_sentences(reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> Option<Finding> {
    let ours = reference.files.sentence_config.as_ref()?;
    // A candidate without the file says none of them.
    let theirs = &candidate.files.sentence_config.clone().unwrap_or_default();
    let known = |key: &str| key == "max_seq_length" || KEYS.iter().any(|k| k.key == key);
    let said = |map: &Map<String, Value>, key: &str| map.get(key).filter(|value| !is_default(key, value)).cloned();
    let all: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).filter(|key| !known(key)).collect();
    let names: Vec<String> =
        all.into_iter().filter(|key| said(ours, key) != said(theirs, key)).map(|key| quoted(key)).take(8).collect();
    (!names.is_empty()).then(|| {
        let message = format!(
            "{}: the sides state {} differently; sentence-transformers hands such keys to the model, the \
             tokenizer or the processor: take them out on both sides",
            reference.files.sentence_name(),
            names.join(", ")
        );
        Finding::new(Severity::Refusal, &codes::TOKENIZER_UNREAD_KEYS, message)
    })
}

/// Values that sentence-transformers 6 writes of every plain text encoder.
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "transformer_task" => value == "feature-extraction",
        "module_output_name" => value == "token_embeddings",
        "modality_config" => {
            *value == serde_json::json!({"text": {"method": "forward", "method_output_name": "last_hidden_state"}})
        }
        _ => is_nothing(key, value),
    }
}

/// Keys of sentence_bert_config.json that both sides state alike. sentence-transformers obeys them, MLX's runtimes do not
/// read the file, and nothing here computes them.
fn uncomputed(reference: &LoaderSide<'_>, candidate: &LoaderSide<'_>) -> Option<Finding> {
    let (ours, theirs) = (reference.files.sentence_config.as_ref()?, candidate.files.sentence_config.as_ref()?);
    let idle = |key: &str, value: &Value| match key {
        "max_seq_length" => true,
        // A tokenizer that lower-cases leaves nothing to do.
        "do_lower_case" => value != true || candidate.lowers().as_deref() == Some("true"),
        _ => is_default(key, value),
    };
    let (key, value) = ours.iter().find(|(key, value)| !idle(key, value) && theirs.get(*key) == Some(value))?;
    let message = format!(
        "{}: {} is {} on both sides; sentence-transformers obeys it, MLX's runtimes do not read that file, \
         so that the two give different vectors: state it where every loader reads it (tokenizer_config.json, config.json)",
        reference.files.sentence_name(),
        quoted(key),
        shown(value)
    );
    Some(Finding::new(Severity::Refusal, &codes::TOKENIZER_UNREAD_KEYS, message))
}

/// A value that changes nothing: none, an empty list, and a list of what a tokenizer returns that has the mask.
fn is_nothing(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) if key == MODEL_INPUTS => list.iter().any(|v| v == "attention_mask"),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
