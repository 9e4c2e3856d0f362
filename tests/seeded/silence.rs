//! What files leave unsaid, what flags overrule, and what configurations say that the other side does not compute.

use std::path::Path;

use serde_json::{Value, json};

use super::models::{ALL, EIGHT, Model, ONE};
use super::{Fault, Plant};
use crate::common::plant::{Copy, Stored};
use safetensors::Dtype;

/// The file is not there.
fn without(copy: Copy, name: &str) -> Copy {
    let path = copy.file(name);
    let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    gone.unwrap();
    copy
}

/// A default prompt.
fn prompted(copy: Copy, text: &str) -> Copy {
    let config = json!({"prompts": {"query": text}, "default_prompt_name": "query"});
    std::fs::write(copy.file("config_sentence_transformers.json"), config.to_string()).unwrap();
    copy
}

fn key(copy: Copy, name: &str, value: Value) -> Copy {
    copy.json("config.json", |c| c[name] = value)
}

/// A tensor of zeros and ones that no encoder reads.
fn with_tensor(copy: Copy, name: &'static str, shape: &[usize]) -> Copy {
    let bytes: Vec<u8> = (0..shape.iter().product::<usize>()).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let tensor: Stored = (Dtype::F32, shape.to_vec(), bytes);
    copy.tensors(|t| drop(t.insert(name.to_owned(), tensor)))
}

