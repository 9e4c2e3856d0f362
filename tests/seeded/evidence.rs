//! Evidence that is none: corpora that say one thing over and over, and recordings that no other runtime made, that do not
//! say what they are, or that hold what nobody judges.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::OnceLock;

use half::bf16;
use parallax::corpus::CorpusOptions;
use parallax::observe::Silent;
use parallax::sides::CheckRequest;
use parallax::tools::{RecordRequest, RecordSide, record};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::models::ONE;
use super::{Fault, Plant};
use crate::common::plant::{Stored, floats};
use crate::common::{fixture, repository};

type Tensors = BTreeMap<String, Stored>;
type Metadata = HashMap<String, String>;

/// Where the changed files of one fault go.
fn scratch(id: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("evidence");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{id}-{}.safetensors", std::process::id()))
}

/// The sentences that the recordings hold.
fn sentences() -> CorpusOptions {
    CorpusOptions { files: vec![fixture("recordings/corpus.txt")], ..CorpusOptions::default() }
}

/// What MLX computed.
fn mlx() -> PathBuf {
    fixture("recordings/parallax-mini-8bit-mlx.safetensors")
}

/// What parallax itself records of the candidate, made once.
fn own() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let save = scratch("own");
        let request = RecordRequest {
            corpus: sentences(),
            threads: 1,
            ..RecordRequest::new(RecordSide::Candidate(repository("models/parallax-mini-mlx-8bit")), &save)
        };
        record(&request, &mut Silent).unwrap();
        save
    };
    MADE.get_or_init(make).clone()
}

