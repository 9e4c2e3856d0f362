//! A NaN in a hidden state of the candidate is a failure, one in the reference is never a pass; neither
//! is dropped by a mean, a quantile or a maximum.

use crate::common;

use std::sync::Arc;

use common::repository;
use parallax::check::compare;
use parallax::corpus::CorpusOptions;
use parallax::hidden_states::{HiddenStates, RowSet, Tap, TapStates};
use parallax::observe::Silent;
use parallax::report::Report;
use parallax::runtimes::{Encoder, RunError};
use parallax::sides::{CheckRequest, Sides, open_sides};
use parallax::tokens::TokenBatch;
use parallax::verdict::Verdict;

/// Puts `value` into the last element of `tap`, for one row of the corpus.
struct Poisoned {
    inner: Box<dyn Encoder>,
    tap: Tap,
    value: f32,
}

impl Encoder for Poisoned {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn taps(&self) -> &[Tap] {
        self.inner.taps()
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        let mut states = self.inner.encode(batch)?;
        let Some(r) = (0..batch.rows()).find(|r| batch.row_id(*r).row == 77 && batch.row_id(*r).set == RowSet::Corpus)
        else {
            return Ok(states);
        };
        let seen = Arc::clone(states.get(self.tap).unwrap());
        let mut values: Vec<f32> = (0..seen.rows()).flat_map(|r| seen.row(r).to_vec()).collect();
        values[batch.offsets()[r + 1] * seen.hidden() - 1] = self.value;
        states.insert(self.tap, Arc::new(TapStates::ragged(seen.hidden(), batch.offsets(), values).unwrap()));
        Ok(states)
    }
}

fn judged(plant: impl FnOnce(&mut Sides)) -> Report {
    let corpus =
        CorpusOptions { files: vec![repository("models/corpus.txt")], limit: Some(110), ..CorpusOptions::default() };
    let request = CheckRequest::new(repository("models/parallax-mini"), repository("models/parallax-mini-mlx-8bit"))
        .with(|r| r.corpus = corpus);
    let mut sides = open_sides(&request, &mut Silent).unwrap();
    plant(&mut sides);
    compare(&mut sides, &request, &mut Silent).unwrap()
}

fn poison(side: &mut Box<dyn Encoder>, tap: Tap, value: f32) {
    struct Nobody;
    impl Encoder for Nobody {
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
    let inner = std::mem::replace(side, Box::new(Nobody));
    *side = Box::new(Poisoned { inner, tap, value });
}

#[test]
fn one_value_of_the_candidate_that_is_no_number_fails_the_run() {
    for (tap, value) in [(Tap::Layer(1), f32::NAN), (Tap::Final, f32::INFINITY), (Tap::Embeddings, f32::NEG_INFINITY)] {
        let report = judged(|sides| poison(&mut sides.candidate, tap, value));
        assert_eq!(report.verdict, Verdict::Fail, "{value} at {tap}: {:#?}", report.reasons);
        let said = &report.reasons[0].message;
        assert!(said.contains("non_finite") && said.contains(&tap.to_string()), "{said}");
        let json = report.to_json().unwrap();
        assert_eq!(Report::from_json(&json).unwrap().to_json().unwrap(), json);
    }
}

#[test]
fn one_value_of_the_reference_that_is_no_number_is_never_a_pass() {
    let report = judged(|sides| poison(&mut sides.reference, Tap::Layer(2), f32::NAN));
    assert_ne!(report.verdict, Verdict::Pass);
    assert!(report.reasons.iter().any(|r| r.message.contains("layer.2")), "{:#?}", report.reasons);
}
