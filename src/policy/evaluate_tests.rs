use super::*;
use crate::hidden_states::{Arm, RowId, RowSet};
use crate::policy::Direction;
use crate::policy::EMBEDDED;
use proptest::prelude::*;

fn measurement(tap: &str, arm: Arm, metric: &str, value: Option<f64>) -> Measurement {
    Measurement {
        tap: tap.parse().unwrap(),
        arm,
        mode: Mode::Accumulated,
        metric: metric.into(),
        count: 10,
        mean: value,
        p50: value,
        p90: value,
        p99: value,
        p999: value,
        min: value,
        max: value,
        worst: Some(Location {
            row: RowId { set: RowSet::Corpus, row: 7 },
            token: Some(2),
            dimension: None,
            reference: None,
        }),
    }
}

fn policy(on: &str, max: f64) -> Policy {
    let text = format!(
        "schema = 1\n[[gate]]\non = \"{on}\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = {max}\n"
    );
    Policy::parse(&text, "p").unwrap()
}

fn weights_policy(metric: &str, stat: &str, limit: &str) -> Policy {
    let text = format!("schema = 1\n[[gate]]\non = \"weights\"\nmetric = \"{metric}\"\nstat = \"{stat}\"\n{limit}\n");
    Policy::parse(&text, "p").unwrap()
}

fn row(tensor: &str, relative_error: f64, bits: Option<u32>) -> TensorRow {
    TensorRow {
        tensor: tensor.into(),
        shape: vec![4, 4],
        dtype: "F16".into(),
        mode: None,
        bits,
        group_size: None,
        bytes: 0,
        float32_bytes: 0,
        mse: relative_error,
        rmse: relative_error,
        relative_error,
        max_abs: relative_error,
        max_abs_index: vec![0, 0],
        sqnr_db: -20.0 * relative_error.log10(),
        cosine: 1.0,
        group_shift: bits.map(|_| 0.2),
        group_shift_at: None,
        twin: None,
    }
}

fn first(policy: &Policy, measurements: impl Into<Measurements>) -> GateResult {
    policy.evaluate_all(&measurements.into(), &WeightsReport::default(), None).remove(0)
}

#[test]
fn nothing_measured_is_never_a_pass() {
    for (name, _) in EMBEDDED {
        let policy = Policy::load(name).unwrap();
        let results = policy.evaluate_all(&Measurements::default(), &WeightsReport::default(), None);
        assert_eq!(results.len(), policy.gates.len());
        assert!(results.iter().all(|r| r.outcome == Outcome::NotMeasured && r.margin.is_none()), "{name}");
    }
    let gate = policy("layer.*", 0.1);
    let mut empty = measurement("layer.0", Arm::Total, "relative_l2", Some(0.0));
    empty.count = 0;
    assert_eq!(first(&gate, [empty]).outcome, Outcome::NotMeasured);
    assert_eq!(first(&gate, [measurement("layer.0", Arm::Total, "relative_l2", None)]).outcome, Outcome::NotMeasured);
    assert_eq!(
        first(&gate, [measurement("layer.0", Arm::Engine, "relative_l2", Some(0.0))]).outcome,
        Outcome::NotMeasured
    );
    let twice = [0.0, 0.2].map(|v| measurement("layer.0", Arm::Total, "relative_l2", Some(v)));
    assert_eq!(first(&gate, twice).outcome, Outcome::NotMeasured);
    let isolated = Measurement { mode: Mode::Isolated, ..measurement("layer.0", Arm::Total, "relative_l2", Some(0.0)) };
    assert_eq!(first(&gate, [isolated]).outcome, Outcome::NotMeasured);
    let neighbours = NeighbourStats { rows: 0, spearman: Some(1.0), ..NeighbourStats::default() };
    let text = "schema = 1\n[[gate]]\non = \"neighbours\"\nmetric = \"spearman\"\nstat = \"mean\"\nmin = 0.9\n";
    let p = Policy::parse(text, "p").unwrap();
    let one = |n| p.evaluate_all(&Measurements::default(), &WeightsReport::default(), n).remove(0).outcome;
    assert_eq!((one(Some(&neighbours)), one(None)), (Outcome::NotMeasured, Outcome::NotMeasured));
    assert_eq!(one(Some(&NeighbourStats { rows: 3, ..neighbours })), Outcome::Pass);
}

