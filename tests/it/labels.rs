//! Labels: both sides are scored by what people said, the scores are those of scipy, trec_eval and ranx, and limits on
//! what is lost are kept like any other.

use crate::common;

use std::path::PathBuf;

use common::shipped::request;
use common::{fixture, repository};
use parallax::check::check;
use parallax::labels::RetrievalFiles;
use parallax::metrics::correlation::{pearson, spearman};
use parallax::metrics::ranking::{Ranking, first};
use parallax::observe::Silent;
use parallax::policy::{Outcome, Place};
use parallax::report::Report;
use parallax::report::terminal::verdict_text;
use parallax::sides::CheckRequest;
use parallax::verdict::Verdict;
use serde_json::Value;

/// How far two programs' sums of at most 200 values may be apart.
const SAME: f64 = 1e-12;

fn oracle() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("labels/oracle.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn correlations_are_scipys() {
    let oracle = oracle();
    let pairs = oracle["pairs"].as_array().unwrap();
    assert!(pairs.len() >= 10);
    for pair in pairs {
        let (a, b) = (numbers(&pair["a"]), numbers(&pair["b"]));
        for (name, own) in [("pearson", pearson(&a, &b)), ("spearman", spearman(&a, &b))] {
            let theirs = pair[name].as_f64().unwrap();
            assert!((own.unwrap() - theirs).abs() < SAME, "{name} of {} pairs: {own:?}, {theirs}", a.len());
        }
    }
}

#[test]
fn lists_are_worth_what_trec_eval_and_ranx_say() {
    let oracle = oracle();
    let searches = oracle["searches"].as_array().unwrap();
    assert!(searches.len() >= 50);
    for search in searches {
        let (scores, grades) = (numbers(&search["scores"]), numbers(&search["grades"]));
        let found: Vec<f64> = first(&scores, |_| false).into_iter().map(|d| grades[d]).collect();
        let relevant: Vec<f64> = grades.iter().copied().filter(|g| *g > 0.0).collect();
        let own = Ranking::of(&found, &relevant).unwrap();
        for (name, own) in [("ndcg", own.ndcg), ("recall", own.recall), ("mrr", own.reciprocal_rank)] {
            let theirs = search[name].as_f64().unwrap();
            assert!((own - theirs).abs() < SAME, "{name}: {own}, {theirs} ({search})");
        }
    }
}

fn labelled(candidate: &str) -> CheckRequest {
    let file = |name: &str| repository("models/labels").join(name);
    request(candidate, 120).with(|r| {
        r.labels.pairs = Some(file("pairs.tsv"));
        r.labels.retrieval = Some(RetrievalFiles {
            queries: file("queries.jsonl"),
            documents: file("corpus.jsonl"),
            judgements: file("qrels.tsv"),
        });
    })
}

fn run(request: &CheckRequest) -> Report {
    check(request, &mut Silent).unwrap()
}

fn policy(dir: &tempfile::TempDir, gates: &str) -> String {
    let text = "schema = 1\n[[gate]]\non = \"neighbours\"\nmetric = \"top1_agreement\"\nstat = \"mean\"\nmin = 0.1\n";
    let path: PathBuf = dir.path().join("labels.toml");
    std::fs::write(&path, format!("{text}{gates}")).unwrap();
    path.display().to_string()
}

fn gate(metric: &str, max_drop: f64) -> String {
    format!("[[gate]]\non = \"task\"\nmetric = \"{metric}\"\nmax_drop = {max_drop}\n")
}

#[test]
fn both_sides_are_scored_and_judged_by_what_the_candidate_loses() {
    let report = run(&labelled("parallax-mini-mlx-8bit"));
    assert_eq!(report.verdict, Verdict::Pass, "{:?}", report.reasons);
    let labels = report.labels.as_ref().unwrap();
    assert_eq!((labels.pairs, labels.queries, labels.documents, labels.unanswered), (400, 120, 900, 0));
    assert_eq!(labels.sources.len(), 4);
    let names: Vec<&str> = labels.scores.iter().map(|s| s.score.as_str()).collect();
    assert_eq!(names, ["spearman", "pearson", "ndcg_at_10", "recall_at_10", "mrr_at_10"]);
    for score in &labels.scores {
        let (reference, drop) = (score.reference.unwrap(), score.drop.unwrap());
        assert!(reference > 0.3 && reference <= 1.0, "{score:?}");
        assert_eq!(drop, reference - score.candidate.unwrap());
        assert!(drop.abs() < 0.01 && score.low.unwrap() <= drop && drop <= score.high.unwrap(), "{score:?}");
    }
    // The built-in policy holds what was measured to its limits.
    let judged = report.gates.iter().filter(|g| g.quantity.on == Place::Task);
    assert!(judged.clone().count() >= 2 && judged.clone().all(|g| g.outcome == Outcome::Pass));
    let text = verdict_text(&report, false, false);
    assert!(text.contains("labels, 400 pairs, 120 queries over 900 documents:"), "{text}");
    let json = report.to_json().unwrap();
    assert_eq!(Report::from_json(&json).unwrap().to_json().unwrap(), json);
    // The seal apart: a drop that is not the difference of its scores is told.
    let mut forged = report.clone();
    forged.labels.as_mut().unwrap().scores[0].drop = Some(-1.0);
    let said = Report::from_json(&forged.to_json().unwrap()).unwrap_err().to_string();
    assert!(said.contains("\"spearman\" on labels"), "{said}");
}

#[test]
fn a_limit_on_what_is_lost_is_exceeded_by_four_bits() {
    let dir = tempfile::tempdir().unwrap();
    let strict = policy(&dir, &gate("ndcg_at_10", 1e-4));
    let report = run(&labelled("parallax-mini-mlx-4bit").policy(strict));
    assert_eq!(report.verdict, Verdict::Fail, "{:?}", report.reasons);
    let named = report.reasons.iter().any(|r| r.message.contains("ndcg_at_10_drop"));
    assert!(named, "{:?}", report.reasons);
    let labels = report.labels.unwrap();
    assert!(!labels.lost_queries.is_empty() && labels.moved_pairs.len() == 10);
    let lost: Vec<f64> = labels.lost_queries.iter().map(|q| q.reference - q.candidate).collect();
    assert!(lost.is_sorted_by(|a, b| a >= b) && lost[0] > 0.0, "{lost:?}");
}

#[test]
fn a_limit_on_labels_that_were_not_given_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let asked = run(&request("parallax-mini-mlx-8bit", 120).policy(policy(&dir, &gate("spearman", 0.1))));
    assert_eq!(asked.verdict, Verdict::Inconclusive);
    let blind = asked.gates.iter().find(|g| g.quantity.on == Place::Task).unwrap();
    assert_eq!(blind.outcome, Outcome::NotMeasured);
    let optional = gate("spearman", 0.1) + "if_given = true\n";
    let without = run(&request("parallax-mini-mlx-8bit", 120).policy(policy(&dir, &optional)));
    assert_eq!(without.verdict, Verdict::Pass, "{:?}", without.reasons);
    assert!(without.labels.is_none() && without.gates.iter().all(|g| g.quantity.on != Place::Task));
}

#[test]
fn labels_that_cannot_be_read_end_the_run_before_a_model_is_opened() {
    let request = labelled("parallax-mini-mlx-8bit").with(|r| {
        r.labels.pairs = Some(repository("models/corpus.txt"));
        r.reference = repository("no/such/model");
    });
    let said = check(&request, &mut Silent).unwrap_err();
    assert_eq!(
        (said.fault().exit_code(), said.to_string().contains("corpus.txt: unknown kind of file")),
        (4, true),
        "{said}"
    );
}
