//! States that are wrong on their way out of an encoder.

use parallax::hidden_states::Tap;
use parallax::tokens::TokenBatch;

use super::models::{ALL, EIGHT, ONE};
use super::{Fault, Plant};
use crate::common::encoders::{POISONED, change, change_tap, of_row, poison, poison_padded};

/// One dimension of every token's vector is zero.
pub(super) fn dead_dimension(_: &TokenBatch, hidden: usize, values: &mut [f32]) {
    values.chunks_mut(hidden).for_each(|token| token[9] = 0.0);
}

/// An error that sums to nothing over three dimensions.
pub(super) fn wrong_and_balanced(_: &TokenBatch, hidden: usize, values: &mut [f32]) {
    for token in values.chunks_mut(hidden) {
        token.iter_mut().enumerate().for_each(|(i, v)| *v += if i % 3 == 0 { 0.16 } else { -0.08 });
    }
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "zeros",
        hazard: "F12",
        what: "the candidate's last hidden state is zero",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| open.get_mut(&Tap::Final).unwrap().fill(0.0));
        }),
        on: ONE,
        exit: 3,
        says: &["final", "zero"],
    },
    Fault {
        id: "constant",
        hazard: "F12",
        what: "the candidate gives the same vector for every token",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, hidden, open| {
                open.get_mut(&Tap::Final).unwrap().chunks_mut(hidden).for_each(|t| {
                    t.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 2 == 0 { 1.0 } else { -0.5 });
                });
            });
        }),
        on: ONE,
        exit: 3,
        says: &["final"],
    },
    Fault {
        id: "rows-exchanged",
        hazard: "F1",
        what: "two rows of equal length come back in each other's place",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |batch, hidden, open| {
                let Some(r) = (1..batch.rows()).find(|&r| batch.len(r) == batch.len(r - 1)) else { return };
                let (a, b) = (batch.offsets()[r - 1] * hidden, batch.offsets()[r] * hidden);
                for values in open.values_mut() {
                    let (first, second) = values[a..].split_at_mut(b - a);
                    first.swap_with_slice(&mut second[..b - a]);
                }
            });
        }),
        on: ONE,
        exit: 1,
        says: &["embeddings", "final"],
    },
    Fault {
        id: "nan-in-a-state",
        hazard: "F11",
        what: "one value of one sentence is NaN in layer 1 of the candidate",
        plant: Plant::Sides(|s| poison(&mut s.candidate, Tap::Layer(1), f32::NAN)),
        on: ALL,
        exit: 1,
        says: &["layer.1", "non_finite"],
    },
    Fault {
        id: "nan-in-the-reference",
        hazard: "F11",
        what: "one value of one sentence is NaN in layer 1 of the reference",
        plant: Plant::Sides(|s| poison(&mut s.reference, Tap::Layer(1), f32::NAN)),
        on: ONE,
        exit: 1,
        says: &["layer.1", "non_finite"],
    },
    Fault {
        id: "nan-on-both-sides",
        hazard: "F11",
        what: "the same value is NaN in the reference, the control and the candidate",
        plant: Plant::Sides(|s| {
            for side in [&mut s.reference, &mut s.control, &mut s.candidate] {
                poison(side, Tap::Layer(1), f32::NAN);
            }
        }),
        on: ONE,
        exit: 1,
        says: &["layer.1", "non_finite"],
    },
    Fault {
        id: "nan-in-padded-rows",
        hazard: "I2",
        what: "padded rows are NaN when the longest row is a multiple of 32 and at least 128",
        plant: Plant::Sides(|s| poison_padded(&mut s.candidate)),
        on: ALL,
        exit: 1,
        says: &["non_finite"],
    },
    Fault {
        id: "one-sentence-wrong",
        hazard: "F14",
        what: "the last hidden state of one sentence in 130 is turned round",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |batch, hidden, open| {
                let Some(tokens) = of_row(batch, POISONED) else { return };
                let values = &mut open.get_mut(&Tap::Final).unwrap()[tokens.start * hidden..tokens.end * hidden];
                values.iter_mut().for_each(|v| *v = -*v);
            });
        }),
        on: ALL,
        exit: 1,
        says: &["twin.states", "corpus.txt:78"],
    },
    Fault {
        id: "errors-that-cancel",
        hazard: "F25",
        what: "layer 1 is wrong, layer 2 takes the error back",
        plant: Plant::Sides(|s| change_tap(&mut s.candidate, Tap::Layer(1), wrong_and_balanced)),
        on: EIGHT,
        exit: 1,
        says: &["twin.states", "layer.1"],
    },
    Fault {
        id: "states-too-long",
        hazard: "F10",
        what: "the last hidden state is 4 % too long, its direction right",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| {
                open.get_mut(&Tap::Final).unwrap().iter_mut().for_each(|v| *v *= 1.04);
            });
        }),
        on: ONE,
        exit: 1,
        says: &["final (quantization): the candidate's states are not those"],
    },
    Fault {
        id: "one-dimension-dead",
        hazard: "F16",
        what: "one dimension of the last hidden state is zero",
        plant: Plant::Sides(|s| change_tap(&mut s.candidate, Tap::Final, dead_dimension)),
        on: EIGHT,
        exit: 1,
        says: &["final"],
    },
    Fault {
        id: "first-token-wrong",
        hazard: "F15",
        what: "the first token of every sentence is wrong in layer 2",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |batch, hidden, open| {
                let values = open.get_mut(&Tap::Layer(2)).unwrap();
                for r in 0..batch.rows() {
                    let at = batch.offsets()[r] * hidden;
                    values[at..at + hidden].reverse();
                }
            });
        }),
        on: ONE,
        exit: 1,
        says: &["layer.2", "token 0"],
    },
    Fault {
        id: "drift-a-norm-takes-back",
        hazard: "F26",
        what: "the states behind layer 1 are a tenth too long; what follows is as if they were not",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| {
                open.get_mut(&Tap::Layer(1)).unwrap().iter_mut().for_each(|v| *v *= 1.1);
            });
        }),
        on: EIGHT,
        exit: 1,
        says: &["twin.states", "layer.1"],
    },
];
