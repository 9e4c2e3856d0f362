use serde_json::{Value, json};

use super::*;
use crate::tokens::tokenizer::tests::tiny;

fn base() -> Value {
    serde_json::from_slice(&tiny(&["a", "b", "cc"])).unwrap()
}

fn data(file: &Value) -> TokenizerData {
    let bytes = file.to_string().into_bytes();
    TokenizerData::read(&bytes, &WordTokenizer::parse(&bytes, "t", 16).unwrap()).unwrap()
}

/// What `change` makes of the candidate: parts that can change ids, and parts that cannot.
fn told(change: impl FnOnce(&mut Value)) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut other = base();
    change(&mut other);
    let all = data(&base()).differences(&data(&other));
    let parts = |ids: bool| all.iter().filter(|d| d.changes_ids == ids).map(|d| d.part).collect();
    (parts(true), parts(false))
}

#[test]
fn one_tokenizer_in_other_spellings_has_no_difference() {
    assert_eq!(told(|_| ()), (vec![], vec![]));
    let template = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}});
    assert_eq!(told(|t| t["post_processor"] = template.clone()), (vec![], vec![]));
    let roberta = json!({"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": true,
        "add_prefix_space": true});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let sequence = json!({"type": "Sequence", "processors": [bytes, roberta]});
    assert_eq!(told(|t| t["post_processor"] = sequence.clone()), (vec![], vec![]));
    let steps =
        json!({"type": "Sequence", "pretokenizers": [{"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}]}]});
    assert_eq!(told(|t| t["pre_tokenizer"] = steps), (vec![], vec![]));
}

#[test]
fn what_no_encoder_sees_is_a_note() {
    assert_eq!(told(|t| t["truncation"]["max_length"] = 5.into()), (vec![], vec!["truncation"]));
    assert_eq!(told(|t| t["padding"] = Value::Null), (vec![], vec!["padding"]));
    assert_eq!(told(|t| t["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": true})).1, ["decoder"]);
    assert_eq!(told(|t| t["model"]["comment"] = "x".into()), (vec![], vec!["model"]));
}

#[test]
fn each_part_that_can_change_ids_is_named() {
    assert_eq!(told(|t| t["model"]["vocab"]["a"] = 9.into()).0, ["vocabulary"]);
    assert_eq!(told(|t| drop(t["model"]["vocab"].as_object_mut().unwrap().remove("cc"))).0, ["vocabulary"]);
    assert_eq!(told(|t| t["model"]["unk_token"] = "a".into()).0, ["model"]);
    assert_eq!(told(|t| t["normalizer"] = json!({"type": "Lowercase"})).0, ["normalizer"]);
    assert_eq!(told(|t| t["pre_tokenizer"] = Value::Null).0, ["pre_tokenizer"]);
    assert_eq!(told(|t| t["post_processor"]["cls"] = json!(["[SEP]", 3])).0, ["post_processor"]);
    assert_eq!(told(|t| t["post_processor"] = Value::Null).0, ["post_processor"]);
    assert_eq!(told(|t| t["padding"]["pad_id"] = 1.into()).0, ["padding"]);
    let added = |flag: &str| {
        let mut token = json!({"id": 4, "content": "a", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true});
        token[flag] = (!token[flag].as_bool().unwrap()).into();
        token
    };
    let plain = json!({"id": 4, "content": "a", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true});
    assert_eq!(told(|t| t["added_tokens"] = json!([plain])).0, ["added_tokens"]);
    let mut ours = base();
    ours["added_tokens"] = json!([plain]);
    for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
        let mut theirs = base();
        theirs["added_tokens"] = json!([added(flag)]);
        let all = data(&ours).differences(&data(&theirs));
        assert!(all.len() == 1 && all[0].message.contains(flag), "{flag}: {all:?}");
    }
}

#[test]
fn merges_and_scores_are_compared_in_order_and_by_value() {
    let bpe = |merges: Value| {
        json!({"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4},
            "merges": merges}, "added_tokens": []})
    };
    let between = |a: &Value, b: &Value| data(a).differences(&data(b));
    let ours = bpe(json!([["a", "b"], ["b", "c"]]));
    assert!(between(&ours, &bpe(json!(["a b", "b c"]))).is_empty());
    let swapped = between(&ours, &bpe(json!(["b c", "a b"])));
    assert!(swapped[0].part == "merges" && swapped[0].message.contains("at rank 0"), "{swapped:?}");
    let fewer = between(&ours, &bpe(json!(["a b"])));
    assert!(fewer[0].message.contains("`b` + `c` and nothing"), "{fewer:?}");

    let unigram = |score: f64| {
        json!({"version": "1.0", "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", score]]},
            "added_tokens": []})
    };
    assert!(between(&unigram(-1.1), &unigram(f64::from(-1.1f32))).is_empty());
    assert_eq!(between(&unigram(-1.1), &unigram(-1.100_001))[0].part, "scores");
}

#[test]
fn hostile_files_are_errors_and_messages_hold_no_control_characters() {
    let good = base().to_string().into_bytes();
    let tokenizer = WordTokenizer::parse(&good, "t", 16).unwrap();
    for bad in [&b"{"[..], b"[]", b"{}", b"{\"model\":{\"vocab\":{\"a\":-1}}}", b"{\"model\":{\"vocab\":[[1,2]]}}"] {
        assert!(TokenizerData::read(bad, &tokenizer).is_err());
    }
    let mut other = base();
    other["model"]["vocab"]["\u{1b}[31m\u{202e}"] = 40.into();
    other["normalizer"] = json!({"type": "Prepend", "prepend": "\u{202e}\u{1b}"});
    for difference in data(&base()).differences(&data(&other)) {
        assert!(!difference.message.contains(['\u{1b}', '\u{202e}']), "{difference:?}");
    }
}
