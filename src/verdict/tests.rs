use super::*;
use crate::align::NeighbourStats;
use crate::metrics::{Measurement, Measurements, Mode};
use crate::weights::WeightsReport;
use proptest::prelude::*;

const ENOUGH: Amount = Amount { rows: 100, tokens: 1000, vocabulary: 100 };

fn policy() -> Policy {
    let gate = |on: &str, arm: &str, max: f64| {
        format!("[[gate]]\non = \"{on}\"\narm = \"{arm}\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = {max}\n")
    };
    let text = format!("schema = 1\n{}{}", gate("layer.*", "engine", 2e-5), gate("layer.*", "quantization", 0.05));
    Policy::parse(&text, "mine").unwrap()
}

fn measured(tap: &str, arm: Arm, metric: &str, value: f64) -> Measurement {
    let v = Some(value);
    Measurement {
        tap: tap.parse().unwrap(),
        arm,
        mode: Mode::Accumulated,
        metric: metric.into(),
        count: 5,
        mean: v,
        p50: v,
        p90: v,
        p99: v,
        p999: v,
        min: v,
        max: v,
        worst: None,
    }
}

/// Two layers, both arms, everything finite unless said so.
fn run(engine: f64, quantization: [f64; 2], non_finite: f64) -> Measurements {
    let mut all = Vec::new();
    for (i, q) in quantization.into_iter().enumerate() {
        let tap = format!("layer.{i}");
        all.push(measured(&tap, Arm::Engine, "relative_l2", engine));
        all.push(measured(&tap, Arm::Quantization, "relative_l2", q));
        all.push(measured(&tap, Arm::Engine, "non_finite", 0.0));
        all.push(measured(&tap, Arm::Quantization, "non_finite", non_finite));
    }
    all.into()
}

fn judged(measurements: &Measurements, findings: &[Finding], amount: Amount) -> Judgement {
    let policy = policy();
    let gates = policy.evaluate_all(measurements, &WeightsReport::default(), None::<&NeighbourStats>);
    judge(&policy, &gates, findings, &amount)
}

fn codes(j: &Judgement) -> Vec<&str> {
    j.reasons.iter().map(|r| r.code.as_str()).collect()
}

#[test]
fn each_verdict_for_its_own_cause() {
    let good = run(1e-6, [0.01, 0.02], 0.0);
    let pass = judged(&good, &[], ENOUGH);
    assert_eq!((pass.verdict, pass.exit_code, pass.reasons.len()), (Verdict::Pass, 0, 0));

    let fail = judged(&run(1e-6, [0.06, 0.07], 0.0), &[], ENOUGH);
    assert_eq!((fail.verdict, fail.exit_code, codes(&fail)), (Verdict::Fail, 1, vec!["gate.exceeded"]));
    assert_eq!(
        fail.reasons[0].message,
        "layer.1 … and 1 more tap, first at layer.0 (quantization): relative_l2 p99 0.07 > 0.05 (1.4 times the limit), would pass at 0.07"
    );

    let engine = judged(&run(1e-3, [0.06, 0.07], 0.0), &[], ENOUGH);
    assert_eq!((engine.verdict, engine.exit_code), (Verdict::Inconclusive, 3));
    assert_eq!(codes(&engine), ["gate.engine", "gate.exceeded"]);
    assert_eq!(
        engine.reasons[0].message,
        "layer.0 … and 1 more tap (engine): relative_l2 p99 0.001 > 2e-5 (50.0 times the limit); the control does not reproduce the \
         reference, so the candidate is not judged"
    );

    let refusal = Finding::new(
        Severity::Refusal,
        &codes::ALIGNMENT_CROSS_MATCH,
        "candidate layer.2 looks like reference layer.3",
    );
    let refused = judged(&good, std::slice::from_ref(&refusal), ENOUGH);
    assert_eq!((refused.verdict, codes(&refused)), (Verdict::Inconclusive, vec!["alignment.cross_match"]));

    let broken = judged(&run(1e-3, [0.06, 0.07], 2.0), &[refusal], Amount::default());
    assert_eq!((broken.verdict, broken.exit_code, codes(&broken)[0]), (Verdict::Fail, 1, "gate.non_finite"));

    let failure = Finding::new(Severity::Failure, &codes::WEIGHTS_CHANGED_UNQUANTIZED, "layer 0 bias differs");
    assert_eq!(judged(&good, &[failure], ENOUGH).verdict, Verdict::Fail);
    let notes =
        [Severity::Warning, Severity::Note].map(|severity| Finding::new(severity, &codes::CORPUS_DUPLICATES, "b"));
    assert_eq!(judged(&good, &notes, ENOUGH).verdict, Verdict::Pass);
}

