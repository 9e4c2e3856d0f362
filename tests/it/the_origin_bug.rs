//! The bug this tool grew from: one model's final output put beside the other's embeddings, and the
//! cosine called accuracy. Both ways to make that mistake are planted, and both are refused in words.

use crate::common;

use common::encoders::{change, rewire};
use common::shipped::request;
use parallax::hidden_states::Tap;
use parallax::report::Report;
use parallax::sides::Sides;
use parallax::verdict::Verdict;

fn judged(plant: impl FnOnce(&mut Sides)) -> Report {
    common::shipped::judged(&request("parallax-mini-mlx-8bit", 120), plant)
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
        change(&mut sides.candidate, |_, _, open| {
            rewire(open, |tap| if tap == Tap::Final { Tap::Embeddings } else { tap })
        });
    });
    assert_refused(&report, "candidate `final` looks like reference `embeddings`");
}

#[test]
fn a_candidate_of_embeddings_at_every_tap_is_refused() {
    let report = judged(|sides| {
        change(&mut sides.candidate, |_, _, open| rewire(open, |_| Tap::Embeddings));
    });
    assert_refused(&report, "looks like reference `embeddings`");
}

#[test]
fn a_reference_tap_moved_by_one_layer_is_refused() {
    let report = judged(|sides| {
        change(&mut sides.reference, |_, _, open| {
            rewire(open, |tap| if tap == Tap::Layer(1) { Tap::Layer(2) } else { tap })
        });
    });
    assert_refused(&report, "`layer.1`");
}

#[test]
fn two_layers_swapped_in_the_reference_are_refused() {
    let report = judged(|sides| {
        change(&mut sides.reference, |_, _, open| {
            rewire(open, |tap| match tap {
                Tap::Layer(0) => Tap::Layer(1),
                Tap::Layer(1) => Tap::Layer(0),
                other => other,
            })
        });
    });
    assert_refused(&report, "candidate `layer.0` looks like reference `layer.1`");
}
