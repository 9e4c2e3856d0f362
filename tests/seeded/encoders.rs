//! Encoders and heads that do something else than their files say.

use std::sync::Arc;

use parallax::checkpoint::PoolingMode;
use parallax::hidden_states::Tap;
use parallax::runtimes::native::NativeEncoder;
use parallax::tokens::TokenBatch;

use super::models::{ALL, ONE};
use super::{Fault, Plant};
use crate::common::encoders::{Open, change, rewire, step, step_control, tf32, unmask};

/// A word that no corpus row and no probe has: turned around where the last layer ends.
const LOST: u32 = 5_432;

fn lost(batch: &TokenBatch, width: usize, open: &mut Open) {
    let values = open.get_mut(&Tap::Final).unwrap();
    for r in 0..batch.rows() {
        let (from, ids) = (batch.offsets()[r], batch.ids(r));
        for (t, _) in ids.iter().enumerate().filter(|(_, id)| **id == LOST) {
            values[(from + t) * width..][..width].iter_mut().for_each(|v| *v = -*v);
        }
    }
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "one-word-lost",
        hazard: "G1",
        what: "the candidate is not MLX's own conversion, and turns one word of the vocabulary around",
        plant: Plant::Sides(|s| {
            let tensor = "encoder.layer.1.output.LayerNorm.weight";
            let other = s.candidate_weights.changed(|all| {
                let changed = all[tensor].changed(|values| values[0] *= 1.01);
                all.insert(tensor.to_owned(), Arc::new(changed));
            });
            s.candidate_weights = other.unwrap();
            change(&mut s.candidate, lost);
        }),
        on: ONE,
        exit: 1,
        says: &["twin.words: the candidate loses 1 of 6000 words"],
    },
    Fault {
        id: "layer-skipped",
        hazard: "F21",
        what: "the candidate does not run layer 2",
        plant: Plant::Sides(|s| step(s, |_, _| (), |k| (k != 2).then_some(k))),
        on: ALL,
        exit: 3,
        says: &["candidate `layer.2` looks like reference `layer.1`"],
    },
    Fault {
        id: "layer-run-for-another",
        hazard: "F21",
        what: "the candidate runs layer 1 again where layer 2 belongs",
        plant: Plant::Sides(|s| step(s, |_, _| (), |k| Some(if k == 2 { 1 } else { k }))),
        on: ONE,
        exit: 3,
        says: &["candidate `layer.2` looks like reference `layer.1`"],
    },
    Fault {
        id: "embeddings-at-every-tap",
        hazard: "I6",
        what: "the candidate shows its embeddings as every layer",
        plant: Plant::Sides(|s| change(&mut s.candidate, |_, _, open| rewire(open, |_| Tap::Embeddings))),
        on: ONE,
        exit: 3,
        says: &[
            "candidate `layer.0` looks like reference `embeddings`",
            "candidate `final` looks like reference `embeddings`",
        ],
    },
    Fault {
        id: "embeddings-pooled",
        hazard: "I6",
        what: "the candidate pools its embedding table, all layers skipped",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| rewire(open, |t| if t == Tap::Final { Tap::Embeddings } else { t }));
        }),
        on: ONE,
        exit: 3,
        says: &["candidate `final` looks like reference `embeddings`"],
    },
    Fault {
        id: "taps-off-by-one",
        hazard: "F1",
        what: "each tap of the candidate shows the layer before",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| {
                rewire(open, |t| match t {
                    Tap::Layer(0) => Tap::Embeddings,
                    Tap::Layer(k) => Tap::Layer(k - 1),
                    other => other,
                });
            });
        }),
        on: ALL,
        exit: 3,
        says: &[
            "candidate `layer.1` looks like reference `layer.0`",
            "candidate `layer.3` looks like reference `layer.2`",
        ],
    },
    Fault {
        id: "reference-taps-off-by-one",
        hazard: "F1",
        what: "one tap of the reference shows the next layer",
        plant: Plant::Sides(|s| {
            change(&mut s.reference, |_, _, open| {
                rewire(open, |t| if t == Tap::Layer(1) { Tap::Layer(2) } else { t });
            });
        }),
        on: ONE,
        exit: 3,
        says: &["`layer.1`"],
    },
    Fault {
        id: "final-is-the-first-layer",
        hazard: "F1",
        what: "the candidate's last hidden state is its first layer's",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| rewire(open, |t| if t == Tap::Final { Tap::Layer(0) } else { t }));
        }),
        on: ONE,
        exit: 3,
        says: &["candidate `final` looks like reference `layer.0`"],
    },
    Fault {
        id: "padding-not-masked",
        hazard: "I2",
        what: "the candidate's attention sees the padding",
        plant: Plant::Sides(|s| unmask(&mut s.candidate)),
        on: ALL,
        exit: 1,
        says: &["from layer.0 on, a row in a padded batch differs"],
    },
    Fault {
        id: "pooled-by-cls",
        hazard: "I4",
        what: "the candidate takes the first token for the mean, its files say nothing of it",
        plant: Plant::Sides(|s| {
            s.candidate_head = s.candidate_head.with_pooling(vec![PoolingMode::Cls]).unwrap();
        }),
        on: ALL,
        exit: 1,
        says: &["twin.states"],
    },
    Fault {
        id: "control-with-tanh-gelu",
        hazard: "I3",
        what: "the control computes tanh GELU, the reference the exact one",
        plant: Plant::Sides(|s| {
            let mut config = s.facts.control_config.clone();
            config.hidden_act = "gelu_new".to_owned();
            s.control = Box::new(NativeEncoder::build(&config, &s.original, "tanh").unwrap());
        }),
        on: ONE,
        exit: 3,
        says: &["first at layer.0 (engine)"],
    },
    Fault {
        id: "control-in-tf32",
        hazard: "I1",
        what: "the control's layers take their input at TF32's ten bits",
        plant: Plant::Sides(|s| step_control(s, |_, values| tf32(values))),
        on: ALL,
        exit: 3,
        says: &["first at layer.0 (engine)"],
    },
    Fault {
        id: "candidate-runs-the-float-weights",
        hazard: "F3",
        what: "the candidate's encoder was built from the original's weights",
        plant: Plant::Sides(|s| {
            let built = NativeEncoder::build(&s.facts.candidate_config, &s.original, "float");
            s.candidate = Box::new(built.unwrap());
        }),
        on: ALL,
        exit: 3,
        says: &["the candidate's states are the control's to the bit"],
    },
    Fault {
        id: "reference-is-the-control",
        hazard: "F2",
        what: "in the reference's place runs the control: the engine arm compares it with itself",
        plant: Plant::Sides(|s| {
            let built = NativeEncoder::build(&s.facts.control_config, &s.original, "float");
            s.reference = Box::new(built.unwrap());
        }),
        on: ALL,
        exit: 3,
        says: &["the control's states are the reference's to the bit"],
    },
];
