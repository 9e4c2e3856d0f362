//! Every metric against a plain f64 loop, and every way a number could be quietly wrong: zero vectors,
//! NaN, infinities, nothing at all.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions

use std::sync::Arc;

use parallax::hidden_states::{Arm, RowId, RowSet, Tap};
use parallax::metrics::{METRICS, Measurement, Metric, MetricsError, Mode, RowSeen, TapAccumulator};
use proptest::prelude::*;

/// Relative difference allowed between two f64 sums of up to 100 terms added in different orders: 100
/// roundings of 1.1e-16; measured at most 1.1e-15 over 10,000 random cases.
const SUM_ORDER: f64 = 2e-14;
/// One histogram bucket.
const QUANTILE: f64 = 1.0 / 128.0;

fn corpus(row: u64) -> RowId {
    RowId { set: RowSet::Corpus, row }
}

fn accumulator(scale: Option<&[f64]>) -> TapAccumulator {
    TapAccumulator::new(Tap::Layer(0), Arm::Total, Mode::Accumulated, scale.map(Arc::from))
}

fn measure(reference: &[f32], candidate: &[f32], hidden: usize, scale: Option<&[f64]>) -> Vec<Measurement> {
    let mut a = accumulator(scale);
    a.add_row(corpus(0), reference, candidate, hidden).unwrap();
    a.finish()
}

fn named<'a>(all: &'a [Measurement], id: &str) -> &'a Measurement {
    all.iter().find(|m| m.metric == id).unwrap_or_else(|| panic!("{id} was not measured"))
}

/// The plain loop: `(relative_l2, standardized_l2, cosine_distance, max_abs, mse, norm_ratio)` of a token.
fn oracle(r: &[f32], c: &[f32], std: &[f64]) -> [f64; 6] {
    let (mut rr, mut cc, mut rc, mut dd, mut max, mut wdd, mut wrr) = (0.0, 0.0, 0.0, 0.0, 0.0f64, 0.0, 0.0);
    for i in 0..r.len() {
        let (x, y) = (f64::from(r[i]), f64::from(c[i]));
        rr += x * x;
        cc += y * y;
        rc += x * y;
        dd += (y - x) * (y - x);
        max = max.max((y - x).abs());
        wdd += ((y - x) / std[i]).powi(2);
        wrr += (x / std[i]).powi(2);
    }
    let cosine = 1.0 - rc / (rr * cc).sqrt();
    [(dd / rr).sqrt(), (wdd / wrr).sqrt(), cosine, max, dd / r.len() as f64, (cc / rr).sqrt()]
}

const IDS: [&str; 6] = ["relative_l2", "standardized_l2", "cosine_distance", "max_abs", "mse", "norm_ratio"];

fn close(a: f64, b: f64, relative: f64, absolute: f64) -> bool {
    (a - b).abs() <= relative * b.abs() + absolute
}

#[test]
fn nothing_measured_is_never_zero() {
    let mut nothing = accumulator(Some(&[1.0, 2.0]));
    for empty_row_too in [false, true] {
        if empty_row_too {
            assert_eq!(nothing.add_row(corpus(0), &[], &[], 2).unwrap(), RowSeen::default());
        }
        let all = nothing.finish();
        assert_eq!(all.len(), METRICS.len());
        for (m, metric) in all.iter().zip(METRICS) {
            assert_eq!((m.metric.as_str(), m.count), (metric.id, 0));
            assert_eq!([m.mean, m.p50, m.p90, m.p99, m.p999, m.min, m.max], [None; 7], "{}", m.metric);
            assert_eq!(m.worst, None);
        }
    }
    let without_scale = accumulator(None).finish();
    assert!(without_scale.iter().all(|m| m.metric != "standardized_l2"));
    assert_eq!(without_scale.len(), METRICS.len() - 1);
}

