//! The cross-match on the mistakes it exists for, and on honest noise, which it must let pass.

use std::sync::Arc;

use super::*;
use crate::align::CrossMatch;
use crate::hidden_states::{HiddenStates, TapStates};

const HIDDEN: usize = 32;
const TOKENS: [usize; 3] = [4, 7, 5];
/// embeddings, layer.0 … layer.3, final (= layer.3).
const TAPS: [Tap; 6] = [Tap::Embeddings, Tap::Layer(0), Tap::Layer(1), Tap::Layer(2), Tap::Layer(3), Tap::Final];
const SAME: &[(Tap, Tap)] = &[(Tap::Layer(3), Tap::Final)];

fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Points of a residual stream: each layer adds about 70 % of the norm, and norms grow with depth.
fn stream() -> Vec<Vec<f32>> {
    let n = TOKENS.iter().sum::<usize>() * HIDDEN;
    let mut next = random(3);
    let mut points: Vec<Vec<f32>> = vec![(0..n).map(|_| next()).collect()];
    for layer in 0..4 {
        let last = &points[layer];
        points.push(last.iter().map(|x| 1.2 * x + 0.7 * next()).collect());
    }
    points.push(points[4].clone());
    points
}

fn states(points: &[Vec<f32>]) -> HiddenStates {
    let mut all = HiddenStates::new();
    for (tap, values) in TAPS.iter().zip(points) {
        all.insert(*tap, Arc::new(TapStates::ragged(HIDDEN, &[0, 4, 11, 16], values.clone()).unwrap()));
    }
    all
}

fn noisy(points: &[Vec<f32>], relative: f32) -> Vec<Vec<f32>> {
    let mut next = random(11);
    points
        .iter()
        .map(|values| {
            let rms = (values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32).sqrt();
            // A uniform in [-1, 1] has a root mean square of 1/√3.
            values.iter().map(|x| x + relative * rms * 1.732 * next()).collect()
        })
        .collect()
}

fn matched(reference: &[Vec<f32>], candidate: &[Vec<f32>]) -> CrossMatchReport {
    let mut x = CrossMatch::new(&TAPS, &TAPS, SAME);
    x.add(&states(reference), &states(candidate)).unwrap();
    x.finish()
}

fn messages(report: &CrossMatchReport) -> Vec<String> {
    report.findings().iter().map(|f| format!("{:?} {}: {}", f.severity, f.code, f.message)).collect()
}

#[track_caller]
fn refuses(report: &CrossMatchReport, code: &Code, words: &str) {
    let all = messages(report);
    let wanted = format!("Refusal {}: ", code.code);
    assert!(all.iter().any(|m| m.starts_with(&wanted) && m.contains(words)), "`{words}` not in {all:#?}");
}

#[test]
fn no_token_is_no_evidence() {
    let report = CrossMatch::new(&TAPS, &TAPS, SAME).finish();
    refuses(&report, NO_EVIDENCE, "no token");
    assert!(report.relative_l2.iter().flatten().all(|d| d.is_nan()));
    let mut empty = CrossMatch::new(&TAPS, &TAPS, SAME);
    empty.add(&states(&vec![vec![0.0; 16 * HIDDEN]; 6]), &HiddenStates::new()).unwrap_err();
    refuses(&empty.finish(), NO_EVIDENCE, "no token");
    assert_eq!(
        CrossMatch::new(&[], &[], &[]).add(&HiddenStates::new(), &HiddenStates::new()),
        Err(super::super::AlignError::NoTaps)
    );
}

#[test]
fn equal_models_and_honest_noise_pass() {
    let reference = stream();
    let report = matched(&reference, &reference);
    assert_eq!(messages(&report), Vec::<String>::new(), "{:?}", report.relative_l2);
    assert_eq!((report.tokens, report.non_finite, report.relative_l2[2][2]), (16, 0, 0.0));
    for error in [1e-6, 0.05, 0.4] {
        let report = matched(&reference, &noisy(&reference, error));
        assert_eq!(messages(&report), Vec::<String>::new(), "{error}: {:?}", report.relative_l2);
        let diagonal = report.relative_l2[3][3];
        assert!((diagonal / f64::from(error) - 1.0).abs() < 0.2, "{diagonal} for {error}");
    }
}

#[test]
fn a_final_that_is_the_embeddings_is_named() {
    let reference = stream();
    // The script this tool began with: the input of one model next to the output of the other.
    let mut candidate = reference.clone();
    candidate[5] = reference[0].clone();
    refuses(
        &matched(&reference, &candidate),
        CROSS_MATCH,
        "candidate `final` looks like reference `embeddings` (relative L2 0.00 against 1.",
    );
    // A candidate that skips every layer.
    let report = matched(&reference, &vec![reference[0].clone(); 6]);
    refuses(&report, CROSS_MATCH, "candidate `layer.3` looks like reference `embeddings`");
    refuses(&report, CROSS_MATCH, "candidate `final` looks like reference `embeddings`");
}