#[test]
fn a_tap_without_the_metric_does_not_vanish_behind_the_others() {
    let results = policy("layer.*", 0.1).evaluate_all(
        &[
            measurement("layer.0", Arm::Total, "relative_l2", Some(0.0)),
            measurement("layer.1", Arm::Total, "mse", Some(0.0)),
        ]
        .into(),
        &WeightsReport::default(),
        None,
    );
    assert_eq!((results[0].quantity.on.to_string().as_str(), results[0].outcome), ("layer.0", Outcome::Pass));
    assert_eq!((results[1].quantity.on.to_string().as_str(), results[1].outcome), ("layer.1", Outcome::NotMeasured));
}

#[test]
fn nan_fails_and_an_exact_hit_passes() {
    let outcome =
        |v: f64| first(&policy("layer.3", 0.05), [measurement("layer.3", Arm::Total, "relative_l2", Some(v))]);
    assert_eq!(outcome(0.05).outcome, Outcome::Pass);
    assert_eq!(outcome(f64::NAN).outcome, Outcome::Fail);
    assert_eq!(outcome(f64::NAN).would_pass_at, None);
    let failed = outcome(0.100_04);
    assert_eq!((failed.outcome, failed.would_pass_at), (Outcome::Fail, Some(0.101)));
    assert!(failed.margin.unwrap() > 2.0 && failed.worst.is_some());
    assert_eq!(outcome(failed.would_pass_at.unwrap()).would_pass_at, failed.would_pass_at);
    let json = serde_json::to_string(&failed).unwrap();
    assert_eq!(serde_json::from_str::<GateResult>(&json).unwrap(), failed);
}

#[test]
fn every_measured_tap_and_arm_is_gated_for_non_finite_values() {
    let results = policy("layer.*", 0.1).evaluate_all(
        &[
            measurement("layer.0", Arm::Total, "relative_l2", Some(0.0)),
            measurement("layer.0", Arm::Total, "non_finite", Some(3.0)),
            measurement("layer.0", Arm::Engine, "non_finite", Some(0.0)),
            measurement("layer.1", Arm::Total, "mse", Some(0.0)),
        ]
        .into(),
        &WeightsReport::default(),
        None,
    );
    let built_in: Vec<_> =
        results.iter().filter(|r| r.is_non_finite()).map(|r| (r.quantity.tap(), r.quantity.arm, r.outcome)).collect();
    assert_eq!(
        built_in,
        [
            (Some(Tap::Layer(0)), Some(Arm::Engine), Outcome::Pass),
            (Some(Tap::Layer(0)), Some(Arm::Total), Outcome::Fail),
            (Some(Tap::Layer(1)), Some(Arm::Total), Outcome::NotMeasured)
        ]
    );
}

#[test]
fn a_scale_error_that_direction_hides_is_seen_by_length() {
    // Every state 4 % too long: cosine sees nothing, and the relative error is within its limit.
    let gate = |metric: &str, stat: &str, limit: &str| {
        format!(
            "[[gate]]\non = \"layer.*\"\narm = \"quantization\"\nmetric = \"{metric}\"\nstat = \"{stat}\"\n{limit}\n"
        )
    };
    let text = [
        "schema = 1\n".to_owned(),
        gate("relative_l2", "p99", "max = 0.054"),
        gate("standardized_l2", "p99", "max = 0.055"),
        gate("norm_ratio", "mean", "max = 1.03"),
        gate("norm_ratio", "mean", "min = 0.97"),
    ];
    let policy = Policy::parse(&text.concat(), "p").unwrap();
    let scaled = |metric, value| measurement("layer.0", Arm::Quantization, metric, Some(value));
    let seen = [scaled("relative_l2", 0.04), scaled("standardized_l2", 0.04), scaled("norm_ratio", 1.04)];
    let results = policy.evaluate_all(&seen.into(), &WeightsReport::default(), None);
    let failed: Vec<_> = results.iter().filter(|r| r.outcome == Outcome::Fail).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!((failed[0].quantity.metric.as_str(), failed[0].direction), ("norm_ratio", Direction::Max));
    let other = policy.evaluate_all(&[scaled("norm_ratio", 0.96)].into(), &WeightsReport::default(), None);
    assert!(other.iter().any(|r| r.outcome == Outcome::Fail && r.direction == Direction::Min));
}