#[test]
fn equal_states_have_no_error() {
    let x = [1.0f32, -2.0, 3.0, 1e-30, 7.0];
    let all = measure(&x, &x, 5, Some(&[1.0; 5]));
    for id in ["relative_l2", "standardized_l2", "cosine_distance", "max_abs", "mse", "non_finite", "zero_vectors"] {
        assert_eq!((named(&all, id).mean, named(&all, id).max), (Some(0.0), Some(0.0)), "{id}");
    }
    assert_eq!(named(&all, "norm_ratio").max, Some(1.0));
    assert_eq!(named(&all, "sqnr_db").mean, Some(f64::INFINITY));
    assert_eq!(named(&all, "sqnr_db").max, None, "a ratio of sums has no maximum");
}

#[test]
fn places_of_the_worst() {
    let mut a = accumulator(None);
    let r = [1.0f32, 2.0, 3.0, 4.0];
    a.add_row(corpus(7), &r, &[1.0, 2.0, 3.0, 5.0], 2).unwrap();
    a.add_row(corpus(3), &r, &[1.0, 2.0, 2.0, 4.0], 2).unwrap();
    let all = a.finish();
    let max_abs = named(&all, "max_abs").worst.unwrap();
    assert_eq!(
        (max_abs.row, max_abs.token, max_abs.dimension),
        (corpus(3), Some(1), Some(0)),
        "a tie: the smaller row"
    );
    assert_eq!(max_abs.reference, Some(3.0));
    let ratio = named(&all, "norm_ratio").worst.unwrap();
    assert_eq!((ratio.row, ratio.dimension), (corpus(7), None), "6.4/5 is farther from 1 than 4.47/5");

    let mut sentence = TapAccumulator::new(Tap::Sentence, Arm::Total, Mode::Accumulated, None);
    let seen = sentence.add_row(corpus(1), &[1.0, 0.0], &[0.0, 1.0], 2).unwrap();
    assert_eq!((seen.tokens, seen.token), (1, None));
    assert!(close(seen.cosine_distance.unwrap(), 1.0, SUM_ORDER, 0.0));
    assert_eq!(named(&sentence.finish(), "relative_l2").worst.unwrap().token, None);
    assert!(matches!(
        sentence.add_row(corpus(1), &[1.0, 0.0, 1.0, 0.0], &[0.0; 4], 2),
        Err(MetricsError::NotOneVector { found: 2, .. })
    ));
}

#[test]
fn zero_vectors_have_no_cosine_and_no_free_pass() {
    let (zero, one) = ([0.0f32, -0.0, 0.0], [0.0f32, 1.0, 0.0]);
    let cases = [
        // reference, candidate, relative_l2, norm_ratio, zero vectors
        (zero, one, f64::INFINITY, f64::INFINITY, 1.0),
        (one, zero, 1.0, 0.0, 1.0),
        (zero, zero, f64::NAN, f64::NAN, 2.0),
    ];
    for (r, c, relative, ratio, zeros) in cases {
        let all = measure(&r, &c, 3, None);
        assert!(named(&all, "cosine_distance").max.unwrap().is_nan());
        let same = |x: Option<f64>, y: f64| x.unwrap() == y || (x.unwrap().is_nan() && y.is_nan());
        assert!(same(named(&all, "relative_l2").max, relative), "{r:?} {c:?}");
        assert!(same(named(&all, "norm_ratio").max, ratio), "{r:?} {c:?}");
        assert_eq!(named(&all, "zero_vectors").max, Some(zeros));
        assert_eq!(named(&all, "non_finite").max, Some(0.0));
    }
}

