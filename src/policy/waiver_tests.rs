use super::*;
use crate::align::NeighbourStats;
use crate::metrics::Measurements;
use crate::policy::Direction;
use crate::weights::WeightsReport;

const POLICY: &str = r#"
schema = 1
[[gate]]
on = "neighbours"
metric = "top10_overlap"
stat = "mean"
min = 0.9
[[waiver]]
on = "neighbours"
metric = "top10_overlap"
stat = "mean"
reason = "tokenizer fix lands with the next release"
expires = "2027-01-31"
"#;

fn gates(policy: &Policy, overlap: Option<f64>) -> Vec<GateResult> {
    let stats = NeighbourStats { rows: 100, top10_overlap: overlap, ..NeighbourStats::default() };
    policy.evaluate_all(&Measurements::default(), &WeightsReport::default(), Some(&stats))
}

fn waived(overlap: Option<f64>, today: &str) -> (Outcome, String, Severity) {
    let policy = Policy::parse(POLICY, "mine").unwrap();
    let mut gates = gates(&policy, overlap);
    let findings = policy.waive(&mut gates, Date::parse(today).unwrap());
    assert_eq!((gates.len(), findings.len()), (1, 1));
    (gates[0].outcome, findings[0].code.clone(), findings[0].severity)
}

#[test]
fn it_holds_through_its_last_day_and_then_fails_whatever_the_gate_says() {
    assert_eq!(waived(Some(0.8), "2026-11-25"), (Outcome::Waived, "gate.waived".into(), Severity::Warning));
    assert_eq!(waived(Some(0.8), "2027-01-31").0, Outcome::Waived);
    assert_eq!(waived(Some(0.8), "2027-02-01"), (Outcome::Fail, "waiver.expired".into(), Severity::Failure));
    assert_eq!(waived(Some(0.99), "2027-02-01"), (Outcome::Pass, "waiver.expired".into(), Severity::Failure));
    assert_eq!(waived(Some(0.99), "2026-11-25"), (Outcome::Pass, "waiver.unused".into(), Severity::Note));
}

#[test]
fn what_is_no_number_or_was_not_measured_is_not_excused() {
    assert_eq!(waived(Some(f64::NAN), "2026-11-25").0, Outcome::Fail);
    assert_eq!(waived(None, "2026-11-25").0, Outcome::NotMeasured);
    let policy = Policy::parse(POLICY, "mine").unwrap();
    let mut engine = gates(&policy, Some(0.5)).remove(0);
    assert!(may_be_waived(&engine));
    engine.quantity.arm = Some(Arm::Engine);
    assert!(!may_be_waived(&engine));
}

#[test]
fn one_that_speaks_of_nothing_or_gives_no_reason_is_refused_with_its_place() {
    for (from, to, said) in [
        ("stat = \"mean\"\nreason", "stat = \"p99\"\nreason", "line 11"),
        ("tokenizer fix lands with the next release", "later", "at least 10 characters"),
        ("2027-01-31", "2027-02-30", "is no day"),
        ("reason =", "raeson =", "did you mean `reason`"),
        (
            "[[waiver]]\non = \"neighbours\"\nmetric = \"top10_overlap\"",
            "[[waiver]]\non = \"neighbours\"\nmetric = \"spearman\"",
            "speaks of no gate",
        ),
    ] {
        let text = POLICY.replacen(from, to, 1);
        assert_ne!(text, POLICY, "{from}");
        let error = Policy::parse(&text, "mine").unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("line "), "{from}: {error}");
    }
    let mut gates = gates(&Policy::parse(POLICY, "mine").unwrap(), Some(0.8));
    gates.clear();
    let policy = Policy::parse(POLICY, "mine").unwrap();
    let findings = policy.waive(&mut gates, Date::parse("2026-11-25").unwrap());
    assert_eq!((findings[0].code.as_str(), findings[0].severity), ("waiver.no_gate", Severity::Refusal));
}

#[test]
fn max_regression_needs_an_earlier_run_and_is_not_met_without() {
    let text = POLICY.replace("min = 0.9", "max_regression = 0.5");
    let policy = Policy::parse(&text[..text.find("[[waiver]]").unwrap()], "mine").unwrap();
    let alone = gates(&policy, Some(0.9)).remove(0);
    assert!(alone.outcome == Outcome::NotMeasured && alone.lacks_baseline() && alone.direction == Direction::Min);
    let neighbours = Some(NeighbourStats { rows: 100, top10_overlap: Some(0.9), ..NeighbourStats::default() });
    let beside = policy.with_before(crate::policy::Before { neighbours, ..Default::default() });
    for (overlap, outcome) in
        [(0.9, Outcome::Pass), (0.851, Outcome::Pass), (0.849, Outcome::Fail), (f64::NAN, Outcome::Fail)]
    {
        assert_eq!(gates(&beside, Some(overlap)).remove(0).outcome, outcome, "{overlap}");
    }
    for bad in ["-0.1", "nan", "inf", "1.5"] {
        let text = text.replace("max_regression = 0.5", &format!("max_regression = {bad}"));
        assert!(Policy::parse(&text, "mine").unwrap_err().to_string().contains("line "), "{bad}");
    }
}