#[test]
fn weights_are_judged_by_their_matrices() {
    let mut plain = row("bias", 9.0, None);
    plain.shape = vec![4];
    let mut weights = WeightsReport {
        tensors: vec![plain, row("a", 0.1, Some(8)), row("b", 0.3, Some(8)), row("c", 7.0, None)],
        ..Default::default()
    };
    let seen = |w: &WeightsReport, p: Policy| p.evaluate_all(&Measurements::default(), w, None).remove(0);
    let max = seen(&weights, weights_policy("relative_error", "max", "max = 0.2"));
    assert_eq!((max.observed, max.tensor.as_deref(), max.outcome), (Some(0.3), Some("b"), Outcome::Fail));
    let mean = seen(&weights, weights_policy("relative_error", "mean", "max = 0.2"));
    assert_eq!(mean.observed, Some(0.2));
    let min = seen(&weights, weights_policy("sqnr_db", "min", "min = 20"));
    assert_eq!((min.tensor.as_deref(), min.outcome), (Some("b"), Outcome::Fail));
    assert_eq!(seen(&weights, weights_policy("relative_error", "total", "max = 0.2")).outcome, Outcome::NotMeasured);
    weights.totals.matrix_elements = 32;
    weights.totals.relative_error = 0.1;
    assert_eq!(seen(&weights, weights_policy("relative_error", "total", "max = 0.2")).outcome, Outcome::Pass);
    assert_eq!(seen(&weights, weights_policy("sqnr_db", "total", "min = 20")).observed, Some(20.0));
    weights.tensors[1].relative_error = f64::NAN;
    assert_eq!(seen(&weights, weights_policy("relative_error", "max", "max = 0.2")).outcome, Outcome::Fail);
    assert_eq!(seen(&weights, weights_policy("relative_error", "mean", "max = 0.2")).outcome, Outcome::Fail);
    weights.tensors.truncate(1);
    assert_eq!(seen(&weights, weights_policy("relative_error", "max", "max = 0.2")).outcome, Outcome::NotMeasured);
}

proptest! {
    #[test]
    fn more_error_never_turns_a_failure_into_a_pass(limit in 0.0..1.0f64, a in any::<f64>(), b in any::<f64>()) {
        let outcome = |v: f64| first(&policy("final", limit), [measurement("final", Arm::Total, "relative_l2", Some(v))]).outcome;
        let more = if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        if outcome(a) == Outcome::Fail {
            prop_assert_eq!(outcome(more), Outcome::Fail);
        }
    }
}

/// What `metric stat` is over these weights, and the tensor that decided it.
fn over(weights: &WeightsReport, metric: &str, stat: &str) -> (Option<f64>, Option<String>) {
    let limit = if metric == "sqnr_db" { "min = 20" } else { "max = 0.9" };
    let result = weights_policy(metric, stat, limit).evaluate_all(&Measurements::default(), weights, None).remove(0);
    (result.observed, result.tensor)
}