/// The reference pools by CLS and the candidate's folder says nothing.
fn silent_on_pooling(candidate: Copy, reference: &Path) -> Copy {
    std::fs::write(reference.join("1_Pooling/config.json"), r#"{"pooling_mode": "cls"}"#).unwrap();
    without(candidate, "1_Pooling")
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "silent-candidate-of-a-cls-reference",
        hazard: "G5",
        what: "the reference pools by CLS, the candidate's folder says nothing, and its runtime pools the mean",
        plant: Plant::Mixed(silent_on_pooling),
        on: EIGHT,
        exit: 1,
        says: &[
            "runtime.pooling",
            "states no pooling, and mlx-embeddings 0.1.0 pools mean there; the reference pools cls",
            "1_Pooling",
        ],
    },
    Fault {
        id: "silent-candidate-of-a-lasttoken-reference",
        hazard: "G5",
        what: "the reference pools its last token, the candidate's folder says nothing",
        plant: Plant::Mixed(|c, reference| {
            std::fs::write(reference.join("1_Pooling/config.json"), r#"{"pooling_mode_lasttoken": true}"#).unwrap();
            without(c, "1_Pooling")
        }),
        on: ONE,
        exit: 1,
        says: &["runtime.pooling", "pools mean", "pools lasttoken"],
    },
    Fault {
        id: "silent-reference-of-a-max-candidate",
        hazard: "G5",
        what: "the reference's folder says nothing, the candidate pools the maximum",
        plant: Plant::Mixed(|c, reference| {
            std::fs::remove_dir_all(reference.join("1_Pooling")).unwrap();
            c.json("1_Pooling/config.json", |p| *p = json!({"pooling_mode": "max"}))
        }),
        on: ONE,
        exit: 1,
        says: &["runtime.pooling", "sentence-transformers", "pools mean", "pools max"],
    },
    Fault {
        id: "prompt-of-the-reference-only",
        hazard: "G5",
        what: "the reference puts a prompt before every sentence, the candidate's folder says nothing",
        plant: Plant::Reference(|c| prompted(c, "query: ")),
        on: ONE,
        exit: 1,
        says: &["runtime.prompt", r#"puts "query: " before"#, "config_sentence_transformers.json"],
    },
    Fault {
        id: "prompt-of-the-candidate-only",
        hazard: "G5",
        what: "the candidate's files state a prompt, the reference has no such file",
        plant: Plant::Candidate(|c| prompted(c, "passage: ")),
        on: ONE,
        exit: 1,
        says: &["runtime.prompt", "passage: "],
    },
    Fault {
        id: "max-length-of-the-reference-only",
        hazard: "G5",
        what: "the reference cuts rows at 128 tokens, the candidate's folder does not say",
        plant: Plant::Candidate(|c| without(c, "sentence_bert_config.json")),
        on: &[Model::Mini8, Model::Mini4],
        exit: 1,
        says: &["runtime.max_length", "takes 256 tokens per row", "the reference takes 128"],
    },
    Fault {
        id: "modules-of-the-reference-only",
        hazard: "G5",
        what: "the reference has a Dense module, the candidate's folder has no modules.json",
        plant: Plant::Mixed(|c, reference| {
            let with = Copy::of_path(reference).with_dense(128, 128);
            let from = |name: &str| (with.file(name), reference.join(name));
            std::fs::create_dir_all(reference.join("2_Dense")).unwrap();
            for (from, to) in ["2_Dense/config.json", "2_Dense/model.safetensors", "modules.json"].map(from) {
                std::fs::copy(from, to).unwrap();
            }
            without(c, "modules.json")
        }),
        on: ONE,
        exit: 1,
        says: &["runtime.modules", "Dense 128 to 128", "modules.json"],
    },
    Fault {
        id: "normalize-of-a-silent-candidate",
        hazard: "G5",
        what: "the reference's sentence vectors keep their length, the candidate's runtime normalizes unsaid",
        plant: Plant::Mixed(|c, reference| {
            let list: Value = serde_json::from_slice(&std::fs::read(reference.join("modules.json")).unwrap()).unwrap();
            let kept: Vec<&Value> = list.as_array().unwrap().iter().take(2).collect();
            std::fs::write(reference.join("modules.json"), json!(kept).to_string()).unwrap();
            without(c, "modules.json")
        }),
        on: ONE,
        exit: 1,
        says: &["runtime.normalize", "unit length", "dot products differ"],
    },
    Fault {
        id: "activations-quantized",
        hazard: "G6",
        what: "the candidate's runtime quantizes activations too",
        plant: Plant::Candidate(|c| c.json("config.json", |c| c["quantization"]["quantize_activations"] = true.into())),
        on: ALL,
        exit: 3,
        says: &["config.quantize_activations", "`quantization.quantize_activations` is true"],
    },
    Fault {
        id: "scores-capped",
        hazard: "G6",
        what: "config.json caps the scores, which no BERT here computes",
        plant: Plant::Candidate(|c| key(c, "attn_logit_softcapping", json!(50.0))),
        on: ONE,
        exit: 3,
        says: &["config.attn_logit_softcapping", "scores are capped"],
    },
    Fault {
        id: "unknown-key-on-one-side",
        hazard: "G6",
        what: "the candidate's config.json states a key that nothing here knows",
        plant: Plant::Candidate(|c| key(c, "attention_temperature", json!(1.5))),
        on: ONE,
        exit: 3,
        says: &["config.unknown_key", "attention_temperature", "1.5"],
    },
    Fault {
        id: "decoder-declared",
        hazard: "G6",
        what: "the candidate's config.json says that tokens see only those before them",
        plant: Plant::Candidate(|c| key(c, "is_decoder", json!(true))),
        on: ONE,
        exit: 3,
        says: &["is_decoder", "supported is false"],
    },
    Fault {
        id: "relative-positions-declared",
        hazard: "G6",
        what: "the candidate's config.json says relative positions",
        plant: Plant::Candidate(|c| key(c, "position_embedding_type", json!("relative_key_query"))),
        on: ONE,
        exit: 3,
        says: &["position_embedding_type", "relative_key_query"],
    },
    Fault {
        id: "architecture-unsupported",
        hazard: "G6",
        what: "both config.json name an architecture that is none",
        plant: Plant::Candidate(|c| {
            c.json("config.json", |c| *c = json!({"model_type": "t5", "d_model": 8, "num_layers": 2}))
        }),
        on: ONE,
        exit: 3,
        says: &["`t5` is not supported", "supported: bert, roberta"],
    },
    Fault {
        id: "classifier-named-and-held",
        hazard: "G6",
        what: "the candidate is a reranker: its score is dropped",
        plant: Plant::Candidate(|c| {
            let c = key(c, "architectures", json!(["BertForSequenceClassification"]));
            with_tensor(c, "cls.seq_relationship.weight", &[2, 128])
        }),
        on: ONE,
        exit: 3,
        says: &["heads.not_computed", "BertForSequenceClassification", "cls.seq_relationship.weight"],
    },
    Fault {
        id: "classifier-of-a-token-model",
        hazard: "G6",
        what: "the candidate is a token classifier, whose head BERT has no place for",
        plant: Plant::Candidate(|c| {
            let c = key(c, "architectures", json!(["BertForTokenClassification"]));
            with_tensor(c, "classifier.weight", &[9, 128])
        }),
        on: ONE,
        exit: 3,
        says: &["heads.not_computed", "BertForTokenClassification", "`classifier.weight`"],
    },
    Fault {
        id: "classifier-of-the-original-where-nothing-pools",
        hazard: "G6",
        what: "the original holds a score, and neither folder states a pooling",
        plant: Plant::Mixed(|c, reference| {
            let original = with_tensor(Copy::of_path(reference), "classifier.out_proj.weight", &[2, 32]);
            std::fs::copy(original.file("model.safetensors"), reference.join("model.safetensors")).unwrap();
            std::fs::remove_dir_all(reference.join("1_Pooling")).unwrap();
            without(c, "1_Pooling")
        }),
        on: &[Model::Xlmr8],
        exit: 3,
        says: &["heads.not_computed", "the reference's weights hold a head (`classifier.out_proj.weight`)"],
    },
    Fault {
        id: "layers-where-the-runtime-does-not-look",
        hazard: "G5",
        what: "layer_types says which layers see every token; mlx-embeddings reads global_attn_every_n_layers, which is gone",
        plant: Plant::Candidate(|c| {
            c.json("config.json", |o| drop(o.as_object_mut().unwrap().remove("global_attn_every_n_layers")))
        }),
        on: &[Model::Modern8],
        exit: 1,
        says: &["runtime.config", "global_attn_every_n_layers", "moves its final states"],
    },
    Fault {
        id: "runtime-unknown",
        hazard: "G5",
        what: "--runtime names no runtime",
        plant: Plant::Request(|r| r.runtime = "mlx-embeddings@9.9".to_owned()),
        on: ONE,
        exit: 2,
        says: &["--runtime", "mlx-embeddings@0.1.0, mlx-embeddings@main"],
    },
];
