use serde_json::{Map, Value, json};

use super::*;
use crate::finding::Severity;
use crate::tokens::WordTokenizer;

/// BERT's tokenizer as its classes build it.
fn bert() -> Value {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the"];
    let vocabulary: Map<String, Value> = words.iter().enumerate().map(|(i, w)| ((*w).to_owned(), i.into())).collect();
    json!({"version": "1.0", "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary}})
}

fn files(config: Value, model_type: &str) -> LoaderFiles {
    LoaderFiles {
        tokenizer_config: config.as_object().cloned(),
        model_config: json!({"model_type": model_type}).as_object().cloned(),
        ..LoaderFiles::default()
    }
}

/// Codes and severities, for two sides with one tokenizer.json.
fn told(tokenizer: &Value, ours: &LoaderFiles, theirs: &LoaderFiles) -> Vec<(String, Severity)> {
    let tokenizer = WordTokenizer::parse(tokenizer.to_string().as_bytes(), "t", 16).unwrap();
    let loaded = compare(&LoaderSide::new(ours, &tokenizer), &LoaderSide::new(theirs, &tokenizer));
    loaded.findings.into_iter().map(|f| (f.code, f.severity)).collect()
}

#[test]
fn silence_is_the_default_of_the_class() {
    let stated = files(
        json!({"tokenizer_class": "BertTokenizerFast", "do_lower_case": true, "cls_token": "[CLS]", "padding_side": "right"}),
        "bert",
    );
    let silent = files(json!({}), "bert");
    assert_eq!(told(&bert(), &stated, &silent), []);
    // The same silence, where the default is another one than what the other side says.
    let cased = files(json!({"do_lower_case": false}), "bert");
    assert_eq!(told(&bert(), &cased, &silent)[0], ("tokenizer.do_lower_case".to_owned(), Severity::Failure));
    // Without the file, nothing is proven either way.
    let absent = files(Value::Null, "bert");
    let all = told(&bert(), &absent, &cased);
    assert!(all.contains(&("tokenizer.do_lower_case".to_owned(), Severity::Refusal)), "{all:?}");
    assert_eq!(told(&bert(), &absent, &stated), [("tokenizer.config_absent".to_owned(), Severity::Note)]);
}

/// Each line as transformers 5.23.0 was seen to do it: a class obeys its keys, the generic class obeys tokenizer.json.
#[test]
fn a_key_counts_only_for_classes_that_obey_it() {
    let generic =
        |lower: bool| files(json!({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": lower}), "bert");
    assert_eq!(told(&bert(), &generic(true), &generic(false)), []);
    let classes = |name: &str| files(json!({"tokenizer_class": name}), "bert");
    let note = [("tokenizer.class".to_owned(), Severity::Note)];
    assert_eq!(told(&bert(), &classes("BertTokenizer"), &classes("PreTrainedTokenizerFast")), note);
    assert_eq!(told(&bert(), &classes("BertTokenizer"), &classes("DistilBertTokenizerFast")), []);
    // ModernBERT's own statement is not believed.
    let modern = |name: &str| files(json!({"tokenizer_class": name}), "modernbert");
    assert_eq!(told(&bert(), &modern("RobertaTokenizer"), &modern("PreTrainedTokenizerFast")), []);
    let unknown = told(&bert(), &classes("BertTokenizer"), &classes("TokenizerOfMyOwn"));
    assert!(unknown.contains(&("tokenizer.class".to_owned(), Severity::Refusal)), "{unknown:?}");
}

#[test]
fn a_side_that_contradicts_itself_as_the_other_does_is_a_warning() {
    let cased = files(json!({"tokenizer_class": "BertTokenizer", "do_lower_case": false}), "bert");
    let all = told(&bert(), &cased, &cased);
    assert!(all.iter().all(|(code, s)| code == "tokenizer.contradicts_itself" && *s == Severity::Warning));
    assert!(!all.is_empty());
    // transformers 5 would build the normalizer anew.
    let mut longer = bert();
    longer["normalizer"] = json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, bert()["normalizer"]]});
    let plain = files(json!({"tokenizer_class": "BertTokenizer"}), "bert");
    assert_eq!(told(&longer, &plain, &plain).len(), 2);
}

#[test]
fn special_tokens_come_from_the_map_where_no_decoder_is_stated() {
    let plain = files(json!({"tokenizer_class": "BertTokenizer"}), "bert");
    let mut mapped = plain.clone();
    mapped.special_tokens_map = json!({"cls_token": {"content": "[SEP]"}}).as_object().cloned();
    assert_eq!(told(&bert(), &plain, &mapped)[0], ("tokenizer.cls_token".to_owned(), Severity::Failure));
    mapped.tokenizer_config.as_mut().unwrap().insert("added_tokens_decoder".to_owned(), json!({}));
    assert_eq!(told(&bert(), &plain, &mapped), []);
}

#[test]
fn a_config_that_names_another_tokenizer_is_refused() {
    let plain = files(json!({"tokenizer_class": "BertTokenizer"}), "bert");
    let named =
        |files_: Value| files(json!({"tokenizer_class": "BertTokenizer", "fast_tokenizer_files": files_}), "bert");
    let refusal = [("tokenizer.elsewhere".to_owned(), Severity::Refusal)];
    assert_eq!(told(&bert(), &plain, &named(json!(["tokenizer.4.0.json", "tokenizer.json"]))), refusal);
    assert_eq!(told(&bert(), &plain, &named(json!(["tokenizer.json"]))), []);
    let unknown = |n: u32| files(json!({"tokenizer_class": "BertTokenizer", "mode_of_my_own": n}), "bert");
    let warning = [("tokenizer.unread_keys".to_owned(), Severity::Refusal)];
    assert_eq!(told(&bert(), &unknown(1), &unknown(2)), warning);
}

#[test]
fn lengths_differ_only_where_nothing_overrides_them() {
    let limit = |n: f64| files(json!({"tokenizer_class": "BertTokenizer", "model_max_length": n}), "bert");
    let code = ("tokenizer.model_max_length".to_owned(), Severity::Failure);
    assert_eq!(told(&bert(), &limit(512.0), &limit(256.0)), [code]);
    assert_eq!(told(&bert(), &limit(512.0), &limit(1e30)), []);
    let sentence =
        |n: f64| LoaderFiles { sentence_config: json!({"max_seq_length": 128}).as_object().cloned(), ..limit(n) };
    let note = ("tokenizer.model_max_length".to_owned(), Severity::Note);
    assert_eq!(told(&bert(), &sentence(512.0), &sentence(256.0)), [note]);
    let code = ("tokenizer.model_max_length".to_owned(), Severity::Failure);
    assert_eq!(told(&bert(), &sentence(8.0), &sentence(512.0)), std::slice::from_ref(&code));
    assert_eq!(told(&bert(), &sentence(1e30), &sentence(127.0)), [code], "no limit on one side");
}