#[test]
fn every_weight_metric_reads_its_own_number() {
    let mut weights = WeightsReport { tensors: vec![row("a", 0.01, Some(8))], ..Default::default() };
    let one = &mut weights.tensors[0];
    (one.mse, one.rmse, one.max_abs, one.group_shift) = (0.25, 0.5, 0.75, Some(0.125));
    let a = || Some("a".to_owned());
    for (metric, value) in
        [("mse", 0.25), ("rmse", 0.5), ("relative_error", 0.01), ("max_abs", 0.75), ("group_shift", 0.125)]
    {
        assert_eq!(over(&weights, metric, "max"), (Some(value), a()), "{metric}");
    }
    assert_eq!(over(&weights, "sqnr_db", "min"), (Some(40.0), a()));
    let totals = &mut weights.totals;
    (totals.matrix_elements, totals.mse, totals.relative_error, totals.max_abs) = (16, 0.25, 0.01, 0.75);
    totals.max_abs_tensor = Some("b".to_owned());
    for (metric, value) in [("mse", 0.25), ("rmse", 0.5), ("relative_error", 0.01), ("sqnr_db", 40.0)] {
        assert_eq!(over(&weights, metric, "total"), (Some(value), None), "{metric}");
    }
    assert_eq!(over(&weights, "max_abs", "total"), (Some(0.75), Some("b".to_owned())));
}

#[test]
fn the_worst_tensor_is_the_first_of_the_worst() {
    let named = |errors: &[f64], metric: &str, stat: &str| {
        let tensors = errors.iter().zip(["a", "b", "c"]).map(|(e, n)| row(n, *e, Some(8))).collect();
        over(&WeightsReport { tensors, ..Default::default() }, metric, stat).1.unwrap()
    };
    assert_eq!(named(&[0.3, 0.1, 0.2], "relative_error", "max"), "a");
    assert_eq!(named(&[0.1, 0.3, 0.3], "relative_error", "max"), "b");
    assert_eq!(named(&[0.1, 0.3, 0.3], "sqnr_db", "min"), "b");
    assert_eq!(named(&[0.1, f64::NAN, 0.3], "relative_error", "max"), "b");
}

#[test]
fn a_place_is_named_only_where_a_value_is_not_finite() {
    let place = |count| {
        let results = policy("final", 0.1).evaluate_all(
            &[measurement("final", Arm::Total, "non_finite", Some(count))].into(),
            &WeightsReport::default(),
            None,
        );
        results.into_iter().find(GateResult::is_non_finite).unwrap().worst
    };
    assert!(place(3.0).is_some() && place(0.0).is_none());
}

#[test]
fn every_neighbour_statistic_answers_to_its_own_name() {
    let stats = NeighbourStats {
        rows: 5,
        top1_agreement: Some(0.1),
        top10_overlap: Some(0.2),
        spearman: Some(0.3),
        pearson: Some(0.4),
        similarity_shift: Some(0.5),
        relative_distance: Some(0.6),
    };
    for (name, value) in [
        ("top1_agreement", 0.1),
        ("top10_overlap", 0.2),
        ("spearman", 0.3),
        ("pearson", 0.4),
        ("similarity_shift", 0.5),
        ("relative_distance", 0.6),
    ] {
        assert_eq!(stats.named(name), Some(value), "{name}");
    }
    assert_eq!(stats.named("rows"), None);
}

#[test]
fn the_same_gate_is_the_same_limit_on_the_same_thing_whatever_was_observed() {
    let gate = |on: &str, value| {
        let results = policy(on, 0.1).evaluate_all(
            &[measurement(on, Arm::Total, "relative_l2", Some(value))].into(),
            &WeightsReport::default(),
            None,
        );
        results.into_iter().find(|g| g.quantity.metric == "relative_l2").unwrap()
    };
    let one = gate("final", 0.05);
    let seen_otherwise = GateResult { why: Some("another reason".into()), ..gate("final", 0.5) };
    assert!(one.same_gate(&one) && one.same_gate(&seen_otherwise));
    let of = |quantity| GateResult { quantity, ..one.clone() };
    let others = [
        gate("layer.0", 0.05),
        of(Quantity { arm: Some(Arm::Engine), ..one.quantity.clone() }),
        of(Quantity { metric: "max_abs".into(), ..one.quantity.clone() }),
        of(Quantity { stat: Stat::Max, ..one.quantity.clone() }),
        GateResult { direction: Direction::Min, ..one.clone() },
        GateResult { limit: 0.2, ..one.clone() },
    ];
    for other in others {
        assert!(!one.same_gate(&other), "{other:?}");
    }
}
