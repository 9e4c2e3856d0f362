//! Configurations, tokenizers and module files that contradict the other side or the weights.

use serde_json::json;

use super::models::{ALL, ONE};
use super::{Fault, Plant};
use crate::common::plant::Copy;

/// One key of config.json.
fn with(copy: Copy, key: &str, value: serde_json::Value) -> Copy {
    copy.json("config.json", |c| c[key] = value)
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "bits-misdeclared",
        hazard: "F19",
        what: "config.json declares 2 bits",
        plant: Plant::Candidate(|c| c.json("config.json", |c| c["quantization"]["bits"] = 2.into())),
        on: ONE,
        exit: 4,
        says: &["bits"],
    },
    Fault {
        id: "group-misdeclared",
        hazard: "F19",
        what: "config.json declares groups of 128",
        plant: Plant::Candidate(|c| c.json("config.json", |c| c["quantization"]["group_size"] = 128.into())),
        on: ALL,
        exit: 4,
        says: &["group"],
    },
    Fault {
        id: "bits-and-group-of-the-same-shape",
        hazard: "F19",
        what: "half the bits with twice the group: the packed shapes agree with each other",
        plant: Plant::Candidate(|c| {
            c.json("config.json", |c| {
                let q = &mut c["quantization"];
                let (bits, group) = (q["bits"].as_u64().unwrap(), q["group_size"].as_u64().unwrap());
                (q["bits"], q["group_size"]) = ((bits / 2).into(), (group * 2).into());
            })
        }),
        on: ALL,
        exit: 4,
        says: &["shape"],
    },
    Fault {
        id: "quantization-undeclared",
        hazard: "F19",
        what: "config.json declares no quantization",
        plant: Plant::Candidate(|c| c.json("config.json", |c| drop(c.as_object_mut().unwrap().remove("quantization")))),
        on: ONE,
        exit: 4,
        says: &["quantiz"],
    },
    Fault {
        id: "fewer-layers",
        hazard: "F21",
        what: "a whole model of three layers against one of four",
        plant: Plant::Candidate(|c| {
            with(c, "num_hidden_layers", 3.into()).tensors(|t| t.retain(|n, _| !n.starts_with("encoder.layer.3.")))
        }),
        on: ALL,
        exit: 3,
        says: &["`layer.3` is missing on the candidate side"],
    },
    Fault {
        id: "layers-misdeclared",
        hazard: "F21",
        what: "config.json declares three of the four layers",
        plant: Plant::Candidate(|c| with(c, "num_hidden_layers", 3.into())),
        on: ALL,
        exit: 4,
        says: &["encoder.layer.3."],
    },
    Fault {
        id: "activation-tanh-declared",
        hazard: "I3",
        what: "the candidate's config.json says tanh GELU",
        plant: Plant::Candidate(|c| with(c, "hidden_act", "gelu_new".into())),
        on: ONE,
        exit: 1,
        says: &["activation"],
    },
    Fault {
        id: "activation-relu-declared",
        hazard: "I3",
        what: "the candidate's config.json says ReLU",
        plant: Plant::Candidate(|c| with(c, "hidden_act", "relu".into())),
        on: ONE,
        exit: 1,
        says: &["activation"],
    },
    Fault {
        id: "activation-tanh-declared-by-both",
        hazard: "I3",
        what: "both config.json say tanh GELU, the graph computes the exact one",
        plant: Plant::Reference(|c| with(c, "hidden_act", "gelu_new".into())),
        on: ONE,
        exit: 3,
        says: &["activation"],
    },
    Fault {
        id: "epsilon-differs",
        hazard: "F17",
        what: "layer_norm_eps is 1e-5",
        plant: Plant::Candidate(|c| with(c, "layer_norm_eps", json!(1e-5))),
        on: ONE,
        exit: 1,
        says: &["layer_norm_eps"],
    },
    Fault {
        id: "heads-misdeclared",
        hazard: "F24",
        what: "config.json declares 8 heads for 4",
        plant: Plant::Candidate(|c| with(c, "num_attention_heads", 8.into())),
        on: ONE,
        exit: 1,
        says: &["heads"],
    },
    Fault {
        id: "pooling-declared-cls",
        hazard: "I4",
        what: "the candidate pools by CLS",
        plant: Plant::Candidate(|c| c.json("1_Pooling/config.json", |c| *c = json!({"pooling_mode": "cls"}))),
        on: ONE,
        exit: 1,
        says: &["pooling", "cls"],
    },
    Fault {
        id: "normalize-missing",
        hazard: "F9",
        what: "the candidate's modules end without Normalize",
        plant: Plant::Candidate(|c| c.json("modules.json", |m| drop(m.as_array_mut().unwrap().pop()))),
        on: ONE,
        exit: 1,
        says: &["normalize"],
    },
    Fault {
        id: "dense-in-the-reference-only",
        hazard: "I5",
        what: "the reference has a Dense module that the candidate skips",
        plant: Plant::Reference(|c| c.with_dense(128, 128)),
        on: ONE,
        exit: 1,
        says: &["dense: the reference says Dense 128 to 128, Tanh, the candidate says none"],
    },
    Fault {
        id: "max-length-differs",
        hazard: "F8",
        what: "the candidate cuts rows at 64 tokens",
        plant: Plant::Candidate(|c| c.json("sentence_bert_config.json", |s| s["max_seq_length"] = 64.into())),
        on: &[super::models::Model::Mini8, super::models::Model::Mini4],
        exit: 1,
        says: &["max_seq_length"],
    },
    Fault {
        id: "tokenizer-case",
        hazard: "F7",
        what: "the candidate's tokenizer keeps capitals",
        plant: Plant::Candidate(|c| c.json("tokenizer.json", |t| t["normalizer"]["lowercase"] = false.into())),
        on: ONE,
        exit: 1,
        says: &["token"],
    },
    Fault {
        id: "tokenizer-order",
        hazard: "F7",
        what: "two words of the candidate's vocabulary change ids",
        plant: Plant::Candidate(|c| {
            c.json("tokenizer.json", |t| {
                let vocabulary = &mut t["model"]["vocab"];
                let (a, b) = (vocabulary["."].clone(), vocabulary["the"].clone());
                (vocabulary["."], vocabulary["the"]) = (b, a);
            })
        }),
        on: ALL,
        exit: 1,
        says: &["token"],
    },
    Fault {
        id: "tokenizer-special-tokens",
        hazard: "F7",
        what: "the candidate's tokenizer adds no [CLS] and [SEP]",
        plant: Plant::Candidate(|c| c.json("tokenizer.json", |t| t["post_processor"] = serde_json::Value::Null)),
        on: ONE,
        exit: 1,
        says: &["token"],
    },
    Fault {
        id: "tokenizer-absent",
        hazard: "F7",
        what: "the candidate has no tokenizer.json",
        plant: Plant::Candidate(|c| {
            std::fs::remove_file(c.file("tokenizer.json")).unwrap();
            c
        }),
        on: ONE,
        exit: 3,
        says: &["tokenizer.json"],
    },
];
