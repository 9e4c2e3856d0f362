//! Two sides whose every layer agrees, and whose sentences do not mean the same: what their files say of pooling,
//! modules and prompts is held against each other, and the difference is named.

use crate::common;

use std::fs;
use std::path::Path;

use common::fixture;
use common::plant::{Copy, write_stored};
use parallax::Error;
use parallax::check::check;
use parallax::checkpoint::PoolingMode;
use parallax::corpus::CorpusOptions;
use parallax::fault::Fault;
use parallax::hidden_states::{Arm, Tap};
use parallax::observe::Silent;
use parallax::policy::Outcome;
use parallax::report::Report;
use parallax::sides::CheckRequest;
use parallax::tools::{RecordRequest, RecordSide, record};
use parallax::verdict::Verdict;
use serde_json::{Value, json};

fn reference() -> Copy {
    let copy = Copy::of_path(&fixture("zoo/tiny-bert"));
    fs::rename(copy.file("dyn18.onnx"), copy.file("model.onnx")).unwrap();
    copy
}

fn candidate() -> Copy {
    Copy::of_path(&fixture("zoo/tiny-bert-mlx-8bit"))
}

fn checked(reference: &Path, candidate: &Path, change: impl FnOnce(&mut CheckRequest)) -> Result<Report, Error> {
    let corpus = CorpusOptions { files: vec![fixture("zoo/tiny-bert/corpus.txt")], ..CorpusOptions::default() };
    let mut request = CheckRequest::new(reference, candidate).with(|r| {
        r.corpus = corpus;
        r.threads = 2;
    });
    change(&mut request);
    check(&request, &mut Silent)
}

/// Every layer agrees: nothing but the sentences can be at fault.
fn layers_agree(report: &Report) {
    let layers = report.gates.iter().filter(|g| matches!(g.quantity.tap(), Some(Tap::Layer(_))));
    assert!(layers.clone().count() > 0);
    assert!(layers.clone().all(|g| g.outcome == Outcome::Pass), "{:?}", report.gates);
}

/// The reasons, as one text.
fn reasons(report: &Report) -> String {
    serde_json::to_string(&report.reasons).unwrap()
}

fn prompts(copy: Copy, query: &str) -> Copy {
    let config = json!({"prompts": {"query": query, "document": "white "}, "default_prompt_name": "query"});
    fs::write(copy.file("config_sentence_transformers.json"), config.to_string()).unwrap();
    copy
}

fn preflight(report: &Report, check: &str) -> &'static str {
    report.alignment.preflight.iter().find(|row| row.check == check).unwrap().outcome.name()
}

