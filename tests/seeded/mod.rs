//! Planted faults as a table: what is broken, on which models, and what the check must say about it.

pub(crate) mod config;
pub(crate) mod corpus;
pub(crate) mod encoders;
pub(crate) mod evidence;
pub(crate) mod explained;
pub(crate) mod files;
pub(crate) mod flags;
pub(crate) mod gaps;
pub(crate) mod gates;
pub(crate) mod graph;
pub(crate) mod harm;
pub(crate) mod keys;
pub(crate) mod loaders;
pub(crate) mod models;
pub(crate) mod onnx_edit;
pub(crate) mod outputs;
pub(crate) mod padding;
pub(crate) mod reference;
pub(crate) mod rows;
pub(crate) mod silence;
pub(crate) mod states;
pub(crate) mod sweeps;
pub(crate) mod tokenizer;
pub(crate) mod tokenizer_honest;
pub(crate) mod tokenizer_keys;
pub(crate) mod tokenizers;
pub(crate) mod twin;
pub(crate) mod values;
pub(crate) mod weights;
pub(crate) mod weights_of_graph;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parallax::Error;
use parallax::check::compare;
use parallax::corpus::CorpusOptions;
use parallax::observe::Silent;
use parallax::report::Report;
use parallax::sides::{CheckRequest, Sides, open_sides};

use crate::common::plant::Copy;
use harm::Untouched;
use models::Model;

/// How a fault gets in.
#[derive(Clone, Copy)]
pub(crate) enum Plant {
    /// Into a copy of the candidate's folder.
    Candidate(fn(Copy) -> Copy),
    /// Into a copy of the candidate's folder, with the reference's folder at hand.
    Mixed(fn(Copy, &Path) -> Copy),
    /// Into a copy of the reference's folder.
    Reference(fn(Copy) -> Copy),
    /// Into a copy of the candidate's folder, judged by a policy whose one gate nothing fails.
    Lax(fn(Copy) -> Copy),
    /// Into the opened sides: an encoder or a head.
    Sides(fn(&mut Sides)),
    /// The corpus.
    Corpus(fn(&str) -> String),
    /// The policy file's text.
    Policy(&'static str),
    /// What is asked for.
    Request(fn(&mut CheckRequest)),
}

/// One row of the table.
pub(crate) struct Fault {
    /// Stable and short.
    pub(crate) id: &'static str,
    /// The catalogue's number of the hazard.
    pub(crate) hazard: &'static str,
    /// What is broken.
    pub(crate) what: &'static str,
    /// How.
    pub(crate) plant: Plant,
    /// On which models.
    pub(crate) on: &'static [Model],
    /// The exit code it must have.
    pub(crate) exit: u8,
    /// What the reasons or the error must name, each of them.
    pub(crate) says: &'static [&'static str],
}

/// Ways in which a comparison can pass that should not, one for each mechanism that closes it; the other hazards (F, I)
/// are single ones.
pub(crate) const WAYS: &[(&str, &str)] = &[
    ("G1", "weights changed so that their group keeps its mean"),
    ("G2", "outputs of the reference that are not what was compared"),
    ("G3", "a graph whose weights are not the original's"),
    ("G4", "tokenizers that differ where no row shows it"),
    ("G5", "what one side leaves unsaid"),
    ("G6", "keys of config.json"),
    ("G7", "kinds of rows that only probes have"),
    ("G8", "gates that let everything by"),
    ("G9", "corpora and recordings that show nothing"),
    ("G10", "graphs that compute by id, length or batch"),
    ("G11", "padding that is no number"),
    ("G12", "flags and policies below sense"),
    ("G13", "keys of sentences"),
    ("G14", "recorded, and without a gate"),
];

/// Every table, in the order of the printed one.
pub(crate) fn tables() -> impl Iterator<Item = &'static Fault> {
    [
        weights::FAULTS,
        values::FAULTS,
        files::FAULTS,
        config::FAULTS,
        encoders::FAULTS,
        states::FAULTS,
        rows::FAULTS,
        gates::FAULTS,
        reference::FAULTS,
        outputs::FAULTS,
        padding::FAULTS,
        sweeps::FAULTS,
        graph::FAULTS,
        corpus::FAULTS,
        tokenizer::FAULTS,
        tokenizer_keys::FAULTS,
        loaders::FAULTS,
        silence::FAULTS,
        flags::FAULTS,
        keys::FAULTS,
        twin::FAULTS,
        evidence::FAULTS,
        weights_of_graph::FAULTS,
    ]
    .into_iter()
    .flatten()
}

/// In place of an exit code: the fault does not exist in this model.
pub(crate) const NOT_PLANTED: u8 = 255;

/// What came of one fault on one model.
pub(crate) struct Outcome {
    pub(crate) exit: u8,
    /// What it does to a search, where that was asked for.
    pub(crate) harm: Option<String>,
    /// Every reason, or the error: one line each.
    pub(crate) lines: Vec<String>,
}

impl Outcome {
    fn of(result: &Result<Report, Box<Error>>) -> Self {
        match result {
            Ok(report) => {
                let reasons = report.reasons.iter().map(|r| format!("{}: {}", r.code, r.message));
                let worst = report.worst_rows.iter().take(1);
                let worst = worst.map(|w| format!("worst row {} at {} ({})", w.place, w.tap, w.value));
                let cause = report.explanation.cause.iter().map(|tap| format!("cause {tap}"));
                Self { exit: report.exit_code, harm: None, lines: reasons.chain(worst).chain(cause).collect() }
            }
            Err(e) => Self { exit: e.fault().exit_code(), harm: None, lines: vec![format!("error: {e}")] },
        }
    }
}

