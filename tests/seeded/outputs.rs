//! References whose outputs are not what is compared.

use super::models::{EIGHT, Model, ONE};
use super::onnx_edit::{FLOAT, INNER, LAST, behind, edited, floats, hidden, ints, node, output, with, with_list};
use super::sweeps::{seq, turning};
use super::{Fault, Plant};

/// The seeded model, whose graph comes from another exporter and has no pooler.
const SEEDED: &[Model] = &[Model::Seeded8];

/// An output that hands an input through is no lie: torch writes one for every entry of the features it was given.
pub(crate) const HONEST: &[Fault] = &[Fault {
    id: "ids-handed-through",
    hazard: "-",
    what: "the ONNX file returns its ids as they came in",
    plant: Plant::Reference(|c| {
        edited(c, |g| {
            g.node.push(node("Identity", &["input_ids"], "handed_through"));
            let mut declared = g.input.iter().find(|i| i.name == "input_ids").unwrap().clone();
            declared.name = "handed_through".into();
            g.output.push(declared);
        })
    }),
    on: SEEDED,
    exit: 0,
    says: &[],
}];

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "output-zeros",
        hazard: "G2",
        what: "the ONNX file multiplies its last hidden state by 0",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                behind(g, vec![floats("planted", &[1], |_| 0.0)], vec![node("Mul", &[INNER, "planted"], LAST)])
            })
        }),
        on: EIGHT,
        exit: 3,
        says: &["reference.output: the graph's output `last_hidden_state`", "only zeros"],
    },
    Fault {
        id: "output-negated",
        hazard: "G2",
        what: "the ONNX file negates its last hidden state",
        plant: Plant::Reference(|c| edited(c, |g| behind(g, vec![], vec![node("Neg", &[INNER], LAST)]))),
        on: &[Model::Seeded8, Model::Modern8],
        exit: 3,
        says: &["reference.output: the graph's output `last_hidden_state`", "negated"],
    },
    Fault {
        id: "output-reversed",
        hazard: "G2",
        what: "the ONNX file reverses the dimensions of its last hidden state",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let n = hidden(g) as i64;
                let order = ints("planted", &[n], |i| n - 1 - i as i64);
                behind(g, vec![order], vec![with(node("Gather", &[INNER, "planted"], LAST), "axis", 2)]);
            })
        }),
        on: &[Model::Mini8, Model::Xlmr8],
        exit: 3,
        says: &["reference.output: the graph's output `last_hidden_state`", "dimensions in reverse order"],
    },
    Fault {
        id: "output-shuffled",
        hazard: "G2",
        what: "the ONNX file exchanges two of the dimensions of its last hidden state",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let swapped = |i: usize| [0, 5, 2, 3, 4, 1].get(i).copied().unwrap_or(i as i64);
                let order = ints("planted", &[hidden(g) as i64], swapped);
                behind(g, vec![order], vec![with(node("Gather", &[INNER, "planted"], LAST), "axis", 2)]);
            })
        }),
        on: SEEDED,
        exit: 3,
        says: &["reference.output", "2 of its 64 dimensions in other places"],
    },
    Fault {
        id: "output-projected",
        hazard: "G2",
        what: "the ONNX file turns its last hidden state by a matrix",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let n = hidden(g);
                let matrix = floats("planted", &[n as i64, n as i64], |i| {
                    (if i / n == i % n { 1.0 } else { 0.0 }) + 0.01 * (i as f32 * 0.37).sin()
                });
                behind(g, vec![matrix], vec![node("MatMul", &[INNER, "planted"], LAST)]);
            })
        }),
        on: ONE,
        exit: 3,
        says: &["reference.output: the graph's output `last_hidden_state` should be the last hidden state and is not"],
    },
    Fault {
        id: "output-noise",
        hazard: "G2",
        what: "the ONNX file adds a vector of 0.01 to every token of its last hidden state",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let noise = floats("planted", &[hidden(g) as i64], |i| 0.01 * (i as f32 * 1.7).sin());
                behind(g, vec![noise], vec![node("Add", &[INNER, "planted"], LAST)]);
            })
        }),
        on: SEEDED,
        exit: 3,
        says: &["reference.output", "one vector added to every token"],
    },
    Fault {
        id: "output-inner-layer",
        hazard: "G2",
        what: "the ONNX file's last_hidden_state is layer 1, the last layer is an output of another name",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let norms: Vec<String> =
                    g.node.iter().filter(|n| n.op == "LayerNormalization").map(|n| n.output[0].clone()).collect();
                // The embeddings' norm, then two per layer.
                let inner = norms[4].clone();
                behind(g, vec![], vec![node("Identity", &[&inner], LAST)]);
                output(g, INNER);
            })
        }),
        on: EIGHT,
        exit: 3,
        says: &["reference.output: the graph's output `last_hidden_state` is layer.1"],
    },
    Fault {
        id: "output-long-rows",
        hazard: "G2",
        what: "the ONNX file's last hidden state is 2 % larger in batches of more than 100 tokens a row",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let mut nodes = seq();
                nodes.push(node("Greater", &["planted_seq", "planted_value"], "planted_when"));
                nodes.push(node("Where", &["planted_when", "planted_more", "planted_same"], "planted_factor"));
                nodes.push(node("Mul", &[INNER, "planted_factor"], LAST));
                let mut constants = turning(100);
                constants.push(floats("planted_more", &[1], |_| 1.02));
                constants.push(floats("planted_same", &[1], |_| 1.0));
                behind(g, constants, nodes);
            })
        }),
        on: SEEDED,
        exit: 3,
        says: &["reference.output", "multiplied by 1.02"],
    },
    Fault {
        id: "output-of-another-layer",
        hazard: "G2",
        what: "the ONNX file gives its last state as hidden_states.1, the first layer's",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                g.node.push(node("Identity", &[LAST], "hidden_states.1"));
                output(g, "hidden_states.1");
            })
        }),
        on: EIGHT,
        exit: 3,
        says: &["reference.output: the graph's output `hidden_states.1` is final; its name says layer.0"],
    },
    Fault {
        id: "output-first-35",
        hazard: "G2",
        what: "the ONNX file's sentence_embedding averages the first 35 tokens only",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let constants = vec![
                    ints("planted_from", &[1], |_| 0),
                    ints("planted_to", &[1], |_| 35),
                    ints("planted_axis", &[1], |_| 1),
                    ints("planted_last", &[1], |_| -1),
                ];
                let slice =
                    |from: &str, to: &str| node("Slice", &[from, "planted_from", "planted_to", "planted_axis"], to);
                let nodes = vec![
                    slice(LAST, "planted_h"),
                    slice("attention_mask", "planted_m"),
                    with(node("Cast", &["planted_m"], "planted_mf"), "to", FLOAT.into()),
                    node("Unsqueeze", &["planted_mf", "planted_last"], "planted_m3"),
                    node("Mul", &["planted_h", "planted_m3"], "planted_hm"),
                    with(node("ReduceSum", &["planted_hm", "planted_axis"], "planted_sum"), "keepdims", 0),
                    with(node("ReduceSum", &["planted_m3", "planted_axis"], "planted_count"), "keepdims", 0),
                    node("Div", &["planted_sum", "planted_count"], "planted_mean"),
                    with(with_list(node("ReduceL2", &["planted_mean"], "planted_norm"), "axes", &[1]), "keepdims", 1),
                    node("Div", &["planted_mean", "planted_norm"], "sentence_embedding"),
                ];
                g.initializer.extend(constants);
                g.node.extend(nodes);
                output(g, "sentence_embedding");
            })
        }),
        on: EIGHT,
        exit: 3,
        says: &[
            "reference.sentence_output: the graph's own `sentence_embedding` is mean pooling",
            "of the first 35 tokens of the row only",
        ],
    },
    Fault {
        id: "output-pooler",
        hazard: "G2",
        what: "the ONNX file's pooler has another bias than the checkpoint's",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let bias = g.initializer.iter_mut().find(|t| t.name.ends_with("pooler.dense.bias")).unwrap();
                bias.raw_data = bias
                    .raw_data
                    .chunks(4)
                    .flat_map(|b| (f32::from_le_bytes(b.try_into().unwrap()) + 0.1).to_le_bytes())
                    .collect();
            })
        }),
        on: ONE,
        exit: 3,
        says: &["`pooler_output` is not what the files say", "from the checkpoint's pooler"],
    },
    Fault {
        id: "output-head",
        hazard: "G2",
        what: "the ONNX file has a classifier's logits among its outputs",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                let n = hidden(g) as i64;
                g.initializer.push(floats("planted", &[n, 3], |i| (i as f32).sin()));
                g.initializer.push(ints("planted_zero", &[], |_| 0));
                g.node.push(with(node("Gather", &[LAST, "planted_zero"], "planted_cls"), "axis", 1));
                g.node.push(node("MatMul", &["planted_cls", "planted"], "logits"));
                output(g, "logits");
            })
        }),
        on: SEEDED,
        exit: 3,
        says: &["reference.output: the graph's output `logits` has 3 values per row", "heads are not computed"],
    },
    Fault {
        id: "output-ids",
        hazard: "G2",
        what: "the ONNX file returns numbers made of its ids as an output",
        plant: Plant::Reference(|c| {
            edited(c, |g| {
                g.node.push(node("Neg", &["input_ids"], "planted_ids"));
                let mut declared = g.input.iter().find(|i| i.name == "input_ids").unwrap().clone();
                declared.name = "planted_ids".into();
                g.output.push(declared);
            })
        }),
        on: SEEDED,
        exit: 3,
        says: &["reference.output: the graph's output `planted_ids`", "neither a hidden state nor a pooled vector"],
    },
];
