//! The tokenizers of both sides: cut at the same length, and compared as data before a row is tokenized.

use serde_json::Value;

use crate::Error;
use crate::checkpoint::{CheckpointError, ModelFolder, stated_model_max_length};
use crate::corpus::probes::probes;
use crate::finding::{Finding, Severity, codes};
use crate::report::{LoaderKeyRow, TokenizerDifference, TokenizersSection, escape};
use crate::tokens::loaders::{Loaded, LoaderFiles, LoaderSide, compare};
use crate::tokens::structure::{Difference, TokenizerData};
use crate::tokens::{Disagreement, TokenizerPair, WordTokenizer};

/// Characters of an example text that a message shows.
const EXCERPT: usize = 60;
/// Parts that may be written in several ways of which not all are known to be one: without a text that shows a
/// difference, none is proven.
const SPELLINGS: &[&str] = &["model", "normalizer", "pre_tokenizer", "post_processor"];

/// Both tokenizers, and how they compare.
pub(crate) struct Tokenizers {
    pub(crate) pair: TokenizerPair,
    pub(crate) section: TokenizersSection,
    pub(crate) findings: Vec<Finding>,
}

/// Rows of the corpus to which the two tokenizers give different ids, and the first of them.
#[derive(Default)]
pub(crate) struct OtherIds {
    rows: u64,
    first: Option<String>,
}

impl OtherIds {
    /// One row; `explained` where the files are known to differ, so that the rest is compared on the reference's ids.
    pub(crate) fn add(&mut self, explained: bool, place: &str, parts: Option<Disagreement>) -> Result<(), Error> {
        let Some(parts) = parts else { return Ok(()) };
        let said = format!("{place}: {parts}");
        if !explained {
            return Err(Error::Incomparable(format!("{said}; both sides must be fed the same ids")));
        }
        self.rows += 1;
        self.first.get_or_insert(said);
        Ok(())
    }

    /// What a person should know of it, of so many rows.
    pub(crate) fn finding(&self, rows: u64) -> Option<Finding> {
        let first = self.first.as_ref()?;
        let message = format!(
            "the two tokenizers give different ids to {} of {rows} rows, first {first}; both sides were fed the reference's",
            self.rows
        );
        Some(Finding::new(Severity::Failure, &codes::TOKENIZER_TOKEN_IDS, message))
    }
}

/// The length limit tokenizer_config.json states.
pub(crate) fn tokenizer_limit(folder: &ModelFolder) -> Result<Option<usize>, CheckpointError> {
    Ok(folder.json_object("tokenizer_config.json")?.and_then(|map| stated_model_max_length(&Value::Object(map))))
}

/// The files beside tokenizer.json that loaders read.
fn loader_files(folder: &ModelFolder) -> Result<LoaderFiles, CheckpointError> {
    let (sentence_file, sentence_config) = folder.sentence_config()?.unzip();
    Ok(LoaderFiles {
        tokenizer_config: folder.json_object("tokenizer_config.json")?,
        special_tokens_map: folder.json_object("special_tokens_map.json")?,
        added_tokens: folder.json_object("added_tokens.json")?,
        sentence_config,
        sentence_file,
        model_config: folder.json_object("config.json")?,
    })
}

/// The special tokens that a side's files name: loaders make them known to the tokenizer, whether tokenizer.json lists
/// them or not (transformers 5.23, `PreTrainedTokenizerBase`; a folder saved again lists them).
fn special_tokens(files: &LoaderFiles) -> Vec<String> {
    const KEYS: [&str; 7] =
        ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    let named = [&files.tokenizer_config, &files.special_tokens_map];
    let of = |value: &Value| value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned);
    let all = named.into_iter().flatten().flat_map(|map| KEYS.iter().filter_map(|key| of(map.get(*key)?)));
    all.collect()
}

