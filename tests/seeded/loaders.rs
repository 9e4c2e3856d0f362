//! What loaders find in a folder and a check has to find, too: keys in another file, weights in another folder, outputs
//! under another name.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use super::models::{EIGHT, Model, ONE};
use super::onnx_edit::edited;
use super::{Fault, Plant};
use crate::common::plant::Copy;

fn written(copy: Copy, file: &str, value: &Value) -> Copy {
    std::fs::create_dir_all(copy.file(file).parent().unwrap()).unwrap();
    std::fs::write(copy.file(file), value.to_string()).unwrap();
    copy
}

/// A second file of weights in a folder of the candidate.
fn hidden_in(copy: Copy, folder: &str) -> Copy {
    std::fs::create_dir_all(copy.file(folder)).unwrap();
    std::fs::copy(copy.file("model.safetensors"), copy.file(folder).join("model.safetensors")).unwrap();
    copy
}

/// A key of sentence_bert_config.json on both sides.
fn of_both(copy: Copy, reference: &Path, key: &str, value: Value) -> Copy {
    let file = reference.join("sentence_bert_config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config[key] = value.clone();
    std::fs::write(&file, config.to_string()).unwrap();
    copy.json("sentence_bert_config.json", |c| c[key] = value)
}

const fn refused(
    id: &'static str,
    hazard: &'static str,
    what: &'static str,
    plant: Plant,
    on: &'static [Model],
    says: &'static [&'static str],
) -> Fault {
    Fault { id, hazard, what, plant, on, exit: 3, says }
}