/// Asks for the recording in `from` after `change`.
fn replay(request: &mut CheckRequest, id: &str, from: PathBuf, change: impl FnOnce(&mut Tensors, &mut Metadata)) {
    let bytes = std::fs::read(from).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata: Metadata = header.metadata().clone().unwrap();
    let mut tensors: Tensors =
        read.tensors().into_iter().map(|(n, v)| (n, (v.dtype(), v.shape().to_vec(), v.data().to_vec()))).collect();
    change(&mut tensors, &mut metadata);
    let views: BTreeMap<&str, TensorView<'_>> =
        tensors.iter().map(|(n, (d, s, b))| (n.as_str(), TensorView::new(*d, s.clone(), b).unwrap())).collect();
    let save = scratch(id);
    std::fs::write(&save, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    request.corpus = sentences();
    request.recording = Some(save);
}

/// Every recorded state changed.
fn each(tensors: &mut Tensors, change: impl Fn(usize, f32) -> f32) {
    for (_, (dtype, _, bytes)) in tensors.iter_mut().filter(|(name, _)| name.starts_with("tap/")) {
        assert_eq!(*dtype, Dtype::F32);
        *bytes = floats(bytes).into_iter().enumerate().flat_map(|(i, v)| change(i, v).to_le_bytes()).collect();
    }
}

fn rounded(value: f32) -> f32 {
    bf16::from_f32(value).to_f32()
}

/// Says that it is MLX's.
fn renamed(metadata: &mut Metadata) {
    metadata.insert("producer".to_owned(), "mlx".to_owned());
    metadata.insert("producer_version".to_owned(), "0.32.4".to_owned());
}

fn set(metadata: &mut Metadata, key: &str, value: &str) {
    metadata.insert(key.to_owned(), value.to_owned());
}

/// The first state of each row, as a vector per row.
fn first_tokens(tensors: &Tensors) -> Stored {
    let offsets: Vec<usize> =
        tensors["row_offsets"].2.as_chunks::<8>().0.iter().map(|c| i64::from_le_bytes(*c) as usize).collect();
    let (_, shape, bytes) = &tensors["tap/final"];
    let width = shape[1];
    let values = floats(bytes);
    let rows = &offsets[..offsets.len() - 1];
    let first = rows.iter().flat_map(|o| values[o * width..(o + 1) * width].iter().flat_map(|v| v.to_le_bytes()));
    (Dtype::F32, vec![rows.len(), width], first.collect())
}

/// A recording with a tensor more, made of the first token's states.
fn replay_more(request: &mut CheckRequest, id: &str, name: &str, change: fn(f32) -> f32) {
    replay(request, id, mlx(), |tensors, _| {
        let (dtype, shape, bytes) = first_tokens(tensors);
        let changed = floats(&bytes).iter().flat_map(|v| change(*v).to_le_bytes()).collect();
        tensors.insert(name.to_owned(), (dtype, shape, changed));
    });
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|l| l.len() > 30).collect()
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "evidence-case-and-punctuation",
        hazard: "G9",
        what: "130 texts of one sentence: in capitals or not, with more and more exclamation marks and spaces",
        plant: Plant::Corpus(|text| {
            let first = lines(text)[0];
            let cased = |i: usize| if i.is_multiple_of(2) { first.to_uppercase() } else { first.to_owned() };
            (0..130).map(|i| format!("{}{}{}\n", " ".repeat(i % 3), cased(i), " !".repeat(i))).collect()
        }),
        on: ONE,
        exit: 3,
        says: &["different rows compared"],
    },
    Fault {
        id: "evidence-cut-to-one-row",
        hazard: "G9",
        what: "130 different sentences behind the same long beginning, cut to the same tokens",
        plant: Plant::Corpus(|text| {
            let head = lines(text).into_iter().take(40).collect::<Vec<_>>().join(" ");
            text.lines().map(|l| format!("{head} {l}\n")).collect()
        }),
        on: ONE,
        exit: 3,
        says: &["1 different rows compared"],
    },
    Fault {
        id: "evidence-one-token",
        hazard: "G9",
        what: "the corpus is one word, once, twice, … 130 times: rows and tokens enough",
        plant: Plant::Corpus(|_| (1..=130).map(|i| format!("{}\n", "self ".repeat(i))).collect()),
        on: ONE,
        exit: 3,
        says: &["one token over and over", "different tokens compared"],
    },
    Fault {
        id: "evidence-almost-one-token",
        hazard: "G9",
        what: "each row is one word forty times with another word at its end",
        plant: Plant::Corpus(|text| {
            text.lines().filter_map(|l| Some(format!("{}{}\n", "self ".repeat(40), l.split(' ').nth(1)?))).collect()
        }),
        on: ONE,
        exit: 3,
        says: &["one token over and over"],
    },
    Fault {
        id: "evidence-three-words",
        hazard: "G9",
        what: "the corpus is three words in many orders: rows and tokens enough, nothing of the vocabulary",
        plant: Plant::Corpus(|_| {
            let word = |n: usize| ["self", "return", "name"][n % 3];
            (0..140usize)
                .map(|i| {
                    let words = [i, i / 3, i / 9, i / 27, i / 81, i + 1, i / 2].map(word).join(" ");
                    format!("{words} {words}\n")
                })
                .collect()
        }),
        on: ONE,
        exit: 3,
        says: &["different tokens compared"],
    },
    Fault {
        id: "evidence-diluted",
        hazard: "G9",
        what: "rows of one token, hidden among twenty copies of every good row",
        plant: Plant::Corpus(|text| {
            let good: Vec<&str> = lines(text).into_iter().take(20).collect();
            let mut all: String = (0..20).flat_map(|_| good.iter().map(|l| format!("{l}\n"))).collect();
            all.extend((2..5).map(|i| format!("{}\n", "self ".repeat(i))));
            all
        }),
        on: ONE,
        exit: 3,
        says: &["3 of 23 different ones", "different rows compared"],
    },
    Fault {
        id: "recording-own",
        hazard: "G9",
        what: "a recording made by parallax on the candidate, shown as a device",
        plant: Plant::Request(|r| replay(r, "own-as-is", own(), |_, _| ())),
        on: ONE,
        exit: 3,
        says: &["was made by \"parallax\""],
    },
    Fault {
        id: "recording-own-renamed",
        hazard: "G9",
        what: "the same, saying that it is MLX's",
        plant: Plant::Request(|r| replay(r, "own-renamed", own(), |_, m| renamed(m))),
        on: ONE,
        exit: 3,
        says: &["recording.not_another_runtime", "own candidate states"],
    },
    Fault {
        id: "recording-own-nudged",
        hazard: "G9",
        what: "the same with every number moved to the one beside it",
        plant: Plant::Request(|r| {
            replay(r, "own-nudged", own(), |t, m| {
                renamed(m);
                each(t, |i, v| if i.is_multiple_of(2) { v.next_up() } else { v.next_down() });
            });
        }),
        on: ONE,
        exit: 3,
        says: &["own candidate states"],
    },
    Fault {
        id: "recording-own-rounded",
        hazard: "G9",
        what: "the same rounded to bfloat16, saying that MLX computed it so",
        plant: Plant::Request(|r| {
            replay(r, "own-rounded", own(), |t, m| {
                renamed(m);
                set(m, "compute", "bfloat16");
                each(t, |_, v| rounded(v));
            });
        }),
        on: ONE,
        exit: 3,
        says: &["own candidate states"],
    },
    Fault {
        id: "recording-of-another-type",
        hazard: "G9",
        what: "MLX's float32 states said to be bfloat16, which has laxer limits",
        plant: Plant::Request(|r| replay(r, "another-type", mlx(), |_, m| set(m, "compute", "bfloat16"))),
        on: ONE,
        exit: 3,
        says: &["recording.compute", "are no bfloat16 numbers"],
    },
    Fault {
        id: "recording-rounded-afterwards",
        hazard: "G9",
        what: "MLX's float32 states rounded to bfloat16 afterwards: half of the error that the type would make",
        plant: Plant::Request(|r| {
            replay(r, "rounded-afterwards", mlx(), |t, m| {
                set(m, "compute", "bfloat16");
                each(t, |_, v| rounded(v));
            });
        }),
        on: ONE,
        exit: 3,
        says: &["own candidate states"],
    },
    Fault {
        id: "recording-hides-its-weights",
        hazard: "G9",
        what: "a recording that does not say from which weights it was made",
        plant: Plant::Request(|r| replay(r, "no-weights", mlx(), |_, m| drop(m.remove("weights")))),
        on: ONE,
        exit: 3,
        says: &["recording.unstated", "`weights`"],
    },
    Fault {
        id: "recording-of-no-version",
        hazard: "G9",
        what: "a recording that names neither the version of its producer nor the type it was computed in",
        plant: Plant::Request(|r| {
            replay(r, "no-version", mlx(), |_, m| {
                set(m, "producer_version", " ");
                m.remove("compute");
            });
        }),
        on: ONE,
        exit: 3,
        says: &["`producer_version`, `compute`"],
    },
    Fault {
        id: "recording-off-by-little",
        hazard: "G9",
        what: "float32 states of a device that are off by 1e-4, thirty times what two engines differ by",
        plant: Plant::Request(|r| {
            replay(r, "off", mlx(), |t, _| {
                each(t, |i, v| v * (1.0 + if i.is_multiple_of(2) { 1e-4 } else { -1e-4 }));
            });
        }),
        on: ONE,
        exit: 1,
        says: &["(device): relative_l2"],
    },
    Fault {
        id: "recording-few-words",
        hazard: "G9",
        what: "a recording of the first sixty rows: the corpus has enough, the device has not",
        plant: Plant::Request(|r| {
            replay(r, "sixty", mlx(), |t, _| {
                let ends = &mut t.get_mut("row_offsets").unwrap();
                ends.2.truncate(8 * 61);
                ends.1 = vec![61];
                let tokens = i64::from_le_bytes(*ends.2.last_chunk::<8>().unwrap()) as usize;
                for (_, (_, shape, bytes)) in t.iter_mut().filter(|(n, _)| *n != "row_offsets") {
                    bytes.truncate(bytes.len() / shape[0] * tokens);
                    shape[0] = tokens;
                }
            });
        }),
        on: ONE,
        exit: 3,
        says: &["60 different rows were compared", "recording.tokens"],
    },
    Fault {
        id: "recorded-pooled-nan",
        hazard: "G14",
        what: "the recording's pooled vectors are NaN, and it has no sentence vectors",
        plant: Plant::Request(|r| replay_more(r, "pooled-nan", "tap/pooled", |_| f32::NAN)),
        on: ONE,
        exit: 1,
        says: &["`tap/pooled` are NaN"],
    },
    Fault {
        id: "recorded-pooled-of-another-kind",
        hazard: "G14",
        what: "the device pools by the first token, and says so in `pooled` only",
        plant: Plant::Request(|r| replay_more(r, "pooled-cls", "tap/pooled", |v| v)),
        on: ONE,
        exit: 1,
        says: &["pooled (device): relative_l2"],
    },
    Fault {
        id: "recorded-sentences-negated",
        hazard: "G14",
        what: "the device's states are right, and the sentence vectors it returns point the other way",
        plant: Plant::Request(|r| replay_more(r, "sentences-negated", "tap/sentence", |v| -v)),
        on: ONE,
        exit: 1,
        says: &["sentence (device): "],
    },
    Fault {
        id: "recorded-logits",
        hazard: "G14",
        what: "the recording holds the output of a head that nothing here computes",
        plant: Plant::Request(|r| replay_more(r, "logits", "logits", |v| v)),
        on: ONE,
        exit: 3,
        says: &["recording.unjudged", "logits"],
    },
    Fault {
        id: "recorded-inside-a-layer",
        hazard: "G14",
        what: "the recording holds a tap inside a layer, which the candidate's run does not",
        plant: Plant::Request(|r| {
            replay(r, "inside", mlx(), |t, _| {
                let attention = t["tap/layer.1"].clone();
                t.insert("tap/layer.1.attention".to_owned(), attention);
            });
        }),
        on: ONE,
        exit: 3,
        says: &["recording.unjudged", "tap/layer.1.attention"],
    },
];