/// Both tokenizers; without tokenizer.json on either side nothing shows that both get the same ids.
pub(crate) fn tokenizers(
    reference: Option<&ModelFolder>,
    shown: &str,
    candidate: &ModelFolder,
    max_length: usize,
) -> Result<Tokenizers, Error> {
    let missing = |whose: &str| {
        Error::Incomparable(format!(
            "{whose} has no tokenizer.json, so the two sides cannot be shown to get the same ids; put the model's tokenizer.json there"
        ))
    };
    let Some(folder) = reference else { return Err(missing(&format!("the folder of {shown}"))) };
    let ours = folder.read("tokenizer.json")?.ok_or_else(|| missing(folder.shown()))?;
    let theirs = candidate.read("tokenizer.json")?.ok_or_else(|| missing(candidate.shown()))?;
    let (files, their_files) = (loader_files(folder)?, loader_files(candidate)?);
    let first = WordTokenizer::parse(&ours, "the reference's tokenizer.json", max_length)?;
    let first = first.knowing(&special_tokens(&files))?;
    // One file makes one tokenizer: it is not run twice.
    let other = match ours == theirs {
        true => None,
        false => {
            let second = WordTokenizer::parse(&theirs, "the candidate's tokenizer.json", max_length)?;
            Some(second.knowing(&special_tokens(&their_files))?)
        }
    };
    let differences = match &other {
        None => Vec::new(),
        Some(other) => TokenizerData::read(&ours, &first)?.differences(&TokenizerData::read(&theirs, other)?),
    };
    let second = other.as_ref().unwrap_or(&first);
    let sides = [LoaderSide::new(&files, &first), LoaderSide::new(&their_files, second)];
    let loaded = compare(&sides[0], &sides[1]);
    let left = sides.iter().all(LoaderSide::cuts_left);
    let pair = TokenizerPair::new(first, other);
    let pair = if left { pair.cutting_left()? } else { pair };
    Ok(told(pair, differences, loaded))
}

/// The findings and the report's section.
fn told(pair: TokenizerPair, differences: Vec<Difference>, loaded: Loaded) -> Tokenizers {
    let mut findings = Vec::new();
    let mut section = TokenizersSection::default();
    for side in [&pair.reference, pair.candidate()] {
        if let Some(share) = side.facts().dropout {
            let message = format!(
                "{}: `dropout` is {share}, so that a text gets other ids each time; set it to null",
                side.name()
            );
            findings.push(Finding::new(Severity::Refusal, &codes::TOKENIZER_DROPOUT, message));
        }
    }
    for difference in differences {
        let example = if difference.changes_ids { example(&pair, &difference) } else { None };
        let severity = match (difference.changes_ids, &example) {
            (false, _) => Severity::Note,
            (true, None) if SPELLINGS.contains(&difference.part) => Severity::Refusal,
            (true, _) => Severity::Failure,
        };
        let so = match (&example, difference.changes_ids) {
            (_, false) => String::new(),
            (Some(example), _) => format!("; {example}"),
            (None, _) => "; no text that was tried gets other ids, which proves nothing of all others".to_owned(),
        };
        let message = format!("tokenizer.json: {}{so}", difference.message);
        findings.push(Finding::of(severity, &codes::TOKENIZER_PART, difference.part, message));
        section.differences.push(TokenizerDifference {
            part: difference.part.to_owned(),
            changes_ids: difference.changes_ids,
            message: difference.message,
            example,
        });
    }
    findings.extend(loaded.findings);
    section.outcome = match section.differences.iter().any(|d| d.changes_ids) {
        true => "different",
        false if pair.identical() => "identical",
        false => "equal",
    }
    .to_owned();
    let row = |row: crate::tokens::loaders::KeyRow| LoaderKeyRow {
        file: row.file.to_owned(),
        key: row.key.to_owned(),
        reference: row.reference,
        candidate: row.candidate,
        obeyed_by: row.obeyed_by.to_owned(),
        same: row.same,
    };
    section.keys = loaded.rows.into_iter().map(row).collect();
    Tokenizers { pair, section, findings }
}

/// A text that gets other ids, of those the difference suggests and the built-in probes.
fn example(pair: &TokenizerPair, difference: &Difference) -> Option<String> {
    difference.texts.iter().cloned().chain(probes()).find_map(|text| {
        let (_, parts) = pair.encode(&text).ok()?;
        Some(format!("of \"{}\", {}", escape::plain(&text, EXCERPT), parts?))
    })
}
