//! Small tokenizers of two more kinds, in the place of both sides' own: byte-level BPE and Unigram.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::plant::Copy;

/// Special tokens, with the ids the shipped model's tokenizer gives them.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

fn whole(model: Value, pre_tokenizer: Value) -> Value {
    let added = SPECIAL.iter().enumerate().map(|(id, token)| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true})
    });
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": pre_tokenizer, "decoder": null, "model": model,
        "post_processor": {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": true,
            "add_prefix_space": false}})
}

/// GPT-2's printable form of a byte (`bytes_to_unicode` of its `encoder.py`).
fn byte(value: u8) -> char {
    let plain = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match plain(value) {
        true => char::from(value),
        false => {
            let before = (0..value).filter(|b| !plain(*b)).count() as u32;
            char::from_u32(256 + before).unwrap()
        }
    }
}

/// Byte-level BPE with a few merges.
pub(crate) fn bpe() -> Value {
    let merges = [("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("e", "r"), ("Ġ", "the"), ("o", "n"), ("r", "e")];
    let mut vocabulary = serde_json::Map::new();
    let pieces = SPECIAL.iter().map(|t| (*t).to_owned());
    let pieces = pieces.chain((0..=255).map(|b| byte(b).to_string()));
    for (id, piece) in pieces.chain(merges.iter().map(|(a, b)| format!("{a}{b}"))).enumerate() {
        vocabulary.insert(piece, id.into());
    }
    let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
        "end_of_word_suffix": "", "fuse_unk": false, "vocab": vocabulary,
        "merges": merges.iter().map(|(a, b)| json!([a, b])).collect::<Vec<_>>()});
    whole(model, json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}))
}

/// Unigram pieces: characters and a few words.
pub(crate) fn unigram() -> Value {
    let mut pieces: Vec<Value> = SPECIAL.iter().map(|t| json!([t, 0.0])).collect();
    for word in ["▁", "▁the", "▁in", "▁of", "the", "ing", "er", "an", "▁a"] {
        pieces.push(json!([word, -2.5 - 0.25 * pieces.len() as f64 / 7.0]));
    }
    for c in ' '..='~' {
        pieces.push(json!([c.to_string(), -9.0 - 0.01 * f64::from(c as u32)]));
    }
    let model = json!({"type": "Unigram", "unk_id": 1, "vocab": pieces, "byte_fallback": false});
    whole(model, json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}))
}

/// Puts `tokenizer` on both sides, changed on the candidate's.
pub(crate) fn both(candidate: Copy, reference: &Path, tokenizer: &Value, change: impl FnOnce(&mut Value)) -> Copy {
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 256, "pad_token": "[PAD]",
        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
    .to_string();
    let mut changed = tokenizer.clone();
    change(&mut changed);
    for (folder, tokenizer) in [(reference, tokenizer), (candidate.path(), &changed)] {
        std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        std::fs::write(folder.join("tokenizer_config.json"), &config).unwrap();
    }
    candidate
}

/// Swaps the ids of pairs of words that neither the probes nor the corpus hold.
pub(crate) fn swap_unseen(tokenizer: &mut Value, corpus: &str, pairs: usize) {
    let probes = parallax::corpus::probes::probes();
    let seen = |word: &str| corpus.contains(word) || probes.iter().any(|p| p.to_lowercase().contains(word));
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let unseen: Vec<String> = vocabulary
        .keys()
        .filter(|w| w.len() > 3 && w.chars().all(|c| c.is_ascii_alphabetic()) && !seen(w))
        .cloned()
        .collect();
    assert!(unseen.len() >= 2 * pairs, "{}", unseen.len());
    for pair in unseen.chunks_exact(2).take(pairs) {
        let (a, b) = (vocabulary[&pair[0]].clone(), vocabulary[&pair[1]].clone());
        vocabulary.insert(pair[0].clone(), b);
        vocabulary.insert(pair[1].clone(), a);
    }
}

/// Adds rows of zeros to a quantized table and says so: what padding a vocabulary to a multiple of 64 does.
pub(crate) fn padded(candidate: Copy, rows: usize) -> Copy {
    let candidate = candidate.tensors(|tensors| {
        for (name, (_, shape, bytes)) in tensors.iter_mut() {
            if name.contains("embeddings.word_embeddings.") {
                let row = bytes.len() / shape[0];
                bytes.resize(rows * row, 0);
                shape[0] = rows;
            }
        }
    });
    candidate.json("config.json", |c| c["vocab_size"] = rows.into())
}
