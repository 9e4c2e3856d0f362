//! The binary, as a user runs it, on the shipped model: every verdict and every exit code of the contract.

use crate::common;

use std::path::Path;

use assert_cmd::Command;
use common::plant::{Copy, swap};
use common::repository;

const EIGHT: &str = "parallax-mini-mlx-8bit";

struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

fn parallax(arguments: &[&str]) -> Outcome {
    let output = Command::cargo_bin("parallax").unwrap().current_dir(repository("")).args(arguments).output().unwrap();
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
    Outcome { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A check of 150 sentences against the shipped reference.
fn check(candidate: &Path, more: &[&str]) -> Outcome {
    let mut arguments =
        vec!["check", "--quiet", "--reference", "models/parallax-mini", "--candidate", candidate.to_str().unwrap()];
    arguments.extend(["--corpus", "models/corpus.txt", "--limit", "150"]);
    arguments.extend(more);
    parallax(&arguments)
}

/// The only line on stderr.
fn one_line(o: &Outcome) -> &str {
    assert_eq!(o.stderr.lines().count(), 1, "{}", o.stderr);
    assert_eq!(o.stdout, "");
    o.stderr.trim_end()
}

fn assert_code(o: &Outcome, code: i32) {
    assert_eq!(o.code, code, "stdout:\n{}\nstderr:\n{}", o.stdout, o.stderr);
}

#[test]
fn eight_bits_pass() {
    let o = check(&repository("models").join(EIGHT), &[]);
    assert_code(&o, 0);
    assert!(o.stdout.contains("PASS"), "{}", o.stdout);
}

#[test]
fn four_bits_are_faithful_and_cost_what_a_level_allows_or_not() {
    let candidate = repository("models/parallax-mini-mlx-4bit");
    let o = check(&candidate, &["--policy", "strict"]);
    assert_code(&o, 1);
    for word in ["FAIL", "faithful yes: 25,060 of 25,060 groups", "fit no: ", "similarity_shift", "policy strict"] {
        assert!(o.stdout.contains(word), "{word}: {}", o.stdout);
    }
    let o = check(&candidate, &["--policy", "strict", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&o.stdout).unwrap();
    assert_eq!(
        (&report["verdict"], &report["faithful"], &report["fit"]),
        (&"fail".into(), &"yes".into(), &"no".into())
    );
    let failed: Vec<_> = report["gates"].as_array().unwrap().iter().filter(|g| g["outcome"] == "fail").collect();
    assert!(!failed.is_empty());
    for gate in failed {
        assert!(
            gate["margin"].as_f64().unwrap() > 1.0
                && gate["would_pass_at"].as_f64().unwrap() > gate["limit"].as_f64().unwrap()
                || gate["direction"] == "min"
        );
    }
    let o = check(&candidate, &["--policy", "lenient"]);
    assert_code(&o, 0);
    assert!(o.stdout.contains("fit yes: similarity shift"), "{}", o.stdout);
    let o = check(&candidate, &["--policy", "faithful"]);
    assert_code(&o, 0);
    assert!(o.stdout.contains("fit not asked"), "{}", o.stdout);
}

#[test]
fn an_onnx_file_without_its_checkpoint_serves_by_its_own_weights() {
    let folder = Copy::of("parallax-mini");
    std::fs::remove_file(folder.file("model.safetensors")).unwrap();
    let mut arguments = vec!["check", "--quiet", "--corpus", "models/corpus.txt", "--limit", "120"];
    let (reference, candidate) = (folder.path().to_str().unwrap(), "models/parallax-mini-mlx-8bit");
    arguments.extend(["--reference", reference, "--candidate", candidate, "--format", "json"]);
    let o = parallax(&arguments);
    assert_code(&o, 0);
    let report: serde_json::Value = serde_json::from_str(&o.stdout).unwrap();
    assert!(
        report["alignment"]["control"].as_str().unwrap().contains("model.onnx"),
        "{}",
        report["alignment"]["control"]
    );
}

#[test]
fn a_swapped_query_key_pair_is_named() {
    let copy = Copy::of(EIGHT)
        .tensors(|t| swap(t, "encoder.layer.1.attention.self.query", "encoder.layer.1.attention.self.key"));
    let o = check(copy.path(), &[]);
    assert_code(&o, 1);
    let cause = "faithful no: `encoder.layer.1.attention.self.key.weight` and `encoder.layer.1.attention.self.query.weight` of the \
                 candidate are swapped";
    assert!(o.stdout.contains(cause) && o.stdout.contains("  it follows: "), "{}", o.stdout);
}

#[test]
fn two_swapped_layers_are_one_sentence_and_what_follows() {
    let copy = Copy::of(EIGHT).tensors(|t| swap(t, "encoder.layer.2", "encoder.layer.3"));
    let o = check(copy.path(), &[]);
    assert_code(&o, 1);
    for words in ["FAIL", "faithful no: layers 2 and 3 of the candidate are swapped (12 matrices", "  it follows: "] {
        assert!(o.stdout.contains(words), "{words}: {}", o.stdout);
    }
    // Three sentences are too few for what it costs, and enough to see that.
    let few = ["--corpus", "models/corpus.txt", "--limit", "3", "--candidate", copy.path().to_str().unwrap()];
    assert_code(&parallax(&[&["check", "--quiet", "--reference", "models/parallax-mini"], few.as_slice()].concat()), 1);
}

#[test]
fn without_a_corpus_the_candidate_may_be_faithful_and_is_not_shown_to_be_fit() {
    let candidate = "models/parallax-mini-mlx-8bit";
    let o = parallax(&["check", "--quiet", "--reference", "models/parallax-mini", "--candidate", candidate]);
    assert_code(&o, 3);
    for words in [
        "INCONCLUSIVE",
        "faithful yes: 25,060 of 25,060 groups",
        "fit not proven: no corpus was given",
        "give --corpus",
    ] {
        assert!(o.stdout.contains(words), "{words}: {}", o.stdout);
    }
}

#[test]
fn a_zeroed_bias_fails_and_is_named() {
    let copy = Copy::of(EIGHT).tensors(|t| t.get_mut("encoder.layer.2.output.dense.bias").unwrap().2.fill(0));
    let o = check(copy.path(), &[]);
    assert_code(&o, 1);
    assert!(o.stdout.contains("encoder.layer.2.output.dense.bias"), "{}", o.stdout);
}

#[test]
fn one_nan_in_a_scale_is_bad_input() {
    let name = "encoder.layer.0.intermediate.dense.scales";
    let copy = Copy::of(EIGHT).tensors(|t| t.get_mut(name).unwrap().2[4..6].copy_from_slice(&[0, 0x7e]));
    let o = check(copy.path(), &[]);
    assert_code(&o, 4);
    assert!(one_line(&o).contains(name) && one_line(&o).contains("NaN"), "{}", o.stderr);
}

#[test]
fn a_truncated_file_is_bad_input() {
    for keep in [0, 4, 1000, 700_000] {
        let copy = Copy::of(EIGHT).bytes("model.safetensors", |b| b.truncate(keep));
        let o = check(copy.path(), &[]);
        assert_code(&o, 4);
        assert!(one_line(&o).contains("model.safetensors"), "{}", o.stderr);
    }
}

#[test]
fn missing_and_extra_layers() {
    let without = || Copy::of(EIGHT).tensors(|t| t.retain(|n, _| !n.starts_with("encoder.layer.3.")));
    let o = check(without().path(), &[]);
    assert_code(&o, 4);
    assert!(one_line(&o).contains("encoder.layer.3.") && one_line(&o).contains("missing"), "{}", o.stderr);
    // The same with a configuration that agrees: a whole model, but not the reference's.
    let o = check(without().json("config.json", |c| c["num_hidden_layers"] = 3.into()).path(), &[]);
    assert_code(&o, 3);
    let o = check(Copy::of(EIGHT).json("config.json", |c| c["num_hidden_layers"] = 3.into()).path(), &[]);
    assert_code(&o, 4);
    assert!(one_line(&o).contains("encoder.layer.3."), "{}", o.stderr);
}

#[test]
fn declarations_that_do_not_fit_the_file_are_bad_input() {
    let o = check(Copy::of(EIGHT).json("config.json", |c| c["quantization"]["bits"] = 4.into()).path(), &[]);
    assert_code(&o, 4);
    assert!(one_line(&o).contains("8 bits with group 64"), "{}", o.stderr);
    // 4 bits with group 128 have the shapes of 8 bits with group 64; the layer's true width tells them apart.
    let copy =
        Copy::of(EIGHT).json("config.json", |c| c["quantization"] = serde_json::json!({"bits": 4, "group_size": 128}));
    let o = check(copy.path(), &[]);
    assert_code(&o, 4);
    assert!(one_line(&o).contains("shape"), "{}", o.stderr);
}

#[test]
fn an_empty_corpus_and_too_few_sentences_prove_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = dir.path().join("c.txt");
    for (text, word) in [("", "0 rows"), ("\n\n  \n", "0 rows"), ("Only one sentence.\n", "1 row")] {
        std::fs::write(&corpus, text).unwrap();
        let o = parallax(&[
            "check",
            "--quiet",
            "--reference",
            "models/parallax-mini",
            "--candidate",
            "models/parallax-mini-mlx-8bit",
            "--corpus",
            corpus.to_str().unwrap(),
        ]);
        assert_code(&o, 3);
        assert!(o.stdout.contains("INCONCLUSIVE") && o.stdout.contains(word), "{}", o.stdout);
    }
}

#[test]
fn facts_that_contradict_each_other_fail() {
    let o = check(
        Copy::of(EIGHT).json("1_Pooling/config.json", |c| *c = serde_json::json!({"pooling_mode": "cls"})).path(),
        &[],
    );
    assert_code(&o, 1);
    assert!(o.stdout.contains("pooling") && o.stdout.contains("cls"), "{}", o.stdout);
    for (key, value, word) in [
        ("layer_norm_eps", serde_json::json!(1e-5), "layer_norm_eps"),
        ("hidden_act", serde_json::json!("gelu_new"), "activation"),
    ] {
        let o = check(Copy::of(EIGHT).json("config.json", |c| c[key] = value).path(), &[]);
        assert_code(&o, 1);
        assert!(o.stdout.contains(word), "{}", o.stdout);
    }
    let copy = Copy::of(EIGHT).json("tokenizer.json", |c| c["normalizer"]["lowercase"] = false.into());
    let o = check(copy.path(), &[]);
    // That the two make other ids of a text is proven.
    assert_code(&o, 1);
    assert!(o.stdout.contains("tokenizer.json") && o.stdout.contains("lowercase"), "{}", o.stdout);
}

#[test]
fn usage_environment_and_input_errors_have_their_codes() {
    assert_code(&parallax(&["check"]), 2);
    assert_code(&check(&repository("models").join(EIGHT), &["--policy", "no-such-policy"]), 2);
    let o = check(&repository("models").join(EIGHT), &["--ort-lib", "/nowhere/libonnxruntime.so"]);
    assert_code(&o, 5);
    assert!(one_line(&o).contains("scripts/setup") || one_line(&o).contains("pip install"), "{}", o.stderr);
    let blocked = tempfile::NamedTempFile::new().unwrap();
    assert_code(&check(&repository("models").join(EIGHT), &["--out", blocked.path().join("x").to_str().unwrap()]), 5);
    assert_code(&check(Path::new("/nowhere"), &[]), 4);
    // A corpus that is not there is known before any model is read.
    let o = check(&repository("models").join(EIGHT), &["--corpus", "/nowhere.txt"]);
    assert_code(&o, 4);
    assert!(one_line(&o).contains("/nowhere.txt"), "{}", o.stderr);
    assert_code(&parallax(&["--help"]), 0);
    assert_code(&parallax(&["--version"]), 0);
    assert_code(
        &parallax(&["weights", "--original", "models/parallax-mini", "--candidate", "models/parallax-mini-mlx-8bit"]),
        0,
    );
    assert_code(
        &parallax(&[
            "weights",
            "--original",
            "models/parallax-mini/onnx/model.onnx",
            "--candidate",
            "models/parallax-mini-mlx-8bit",
        ]),
        0,
    );
    for path in ["models/parallax-mini", "models/parallax-mini/onnx/model.onnx", "models/parallax-mini-mlx-4bit"] {
        assert_code(&parallax(&["inspect", path]), 0);
    }
    assert_code(&parallax(&["policy", "list"]), 0);
    assert_code(&parallax(&["policy", "show", "standard"]), 0);
}

/// What ONNX Runtime would report of a machine lies in the home folder first.
#[test]
fn a_run_leaves_nothing_in_the_home_folder() {
    let home = tempfile::tempdir().unwrap();
    let candidate = repository("models").join(EIGHT);
    let mut command = Command::cargo_bin("parallax").unwrap();
    command.current_dir(repository("")).env("HOME", home.path()).env_remove("ORT_DISABLE_TELEMETRY");
    for folder in ["XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
        command.env_remove(folder);
    }
    command.args(["check", "--quiet", "--no-cache", "--reference", "models/parallax-mini", "--candidate"]);
    command.arg(candidate).args(["--corpus", "models/corpus.txt", "--limit", "120"]);
    command.arg("--ort-lib").arg(parallax::runtimes::onnx::locate(None).unwrap()).assert().code(0);
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_verdict_does_not_hang_on_stderr() {
    let candidate = repository("models").join(EIGHT);
    for arguments in [["--corpus", "models/corpus.txt"], ["--corpus", "/nowhere.txt"]] {
        let code = |full: bool| {
            let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("parallax"));
            command.current_dir(repository("")).args([
                "check",
                "--limit",
                "120",
                "--reference",
                "models/parallax-mini",
            ]);
            command.arg("--candidate").arg(&candidate).args(arguments).stdout(std::process::Stdio::null());
            let sink = if full { "/dev/full" } else { "/dev/null" };
            command.stderr(std::fs::OpenOptions::new().write(true).open(sink).unwrap()).status().unwrap().code()
        };
        assert_eq!(code(true), code(false), "{arguments:?}");
    }
}

#[test]
fn the_same_run_twice_is_the_same_report_whatever_the_threads() {
    let report = |threads: &str| {
        let o = check(&repository("models").join(EIGHT), &["--format", "json", "--threads", threads]);
        let mut report: serde_json::Value = serde_json::from_str(&o.stdout).unwrap();
        report["provenance"].as_object_mut().unwrap().remove("run").unwrap();
        report["provenance"]["threads"] = 0.into();
        report.to_string()
    };
    let one = report("1");
    assert_eq!(one, report("1"));
    assert_eq!(one.len(), report("2").len());
}
