//! The bug this tool grew from: one model's final output put beside the other's embeddings, and the
//! cosine called accuracy. Both ways to make that mistake are planted, and both are refused in words.

use crate::common;

use std::sync::Arc;

use common::repository;
use parallax::check::compare;
use parallax::corpus::CorpusOptions;
use parallax::hidden_states::{HiddenStates, Tap};
use parallax::observe::Silent;
use parallax::report::Report;
use parallax::runtimes::{Encoder, RunError};
use parallax::sides::{CheckRequest, Sides, open_sides};
use parallax::tokens::TokenBatch;
use parallax::verdict::Verdict;

/// An encoder whose taps are rewritten.
struct Rewired {
    inner: Box<dyn Encoder>,
    taps: Vec<Tap>,
    source: fn(Tap) -> Tap,
}

impl Encoder for Rewired {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        let states = self.inner.encode(batch)?;
        let mut out = HiddenStates::new();
        for tap in &self.taps {
            out.insert(*tap, Arc::clone(states.get((self.source)(*tap)).unwrap()));
        }
        Ok(out)
    }
}

fn rewire(inner: Box<dyn Encoder>, source: fn(Tap) -> Tap) -> Box<dyn Encoder> {
    let taps = inner.taps().to_vec();
    Box::new(Rewired { inner, taps, source })
}

fn nothing() -> Box<dyn Encoder> {
    struct Nothing;
    impl Encoder for Nothing {
        fn describe(&self) -> String {
            String::new()
        }
        fn taps(&self) -> &[Tap] {
            &[]
        }
        fn encode(&self, _: &TokenBatch) -> Result<HiddenStates, RunError> {
            Ok(HiddenStates::new())
        }
    }
    Box::new(Nothing)
}

fn judged(plant: impl FnOnce(&mut Sides)) -> Report {
    let corpus =
        CorpusOptions { files: vec![repository("models/corpus.txt")], limit: Some(120), ..CorpusOptions::default() };
    let request = CheckRequest::new(repository("models/parallax-mini"), repository("models/parallax-mini-mlx-8bit"))
        .with(|r| r.corpus = corpus);
    let mut sides = open_sides(&request, &mut Silent).unwrap();
    plant(&mut sides);
    compare(&mut sides, &request, &mut Silent).unwrap()
}

fn assert_refused(report: &Report, sentence: &str) {
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.exit_code, 3);
    let said: Vec<&str> = report.reasons.iter().map(|r| r.message.as_str()).collect();
    assert!(said.iter().any(|m| m.contains(sentence)), "{said:#?}");
}

#[test]
fn without_a_fault_the_same_run_passes() {
    assert_eq!(judged(|_| ()).verdict, Verdict::Pass);
}

#[test]
fn a_candidate_that_skips_its_layers_is_refused() {
    let report = judged(|sides| {
        let inner = std::mem::replace(&mut sides.candidate, nothing());
        sides.candidate = rewire(inner, |tap| if tap == Tap::Final { Tap::Embeddings } else { tap });
    });
    assert_refused(&report, "candidate `final` looks like reference `embeddings`");
}

#[test]
fn a_candidate_of_embeddings_at_every_tap_is_refused() {
    let report = judged(|sides| {
        let inner = std::mem::replace(&mut sides.candidate, nothing());
        sides.candidate = rewire(inner, |_| Tap::Embeddings);
    });
    assert_refused(&report, "looks like reference `embeddings`");
}

#[test]
fn a_reference_tap_moved_by_one_layer_is_refused() {
    let report = judged(|sides| {
        let inner = std::mem::replace(&mut sides.reference, nothing());
        sides.reference = rewire(inner, |tap| if tap == Tap::Layer(1) { Tap::Layer(2) } else { tap });
    });
    assert_refused(&report, "`layer.1`");
}

#[test]
fn two_layers_swapped_in_the_reference_are_refused() {
    let report = judged(|sides| {
        let inner = std::mem::replace(&mut sides.reference, nothing());
        sides.reference = rewire(inner, |tap| match tap {
            Tap::Layer(0) => Tap::Layer(1),
            Tap::Layer(1) => Tap::Layer(0),
            other => other,
        });
    });
    assert_refused(&report, "candidate `layer.0` looks like reference `layer.1`");
}