#[test]
fn too_little_evidence_is_inconclusive() {
    let good = run(1e-6, [0.01, 0.02], 0.0);
    let few = judged(&good, &[], Amount { rows: 99, tokens: 999, vocabulary: 24 });
    assert_eq!(
        (few.verdict, codes(&few)),
        (Verdict::Inconclusive, vec!["evidence.rows", "evidence.tokens", "evidence.vocabulary"])
    );
    assert_eq!(few.reasons[0].message, "99 different rows compared, policy mine asks for at least 100");
    let none = judged(&Measurements::default(), &[], ENOUGH);
    assert_eq!((none.verdict, codes(&none)), (Verdict::Inconclusive, vec!["gate.not_measured", "gate.not_measured"]));
    assert_eq!(none.reasons[1].message, "layer.* (quantization): relative_l2 p99 was not measured (limit 0.05)");

    let mut empty = policy();
    empty.gates.clear();
    empty.evidence = crate::policy::Evidence { min_rows: 0, min_tokens: 0, min_vocabulary: 0 };
    let judgement = judge(&empty, &[], &[], &Amount::default());
    assert_eq!(codes(&judgement), ["policy.no_gates", "evidence.rows", "evidence.tokens", "evidence.vocabulary"]);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
}

#[test]
fn reasons_are_worst_first_and_numbers_differ_visibly() {
    let close = judged(&run(1e-6, [0.01, 0.050_000_001], 0.0), &[], ENOUGH);
    assert_eq!(
        close.reasons[0].message,
        "layer.1 (quantization): relative_l2 p99 0.050000001 > 0.05, would pass at 0.0501"
    );
    let nan = judged(&run(1e-6, [0.09, f64::NAN], 0.0), &[], ENOUGH);
    assert_eq!(
        nan.reasons[0].message,
        "layer.1 … and 1 more tap, first at layer.0 (quantization): relative_l2 p99 NaN is not within 0.05"
    );
}

proptest! {
    #[test]
    fn more_error_never_turns_a_verdict_into_a_pass(
        e in 0.0..4e-5f64, q in 0.0..0.1f64, r in 0.0..0.1f64, n in 0u8..2,
        de in 0.0..1.0f64, dq in 0.0..1.0f64, dn in 0u8..2,
    ) {
        let before = judged(&run(e, [q, r], f64::from(n)), &[], ENOUGH).verdict;
        let after = judged(&run(e + de, [q + dq, r], f64::from(n) + f64::from(dn)), &[], ENOUGH).verdict;
        prop_assert!(before == Verdict::Pass || after != Verdict::Pass);
        prop_assert!(q <= 0.05 && r <= 0.05 && e <= 2e-5 && n == 0 || before != Verdict::Pass);
    }
}

#[test]
fn a_policy_whose_gates_were_not_evaluated_judged_nothing() {
    let judgement = judge(&policy(), &[], &[], &ENOUGH);
    assert_eq!((judgement.verdict, codes(&judgement)), (Verdict::Inconclusive, vec!["policy.no_gates"]));
}

#[test]
fn names_and_numbers_for_people() {
    let padded = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive].map(|v| format!("{v:<5}|"));
    assert_eq!(padded, ["PASS |", "FAIL |", "INCONCLUSIVE|"]);
    assert_eq!([f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(number), ["infinity", "-infinity", "NaN"]);
}

/// What two sides say of themselves, and what is in their tensors, is wrong however few rows were compared; what a format
/// costs is not known from few.
#[test]
fn a_contradiction_needs_no_corpus_and_a_limit_does() {
    let none = Amount::default();
    let changed = Finding::new(Severity::Failure, &codes::WEIGHTS_CHANGED_GROUPS, "a row of zeros");
    let no_corpus = Finding::new(Severity::Refusal, &codes::CORPUS_BUILT_IN, "no corpus");
    let good = run(1e-6, [0.01, 0.02], 0.0);
    let fail = judged(&good, &[changed.clone(), no_corpus.clone()], none);
    assert_eq!(
        (fail.verdict, codes(&fail)[0], fail.answers.faithful),
        (Verdict::Fail, "weights.changed_groups", Answer::No)
    );
    let unfit = judged(&run(1e-6, [0.06, 0.07], 0.0), std::slice::from_ref(&no_corpus), none);
    assert_eq!((unfit.verdict, codes(&unfit)[0]), (Verdict::Inconclusive, "corpus.built_in"));
    let open = judged(&good, &[no_corpus], ENOUGH);
    assert_eq!(
        (open.verdict, open.answers),
        (Verdict::Inconclusive, Answers { faithful: Answer::Yes, fit: Answer::Unproven })
    );
    // An instrument that is not sound proves nothing at all.
    let unaudited = Finding::new(Severity::Refusal, &codes::GRAPH_UNAUDITED, "a node");
    assert_eq!(judged(&good, &[changed.clone(), unaudited], ENOUGH).verdict, Verdict::Inconclusive);
    assert_eq!(judged(&run(1e-3, [0.01, 0.02], 0.0), &[changed], ENOUGH).verdict, Verdict::Inconclusive);
}

