//! Corpora that prove nothing, and policies that judge nothing or mean something else.

use super::models::{ALL, ONE};
use super::{Fault, Plant};

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        id: "corpus-empty",
        hazard: "F4",
        what: "the corpus is an empty file",
        plant: Plant::Corpus(|_| String::new()),
        on: ONE,
        exit: 3,
        says: &["0 different rows compared"],
    },
    Fault {
        id: "corpus-blank",
        hazard: "F4",
        what: "the corpus is blank lines",
        plant: Plant::Corpus(|text| text.lines().map(|_| " \t \n").collect()),
        on: ONE,
        exit: 3,
        says: &["0 different rows compared"],
    },
    Fault {
        id: "corpus-one-row",
        hazard: "F4",
        what: "the corpus is one sentence",
        plant: Plant::Corpus(|text| text.lines().take(1).collect()),
        on: ONE,
        exit: 3,
        says: &["1 different rows compared"],
    },
    Fault {
        id: "corpus-one-word-rows",
        hazard: "F4",
        what: "the corpus is 130 rows of one word: rows enough, tokens too few",
        plant: Plant::Corpus(|text| text.lines().filter_map(|l| Some(format!("{}\n", l.split(' ').nth(1)?))).collect()),
        on: ONE,
        exit: 3,
        says: &["tokens compared"],
    },
    Fault {
        id: "corpus-unknown-words",
        hazard: "F5",
        what: "the corpus is words of which the tokenizer knows none",
        plant: Plant::Corpus(|text| {
            (0..text.lines().count()).map(|i| format!("{}\n", "\u{10330}\u{10331}\u{10332} ".repeat(8 + i))).collect()
        }),
        on: ONE,
        exit: 3,
        says: &["unknown tokens"],
    },
    Fault {
        id: "corpus-not-utf8-free",
        hazard: "F33",
        what: "the corpus holds a NUL byte in place of a text file's lines",
        plant: Plant::Corpus(|_| "\0\0\0\0\n".repeat(130)),
        on: ONE,
        exit: 3,
        says: &["rows"],
    },
    Fault {
        id: "policy-without-gates",
        hazard: "F32",
        what: "the policy has no gate",
        plant: Plant::Policy("schema = 1\n"),
        on: ONE,
        exit: 2,
        says: &["without gates"],
    },
    Fault {
        id: "policy-empty-file",
        hazard: "F32",
        what: "the policy is an empty file",
        plant: Plant::Policy(""),
        on: ONE,
        exit: 2,
        says: &["schema"],
    },
    Fault {
        id: "policy-misspelled-key",
        hazard: "F32",
        what: "a gate has `maxx` for `max`",
        plant: Plant::Policy(
            "schema = 1\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmaxx = 0.1\n",
        ),
        on: ONE,
        exit: 2,
        says: &["maxx"],
    },
    Fault {
        id: "policy-unknown-metric",
        hazard: "F32",
        what: "a gate on a metric there is not",
        plant: Plant::Policy(
            "schema = 1\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"relativ_l2\"\nstat = \"p99\"\nmax = 0.1\n",
        ),
        on: ONE,
        exit: 2,
        says: &["relativ_l2"],
    },
    Fault {
        id: "policy-cosine-for-distance",
        hazard: "F13",
        what: "a cosine of 0.99 where the distance is meant",
        plant: Plant::Policy(
            "schema = 1\n[[gate]]\non = \"sentence\"\narm = \"total\"\nmetric = \"cosine_distance\"\nstat = \"p99\"\nmax = 0.99\n",
        ),
        on: ONE,
        exit: 2,
        says: &["cosine_distance"],
    },
    Fault {
        id: "policy-direction-turned",
        hazard: "F13",
        what: "an error that must be at least so large",
        plant: Plant::Policy(
            "schema = 1\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmin = 0.001\n",
        ),
        on: ONE,
        exit: 2,
        says: &["relative_l2", "min"],
    },
    Fault {
        id: "policy-gate-on-no-layer",
        hazard: "F32",
        what: "a gate on layer 9 of a model with four",
        plant: Plant::Policy(
            "schema = 1\n[[gate]]\non = \"layer.9\"\narm = \"quantization\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.1\n",
        ),
        on: ONE,
        exit: 3,
        says: &["layer.9", "was not measured"],
    },
    Fault {
        id: "policy-asks-for-more",
        hazard: "F4",
        what: "the policy asks for 100 000 rows",
        plant: Plant::Policy(
            "schema = 1\n[evidence]\nmin_rows = 100000\nmin_tokens = 1000\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.5\n",
        ),
        on: ONE,
        exit: 3,
        says: &["130 different rows compared", "100000"],
    },
    Fault {
        id: "length-beyond-positions",
        hazard: "F8",
        what: "more tokens per row are asked for than the models have positions",
        plant: Plant::Request(|r| r.max_length = Some(100_000)),
        on: ALL,
        exit: 2,
        says: &["--max-length 100000"],
    },
    Fault {
        id: "policy-of-no-name",
        hazard: "F32",
        what: "a policy that is neither built in nor a file",
        plant: Plant::Request(|r| r.policy = Some("int8x".to_owned())),
        on: ONE,
        exit: 2,
        says: &["int8x"],
    },
    Fault {
        id: "corpus-duplicates",
        hazard: "F30",
        what: "the corpus is one sentence 130 times",
        plant: Plant::Corpus(|text| {
            let first = text.lines().find(|l| l.len() > 40).unwrap();
            text.lines().map(|_| format!("{first}\n")).collect()
        }),
        on: ONE,
        exit: 3,
        says: &["1 different rows compared"],
    },
];
