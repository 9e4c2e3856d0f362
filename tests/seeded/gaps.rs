//! Faults that come out as a PASS today, with what should come of them. Not asserted: a row moves to its
//! table when the check sees it. `scripts/fault-table --gaps` prints them.

use parallax::hidden_states::Tap;
use parallax::runtimes::native::NativeEncoder;

use super::models::{ALL, Model};
use super::states::{dead_dimension, wrong_and_balanced};
use super::{Fault, Plant};
use crate::common::encoders::{change_tap, step, tf32};

const FOUR: &[Model] = &[Model::Mini4];

pub(crate) const GAPS: &[Fault] = &[
    // GAP: the same limits; an error of one dimension is a small one of the vector. A gate on the worst
    // dimension would see it.
    Fault {
        id: "one-dimension-dead-4-bits",
        hazard: "F16",
        what: "one dimension of the last hidden state is zero",
        plant: Plant::Sides(|s| change_tap(&mut s.candidate, Tap::Final, dead_dimension)),
        on: FOUR,
        exit: 1,
        says: &["final"],
    },
    // GAP: the same limits.
    Fault {
        id: "errors-that-cancel-4-bits",
        hazard: "F25",
        what: "layer 1 is wrong, layer 2 takes the error back",
        plant: Plant::Sides(|s| change_tap(&mut s.candidate, Tap::Layer(1), wrong_and_balanced)),
        on: FOUR,
        exit: 1,
        says: &["layer.1"],
    },
    // GAP, of the instrument: what 8-bit weights hide. Rounding inputs to ten bits and tanh GELU move the
    // states by less than a tenth of what quantization does; in the control both are refused.
    Fault {
        id: "candidate-in-tf32",
        hazard: "I1",
        what: "the candidate's layers take their input at TF32's ten bits",
        plant: Plant::Sides(|s| step(s, |_, values| tf32(values), Some)),
        on: ALL,
        exit: 1,
        says: &["quantization"],
    },
    Fault {
        id: "candidate-with-tanh-gelu",
        hazard: "I3",
        what: "the candidate computes tanh GELU, its files say the exact one",
        plant: Plant::Sides(|s| {
            let mut config = s.facts.candidate_config.clone();
            config.hidden_act = "gelu_new".to_owned();
            s.candidate = Box::new(NativeEncoder::build(&config, &s.candidate_weights, "tanh").unwrap());
        }),
        on: ALL,
        exit: 1,
        says: &["quantization"],
    },
];