#[test]
fn the_nearest_cause_stands_first_and_the_rest_follows() {
    let of = |severity, code: &Code| Finding::new(severity, code, code.code);
    let swapped = of(Severity::Failure, &codes::WEIGHTS_MISPLACED);
    let looks = of(Severity::Refusal, &codes::ALIGNMENT_CROSS_MATCH);
    let states = of(Severity::Failure, &codes::TWIN_STATES);
    let bias = of(Severity::Failure, &codes::WEIGHTS_CHANGED_UNQUANTIZED);
    let off = run(1e-6, [0.06, 0.07], 0.0);
    let fail = judged(&off, &[looks.clone(), states.clone(), bias, swapped], ENOUGH);
    assert_eq!((fail.verdict, fail.exit_code), (Verdict::Fail, 1));
    let told: Vec<(&str, bool)> = fail.reasons.iter().map(|r| (r.code.as_str(), r.follows)).collect();
    assert_eq!(
        told,
        [
            ("weights.misplaced", false),
            ("weights.changed_unquantized", true),
            ("twin.states", true),
            ("alignment.cross_match", true),
            ("gate.exceeded", true)
        ]
    );
    // Without a tensor that is proven to be wrong the taps may not be the same points: nothing is known.
    let unknown = judged(&off, &[looks, states.clone()], ENOUGH);
    assert_eq!((unknown.verdict, codes(&unknown)[0]), (Verdict::Inconclusive, "alignment.cross_match"));
    // Nor is it known where the pooling differs, which moves no state, or where the original itself is wrong.
    let looks = of(Severity::Refusal, &codes::ALIGNMENT_CROSS_MATCH);
    let pooling = Finding::of(Severity::Failure, &codes::PREFLIGHT_FACT, "pooling", "mean, cls");
    assert_eq!(judged(&off, &[looks.clone(), pooling], ENOUGH).verdict, Verdict::Inconclusive);
    let heads = Finding::of(Severity::Failure, &codes::PREFLIGHT_FACT, "heads", "4, 8");
    assert_eq!(judged(&off, &[looks.clone(), heads], ENOUGH).verdict, Verdict::Fail);
    let (graph, changed) = (&codes::GRAPH_WEIGHTS, &codes::WEIGHTS_CHANGED_GROUPS);
    let original = [looks, of(Severity::Failure, graph), of(Severity::Failure, changed)];
    assert_eq!(judged(&off, &original, ENOUGH).verdict, Verdict::Inconclusive);
    // A tensor that was changed and a tokenizer that differs have nothing to do with each other.
    let tokens = Finding::of(Severity::Failure, &codes::TOKENIZER_PART, "normalizer", "lower case");
    let changed = of(Severity::Failure, &codes::WEIGHTS_CHANGED_GROUPS);
    let both = judged(&run(1e-6, [0.01, 0.02], 0.0), &[changed, tokens, states], ENOUGH);
    let told: Vec<(&str, bool)> = both.reasons.iter().map(|r| (r.code.as_str(), r.follows)).collect();
    assert_eq!(told, [("tokenizer.normalizer", false), ("weights.changed_groups", false), ("twin.states", true)]);
    let tokens = Finding::of(Severity::Failure, &codes::TOKENIZER_PART, "normalizer", "lower case");
    let apart = judged(&off, &[tokens, of(Severity::Failure, &codes::TWIN_STATES)], ENOUGH);
    let told: Vec<(&str, bool)> = apart.reasons.iter().map(|r| (r.code.as_str(), r.follows)).collect();
    assert_eq!(told, [("tokenizer.normalizer", false), ("twin.states", false), ("gate.exceeded", true)]);
}