#[test]
fn one_nan_in_a_thousand_tokens_fails_every_limit() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for on_reference in [false, true] {
            let mut a = accumulator(Some(&[1.0; 3]));
            for row in 0..1000 {
                let (mut r, mut c) = ([1.0f32, 2.0, 3.0], [1.0f32, 2.0, 3.1]);
                if row == 500 {
                    *(if on_reference { &mut r[1] } else { &mut c[1] }) = bad;
                }
                let seen = a.add_row(corpus(row), &r, &c, 3).unwrap();
                assert_eq!(seen.relative_l2.unwrap().is_nan(), row == 500);
            }
            let all = a.finish();
            for (m, metric) in all.iter().zip(METRICS) {
                // One token a row: there is no arrangement of tokens to compare.
                assert_eq!(m.count, if metric.id == "cka" { 0 } else { 1000 }, "{}", m.metric);
                if metric.id == "non_finite" {
                    assert_eq!((m.mean, m.max), (Some(1.0), Some(1.0)));
                    assert_eq!(m.worst.unwrap().row, corpus(500));
                    continue;
                }
                if ["zero_vectors", "cka"].contains(&metric.id) {
                    continue;
                }
                assert!(m.mean.unwrap().is_nan(), "{}", m.metric);
                if metric.id != "sqnr_db" {
                    let (max, min) = (m.max.unwrap(), m.min.unwrap());
                    let passes = max <= 1e9 || max >= -1e9 || min >= -1e9;
                    assert!(!passes, "{} passes a limit", m.metric);
                    assert_eq!(m.worst.unwrap().row, corpus(500), "{}", m.metric);
                    assert!(m.p99.unwrap().is_finite(), "one in a thousand is beyond p99");
                }
            }
        }
    }
    // Both sides NaN at the same place are not equal.
    let both = measure(&[f32::NAN, 1.0], &[f32::NAN, 1.0], 2, None);
    assert!(named(&both, "relative_l2").max.unwrap().is_nan());
    assert_eq!(named(&both, "non_finite").max, Some(2.0));
    // A row of five tokens, one of them NaN.
    let good: Vec<f32> = (0u8..15).map(|i| f32::from(i * i % 7)).collect();
    let mut bad = good.clone();
    bad[4] = f32::NAN;
    assert!((named(&measure(&good, &good, 3, None), "cka").mean.unwrap() - 1.0).abs() < 1e-12);
    let broken = measure(&good, &bad, 3, None);
    assert!(named(&broken, "cka").mean.unwrap().is_nan() && named(&broken, "cka").count == 1);
}

#[test]
fn buffers_that_do_not_fit_are_errors_and_leave_no_trace() {
    let mut a = accumulator(Some(&[1.0, 1.0]));
    let row = corpus(4);
    assert!(matches!(
        a.add_row(row, &[1.0, 2.0], &[1.0], 2),
        Err(MetricsError::Length { reference: 2, candidate: 1, .. })
    ));
    assert!(matches!(a.add_row(row, &[1.0; 3], &[1.0; 3], 2), Err(MetricsError::Ragged { values: 3, hidden: 2, .. })));
    assert!(matches!(a.add_row(row, &[1.0; 3], &[1.0; 3], 0), Err(MetricsError::Ragged { .. })));
    let error = a.add_row(row, &[1.0; 3], &[1.0; 3], 3).unwrap_err();
    assert_eq!(error.to_string(), "total arm, tap `layer.0`: states of width 2 expected, found 3");
    assert_eq!(a.tokens(), 0);
    let mut free = accumulator(None);
    free.add_row(row, &[1.0; 3], &[1.0; 3], 3).unwrap();
    assert!(matches!(
        free.add_row(row, &[1.0; 2], &[1.0; 2], 2),
        Err(MetricsError::Width { expected: 3, found: 2, .. })
    ));
    assert!(matches!(free.merge(&a), Err(MetricsError::Unmergeable { .. })), "one has a scale, the other none");
    let other_arm = TapAccumulator::new(Tap::Layer(0), Arm::Engine, Mode::Accumulated, None);
    assert!(free.merge(&other_arm).unwrap_err().to_string().contains("differ in tap, arm or mode"));
}