/// A fault in its place: what is asked for, and the folders it is asked of.
struct Planted {
    request: CheckRequest,
    text: String,
    candidate: Copy,
    _reference: Copy,
    _home: tempfile::TempDir,
}

/// A copy that cuts rows at 128 tokens: as far as coverage asks for, and half the work of 256.
fn shorter(folder: &Path) -> Copy {
    let copy = Copy::of_path(folder);
    match copy.file("sentence_bert_config.json").exists() {
        true => copy.json("sentence_bert_config.json", |s| s["max_seq_length"] = 128.into()),
        false => copy,
    }
}

impl Fault {
    /// Plants the fault in `model` and runs the check; a panic is an outcome like any other, and a bad one.
    pub(crate) fn run(&self, model: Model) -> Outcome {
        let caught = |exit, panic: Box<dyn std::any::Any + Send>| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Outcome { exit, harm: None, lines: vec![format!("panic: {}", said.unwrap_or_default())] }
        };
        let planted = match catch_unwind(AssertUnwindSafe(|| self.planted(model))) {
            Ok(planted) => planted,
            Err(panic) => return caught(NOT_PLANTED, panic),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| Outcome::of(&self.checked(&planted.request))));
        let mut outcome = outcome.unwrap_or_else(|panic| caught(101, panic));
        let untouched = match self.plant {
            Plant::Candidate(_) | Plant::Lax(_) => Some(Untouched::Reference(model)),
            Plant::Reference(_) => Some(Untouched::Candidate(model)),
            Plant::Mixed(_) => Some(Untouched::Neither),
            _ => None,
        };
        if let Some(untouched) = untouched.filter(|_| harm::is_asked_for()) {
            let (reference, candidate) = (&planted.request.reference, planted.candidate.path());
            outcome.harm = Some(harm::of(reference, candidate, &planted.text, untouched));
        }
        outcome
    }

    fn planted(&self, model: Model) -> Planted {
        let home = tempfile::tempdir().unwrap();
        let (reference, candidate) = (shorter(&model.reference()), shorter(&model.candidate()));
        let mut text = model.corpus();
        let (reference, candidate) = match self.plant {
            Plant::Candidate(plant) | Plant::Lax(plant) => (reference, plant(candidate)),
            Plant::Mixed(plant) => {
                let candidate = plant(candidate, reference.path());
                (reference, candidate)
            }
            Plant::Reference(plant) => (plant(reference), candidate),
            _ => (reference, candidate),
        };
        if let Plant::Corpus(plant) = self.plant {
            text = plant(&text);
        }
        let corpus = home.path().join("corpus.txt");
        std::fs::write(&corpus, &text).unwrap();
        let onnx = model.onnx().map_or_else(|| reference.path().to_owned(), |file| reference.file(file));
        let mut request = CheckRequest::new(&onnx, candidate.path()).with(|r| {
            r.corpus = CorpusOptions { files: vec![corpus], ..CorpusOptions::default() };
            r.threads = 1;
            r.canaries = false;
        });
        let policy = match self.plant {
            Plant::Policy(policy) => Some(policy),
            Plant::Lax(_) => Some(gates::LAX),
            _ => None,
        };
        if let Some(policy) = policy {
            let file = home.path().join("policy.toml");
            std::fs::write(&file, policy).unwrap();
            request.policy = Some(file.display().to_string());
        }
        if let Plant::Request(plant) = self.plant {
            plant(&mut request);
        }
        Planted { request, text, candidate, _home: home, _reference: reference }
    }

    fn checked(&self, request: &CheckRequest) -> Result<Report, Box<Error>> {
        let mut sides = open_sides(request, &mut Silent)?;
        if let Plant::Sides(plant) = self.plant {
            plant(&mut sides);
        }
        Ok(compare(&mut sides, request, &mut Silent)?)
    }

    /// What the outcome lacks; empty when it is as it must be.
    pub(crate) fn lacks(&self, outcome: &Outcome) -> Vec<String> {
        let mut lacks = Vec::new();
        if outcome.exit != self.exit {
            lacks.push(format!("exit {} in place of {}", outcome.exit, self.exit));
        }
        let unsaid = self.says.iter().filter(|word| !outcome.lines.iter().any(|line| line.contains(**word)));
        lacks.extend(unsaid.map(|word| format!("`{word}` is not named")));
        lacks
    }

    /// The same on a model that the row does not name.
    pub(crate) fn lacks_on_others(&self, outcome: &Outcome) -> Vec<String> {
        let refused = matches!(outcome.exit, 1..=4) || (outcome.exit == NOT_PLANTED && self.exit != 0);
        if refused { Vec::new() } else { vec![format!("exit {} in place of {}", outcome.exit, self.exit)] }
    }

    /// The table's row.
    pub(crate) fn row(&self, model: Model, outcome: &Outcome) -> String {
        let named = self.says.join("`, `");
        let harm = outcome.harm.as_deref().unwrap_or("-");
        let (id, hazard, model, what) = (self.id, self.hazard, model.name(), self.what);
        let exit = match outcome.exit {
            NOT_PLANTED => "not in this model".to_owned(),
            exit => exit.to_string(),
        };
        format!("| {id} | {hazard} | {model} | {what} | {harm} | {exit} | `{named}` |")
    }
}