#[test]
fn another_pooling_is_named() {
    let other = candidate().json("1_Pooling/config.json", |c| {
        c["pooling_mode_cls_token"] = json!(true);
        c["pooling_mode_mean_tokens"] = json!(false);
    });
    let report = checked(reference().path(), other.path(), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(
        reasons(&report).contains("pooling: the reference says mean, the candidate says cls"),
        "{}",
        reasons(&report)
    );
    layers_agree(&report);
}

#[test]
fn a_dense_module_is_applied_on_both_sides_and_missed_where_it_is_missing() {
    let (ours, theirs) = (reference().with_dense(32, 32), candidate().with_dense(32, 32));
    let report = checked(ours.path(), theirs.path(), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{}", reasons(&report));
    assert_eq!(preflight(&report, "dense"), "match");
    // The candidate's files leave it out: the same width, other vectors.
    let report = checked(ours.path(), candidate().path(), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
    let said = "dense: the reference says Dense 32 to 32, Tanh, the candidate says none";
    assert!(reasons(&report).contains(said), "{}", reasons(&report));
    layers_agree(&report);
    // Of another width, nothing can be compared.
    let e = checked(reference().with_dense(32, 16).path(), candidate().path(), |_| ()).unwrap_err();
    assert_eq!(e.fault(), Fault::Incomparable);
    for word in ["16 dimensions (mean pooling, then Dense 32 to 16, Tanh, then Normalize)", "the candidate's 32"] {
        assert!(e.to_string().contains(word), "{e}");
    }
    // Weights that are listed and not there are an error, whichever side misses them.
    fs::remove_file(theirs.file("2_Dense/model.safetensors")).unwrap();
    let e = checked(ours.path(), theirs.path(), |_| ()).unwrap_err();
    assert!(e.to_string().contains("2_Dense: the module's `weight` is missing") && e.fault() == Fault::BadInput, "{e}");
}

/// A recording is of the encoder's weights, whatever modules lie beside them.
#[test]
fn a_candidate_with_a_dense_module_is_recorded_and_compared() {
    let theirs = prompts(candidate().with_dense(32, 32), "time ");
    let save = theirs.file("states.safetensors");
    let corpus = CorpusOptions { files: vec![fixture("zoo/tiny-bert/corpus.txt")], ..CorpusOptions::default() };
    let request = RecordRequest {
        corpus,
        threads: 2,
        ..RecordRequest::new(RecordSide::Candidate(theirs.path().to_owned()), &save)
    };
    record(&request, &mut Silent).unwrap();
    let ours = prompts(reference().with_dense(32, 32), "time ");
    let report = checked(ours.path(), theirs.path(), |r| r.recording = Some(save)).unwrap();
    // It is compared to the last bit, and shows nothing of a device: the states are this program's own.
    assert_eq!(report.verdict, Verdict::Inconclusive, "{}", reasons(&report));
    assert!(report.reasons.iter().all(|r| r.code == "recording.not_another_runtime"), "{}", reasons(&report));
    let device = report.measurements.iter().filter(|m| m.arm == Arm::Device && m.tap == Tap::Sentence);
    let exact: Vec<_> = device.filter(|m| m.metric == "max_abs").map(|m| m.max).collect();
    assert_eq!(exact, [Some(0.0)], "its own sentences, the module's doing included");
}

/// Other weights in the module move the sentences and nothing else.
#[test]
fn a_dense_module_with_other_weights_fails_by_number() {
    let theirs = candidate().with_dense(32, 32);
    let file = theirs.file("2_Dense/model.safetensors");
    let mut tensors = common::plant::stored(&file);
    let bytes = &mut tensors.get_mut("linear.weight").unwrap().2;
    bytes[..64 * 4].reverse();
    write_stored(&file, &tensors);
    let report = checked(reference().with_dense(32, 32).path(), theirs.path(), |_| ());
    match report {
        // Bytes turned round may be no numbers.
        Err(e) => assert!(e.to_string().contains("linear.weight"), "{e}"),
        Ok(report) => {
            assert_ne!(report.verdict, Verdict::Pass);
            layers_agree(&report);
        }
    }
}

#[test]
fn a_recording_pools_prompts_and_cuts_as_it_is_told_and_a_plain_folder_as_its_program_does() {
    type Change<'a> = &'a dyn Fn(&mut RecordRequest);
    let corpus = CorpusOptions { files: vec![fixture("zoo/tiny-bert/corpus.txt")], ..CorpusOptions::default() };
    let made = |folder: &Copy, change: Change<'_>| {
        let save = folder.file("states.safetensors.tmp");
        let side = RecordSide::Candidate(folder.path().to_owned());
        let mut request = RecordRequest { corpus: corpus.clone(), threads: 2, ..RecordRequest::new(side, &save) };
        change(&mut request);
        record(&request, &mut Silent)?;
        let all = common::plant::stored(&save);
        let sentence = &all["tap/sentence"];
        Ok::<_, Error>((sentence.1[1], common::plant::floats(&sentence.2), all["input_ids"].2.clone()))
    };
    let stated = prompts(candidate(), "time ");
    let (width, mean, ids) = made(&stated, &|_| ()).unwrap();
    let (_, cls, _) = made(&stated, &|r| r.pooling = Some(PoolingMode::Cls)).unwrap();
    assert_ne!(mean, cls);
    let (narrow, ..) = made(&stated, &|r| r.dim = Some(width / 2)).unwrap();
    assert_eq!(narrow, width / 2);
    let (_, _, others) = made(&stated, &|r| r.prompt_name = Some("document".to_owned())).unwrap();
    assert_ne!(ids, others);
    let wrong: [(Change<'_>, &str); 4] = [
        (&|r| r.prompt_name = Some("no".to_owned()), "no such prompt"),
        (&|r| r.dim = Some(1), "--dim 1"),
        (&|r| r.max_length = Some(1 << 20), "--max-length 1048576"),
        (&|r| r.runtime = "no-such-runtime".to_owned(), "--runtime"),
    ];
    for (change, said) in wrong {
        let e = made(&stated, change).unwrap_err();
        assert!(e.to_string().contains(said) && e.fault() == Fault::Usage, "{e}");
    }
    // What mlx-embeddings writes has no pooling files: its program's own pooling is taken, as in a check.
    let plain = candidate();
    for name in ["modules.json", "1_Pooling"] {
        let path = plain.file(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { _ = fs::remove_file(path) }
    }
    assert_eq!(made(&plain, &|_| ()).unwrap().0, width);
}

#[test]
fn another_prompt_is_named_and_the_models_own_one_is_used() {
    let (ours, theirs) = (prompts(reference(), "time "), prompts(candidate(), "time "));
    let report = checked(ours.path(), theirs.path(), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{}", reasons(&report));
    assert_eq!(report.corpus.prompt.as_deref(), Some("time "));
    // mlx-embeddings does not read it.
    assert!(caveat(&report, "runtime.prompt_unread"), "{:?}", report.findings);
    let named = checked(ours.path(), theirs.path(), |r| r.prompt_name = Some("document".to_owned())).unwrap();
    assert_eq!(named.corpus.prompt.as_deref(), Some("white "));
    let without = checked(reference().path(), candidate().path(), |_| ()).unwrap();
    assert!(report.corpus.tokens > without.corpus.tokens, "the prompt is part of every row");

    let report = checked(ours.path(), prompts(candidate(), "people ").path(), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Fail);
    let said = r#"prompt: the reference says \"time \", the candidate says \"people \""#;
    let all = reasons(&report).replace("\\\\\\\"", "\\\"");
    assert!(all.contains(said), "{all}");
    layers_agree(&report);

    let e = checked(ours.path(), theirs.path(), |r| r.prompt_name = Some("passage".to_owned())).unwrap_err();
    assert!(e.to_string().contains("no such prompt; there are document, query") && e.fault() == Fault::Usage, "{e}");
    let e = checked(reference().path(), candidate().path(), |r| r.prompt_name = Some("query".to_owned())).unwrap_err();
    assert!(e.to_string().contains("neither model's files state any prompts"), "{e}");
    for bad in [json!([]), json!({"prompts": 3}), json!({"prompts": {"a": 1}}), json!({"default_prompt_name": "x"})] {
        fs::write(theirs.file("config_sentence_transformers.json"), Value::to_string(&bad)).unwrap();
        let e = checked(ours.path(), theirs.path(), |_| ()).unwrap_err();
        assert!(e.to_string().contains("config_sentence_transformers.json") && e.fault() == Fault::BadInput, "{e}");
    }
}

/// The sentence vectors' width, by the report.
fn width(report: &Report) -> usize {
    report.sentence.dimension
}

#[test]
fn dimensions_may_be_left_out_on_both_sides() {
    let (ours, theirs) = (reference(), candidate());
    let all = checked(ours.path(), theirs.path(), |_| ()).unwrap();
    let few = checked(ours.path(), theirs.path(), |r| r.dim = Some(8)).unwrap();
    assert_eq!((width(&all), width(&few)), (32, 8));
    let overruled = |report: &Report| report.findings.iter().any(|f| f.message.starts_with("--dim 8 overrules"));
    assert!(overruled(&few) && !overruled(&all), "a flag that changes what is judged stands in the verdict");
    let sentence = |report: &Report| {
        let found = report
            .measurements
            .iter()
            .find(|m| m.tap == Tap::Sentence && m.arm == Arm::Total && m.metric == "cosine_distance");
        found.unwrap().mean.unwrap()
    };
    assert_ne!(sentence(&all), sentence(&few));
    let e = checked(ours.path(), theirs.path(), |r| r.dim = Some(33)).unwrap_err();
    assert!(e.to_string().contains("--dim 33: the vectors of the reference have 32 dimensions"), "{e}");
}

/// Whether the verdict itself says so.
fn caveat(report: &Report, code: &str) -> bool {
    let found = report.findings.iter().find(|f| f.code == code);
    found.is_some_and(|f| parallax::report::terminal::verdict_text(report, false, false).contains(&f.message))
}

/// Both sides' files cut vectors; mlx-embeddings does not read that.
#[test]
fn a_width_that_the_runtime_does_not_read_is_left_to_its_callers_and_said() {
    let cut = |copy: Copy| {
        let config = json!({"prompts": {}, "truncate_dim": 16});
        fs::write(copy.file("config_sentence_transformers.json"), config.to_string()).unwrap();
        copy
    };
    let (ours, theirs) = (cut(reference()), cut(candidate()));
    let report = checked(ours.path(), theirs.path(), |_| ()).unwrap();
    assert_eq!((report.verdict, width(&report)), (Verdict::Pass, 16), "{}", reasons(&report));
    assert!(caveat(&report, "runtime.width_unread"), "{:?}", report.findings);
    let all = checked(reference().path(), candidate().path(), |_| ()).unwrap();
    assert!(!caveat(&all, "runtime.width_unread"));
}

/// Both sides' files state a Dense module; mlx-embeddings applies none behind a BERT.
#[test]
fn a_module_that_the_runtime_does_not_apply_is_left_to_its_callers_and_said() {
    let width = checked(reference().path(), candidate().path(), |_| ()).map(|r| width(&r)).unwrap();
    let dense = |copy: Copy| copy.with_dense(width, width);
    let report = checked(dense(reference()).path(), dense(candidate()).path(), |_| ()).unwrap();
    assert!(caveat(&report, "runtime.modules_unread"), "{:?}", report.findings);
    let other = |r: &mut CheckRequest| r.runtime = "sentence-transformers".to_owned();
    let report = checked(dense(reference()).path(), dense(candidate()).path(), other).unwrap();
    assert!(!caveat(&report, "runtime.modules_unread"));
}

/// A graph that computes sentences itself: what they are is found, whatever the files say.
#[test]
fn the_graphs_own_sentences_are_held_against_what_the_files_say() {
    let with = |export: &str| {
        let copy = Copy::of_path(&fixture("zoo/tiny-bert"));
        fs::rename(copy.file(export), copy.file("model.onnx")).unwrap();
        copy
    };
    let said = |report: &Report| {
        let found: Vec<_> = report.findings.iter().filter(|f| f.code == "reference.sentence_output").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        println!("{}", found[0].message);
        found[0].message.clone()
    };
    let cls = |copy: Copy| {
        copy.json("1_Pooling/config.json", |c| {
            c["pooling_mode_cls_token"] = json!(true);
            c["pooling_mode_mean_tokens"] = json!(false);
        })
    };
    for export in ["sentence_ts14.onnx", "sentence_dyn18.onnx", "sentence_o2.onnx"] {
        let report = checked(with(export).path(), candidate().path(), |_| ()).unwrap();
        assert_eq!(report.verdict, Verdict::Pass, "{export}: {}", reasons(&report));
        assert!(said(&report).contains("is what the files say, mean pooling, then Normalize"), "{}", said(&report));
    }
    // Both sides' files agree with each other, and with nothing the graph computes.
    let report = checked(cls(with("sentence_dyn18.onnx")).path(), cls(candidate()).path(), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let expected = "is mean pooling, then Normalize, the files say cls pooling, then Normalize";
    assert!(said(&report).contains(expected), "{}", said(&report));
    layers_agree(&report);
    // A module that the graph does not have, on both sides.
    let (ours, theirs) = (with("sentence_ts14.onnx").with_dense(32, 32), candidate().with_dense(32, 32));
    let report = checked(ours.path(), theirs.path(), |_| ()).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(said(&report).contains("is mean pooling, then Normalize, the files say mean pooling, then Dense 32 to 32"));
    // A graph without such an output says nothing of it.
    let report = checked(reference().path(), candidate().path(), |_| ()).unwrap();
    assert!(report.findings.iter().all(|f| f.code != "reference.sentence_output"));
}
