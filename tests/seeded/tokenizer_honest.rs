//! The same tokenizer, written in other ways: each must pass.

use serde_json::{Value, json};

use super::models::{EIGHT, Model, ONE};
use super::tokenizer::own;
use super::tokenizer_keys::{key, sentence};
use super::tokenizers::{both, bpe, padded, unigram};
use super::{Fault, Plant};

const fn honest(id: &'static str, what: &'static str, plant: Plant, on: &'static [Model]) -> Fault {
    Fault { id, hazard: "-", what, plant, on, exit: 0, says: &[] }
}

/// The same tokenizer, written in another way: none may be anything but a PASS.
pub(crate) const HONEST: &[Fault] = &[
    honest(
        "reformatted",
        "keys in another order, on many lines",
        Plant::Candidate(|c| {
            c.bytes("tokenizer.json", |bytes| {
                let value: std::collections::BTreeMap<String, Value> = serde_json::from_slice(bytes).unwrap();
                *bytes = serde_json::to_vec_pretty(&value).unwrap();
            })
        }),
        EIGHT,
    ),
    honest(
        "template-as-bert-processing",
        "the template is spelled BertProcessing in a sequence of one",
        Plant::Candidate(|c| {
            own(c, |t| {
                let bert = json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]});
                t["post_processor"] = json!({"type": "Sequence", "processors": [bert]});
            })
        }),
        EIGHT,
    ),
    honest(
        "steps-in-sequences-of-one",
        "normalizer and pre-tokenizer stand in sequences, accents are stated",
        Plant::Candidate(|c| {
            own(c, |t| {
                t["normalizer"]["strip_accents"] = true.into();
                t["normalizer"] = json!({"type": "Sequence", "normalizers": [t["normalizer"]]});
                t["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [t["pre_tokenizer"]]});
            })
        }),
        ONE,
    ),
    honest(
        "truncation-block",
        "tokenizer.json cuts rows at 16 tokens by itself, which loaders override",
        Plant::Candidate(|c| {
            own(c, |t| {
                t["truncation"] =
                    json!({"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0});
            })
        }),
        EIGHT,
    ),
    honest(
        "padding-block",
        "tokenizer.json pads rows by itself, which loaders override",
        Plant::Candidate(|c| {
            own(c, |t| {
                t["padding"] = json!({"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": 8,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
            })
        }),
        ONE,
    ),
    honest(
        "padded-vocabulary",
        "the candidate's table is padded to a multiple of 64",
        Plant::Candidate(|c| padded(c, 6016)),
        ONE,
    ),
    honest(
        "defaults-spelled-out",
        "tokenizer_config.json states what the class assumes, and an unlimited length",
        Plant::Candidate(|c| {
            c.json("tokenizer_config.json", |c| {
                *c = json!({"tokenizer_class": "BertTokenizerFast", "do_lower_case": true, "strip_accents": null,
                    "tokenize_chinese_chars": true, "padding_side": "right", "truncation_side": "right",
                    "split_special_tokens": false, "model_max_length": 1e30, "clean_up_tokenization_spaces": true,
                    "additional_special_tokens": ["[MASK]"]});
            })
        }),
        ONE,
    ),
    honest(
        "generic-class",
        "the candidate's tokenizer_class takes everything from tokenizer.json",
        Plant::Candidate(|c| key(c, "tokenizer_class", "PreTrainedTokenizerFast".into())),
        ONE,
    ),
    honest(
        "no-tokenizer-config",
        "the candidate has no tokenizer_config.json, and its class is known by model_type",
        Plant::Candidate(|c| {
            std::fs::remove_file(c.file("tokenizer_config.json")).unwrap();
            c
        }),
        ONE,
    ),
    honest(
        "bpe-in-the-old-form",
        "BPE: merges as lines, defaults spelled out",
        Plant::Mixed(|c, r| {
            both(c, r, &bpe(), |t| {
                let model = &mut t["model"];
                let line = |pair: &Value| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
                model["merges"] = model["merges"].as_array().unwrap().iter().map(line).collect();
                model["byte_fallback"] = false.into();
                model["continuing_subword_prefix"] = Value::Null;
                t["pre_tokenizer"]["trim_offsets"] = false.into();
            })
        }),
        ONE,
    ),
    honest(
        "scores-rounded-to-float32",
        "Unigram: scores written with the digits of float32",
        Plant::Mixed(|c, r| {
            both(c, r, &unigram(), |t| {
                for piece in t["model"]["vocab"].as_array_mut().unwrap() {
                    piece[1] = f64::from(piece[1].as_f64().unwrap() as f32).into();
                }
            })
        }),
        ONE,
    ),
    honest(
        "prompts-without-a-text",
        "sentence-transformers writes prompts with empty texts where there are none",
        Plant::Mixed(|c, r| {
            sentence(c, r, |s| {
                s["prompts"] = json!({"document": "passage: ", "other": ""});
                s["similarity_fn_name"] = Value::Null;
            })
        }),
        ONE,
    ),
];