#[test]
fn off_by_one_and_swapped_layers_are_named_even_under_noise() {
    let reference = stream();
    for error in [0.0, 0.2] {
        let candidate = noisy(&reference, error);
        let mut shifted = candidate.clone();
        shifted[1..5].clone_from_slice(&candidate[0..4]);
        refuses(&matched(&reference, &shifted), CROSS_MATCH, "candidate `layer.1` looks like reference `layer.0`");
        let mut swapped = candidate.clone();
        swapped.swap(2, 3);
        let report = matched(&reference, &swapped);
        refuses(&report, CROSS_MATCH, "candidate `layer.1` looks like reference `layer.2`");
        refuses(&report, CROSS_MATCH, "candidate `layer.2` looks like reference `layer.1`");
        assert_eq!(messages(&report).len(), 2, "the rows tell nothing new: {:?}", messages(&report));
    }
}

#[test]
fn what_cannot_be_told_apart_proves_nothing() {
    let reference = stream();
    let equal = vec![reference[0].clone(); 6];
    refuses(&matched(&equal, &equal), CROSS_MATCH, "nothing tells the two taps apart");
    // `final` repeats layer.3, but nobody said that they are the same point.
    let mut undeclared = CrossMatch::new(&TAPS, &TAPS, &[]);
    undeclared.add(&states(&reference), &states(&reference)).unwrap();
    refuses(&undeclared.finish(), CROSS_MATCH, "`layer.3` is as close to reference `final`");
    // One tap, or one group: nothing to contrast with.
    for taps in [&TAPS[..1], &TAPS[4..]] {
        let mut alone = CrossMatch::new(taps, taps, SAME);
        alone.add(&states(&reference), &states(&reference)).unwrap();
        refuses(&alone.finish(), NO_EVIDENCE, "no two different taps");
    }
    let zero = vec![vec![0.0; 16 * HIDDEN]; 6];
    refuses(&matched(&zero, &zero), NO_EVIDENCE, "all states are zero");
    // A tap without a partner.
    let mut missing = CrossMatch::new(&TAPS, &TAPS[1..], SAME);
    missing.add(&states(&reference), &states(&reference)).unwrap();
    refuses(&missing.finish(), CROSS_MATCH, "reference `embeddings` has no partner");
}

#[test]
fn non_finite_states_are_noted_and_counted_not_hidden() {
    let reference = stream();
    let mut candidate = reference.clone();
    candidate[2][40] = f32::NAN;
    candidate[3][41] = f32::INFINITY; // the same token
    let report = matched(&reference, &candidate);
    assert_eq!(report.non_finite, 1);
    let findings = report.findings();
    assert!(findings.iter().all(|f| f.severity == Severity::Note && f.is(NOT_COMPUTABLE)), "{findings:?}");
    assert_eq!(findings.len(), 2, "{findings:?}");
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.contains("\"nan\"") && !text.contains("null"), "{text}");
    let back: CrossMatchReport = serde_json::from_str(&text).unwrap();
    assert_eq!(back.findings(), findings, "the findings are a function of the report");
    // Everything NaN: the cause is known, so no refusal of its own.
    let report = matched(&reference, &vec![vec![f32::NAN; 16 * HIDDEN]; 6]);
    assert!(report.findings().iter().all(|f| f.severity == Severity::Note), "{:?}", messages(&report));
    assert!(!report.findings().is_empty());
}

#[test]
fn batches_in_any_order_give_the_same_matrix_and_bad_batches_leave_no_trace() {
    let (a, b) = (stream(), noisy(&stream(), 0.3));
    let (x, y) = ((states(&a), states(&b)), (states(&b), states(&a)));
    let mut forward = CrossMatch::new(&TAPS, &TAPS, SAME);
    forward.add(&x.0, &x.1).unwrap();
    let before = forward.finish();
    let mut short = states(&a);
    short.insert(Tap::Final, Arc::new(TapStates::ragged(HIDDEN, &[0, 4, 10, 16], a[0].clone()).unwrap()));
    assert!(forward.add(&x.0, &short).unwrap_err().to_string().contains("6 states at candidate tap `final`, 7 at"));
    assert_eq!(forward.finish(), before);
    forward.add(&y.0, &y.1).unwrap();
    let mut backward = CrossMatch::new(&TAPS, &TAPS, SAME);
    backward.add(&y.0, &y.1).unwrap();
    let mut first = CrossMatch::new(&TAPS, &TAPS, SAME);
    first.add(&x.0, &x.1).unwrap();
    backward.merge(&first).unwrap();
    assert_eq!(forward.finish(), backward.finish());
    assert!(backward.merge(&CrossMatch::new(&TAPS, &TAPS[1..], SAME)).is_err());
}

