//! Tensor files that are cut, misdeclared, incomplete, or one too many.

use safetensors::Dtype;

use super::models::{ALL, ONE};
use super::{Fault, Plant};
use crate::common::plant::{stored, write_stored};

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "file-cut-short",
        hazard: "F22",
        what: "the safetensors file ends early",
        plant: Plant::Candidate(|c| c.bytes("model.safetensors", |b| b.truncate(b.len() - 100))),
        on: ALL,
        exit: 4,
        says: &["model.safetensors"],
    },
    Fault {
        id: "dtype-misdeclared",
        hazard: "F34",
        what: "a bias of layer 1 declares bfloat16 over float16 bytes",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| t.get_mut("encoder.layer.1.intermediate.dense.bias").unwrap().0 = Dtype::BF16)
        }),
        on: ONE,
        exit: 1,
        says: &["encoder.layer.1.intermediate.dense.bias"],
    },
    Fault {
        id: "dtype-of-integers",
        hazard: "F34",
        what: "a bias of layer 1 declares 16-bit integers",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| t.get_mut("encoder.layer.1.intermediate.dense.bias").unwrap().0 = Dtype::I16)
        }),
        on: ONE,
        exit: 4,
        says: &["encoder.layer.1.intermediate.dense.bias", "I16"],
    },
    Fault {
        id: "tensor-missing",
        hazard: "F23",
        what: "the query bias of layer 3 is not there",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| drop(t.remove("encoder.layer.3.attention.self.query.bias").unwrap()))
        }),
        on: ALL,
        exit: 4,
        says: &["encoder.layer.3.attention.self.query.bias", "missing"],
    },
    Fault {
        id: "tensor-left-over",
        hazard: "F22",
        what: "an adapter nobody reads lies beside the weights",
        plant: Plant::Candidate(|c| {
            c.tensors(|t| {
                let tensor = t["encoder.layer.0.output.dense.bias"].clone();
                drop(t.insert("encoder.layer.0.output.lora_B.weight".to_owned(), tensor));
            })
        }),
        on: ONE,
        exit: 4,
        says: &["encoder.layer.0.output.lora_B.weight"],
    },
    Fault {
        id: "stale-shard",
        hazard: "F22",
        what: "a shard of another conversion lies in the folder, not in the index",
        plant: Plant::Candidate(|c| {
            let mut shard = stored(&c.file("model.safetensors"));
            shard.retain(|name, _| name.starts_with("encoder.layer.0."));
            write_stored(&c.file("model-00002-of-00002.safetensors"), &shard);
            c
        }),
        on: ONE,
        exit: 3,
        says: &["model-00002-of-00002.safetensors", "checkpoint.stale_shard"],
    },
    Fault {
        id: "stale-model-in-a-subfolder",
        hazard: "F22",
        what: "another conversion lies in a subfolder, where MLX's loader would find it",
        plant: Plant::Candidate(|c| {
            std::fs::create_dir(c.file("old")).unwrap();
            assert!(std::fs::copy(c.file("model.safetensors"), c.file("old/model.safetensors")).unwrap() > 0);
            c
        }),
        on: ONE,
        exit: 3,
        says: &["old/model.safetensors", "checkpoint.stale_shard"],
    },
    Fault {
        id: "shard-twice",
        hazard: "F22",
        what: "two shards hold the same tensors and no index tells which counts",
        plant: Plant::Candidate(|c| {
            assert!(
                std::fs::copy(c.file("model.safetensors"), c.file("model-00002-of-00002.safetensors")).unwrap() > 0
            );
            c.tensors(|_| ())
        }),
        on: ONE,
        exit: 4,
        says: &["is also in model"],
    },
    Fault {
        id: "shard-missing",
        hazard: "F31",
        what: "the index names a second shard that is not there",
        plant: Plant::Candidate(|c| {
            let mut first = stored(&c.file("model.safetensors"));
            first.retain(|name, _| !name.contains("layer.3."));
            write_stored(&c.file("model-00001-of-00002.safetensors"), &first);
            std::fs::remove_file(c.file("model.safetensors")).unwrap();
            c.json("model.safetensors.index.json", |index| {
                for (name, file) in index["weight_map"].as_object_mut().unwrap() {
                    let k = if name.contains("layer.3.") { 2 } else { 1 };
                    *file = format!("model-0000{k}-of-00002.safetensors").into();
                }
            })
        }),
        on: ONE,
        exit: 4,
        says: &["model-00002-of-00002.safetensors"],
    },
];
