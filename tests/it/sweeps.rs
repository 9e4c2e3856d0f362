//! What a run sweeps of the reference, what it remembers of that, and how long a row can be.

use crate::common;
use crate::onnx_edit;

use std::path::Path;

use common::plant::Copy;
use common::{fixture, repository};
use onnx_edit::{before, edited, ints, node};
use parallax::check::check;
use parallax::corpus::CorpusOptions;
use parallax::fault::Fault;
use parallax::observe::Silent;
use parallax::report::Report;
use parallax::sides::CheckRequest;
use parallax::verdict::Verdict;

fn request(reference: &Path) -> CheckRequest {
    let files = vec![repository("models/corpus.txt")];
    CheckRequest::new(reference, repository("models/parallax-mini-mlx-8bit")).with(|r| {
        r.corpus = CorpusOptions { files, limit: Some(110), ..CorpusOptions::default() };
        r.canaries = false;
    })
}

fn run(request: &CheckRequest) -> Report {
    check(request, &mut Silent).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_clean_sweep_is_remembered_and_a_damaged_memory_is_not_believed() {
    let cache = tempfile::tempdir().unwrap();
    let request = request(&repository("models/parallax-mini")).with(|r| r.cache = Some(cache.path().join("sweeps")));
    let first = run(&request);
    assert_eq!(first.verdict, Verdict::Pass, "{:?}", first.reasons);
    assert!(first.provenance.run.sweeps_cached.is_empty());
    let swept = first.alignment.sweeps.clone().unwrap();
    println!("{swept:?}");
    assert!(swept.ids == 6000 && swept.id_passes == 2 && !swept.thorough);
    assert!(swept.lengths.contains(&1) && swept.lengths.contains(&32) && swept.batch_sizes.iter().any(|n| *n > 30));
    // A tenth of the limit: 1e-4.
    assert!(swept.ids_relative_l2.unwrap() < 1e-5 && swept.relative_l2.unwrap() < 1e-5, "{swept:?}");
    let is = |name: &str| first.alignment.outputs.iter().find(|o| o.name == name).unwrap().clone();
    assert_eq!(is("last_hidden_state").is, "final");
    let pooler = is("pooler_output");
    assert!(
        pooler.is.contains("pooler") && pooler.distance.unwrap() < 1e-6 && pooler.rows.unwrap() > 200,
        "{pooler:?}"
    );

    let again = run(&request);
    assert_eq!(again.provenance.run.sweeps_cached, ["ids", "shapes"]);
    assert_eq!(again.alignment, first.alignment, "what was swept is told the same");
    assert_eq!(again.verdict, Verdict::Pass);

    let files: Vec<_> = std::fs::read_dir(cache.path().join("sweeps")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    let [a, b] = [std::fs::read(&files[0]).unwrap(), std::fs::read(&files[1]).unwrap()];
    // Each in the other's place, then cut, then something else.
    std::fs::write(&files[0], &b).unwrap();
    std::fs::write(&files[1], &a[..a.len() / 2]).unwrap();
    assert!(run(&request).provenance.run.sweeps_cached.is_empty());
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::create_dir(&files[0]).unwrap();
    std::fs::write(&files[1], "{}").unwrap();
    assert!(run(&request).provenance.run.sweeps_cached.len() < 2);
    let other = request.with(|r| {
        r.thorough = false;
        r.max_length = Some(100);
    });
    assert!(run(&other).provenance.run.sweeps_cached.is_empty(), "another length limit is another sweep");
}

/// An exact length and an exact batch size that an ordinary run need not meet.
#[test]
fn a_thorough_run_meets_every_length_and_batch_size() {
    let trigger = |axis: i64, value: i64| {
        edited(Copy::of_path(&repository("models/parallax-mini")), |g| {
            let constants = vec![
                ints("planted_none", &[1], |_| 0),
                ints("planted_axis", &[1], move |_| axis),
                ints("planted_value", &[1], move |_| value),
                ints("planted_other", &[1], |_| 40),
            ];
            let nodes = vec![
                node("Shape", &["input_ids"], "planted_shape"),
                node("Gather", &["planted_shape", "planted_axis"], "planted_size"),
                node("Equal", &["planted_size", "planted_value"], "planted_when"),
                node("Mul", &["input_ids", "planted_none"], "planted_zeros"),
                node("Add", &["planted_zeros", "planted_other"], "planted_others"),
                node("Where", &["planted_when", "planted_others", "input_ids"], "planted_in"),
            ];
            before(g, "input_ids", constants, nodes);
        })
    };
    for (reference, code, words) in [
        (trigger(1, 47), "sweep.lengths", "for rows of 47 tokens"),
        (trigger(0, 61), "sweep.batches", "in one of 61 rows"),
    ] {
        let request = request(reference.path()).with(|r| {
            r.thorough = true;
            r.max_length = Some(48);
        });
        let report = run(&request);
        assert_ne!(report.verdict, Verdict::Pass);
        let said =
            report.findings.iter().find(|f| f.code == code).unwrap_or_else(|| panic!("{code}: {:?}", report.findings));
        assert!(said.message.contains(words), "{}", said.message);
        assert!(report.alignment.sweeps.unwrap().thorough);
    }
}

#[test]
fn a_length_limit_beyond_what_a_row_can_use_is_a_usage_error() {
    let folder = fixture("families/tiny-xlm-roberta");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let table = config["max_position_embeddings"].as_u64().unwrap() as usize;
    let request = CheckRequest::new(folder.join("dyn18.onnx"), fixture("families/tiny-xlm-roberta-mlx-8bit"))
        .with(|r| r.max_length = Some(table - 1));
    let error = check(&request, &mut Silent).unwrap_err();
    assert_eq!(error.fault(), Fault::Usage);
    let words = format!("{} positions that a row can use", table - 2);
    assert!(error.to_string().contains(&words), "{error}");
}