#[test]
fn another_width_is_another_point() {
    let reference = stream();
    let mut candidate = states(&reference);
    candidate.insert(Tap::Final, Arc::new(TapStates::ragged(2, &[0, 4, 11, 16], vec![0.5; 32]).unwrap()));
    let mut x = CrossMatch::new(&TAPS, &TAPS, SAME);
    x.add(&states(&reference), &candidate).unwrap();
    let report = x.finish();
    assert_eq!(report.relative_l2[0][5], f64::INFINITY);
    refuses(&report, CROSS_MATCH, "candidate `final` and reference `final` have states of different widths");
}

#[test]
fn a_tap_that_resembles_nothing_is_not_said_to_look_like_the_nearest() {
    let reference = stream();
    let mut candidate = reference.clone();
    // The sign turned round: 2 from its own, and nearer to every other without resembling one.
    candidate[2].iter_mut().for_each(|v| *v = -*v);
    let report = matched(&reference, &candidate);
    let column: Vec<f64> = report.relative_l2.iter().map(|row| row[2]).collect();
    assert!(column.iter().all(|d| *d > 1.0 && *d <= column[2]), "{column:?}");
    refuses(&report, CROSS_MATCH, "candidate `layer.1` resembles no tap of the reference (relative L2 2.00");
    let all = messages(&report);
    assert!(!all.iter().any(|m| m.contains("candidate `layer.1` looks like")), "{all:#?}");
}

/// A matrix as it stands, over the first taps.
fn report(relative_l2: &[&[f64]], non_finite: u64) -> CrossMatchReport {
    CrossMatchReport {
        reference_taps: TAPS[..relative_l2.len()].to_vec(),
        candidate_taps: TAPS[..relative_l2[0].len()].to_vec(),
        relative_l2: relative_l2.iter().map(|row| row.to_vec()).collect(),
        tokens: 9,
        non_finite,
        identical: Vec::new(),
    }
}

#[test]
fn a_reference_tap_nearer_to_another_is_named_even_if_no_candidate_tap_is() {
    let all = messages(&report(&[&[0.5, 0.4, 1.2], &[0.6, 0.1, 1.2], &[1.2, 1.2, 0.001]], 0));
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(all[0].contains("reference `embeddings` looks like candidate `layer.0` (relative L2 0.40 against 0.50"));
}

#[test]
fn a_finding_on_one_tap_does_not_hide_one_on_another() {
    // The candidate's last tap is missing, and two others are in each other's place.
    let all = messages(&report(&[&[1.2, 0.1], &[0.1, 1.2], &[1.3, 1.3]], 0));
    assert!(all.iter().any(|m| m.contains("candidate `embeddings` looks like")), "{all:#?}");
    assert!(all.iter().any(|m| m.contains("reference `layer.1` has no partner")), "{all:#?}");
}

#[test]
fn a_diagonal_without_finite_neighbours_proves_nothing() {
    let inf = f64::INFINITY;
    let alone = report(&[&[0.1, inf], &[inf, 0.1]], 0);
    refuses(&alone, NO_EVIDENCE, "no two different taps");
    // Some pairs are of different widths, and every token is finite: that is no matter of numbers.
    assert_eq!(messages(&report(&[&[0.1, inf], &[1.2, 0.1]], 0)), Vec::<String>::new());
    // Every pair could be told apart.
    assert_eq!(messages(&report(&[&[0.1, 1.2], &[1.2, 0.1]], 3)), Vec::<String>::new());
    let some = messages(&report(&[&[0.1, f64::NAN], &[1.2, 0.1]], 3));
    assert_eq!(
        some,
        ["Note alignment.not_computable: 1 of 2 pairs of taps cannot be told apart: 3 of 9 tokens are not finite"]
    );
}

#[test]
fn distances_are_shown_with_the_digits_that_say_something() {
    assert_eq!([0.0, 0.5, 0.01, 0.001].map(shown), ["0.00", "0.50", "0.01", "1.0e-3"]);
}

#[test]
fn widths_without_a_token_are_no_evidence_either() {
    let mut x = CrossMatch::new(&TAPS[..2], &TAPS[..2], &[]);
    let none = |widths: [usize; 2]| {
        let mut all = HiddenStates::new();
        for (tap, width) in TAPS.iter().zip(widths) {
            all.insert(*tap, Arc::new(TapStates::ragged(width, &[0, 0], Vec::new()).unwrap()));
        }
        all
    };
    x.add(&none([4, 4]), &none([4, 8])).unwrap();
    assert!(x.finish().relative_l2.iter().flatten().all(|d| d.is_nan()));
}
