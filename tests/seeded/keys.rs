//! Keys of config.json that one side states otherwise: each is named as itself, and no other culprit is.

use serde_json::{Value, json};

use super::models::Model;
use super::{Fault, Plant};
use crate::common::plant::Copy;

const MODERN: &[Model] = &[Model::Modern8];
const XLMR: &[Model] = &[Model::Xlmr8];
const BOTH: &[Model] = &[Model::Modern8, Model::Xlmr8];

fn key(copy: Copy, name: &str, value: Value) -> Copy {
    copy.json("config.json", |c| c[name] = value)
}

fn without(copy: Copy, name: &str) -> Copy {
    copy.json("config.json", |c| drop(c.as_object_mut().unwrap().shift_remove(name)))
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "window-off",
        hazard: "G6",
        what: "every layer sees every token: no sliding window",
        plant: Plant::Candidate(|c| {
            let c = without(c, "global_attn_every_n_layers");
            c.json("config.json", |c| c["layer_types"] = json!(["full_attention", "full_attention", "full_attention"]))
        }),
        on: MODERN,
        exit: 1,
        says: &["config.global_attn_every_n_layers", "which layers see every token"],
    },
    Fault {
        id: "window-of-another-width",
        hazard: "G6",
        what: "the local layers see 64 tokens for 16",
        plant: Plant::Candidate(|c| key(c, "local_attention", json!(64))),
        on: MODERN,
        exit: 1,
        says: &["config.local_attention", "the reference says 16, the candidate says 64"],
    },
    Fault {
        id: "window-default",
        hazard: "G6",
        what: "the width of the window is left out: 128 is what that means",
        plant: Plant::Candidate(|c| without(c, "local_attention")),
        on: MODERN,
        exit: 1,
        says: &["config.local_attention", "the candidate says nothing, which means 128"],
    },
    Fault {
        id: "rotation-base-of-global-layers",
        hazard: "G6",
        what: "the rotation's base is 150000 for 160000",
        plant: Plant::Candidate(|c| {
            c.json("config.json", |c| c["rope_parameters"]["full_attention"]["rope_theta"] = json!(150_000.0))
        }),
        on: MODERN,
        exit: 1,
        says: &["config.global_rope_theta", "the reference says 160000", "the candidate says 150000"],
    },
    Fault {
        id: "rotation-base-of-local-layers",
        hazard: "G6",
        what: "the local layers turn by 11000 for 10000, in the older key",
        plant: Plant::Candidate(|c| key(without(c, "rope_parameters"), "local_rope_theta", json!(11_000.0))),
        on: MODERN,
        exit: 1,
        says: &["config.local_rope_theta", "11000"],
    },
    Fault {
        id: "rotation-stated-twice",
        hazard: "G6",
        what: "the older key says 150000 beside the newer one's 160000: MLX reads the one, transformers the other",
        plant: Plant::Candidate(|c| key(c, "global_rope_theta", json!(150_000.0))),
        on: MODERN,
        exit: 3,
        says: &["global_rope_theta", "150000", "rope_parameters"],
    },
    Fault {
        id: "rotation-scaled",
        hazard: "G6",
        what: "the candidate stretches its positions",
        plant: Plant::Candidate(|c| key(c, "rope_scaling", json!({"type": "linear", "factor": 2.0}))),
        on: MODERN,
        exit: 3,
        says: &["rope_scaling", "linear"],
    },
    Fault {
        id: "rotation-of-half-a-head",
        hazard: "G6",
        what: "the candidate turns half of each head",
        plant: Plant::Candidate(|c| key(c, "partial_rotary_factor", json!(0.5))),
        on: MODERN,
        exit: 3,
        says: &["partial_rotary_factor", "0.5"],
    },
    Fault {
        id: "global-layers-by-a-period",
        hazard: "G6",
        what: "every third layer sees every token, the list of layers left out",
        plant: Plant::Candidate(|c| key(without(c, "layer_types"), "global_attn_every_n_layers", json!(3))),
        on: MODERN,
        exit: 1,
        says: &["config.global_attn_every_n_layers", "[true,false,true]", "[true,false,false]"],
    },
    Fault {
        id: "global-layers-listed-otherwise",
        hazard: "G6",
        what: "the period says one thing and the list another",
        plant: Plant::Candidate(|c| key(c, "global_attn_every_n_layers", json!(3))),
        on: MODERN,
        exit: 3,
        says: &["global_attn_every_n_layers", "layer_types"],
    },
    Fault {
        id: "norms-with-biases",
        hazard: "G6",
        what: "the candidate's norms are said to have biases",
        plant: Plant::Candidate(|c| key(c, "norm_bias", json!(true))),
        on: MODERN,
        exit: 3,
        says: &["norm_bias", "true"],
    },
    Fault {
        id: "padding-id-0",
        hazard: "G6",
        what: "pad_token_id 1 → 0: positions begin one row too early",
        plant: Plant::Candidate(|c| key(c, "pad_token_id", json!(0))),
        on: XLMR,
        exit: 1,
        says: &["config.pad_token_id", "the reference says 1, the candidate says 0", "position table"],
    },
    Fault {
        id: "padding-id-2",
        hazard: "G6",
        what: "pad_token_id 1 → 2: positions begin one row too late",
        plant: Plant::Candidate(|c| key(c, "pad_token_id", json!(2))),
        on: XLMR,
        exit: 1,
        says: &["config.pad_token_id", "the candidate says 2"],
    },
    Fault {
        id: "padding-id-0-of-the-reference",
        hazard: "G6",
        what: "the reference's config.json says 0, the graph and the candidate 1",
        plant: Plant::Reference(|c| key(c, "pad_token_id", json!(0))),
        on: XLMR,
        exit: 3,
        says: &["config.pad_token_id", "the reference says 0, the candidate says 1"],
    },
    Fault {
        id: "cross-attention-declared",
        hazard: "G6",
        what: "the candidate's layers look at another model's states",
        plant: Plant::Candidate(|c| key(c, "add_cross_attention", json!(true))),
        on: XLMR,
        exit: 3,
        says: &["add_cross_attention"],
    },
    Fault {
        id: "activations-quantized-at-the-top",
        hazard: "G6",
        what: "config.json says that activations are quantized, on both sides",
        plant: Plant::Mixed(|c, reference| {
            let path = reference.join("config.json");
            let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            config["quantize_activations"] = true.into();
            std::fs::write(path, config.to_string()).unwrap();
            key(c, "quantize_activations", true.into())
        }),
        on: BOTH,
        exit: 3,
        says: &["config.quantize_activations", "weights alone do not say"],
    },
];
