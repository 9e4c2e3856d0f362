//! Saved reports: other limits, another day, an earlier run beside them. Nothing is run, and nothing passes that a run would not.

use crate::common;

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use common::repository;
use parallax::report::Report;
use serde_json::Value;

fn parallax(arguments: &[&str]) -> Output {
    Command::cargo_bin("parallax").unwrap().current_dir(repository("")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A report of the shipped model in so many bits, on the first rows of the corpus.
fn check(dir: &Path, bits: u32, more: &[&str]) -> (PathBuf, Output) {
    let out = dir.join(format!("{bits}bit{}", more.concat().len()));
    let candidate = format!("models/parallax-mini-mlx-{bits}bit");
    let mut arguments = vec![
        "check",
        "--quiet",
        "--reference",
        "models/parallax-mini",
        "--candidate",
        &candidate,
        "--out",
        out.to_str().unwrap(),
    ];
    arguments.extend(["--corpus", "models/corpus.txt"]);
    if !more.contains(&"--limit") {
        arguments.extend(["--limit", "150"]);
    }
    arguments.extend(more);
    let done = parallax(&arguments);
    (out.join("report.json"), done)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// An edited report as its forger would write it.
fn resealed(mut value: Value) -> Vec<u8> {
    value["provenance"]["run"]["sealed"] = Value::Null;
    serde_json::from_value::<Report>(value).unwrap().to_json().unwrap()
}

#[test]
fn the_same_limits_give_the_same_bytes_and_others_another_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let (report, run) = check(dir.path(), 4, &["--policy", "lenient"]);
    assert_eq!(run.status.code(), Some(0));
    let again = dir.path().join("again");
    let path = report.to_str().unwrap();
    let recheck = parallax(&["recheck", path, "--out", again.to_str().unwrap()]);
    assert_eq!((recheck.status.code(), text(&recheck.stdout)), (Some(0), text(&run.stdout)));
    for file in ["report.json", "report.html", "report.md", "junit.xml"] {
        let own = std::fs::read(report.with_file_name(file)).unwrap();
        assert!(own == std::fs::read(again.join(file)).unwrap(), "{file}");
    }
    for (format, file) in
        [("html", "report.html"), ("markdown", "report.md"), ("junit", "junit.xml"), ("json", "report.json")]
    {
        let rendered = parallax(&["render", path, "--to", format]);
        assert!(rendered.stdout == std::fs::read(report.with_file_name(file)).unwrap(), "{format}");
    }
    // What its own measurements deny is no report: a gate left out, another number, a noise floor that nobody speaks of.
    let forged = |change: &dyn Fn(&mut Value)| {
        let (mut value, file) = (json(&report), dir.path().join("forged.json"));
        change(&mut value);
        let told = |json: &[u8]| {
            std::fs::write(&file, json).unwrap();
            let done = parallax(&["render", file.to_str().unwrap()]);
            assert_eq!(done.status.code(), Some(4), "{}", text(&done.stdout));
            text(&done.stderr)
        };
        told(value.to_string().as_bytes());
        told(&resealed(value))
    };
    assert!(forged(&|r| drop(r["gates"].as_array_mut().unwrap().pop())).contains("asks for"));
    assert!(forged(&|r| r["gates"][0]["observed"] = 1e-9.into()).contains("another number"));
    assert!(forged(&|r| r["alignment"]["floor"][0]["p99"] = 0.5.into()).contains("alignment.floor"));
    assert!(forged(&|r| r["corpus"]["unique_rows"] = 3.into()).contains("evidence.rows"));
    assert!(forged(&|r| r["provenance"]["policy"]["name"] = "strict".into()).contains("not this version's"));
    let strict = parallax(&["recheck", path, "--policy", "strict"]);
    assert!(strict.status.code() == Some(1) && text(&strict.stdout).starts_with("FAIL"), "{}", text(&strict.stdout));
    let none = parallax(&["recheck", path, "--policy", "strikt"]);
    assert!(none.status.code() == Some(2) && text(&none.stderr).contains("did you mean"), "{}", text(&none.stderr));
}

#[test]
fn a_suggested_policy_passes_what_it_was_made_of_and_says_where_from() {
    let dir = tempfile::tempdir().unwrap();
    let (report, _) = check(dir.path(), 4, &[]);
    let path = report.to_str().unwrap();
    let suggested = parallax(&["policy", "suggest", path, "--margin", "1.5"]);
    let policy = text(&suggested.stdout);
    assert!(policy.contains("why = \"measured") && policy.contains("150 sentences"), "{policy}");
    let file = dir.path().join("mine.toml");
    std::fs::write(&file, &policy).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(parallax(&["policy", "validate", file]).status.code(), Some(0));
    let own = parallax(&["recheck", path, "--policy", file]);
    assert_eq!(own.status.code(), Some(0), "{}", text(&own.stdout));
    // and is no gift: a model with twice the error is outside
    let tight = text(&parallax(&["policy", "suggest", check(dir.path(), 8, &[]).0.to_str().unwrap()]).stdout);
    std::fs::write(file, tight).unwrap();
    assert_eq!(parallax(&["recheck", path, "--policy", file]).status.code(), Some(1));
    assert_eq!(parallax(&["policy", "suggest", path, "--margin", "0.5"]).status.code(), Some(2));
}

/// The report as if it had been judged when its waiver was over.
fn forged_day(out: &Path) -> PathBuf {
    let file = out.join("report.json");
    let text = std::fs::read_to_string(&file).unwrap().replace("gate.praised", "gate.waived");
    assert_eq!(text.matches("2999-01-31\"").count(), 1);
    std::fs::write(&file, text.replace("2999-01-31\"", "2026-01-31\"")).unwrap();
    file
}

#[test]
fn a_waiver_lets_one_limit_go_until_its_day_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (report, _) = check(dir.path(), 8, &[]);
    let path = report.to_str().unwrap();
    let file = dir.path().join("waived.toml");
    let own = text(&parallax(&["policy", "show", "standard"]).stdout);
    // A limit that the model is outside of: the others still see the planted faults.
    let limit = "[[gate]]\non = \"sentence\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p50\"\nmax = 1e-9\n";
    let waiver = |day: &str| {
        format!(
            "{own}\n{limit}[[waiver]]\non = \"sentence\"\narm = \"total\"\nmetric = \"relative_l2\"\nstat = \"p50\"\nreason = \"customers were told\"\nexpires = \"{day}\"\n"
        )
    };
    let judged = |policy: String| {
        std::fs::write(&file, policy).unwrap();
        let out = dir.path().join("out");
        let done = parallax(&["recheck", path, "--policy", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        (done.status.code(), text(&done.stdout), out)
    };
    let (code, said, _) = judged(format!("{own}\n{limit}"));
    assert_eq!(code, Some(1), "{said}");
    let (code, said, out) = judged(waiver("2999-01-31"));
    assert!(code == Some(0) && said.contains("waived:") && said.contains("customers were told"), "{said}");
    for file in ["report.md", "report.html", "junit.xml"] {
        assert!(std::fs::read_to_string(out.join(file)).unwrap().contains("customers were told"), "{file}");
    }
    // A report that says "waived" without a waiver is no report.
    let forged = std::fs::read_to_string(out.join("report.json"))
        .unwrap()
        .replace("\"code\": \"gate.waived\"", "\"code\": \"gate.praised\"");
    std::fs::write(out.join("report.json"), forged).unwrap();
    assert_eq!(parallax(&["render", out.join("report.json").to_str().unwrap()]).status.code(), Some(4));
    let kept = forged_day(&out);
    assert_eq!(parallax(&["render", kept.to_str().unwrap()]).status.code(), Some(4), "judged after it had expired");
    let (code, said, _) = judged(waiver("2026-01-31"));
    assert!(code == Some(1) && said.contains("expired on 2026-01-31"), "{said}");
}

#[test]
fn an_earlier_run_says_what_became_better_or_worse_and_sets_limits() {
    let dir = tempfile::tempdir().unwrap();
    let (old, _) = check(dir.path(), 8, &[]);
    let (_, other) = check(dir.path(), 4, &["--baseline", old.to_str().unwrap(), "--no-canaries"]);
    let said = text(&other.stdout);
    assert!(other.status.code() == Some(3) && said.contains("stored in another format"), "{said}");
    let lenient = ["--baseline", old.to_str().unwrap(), "--baseline-other-format", "--policy", "lenient"];
    let (new, run) = check(dir.path(), 4, &lenient);
    assert_eq!(run.status.code(), Some(0), "{}", text(&run.stdout));
    assert!(text(&run.stdout).contains("against the earlier run of"), "{}", text(&run.stdout));
    assert!(text(&run.stdout).contains("waived: the earlier run's candidate is stored in another format"));
    let section = &json(&new)["regression"];
    let (worse, movements) = (section["worse"].as_u64().unwrap(), section["movements"].as_array().unwrap());
    assert!(worse > 20 && movements.len() > 30, "{section}");
    let layer = movements
        .iter()
        .find(|m| {
            m["on"] == "layer.3" && m["arm"] == "quantization" && m["metric"] == "relative_l2" && m["stat"] == "p99"
        })
        .unwrap();
    assert!(layer["trend"] == "worse" && layer["change"].as_f64().unwrap() > 5.0, "{layer}");
    let engine = movements.iter().find(|m| m["arm"] == "engine" && m["metric"] == "relative_l2").unwrap();
    assert_eq!(engine["trend"], "same", "{engine}");
    // the same again beside itself: nothing moved
    let (new, old) = (new.to_str().unwrap(), old.to_str().unwrap());
    let itself = parallax(&["recheck", old, "--baseline", old, "--format", "json"]);
    let itself: Value = serde_json::from_slice(&itself.stdout).unwrap();
    assert_eq!((&itself["regression"]["worse"], &itself["regression"]["better"]), (&Value::from(0), &Value::from(0)));
    // a limit that the earlier run sets
    let policy = dir.path().join("regression.toml");
    let gate = "\n[[gate]]\non = \"sentence\"\narm = \"total\"\nmetric = \"cosine_distance\"\nstat = \"p99\"\nmax_regression = 0.1\n";
    std::fs::write(&policy, text(&parallax(&["policy", "show", "lenient"]).stdout) + gate).unwrap();
    let policy = policy.to_str().unwrap();
    let alone = parallax(&["recheck", new, "--policy", policy]);
    assert!(alone.status.code() == Some(3) && text(&alone.stdout).contains("--baseline"), "{}", text(&alone.stdout));
    let beside = parallax(&["recheck", new, "--policy", policy, "--baseline", old, "--baseline-other-format"]);
    assert!(
        beside.status.code() == Some(1) && text(&beside.stdout).contains("in the earlier run"),
        "{}",
        text(&beside.stdout)
    );
    // an earlier value made up by hand
    let out = dir.path().join("forged");
    parallax(&["recheck", new, "--policy", policy, "--baseline", new, "--out", out.to_str().unwrap()]);
    let file = out.join("report.json");
    let mut forged = json(&file);
    forged["regression"]["movements"] = Value::Array(vec![]);
    std::fs::write(&file, resealed(forged)).unwrap();
    assert_eq!(parallax(&["render", file.to_str().unwrap()]).status.code(), Some(4));
    let kept = parallax(&["recheck", new, "--policy", policy, "--baseline", new]);
    assert_eq!(kept.status.code(), Some(0), "{}", text(&kept.stdout));
}

#[test]
fn runs_that_answer_different_questions_are_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (old, _) = check(dir.path(), 8, &["--limit", "140"]);
    let (new, _) = check(dir.path(), 8, &[]);
    let beside = parallax(&["recheck", new.to_str().unwrap(), "--baseline", old.to_str().unwrap()]);
    let said = text(&beside.stdout);
    assert!(beside.status.code() == Some(3) && said.contains("another number of rows"), "{said}");
    let mut other = json(&old);
    for input in other["provenance"]["inputs"].as_array_mut().unwrap() {
        if input["file"].as_str().unwrap().ends_with(".onnx") {
            input["sha256"] = Value::from("0".repeat(64));
        }
    }
    std::fs::write(&old, resealed(other)).unwrap();
    let beside = parallax(&["recheck", new.to_str().unwrap(), "--baseline", old.to_str().unwrap(), "--explain"]);
    assert!(
        beside.status.code() == Some(3) && text(&beside.stdout).contains("another reference"),
        "{}",
        text(&beside.stdout)
    );
    // the same question, but an answer that was none: 60 rows are too few
    let (few, _) = check(dir.path(), 8, &["--limit", "60"]);
    let beside = parallax(&["recheck", few.to_str().unwrap(), "--baseline", few.to_str().unwrap()]);
    assert!(text(&beside.stdout).contains("was inconclusive itself"), "{}", text(&beside.stdout));
    std::fs::write(&old, "{").unwrap();
    let none = parallax(&["recheck", new.to_str().unwrap(), "--baseline", old.to_str().unwrap()]);
    assert_eq!((none.status.code(), text(&none.stderr).lines().count()), (Some(4), 1));
}

/// The policy printed in docs/ is one.
#[test]
fn the_policy_of_the_docs_is_read_as_it_stands() {
    let page = std::fs::read_to_string(repository("docs/policies.md")).unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("docs.toml");
    std::fs::write(&file, rest.split_once("```").unwrap().0).unwrap();
    let done = parallax(&["policy", "validate", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

#[test]
fn the_earlier_run_may_lie_where_this_one_goes_and_nothing_of_it_stays_where_this_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (old, _) = check(dir.path(), 8, &[]);
    let folder = old.parent().unwrap();
    let more = ["--baseline", old.to_str().unwrap(), "--out", folder.to_str().unwrap()];
    let common =
        ["check", "--quiet", "--reference", "models/parallax-mini", "--corpus", "models/corpus.txt", "--limit", "150"];
    let run = |candidate: &str| parallax(&[&common[..], &["--candidate", candidate], &more[..]].concat());
    let again = run("models/parallax-mini-mlx-8bit");
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains("against the earlier run of"), "{}", text(&again.stdout));
    assert_eq!(run("models/no-such-folder").status.code(), Some(4));
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "no green file of an earlier run stands for this one");
}
