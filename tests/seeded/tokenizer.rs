//! Tokenizers that differ where no row of the corpus shows it.

use serde_json::{Value, json};

use super::models::{EIGHT, Model, ONE};
use super::tokenizers::{both, bpe, padded, swap_unseen, unigram};
use super::{Fault, Plant};
use crate::common::plant::Copy;

const SEEDED: &[Model] = &[Model::Seeded8];

/// A change of the candidate's tokenizer.json.
pub(super) fn own(copy: Copy, change: impl FnOnce(&mut Value)) -> Copy {
    copy.json("tokenizer.json", change)
}

pub(super) const fn fault(
    id: &'static str,
    what: &'static str,
    plant: Plant,
    on: &'static [Model],
    says: &'static [&'static str],
) -> Fault {
    Fault { id, hazard: "G4", what, plant, on, exit: 1, says }
}

/// A key of sentences: prompts, the score, the width of a vector.
pub(super) const fn of_sentences(
    id: &'static str,
    what: &'static str,
    plant: Plant,
    on: &'static [Model],
    says: &'static [&'static str],
) -> Fault {
    Fault { hazard: "G13", ..fault(id, what, plant, on, says) }
}

pub(super) const fn refused(
    id: &'static str,
    what: &'static str,
    plant: Plant,
    on: &'static [Model],
    says: &'static [&'static str],
) -> Fault {
    Fault { exit: 3, ..fault(id, what, plant, on, says) }
}

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "words-swapped-unseen",
        "300 pairs of words that no probe and no row holds change ids",
        Plant::Candidate(|c| own(c, |t| swap_unseen(t, &Model::Mini8.corpus().to_lowercase(), 300))),
        ONE,
        &["tokenizer.vocabulary", "600 of 6000 tokens have another id", "in the reference"],
    ),
    fault(
        "one-word-renamed",
        "one word of the vocabulary is spelled differently, its id is the same",
        Plant::Candidate(|c| {
            own(c, |t| {
                let vocabulary = t["model"]["vocab"].as_object_mut().unwrap();
                let word = vocabulary.keys().rfind(|w| w.len() > 6 && !w.starts_with('#')).unwrap().clone();
                let id = vocabulary.remove(&word).unwrap();
                vocabulary.insert(format!("{word}qq"), id);
            })
        }),
        EIGHT,
        &["tokenizer.vocabulary", "absent"],
    ),
    fault(
        "cls-and-sep-exchanged",
        "the template puts [SEP] first and [CLS] last",
        Plant::Candidate(|c| {
            own(c, |t| {
                let single = t["post_processor"]["single"].as_array_mut().unwrap();
                single.swap(0, 2);
            })
        }),
        EIGHT,
        &["tokenizer.post_processor", "[SEP]` (3), the text, `[CLS]` (2) in the candidate"],
    ),
    fault(
        "template-without-sep",
        "the template ends with the text",
        Plant::Candidate(|c| own(c, |t| drop(t["post_processor"]["single"].as_array_mut().unwrap().pop()))),
        ONE,
        &["tokenizer.post_processor"],
    ),
    fault(
        "template-type-id",
        "the text has type id 1",
        Plant::Candidate(|c| own(c, |t| t["post_processor"]["single"][1]["Sequence"]["type_id"] = 1.into())),
        ONE,
        &["tokenizer.post_processor", "the text of type 1"],
    ),
    fault(
        "normalizer-step-added",
        "the normalizer first turns one rare text into another",
        Plant::Candidate(|c| {
            own(c, |t| {
                let step = json!({"type": "Replace", "pattern": {"String": "zqxj"}, "content": "the"});
                t["normalizer"] = json!({"type": "Sequence", "normalizers": [step, t["normalizer"]]});
            })
        }),
        EIGHT,
        &["tokenizer.normalizer", "zqxj"],
    ),
    fault(
        "accents-kept",
        "the normalizer keeps accents",
        Plant::Candidate(|c| own(c, |t| t["normalizer"]["strip_accents"] = false.into())),
        ONE,
        &["tokenizer.normalizer", "strip_accents"],
    ),
    fault(
        "control-characters-kept",
        "the normalizer keeps control characters",
        Plant::Candidate(|c| own(c, |t| t["normalizer"]["clean_text"] = false.into())),
        SEEDED,
        &["tokenizer.normalizer", "clean_text"],
    ),
    fault(
        "words-split-at-spaces-only",
        "the pre-tokenizer leaves punctuation in its word",
        Plant::Candidate(|c| own(c, |t| t["pre_tokenizer"] = json!({"type": "WhitespaceSplit"}))),
        ONE,
        &["tokenizer.pre_tokenizer", "WhitespaceSplit"],
    ),
    fault(
        "added-token-over-a-word",
        "a common word is an added token with an id of another",
        Plant::Candidate(|c| {
            own(c, |t| {
                let added = json!({"id": 6000, "content": "zebra", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": true, "special": false});
                t["added_tokens"].as_array_mut().unwrap().push(added);
            })
        }),
        ONE,
        &["tokenizer.added_tokens", "`zebra`: only in the candidate"],
    ),
    fault(
        "added-token-not-special",
        "[MASK] is no special token",
        Plant::Candidate(|c| own(c, |t| t["added_tokens"][4]["special"] = false.into())),
        EIGHT,
        &["tokenizer.added_tokens", "`special` is true in the reference, false in the candidate"],
    ),
    fault(
        "added-token-eats-spaces",
        "[MASK] takes the space before it",
        Plant::Candidate(|c| own(c, |t| t["added_tokens"][4]["lstrip"] = true.into())),
        ONE,
        &["tokenizer.added_tokens", "lstrip"],
    ),
    fault(
        "prefix-of-pieces",
        "pieces inside a word begin with @@",
        Plant::Candidate(|c| own(c, |t| t["model"]["continuing_subword_prefix"] = "@@".into())),
        ONE,
        &["tokenizer.model", "continuing_subword_prefix"],
    ),
    fault(
        "words-of-sixty-letters-unknown",
        "max_input_chars_per_word is 60",
        Plant::Candidate(|c| own(c, |t| t["model"]["max_input_chars_per_word"] = 60.into())),
        EIGHT,
        &["tokenizer.model", "max_input_chars_per_word is 100 in the reference, 60 in the candidate"],
    ),
    fault(
        "unknown-token-is-mask",
        "unknown words become [MASK]",
        Plant::Candidate(|c| own(c, |t| t["model"]["unk_token"] = "[MASK]".into())),
        ONE,
        &["tokenizer.model", "unk_token"],
    ),
    fault(
        "pad-id-of-the-file",
        "both files pad, one with [MASK]",
        Plant::Mixed(|c, reference| {
            let padding = |id: u32, token: &str| {
                json!({"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": id,
                    "pad_type_id": 0, "pad_token": token})
            };
            let file = reference.join("tokenizer.json");
            let mut ours: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            ours["padding"] = padding(0, "[PAD]");
            std::fs::write(file, ours.to_string()).unwrap();
            own(c, |t| t["padding"] = padding(4, "[PAD]"))
        }),
        ONE,
        &["tokenizer.padding", "pad_id"],
    ),
    fault(
        "merge-removed",
        "BPE: one merge is missing",
        Plant::Mixed(|c, r| both(c, r, &bpe(), |t| drop(t["model"]["merges"].as_array_mut().unwrap().remove(4)))),
        ONE,
        &["tokenizer.merges", "8 merges in the reference, 7 in the candidate"],
    ),
    fault(
        "merges-in-another-order",
        "BPE: two merges change ranks",
        Plant::Mixed(|c, r| both(c, r, &bpe(), |t| t["model"]["merges"].as_array_mut().unwrap().swap(3, 6))),
        ONE,
        &["tokenizer.merges", "at rank 3"],
    ),
    fault(
        "prefix-space",
        "BPE: a space is put before each text",
        Plant::Mixed(|c, r| both(c, r, &bpe(), |t| t["pre_tokenizer"]["add_prefix_space"] = true.into())),
        ONE,
        &["tokenizer.pre_tokenizer", "add_prefix_space"],
    ),
    refused(
        "merges-at-random",
        "BPE: both sides leave out merges at random",
        Plant::Mixed(|c, r| {
            let mut tokenizer = bpe();
            tokenizer["model"]["dropout"] = 0.1.into();
            both(c, r, &tokenizer, |_| ())
        }),
        ONE,
        &["tokenizer.dropout"],
    ),
    fault(
        "score-changed",
        "Unigram: one piece is more likely",
        Plant::Mixed(|c, r| both(c, r, &unigram(), |t| t["model"]["vocab"][9][1] = json!(-9.5))),
        ONE,
        &["tokenizer.scores", "`the`"],
    ),
    fault(
        "unknown-piece",
        "Unigram: unknown characters become [MASK]",
        Plant::Mixed(|c, r| both(c, r, &unigram(), |t| t["model"]["unk_id"] = 4.into())),
        ONE,
        &["tokenizer.model", "unk_id"],
    ),
    fault(
        "no-space-before-a-text",
        "Unigram: no space is put before a text",
        Plant::Mixed(|c, r| both(c, r, &unigram(), |t| t["pre_tokenizer"]["prepend_scheme"] = "never".into())),
        ONE,
        &["tokenizer.pre_tokenizer", "prepend_scheme"],
    ),
    refused(
        "vocabulary-padded-and-reached",
        "the candidate's table is one row shorter than its tokenizer's ids",
        Plant::Candidate(|c| padded(c, 5999)),
        ONE,
        &["vocabulary"],
    ),
];
