//! A NaN in a hidden state of the candidate is a failure, one in the reference is never a pass; neither
//! is dropped by a mean, a quantile or a maximum.

use crate::common;

use common::encoders::poison;
use common::shipped::request;
use parallax::hidden_states::Tap;
use parallax::report::Report;
use parallax::sides::Sides;
use parallax::verdict::Verdict;

fn judged(plant: impl FnOnce(&mut Sides)) -> Report {
    common::shipped::judged(&request("parallax-mini-mlx-8bit", 110), plant)
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