pub(crate) const FAULTS: &[Fault] = &[
    refused(
        "map-drops-the-mask",
        "G4",
        "special_tokens_map.json has a key that makes the tokenizer return no mask",
        Plant::Candidate(|c| written(c, "special_tokens_map.json", &json!({"model_input_names": ["input_ids"]}))),
        EIGHT,
        &["tokenizer.elsewhere", "model_input_names"],
    ),
    Fault {
        id: "map-keeps-capitals",
        hazard: "G4",
        what: "special_tokens_map.json keeps capitals, which the lower-cased vocabulary does not know",
        plant: Plant::Candidate(|c| written(c, "special_tokens_map.json", &json!({"do_lower_case": false}))),
        on: ONE,
        exit: 1,
        says: &["tokenizer.do_lower_case", "special_tokens_map.json: `do_lower_case`"],
    },
    refused(
        "words-rebuilt-by-the-class",
        "G4",
        "both tokenizer.json continue words with @@; the reference's class builds ##, the candidate's does not",
        Plant::Mixed(|c, reference| {
            let change = |file: &Path, change: &dyn Fn(&mut Value)| {
                let mut value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
                change(&mut value);
                std::fs::write(file, value.to_string()).unwrap();
            };
            for folder in [reference, c.path()] {
                change(&folder.join("tokenizer.json"), &|t| t["model"]["continuing_subword_prefix"] = "@@".into());
            }
            let class = |folder: &Path, name: &str| {
                change(&folder.join("tokenizer_config.json"), &|t| t["tokenizer_class"] = name.into());
            };
            class(reference, "BertTokenizer");
            class(c.path(), "PreTrainedTokenizerFast");
            c
        }),
        ONE,
        &["tokenizer.class"],
    ),
    refused(
        "tokenizer-told-by-sentence-files",
        "G13",
        "sentence_bert_config.json of both sides keeps capitals, which no MLX runtime reads",
        Plant::Mixed(|c, r| of_both(c, r, "tokenizer_args", json!({"do_lower_case": false}))),
        ONE,
        &["tokenizer.unread_keys", "on both sides"],
    ),
    Fault {
        id: "sentence-settings-behind-an-empty-file",
        hazard: "G13",
        what: "an empty sentence_bert_config.json of the reference hides sentence_roberta_config.json, which cuts rows to 8 tokens",
        plant: Plant::Reference(|c| {
            std::fs::write(c.file("sentence_bert_config.json"), "{}").unwrap();
            std::fs::write(c.file("sentence_roberta_config.json"), r#"{"max_seq_length": 8}"#).unwrap();
            c
        }),
        on: ONE,
        exit: 4,
        says: &["sentence_bert_config.json", "sentence_roberta_config.json"],
    },
    refused(
        "sentence-settings-of-the-reference-alone",
        "G13",
        "the reference's tokenizer keeps capitals by a file of an older name, which the candidate does not have",
        Plant::Mixed(|c, r| {
            let config = json!({"max_seq_length": 256, "processor_kwargs": {"do_lower_case": false}});
            std::fs::remove_file(r.join("sentence_bert_config.json")).unwrap();
            std::fs::write(r.join("sentence_roberta_config.json"), config.to_string()).unwrap();
            std::fs::remove_file(c.file("sentence_bert_config.json")).ok();
            c
        }),
        ONE,
        &["tokenizer.unread_keys", "processor_kwargs", "sentence_roberta_config.json"],
    ),
    refused(
        "weights-five-folders-down",
        "G1",
        "another model.safetensors lies five folders down, where mlx-embeddings finds it",
        Plant::Candidate(|c| hidden_in(c, "d1/d2/d3/d4/encoder")),
        ONE,
        &["checkpoint.stale_shard", "d1/d2/d3/d4/encoder/model.safetensors"],
    ),
    refused(
        "weights-behind-a-link",
        "G1",
        "another model.safetensors lies behind a link to a hidden folder",
        Plant::Candidate(|c| {
            let c = hidden_in(c, ".hidden");
            symlink(c.file(".hidden"), c.file("encoder")).unwrap();
            c
        }),
        EIGHT,
        &["checkpoint.stale_shard", "encoder/model.safetensors"],
    ),
    refused(
        "weights-of-an-index-that-no-program-reads",
        "G1",
        "the index names a file in a hidden folder; mlx-embeddings goes by names and loads weight.safetensors",
        Plant::Candidate(|c| {
            let c = hidden_in(c, ".hidden");
            std::fs::rename(c.file("model.safetensors"), c.file("weight.safetensors")).unwrap();
            let (_, header) = {
                let bytes = std::fs::read(c.file("weight.safetensors")).unwrap();
                safetensors::SafeTensors::read_metadata(&bytes).unwrap()
            };
            let names = header.tensors().into_keys().map(|name| (name, json!(".hidden/model.safetensors")));
            let map: serde_json::Map<String, Value> = names.collect();
            written(c, "model.safetensors.index.json", &json!({"metadata": {}, "weight_map": map}))
        }),
        EIGHT,
        &["candidate.tensor_file", ".hidden/model.safetensors"],
    ),
    refused(
        "output-pooler-first",
        "G2",
        "the ONNX file's first output is its pooler, the last hidden state comes behind it",
        Plant::Reference(|c| edited(c, |g| g.output.reverse())),
        ONE,
        &["reference.output", "the graph's first output `pooler_output` is the checkpoint's pooler"],
    ),
    refused(
        "adapter-beside-the-original",
        "G3",
        "the reference's folder holds an adapter that transformers loads over its weights",
        Plant::Reference(|c| written(c, "adapter_config.json", &json!({"peft_type": "LORA", "r": 8}))),
        ONE,
        &["original.adapter", "LORA"],
    ),
    refused(
        "original-quantized-when-loaded",
        "G3",
        "the reference's config.json asks for 8 bits when it is loaded",
        Plant::Reference(|c| c.json("config.json", |o| o["quantization_config"] = json!({"load_in_8bit": true}))),
        ONE,
        &["original.quantized", "load_in_8bit"],
    ),
    refused(
        "sparse-on-both-sides",
        "G13",
        "both sides' files say that the model is a sparse encoder",
        Plant::Mixed(|c, r| {
            for folder in [r, c.path()] {
                let file = folder.join("config_sentence_transformers.json");
                std::fs::write(file, json!({"model_type": "SparseEncoder"}).to_string()).unwrap();
            }
            c
        }),
        ONE,
        &["original.model_type", "SparseEncoder"],
    ),
    refused(
        "two-onnx-files",
        "G2",
        "the folder holds two different ONNX files where loaders look for one",
        Plant::Reference(|c| {
            let mut bytes = std::fs::read(c.file("onnx/model.onnx")).unwrap();
            bytes.push(0);
            std::fs::write(c.file("model.onnx"), bytes).unwrap();
            c
        }),
        ONE,
        &["model.onnx and onnx/model.onnx"],
    ),
    refused(
        "checkpoint-in-another-file",
        "G3",
        "the reference's checkpoint is a pytorch_model.bin, so the graph's weights were compared with themselves",
        Plant::Reference(|c| {
            std::fs::rename(c.file("model.safetensors"), c.file("pytorch_model.bin")).unwrap();
            c
        }),
        EIGHT,
        &["original.unread", "pytorch_model.bin"],
    ),
    refused(
        "encoder-in-a-folder-of-its-own",
        "G3",
        "the reference's modules.json names a folder from which sentence-transformers loads another encoder",
        Plant::Reference(|c| c.json("modules.json", |m| m[0]["path"] = "0_Transformer".into())),
        EIGHT,
        &["the Transformer is in `0_Transformer/`"],
    ),
    Fault {
        exit: 4,
        ..refused(
            "normalize-of-tokens",
            "G13",
            "the reference's Normalize takes the states of tokens and gives them back",
            Plant::Reference(|c| {
                let tokens = json!({"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"});
                written(c, "2_Normalize/config.json", &tokens)
            }),
            ONE,
            &["a Normalize module can only take the sentence embedding"],
        )
    },
];
