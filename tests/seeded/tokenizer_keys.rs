//! Keys of the files beside tokenizer.json that loaders obey, and sentence-level keys.

use serde_json::{Value, json};

use super::models::{EIGHT, Model, ONE};
use super::tokenizer::{fault, of_sentences, own, refused};
use super::{Fault, Plant};
use crate::common::plant::Copy;

const SEEDED: &[Model] = &[Model::Seeded8];

/// Where special_tokens_map.json is, it is obeyed and tokenizer_config.json is not (transformers 5.23).
fn without_map(copy: Copy) -> Copy {
    std::fs::remove_file(copy.file("special_tokens_map.json")).ok();
    copy
}

/// A key of the candidate's tokenizer_config.json.
pub(super) fn key(copy: Copy, key: &str, value: Value) -> Copy {
    copy.json("tokenizer_config.json", |c| c[key] = value)
}

/// A key of tokenizer_config.json on both sides.
fn of_both(copy: Copy, reference: &std::path::Path, name: &str, value: &Value) -> Copy {
    let file = reference.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config[name] = value.clone();
    std::fs::write(&file, config.to_string()).unwrap();
    key(copy, name, value.clone())
}

/// config_sentence_transformers.json on both sides.
pub(super) fn sentence(copy: Copy, reference: &std::path::Path, change: impl FnOnce(&mut Value)) -> Copy {
    let mut config = json!({"__version__": {}, "prompts": {"query": "", "document": "passage: "},
        "default_prompt_name": null, "similarity_fn_name": "cosine"});
    std::fs::write(reference.join("config_sentence_transformers.json"), config.to_string()).unwrap();
    change(&mut config);
    std::fs::write(copy.file("config_sentence_transformers.json"), config.to_string()).unwrap();
    copy
}

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "lower-case-in-config-only",
        "tokenizer_config.json keeps capitals, tokenizer.json does not: transformers obeys the first",
        Plant::Candidate(|c| key(c, "do_lower_case", false.into())),
        ONE,
        &["tokenizer.do_lower_case", "transformers"],
    ),
    fault(
        "accents-in-config-only",
        "tokenizer_config.json keeps accents",
        Plant::Candidate(|c| key(c, "strip_accents", false.into())),
        ONE,
        &["tokenizer.strip_accents"],
    ),
    fault(
        "chinese-in-config-only",
        "tokenizer_config.json leaves Chinese characters together",
        Plant::Candidate(|c| key(c, "tokenize_chinese_chars", false.into())),
        ONE,
        &["tokenizer.tokenize_chinese_chars"],
    ),
    fault(
        "truncation-side",
        "long texts lose their beginning",
        Plant::Candidate(|c| key(c, "truncation_side", "left".into())),
        EIGHT,
        &["tokenizer.truncation_side", "long texts are cut differently"],
    ),
    fault(
        "truncation-side-of-the-block",
        "the truncation block in tokenizer.json cuts at the left, and no key says otherwise",
        Plant::Candidate(|c| {
            let c = c.json("tokenizer_config.json", |c| drop(c.as_object_mut().unwrap().remove("truncation_side")));
            own(c, |t| {
                t["truncation"] =
                    json!({"direction": "Left", "max_length": 128, "strategy": "LongestFirst", "stride": 0});
            })
        }),
        ONE,
        &["tokenizer.truncation_side"],
    ),
    fault(
        "padding-side",
        "rows are padded at the left",
        Plant::Candidate(|c| key(c, "padding_side", "left".into())),
        SEEDED,
        &["tokenizer.padding_side"],
    ),
    refused(
        "padding-side-of-both",
        "both sides pad at the left, and BERT counts positions from the start of the padded row",
        Plant::Mixed(|c, reference| of_both(c, reference, "padding_side", &"left".into())),
        ONE,
        &["tokenizer.padding_side", "other positions"],
    ),
    refused(
        "no-mask-on-both",
        "neither side's tokenizer returns a mask, so that padded rows attend to their padding",
        Plant::Mixed(|c, reference| of_both(c, reference, "model_input_names", &json!(["input_ids"]))),
        ONE,
        &["tokenizer.no_mask", "attention_mask"],
    ),
    refused(
        "token-types-handed-over-by-one",
        "both tokenizer.json give a text the type 1, and only the reference's loader hands that to the model",
        Plant::Mixed(|c, reference| {
            let types = |folder: Copy| {
                own(folder, |t| {
                    let token = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 1}});
                    let text = json!({"Sequence": {"id": "A", "type_id": 1}});
                    t["post_processor"]["single"] = json!([token("[CLS]"), text, token("[SEP]")]);
                })
                .json("tokenizer_config.json", |c| c["tokenizer_class"] = "PreTrainedTokenizerFast".into())
            };
            let all = json!(["input_ids", "token_type_ids", "attention_mask"]);
            let ours = types(key(Copy::of_path(reference), "model_input_names", all));
            for file in ["tokenizer.json", "tokenizer_config.json"] {
                std::fs::copy(ours.file(file), reference.join(file)).unwrap();
            }
            types(c)
        }),
        ONE,
        &["tokenizer.token_types", "the loader of the candidate"],
    ),
    fault(
        "cls-token-in-config-only",
        "tokenizer_config.json names [SEP] as the first token",
        Plant::Candidate(|c| key(without_map(c), "cls_token", "[SEP]".into())),
        ONE,
        &["tokenizer.cls_token"],
    ),
    fault(
        "sep-token-in-the-map-only",
        "special_tokens_map.json names [MASK] as the last token",
        Plant::Candidate(|c| {
            let map = json!({"sep_token": {"content": "[MASK]", "lstrip": false, "rstrip": false}});
            std::fs::write(c.file("special_tokens_map.json"), map.to_string()).unwrap();
            c
        }),
        ONE,
        &["tokenizer.sep_token", "[MASK]"],
    ),
    fault(
        "pad-token-in-config-only",
        "tokenizer_config.json pads with a token that is not in the vocabulary",
        Plant::Candidate(|c| key(without_map(c), "pad_token", "<filler>".into())),
        EIGHT,
        &["tokenizer.pad_token", "<filler>"],
    ),
    fault(
        "added-tokens-decoder",
        "tokenizer_config.json gives [MASK] and [SEP] each other's ids",
        Plant::Candidate(|c| {
            c.json("tokenizer_config.json", |c| {
                let token = |content: &str| json!({"content": content, "special": true, "normalized": false});
                c["added_tokens_decoder"] = json!({"3": token("[MASK]"), "4": token("[SEP]")});
            })
        }),
        ONE,
        &["tokenizer.added_tokens_decoder"],
    ),
    fault(
        "extra-special-token",
        "tokenizer_config.json adds a token to the vocabulary",
        Plant::Candidate(|c| key(c, "additional_special_tokens", json!(["<query>"]))),
        SEEDED,
        &["tokenizer.added_tokens", "<query>"],
    ),
    of_sentences(
        "sentences-lower-cased",
        "sentence_bert_config.json lower-cases sentences before they are tokenized",
        Plant::Candidate(|c| c.json("sentence_bert_config.json", |s| s["do_lower_case"] = true.into())),
        ONE,
        &["sentence_bert_config.json: `do_lower_case`"],
    ),
    refused(
        "tokenizer-class",
        "tokenizer_config.json names a class that builds another tokenizer of the same file",
        Plant::Candidate(|c| key(c, "tokenizer_class", "RobertaTokenizer".into())),
        ONE,
        &["tokenizer.class", "RobertaTokenizer in the candidate"],
    ),
    refused(
        "another-tokenizer-file",
        "tokenizer_config.json names a file that transformers loads in place of tokenizer.json",
        Plant::Candidate(|c| key(c, "fast_tokenizer_files", json!(["tokenizer.5.0.json"]))),
        ONE,
        &["tokenizer.elsewhere", "fast_tokenizer_files"],
    ),
    of_sentences(
        "prompt-of-another-name",
        "a prompt that is not the default has another text",
        Plant::Mixed(|c, r| sentence(c, r, |s| s["prompts"]["document"] = "document: ".into())),
        ONE,
        &["preflight.prompts", "`document`", "passage: "],
    ),
    of_sentences(
        "prompt-missing",
        "a prompt that is not the default is not there",
        Plant::Mixed(|c, r| sentence(c, r, |s| s["prompts"] = json!({"query": ""}))),
        SEEDED,
        &["preflight.prompts", "absent in the candidate"],
    ),
    of_sentences(
        "similarity",
        "vectors are to be compared by another function",
        Plant::Mixed(|c, r| sentence(c, r, |s| s["similarity_fn_name"] = "euclidean".into())),
        ONE,
        &["preflight.similarity_fn_name", "euclidean"],
    ),
    of_sentences(
        "vectors-cut",
        "the candidate cuts its vectors to 64 dimensions",
        Plant::Mixed(|c, r| sentence(c, r, |s| s["truncate_dim"] = 64.into())),
        ONE,
        &["preflight.truncate_dim", "64"],
    ),
    of_sentences(
        "vectors-cut-by-the-model",
        "config.json of the reference cuts vectors to 32 dimensions, the candidate says nothing",
        Plant::Reference(|c| c.json("config.json", |c| c["truncate_dim"] = 32.into())),
        SEEDED,
        &["preflight.truncate_dim", "32"],
    ),
    of_sentences(
        "similarity-of-the-reference-only",
        "the reference says that vectors are compared by their dot product, the candidate has no such file",
        Plant::Reference(|c| {
            let config = json!({"__version__": {}, "prompts": {}, "similarity_fn_name": "dot"});
            std::fs::write(c.file("config_sentence_transformers.json"), config.to_string()).unwrap();
            c
        }),
        EIGHT,
        &["preflight.similarity_fn_name", "dot", "there is no such file"],
    ),
    of_sentences(
        "length-below-the-sentences",
        "tokenizer_config.json allows 8 tokens where sentence_bert_config.json allows 128",
        Plant::Candidate(|c| key(c, "model_max_length", 8.into())),
        ONE,
        &["tokenizer.model_max_length", "loaders that do not read sentence_bert_config.json"],
    ),
];