/// 1 − cos without cancellation: Lagrange's identity, |r|²|c|² − (r·c)² = Σ_{i<j} (r_i c_j − r_j c_i)², in which
/// every product of two f32 is exact, and 1 − cos = sin² / (1 + cos).
fn cosine_distance_by_lagrange(r: &[f32], c: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cross = |i: usize, j: usize| f64::from(r[i]) * f64::from(c[j]) - f64::from(r[j]) * f64::from(c[i]);
    let squares: f64 = (0..r.len()).flat_map(|i| (0..i).map(move |j| cross(i, j).powi(2))).sum();
    let (rr, cc, rc) = (dot(r, r), dot(c, c), dot(r, c));
    squares / (rr * cc) / (1.0 + rc / (rr * cc).sqrt())
}

#[test]
fn cosine_distance_keeps_its_digits_down_to_1e_14() {
    // Measured: at most 2e-10, at distances of 1e-15 to 1e-14; ten times that.
    const DIGITS: f64 = 2e-9;
    let mut smallest = f64::INFINITY;
    for exponent in 1..=24 {
        for scale in [1.0f32, 1e-3, 700.0] {
            let e = 0.5f32.powi(exponent);
            let r: Vec<f32> = (0..96).map(|i| (i as f32 * 0.7).sin() + 0.3).collect();
            let c: Vec<f32> = (0..96).map(|i| scale * (r[i] + e * (i as f32 * 1.9).cos())).collect();
            let truth = cosine_distance_by_lagrange(&r, &c);
            let seen = named(&measure(&r, &c, 96, None), "cosine_distance").mean.unwrap();
            assert!(close(seen, truth, DIGITS, 0.0), "e = {e}, scale {scale}: {seen:e} for {truth:e}");
            smallest = smallest.min(truth);
        }
    }
    assert!(smallest < 1e-14, "{smallest:e}");
}

#[test]
fn sums_over_the_tap() {
    // Σr² = 100, Σd² = 1: 20 dB, whatever the tokens.
    let all = measure(&[6.0, 0.0, 0.0, 8.0], &[6.6, 0.0, 0.0, 8.8], 2, None);
    let m = named(&all, "sqnr_db");
    assert!(close(m.mean.unwrap(), 20.0, 1e-6, 0.0), "{:?}", m.mean);
    assert_eq!((m.p50, m.max, m.min, m.worst), (None, None, None, None));
    assert_eq!(Metric::named("sqnr_db").unwrap().kind, parallax::metrics::Kind::WholeTap);
}

/// Pairs of vectors whose parts span many magnitudes.
fn pair() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let value = (-1f32..1.0, -6i32..6).prop_map(|(x, e)| x * 10f32.powi(e));
    (1usize..100)
        .prop_flat_map(move |n| (prop::collection::vec(value.clone(), n), prop::collection::vec(value.clone(), n)))
        .prop_filter("not zero", |(r, c)| r.iter().any(|x| *x != 0.0) && c.iter().any(|x| *x != 0.0))
}

