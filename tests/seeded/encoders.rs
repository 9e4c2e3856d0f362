//! Encoders and heads that do something else than their files say.

use parallax::checkpoint::PoolingMode;
use parallax::hidden_states::Tap;
use parallax::runtimes::native::{NativeEncoder, SentenceHead};

use super::models::{ALL, ONE};
use super::wrap::{change, of_row, rewire, step, step_control, tf32, unmask};
use super::{Fault, Plant};

/// The row of the corpus that faults of one sentence are planted in.
const ROW: u64 = 77;

pub(crate) const FAULTS: &[Fault] = &[
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
        on: ALL,
        exit: 1,
        says: &["layer.2"],
    },
    Fault {
        id: "embeddings-at-every-tap",
        hazard: "I6",
        what: "the candidate shows its embeddings as every layer",
        plant: Plant::Sides(|s| change(&mut s.candidate, |_, _, open| rewire(open, |_| Tap::Embeddings))),
        on: ALL,
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
        on: ALL,
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
        id: "zeros",
        hazard: "F12",
        what: "the candidate's last hidden state is zero",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| open.get_mut(&Tap::Final).unwrap().fill(0.0));
        }),
        on: ALL,
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
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |batch, hidden, open| {
                let Some(tokens) = of_row(batch, ROW) else { return };
                open.get_mut(&Tap::Layer(1)).unwrap()[tokens.start * hidden] = f32::NAN;
            });
        }),
        on: ALL,
        exit: 1,
        says: &["layer.1", "non_finite"],
    },
    Fault {
        id: "nan-in-the-reference",
        hazard: "F11",
        what: "one value of one sentence is NaN in layer 1 of the reference",
        plant: Plant::Sides(|s| {
            change(&mut s.reference, |batch, hidden, open| {
                let Some(tokens) = of_row(batch, ROW) else { return };
                open.get_mut(&Tap::Layer(1)).unwrap()[tokens.start * hidden] = f32::NAN;
            });
        }),
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
                change(side, |batch, hidden, open| {
                    let Some(tokens) = of_row(batch, ROW) else { return };
                    open.get_mut(&Tap::Layer(1)).unwrap()[tokens.start * hidden] = f32::NAN;
                });
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
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |batch, hidden, open| {
                let longest = batch.longest();
                if longest < 128 || longest % 32 != 0 {
                    return;
                }
                for r in (0..batch.rows()).filter(|&r| batch.len(r) < longest) {
                    let tokens = batch.offsets()[r] * hidden..batch.offsets()[r + 1] * hidden;
                    open.values_mut().for_each(|v| v[tokens.clone()].fill(f32::NAN));
                }
            });
        }),
        on: ALL,
        exit: 1,
        says: &["non_finite"],
    },
    Fault {
        id: "padding-not-masked",
        hazard: "I2",
        what: "the candidate's attention sees the padding",
        plant: Plant::Sides(|s| unmask(&mut s.candidate)),
        on: ALL,
        exit: 1,
        says: &["layer.0"],
    },
    Fault {
        id: "one-sentence-wrong",
        hazard: "F14",
        what: "the last hidden state of one sentence in 130 is turned round",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |batch, hidden, open| {
                let Some(tokens) = of_row(batch, ROW) else { return };
                let values = &mut open.get_mut(&Tap::Final).unwrap()[tokens.start * hidden..tokens.end * hidden];
                values.iter_mut().for_each(|v| *v = -*v);
            });
        }),
        on: ALL,
        exit: 1,
        says: &["final", "row 77", "corpus.txt:78"],
    },
    Fault {
        id: "errors-that-cancel",
        hazard: "F25",
        what: "layer 1 is wrong, layer 2 takes the error back",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, _, open| {
                let values = open.get_mut(&Tap::Layer(1)).unwrap();
                values.iter_mut().enumerate().for_each(|(i, v)| *v += if i % 3 == 0 { 0.4 } else { -0.2 });
            });
        }),
        on: ALL,
        exit: 1,
        says: &["layer.1 (quantization)"],
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
        says: &["final", "norm_ratio"],
    },
    Fault {
        id: "one-dimension-dead",
        hazard: "F16",
        what: "one dimension of the last hidden state is zero",
        plant: Plant::Sides(|s| {
            change(&mut s.candidate, |_, hidden, open| {
                open.get_mut(&Tap::Final).unwrap().chunks_mut(hidden).for_each(|t| t[9] = 0.0);
            });
        }),
        on: ALL,
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
        id: "pooled-by-cls",
        hazard: "I4",
        what: "the candidate takes the first token for the mean, its files say nothing of it",
        plant: Plant::Sides(|s| {
            let mut modules = s.facts.modules.clone();
            modules.pooling = vec![PoolingMode::Cls];
            s.candidate_head = SentenceHead::new(&modules, s.facts.hidden).unwrap();
        }),
        on: ALL,
        exit: 1,
        says: &["sentence (total): cosine_distance"],
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
        on: ALL,
        exit: 3,
        says: &["layer.0", "engine"],
    },
    Fault {
        id: "control-in-tf32",
        hazard: "I1",
        what: "the control's layers take their input at TF32's ten bits",
        plant: Plant::Sides(|s| step_control(s, |_, values| tf32(values))),
        on: ALL,
        exit: 3,
        says: &["layer.0", "engine"],
    },
];