proptest! {
    #[test]
    fn every_metric_is_its_formula((r, c) in pair()) {
        let std: Vec<f64> = (0..r.len()).map(|i| 1.0 + (i % 7) as f64).collect();
        let all = measure(&r, &c, r.len(), Some(&std));
        for (id, truth) in IDS.iter().zip(oracle(&r, &c, &std)) {
            let m = named(&all, id);
            // The oracle's cosine loses what 1 - x loses: 1e-16 of 1.
            let absolute = if *id == "cosine_distance" { 1e-14 } else { 0.0 };
            prop_assert!(close(m.mean.unwrap(), truth, SUM_ORDER, absolute), "{} {} for {}", id, m.mean.unwrap(), truth);
            prop_assert_eq!(m.max, m.mean);
            prop_assert_eq!(m.p50, m.max, "a single value is its own quantile");
        }
    }

    #[test]
    fn cosine_distance_is_in_range_symmetric_and_free_of_scale((r, c) in pair(), power in -20i32..20) {
        let distance = |r: &[f32], c: &[f32]| named(&measure(r, c, r.len(), None), "cosine_distance").mean.unwrap();
        let d = distance(&r, &c);
        prop_assert!((0.0..=2.0).contains(&d));
        prop_assert_eq!(d, distance(&c, &r));
        let scaled: Vec<f32> = c.iter().map(|x| x * 2f32.powi(power)).collect();
        prop_assert!(close(distance(&r, &scaled), d, 1e-12, 1e-30));
        prop_assert!(distance(&r, &r.iter().map(|x| x * 4.0).collect::<Vec<_>>()) < 1e-30);
        prop_assert!(distance(&r, &r.iter().map(|x| -x).collect::<Vec<_>>()) > 2.0 - 1e-12);
    }

    #[test]
    fn more_error_never_lowers_a_maximum(rows in prop::collection::vec(pair(), 1..12), extra in pair()) {
        let mut a = accumulator(None);
        for (i, (r, c)) in rows.iter().enumerate() {
            let (r, c) = (&r[..1], &c[..1]);
            a.add_row(corpus(i as u64), r, c, 1).unwrap();
        }
        let before = a.finish();
        a.add_row(corpus(99), &extra.0[..1], &extra.1[..1], 1).unwrap();
        for (b, a) in before.iter().zip(a.finish()) {
            let not_lower = match (b.max, a.max) {
                (Some(b), Some(a)) => a.is_nan() || a >= b,
                (b, a) => b == a,
            };
            prop_assert!(not_lower, "{}: {:?} then {:?}", b.metric, b.max, a.max);
        }
    }

    #[test]
    fn twice_the_error_is_twice_the_number(pairs in prop::collection::vec((-1000i16..1000, -1000i16..1000), 1..80)) {
        // Small integers: every sum below is exact in f32 and f64.
        let of = |k: i16| -> Vec<f32> { pairs.iter().map(|(r, n)| f32::from(*r) + f32::from(k) * f32::from(*n)).collect() };
        let (r, hidden) = (of(0), pairs.len());
        let (near, far) = (measure(&r, &of(1), hidden, None), measure(&r, &of(2), hidden, None));
        for (id, factor) in [("relative_l2", 2.0), ("max_abs", 2.0), ("mse", 4.0)] {
            let (near, far) = (named(&near, id).max.unwrap(), named(&far, id).max.unwrap());
            let both_undefined = near.is_nan() && far.is_nan() && r.iter().all(|x| *x == 0.0);
            prop_assert!(far == near * factor || both_undefined, "{}: {} then {}", id, near, far);
        }
    }

    #[test]
    fn quantiles_of_many_tokens(values in prop::collection::vec(0.0f32..10.0, 1..400)) {
        // Width 1 and reference 1: relative_l2 of the token is its error.
        let c: Vec<f32> = values.iter().map(|v| 1.0 + v).collect();
        let all = measure(&vec![1.0; c.len()], &c, 1, None);
        let m = named(&all, "relative_l2");
        let mut sorted: Vec<f64> = c.iter().map(|c| f64::from(*c) - 1.0).collect();
        sorted.sort_by(f64::total_cmp);
        for (seen, p) in [(m.p50, 500), (m.p90, 900), (m.p99, 990), (m.p999, 999)] {
            let truth = sorted[(sorted.len() * p).div_ceil(1000).max(1) - 1];
            let seen = seen.unwrap();
            prop_assert!(seen >= truth * (1.0 - 1e-15) && seen <= truth * (1.0 + QUANTILE) * (1.0 + 1e-15), "p{} {} {}", p, seen, truth);
        }
        prop_assert_eq!(m.max.unwrap(), sorted[sorted.len() - 1]);
        prop_assert_eq!(m.min.unwrap(), sorted[0]);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        prop_assert!(close(m.mean.unwrap(), mean, 1e-12, 1e-18));
    }
}
