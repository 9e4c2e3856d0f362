//! The GitHub Action: its steps run as the runner runs them, and its file says what its script reads.

use crate::common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::repository;
use serde_yaml_ng::Value;

/// A runner's workspace, with a space in its path.
struct Runner {
    dir: tempfile::TempDir,
}

impl Runner {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("work space").tempdir().unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn step(&self, step: &str, inputs: &[(&str, &str)]) -> Output {
        let mut command = Command::new(repository("scripts/action"));
        command.arg(step).current_dir(self.dir.path()).env("RUNNER_TEMP", self.dir.path());
        command.env("PARALLAX_PROGRAM", env!("CARGO_BIN_EXE_parallax"));
        command.env("GITHUB_OUTPUT", self.path("outputs")).env("GITHUB_STEP_SUMMARY", self.path("summary"));
        command.envs(inputs.iter().map(|(name, value)| (format!("PARALLAX_{name}"), value)));
        command.output().unwrap()
    }

    /// A check of 150 sentences; what it prints.
    fn check(&self, candidate: &str, more: &[(&str, &str)]) -> String {
        let (reference, candidate) = (repository("models/parallax-mini"), repository("models").join(candidate));
        let corpus = format!("\n{}\n", repository("models/corpus.txt").display());
        let mut inputs = vec![("REFERENCE", reference.to_str().unwrap()), ("CANDIDATE", candidate.to_str().unwrap())];
        inputs.extend([("CORPUS", corpus.as_str()), ("ARGS", "--limit 150"), ("OUT", "a report")]);
        inputs.extend(more);
        let output = self.step("check", &inputs);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn output(&self, name: &str) -> String {
        let outputs = fs::read_to_string(self.path("outputs")).unwrap();
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        outputs.lines().rev().find_map(of).unwrap_or_else(|| panic!("no output {name}: {outputs}"))
    }

    fn outputs(&self) -> [String; 3] {
        ["verdict", "exit-code", "report"].map(|name| self.output(name))
    }

    fn summary(&self) -> String {
        fs::read_to_string(self.path("summary")).unwrap()
    }

    fn judge(&self, fail: &str) -> Option<i32> {
        self.step("judge", &[("FAIL", fail), ("EXIT_CODE", &self.output("exit-code"))]).status.code()
    }
}

#[test]
fn a_pass_and_a_fail_come_out_as_such() {
    let runner = Runner::new();
    let printed = runner.check("parallax-mini-mlx-8bit", &[]);
    assert!(printed.contains("PASS"), "{printed}");
    assert_eq!(runner.outputs(), ["pass", "0", "a report"]);
    for file in ["report.json", "report.md", "junit.xml"] {
        assert!(runner.path("a report").join(file).is_file(), "{file}");
    }
    assert!(runner.summary().contains("PASS"));
    assert_eq!(runner.judge("true"), Some(0));

    // Files with a space in their names, of the workspace.
    let show = Command::new(env!("CARGO_BIN_EXE_parallax")).args(["policy", "show", "strict"]).output().unwrap();
    fs::write(runner.path("my limits.toml"), show.stdout).unwrap();
    fs::copy(repository("models/corpus.txt"), runner.path("my corpus.txt")).unwrap();
    let files = [("POLICY", "my limits.toml"), ("CORPUS", "my corpus.txt\nmy corpus.txt")];
    let printed = runner.check("parallax-mini-mlx-4bit", &files);
    assert!(printed.contains("FAIL"), "{printed}");
    assert_eq!(runner.outputs(), ["fail", "1", "a report"]);
    assert!(runner.summary().contains("FAIL"));
    assert_eq!((runner.judge("true"), runner.judge("false"), runner.judge("maybe")), (Some(1), Some(0), Some(2)));
}

#[test]
fn what_is_no_verdict_is_no_pass_and_leaves_no_older_report() {
    let runner = Runner::new();
    runner.check("parallax-mini-mlx-8bit", &[("CORPUS", "")]);
    assert!(runner.path("a report/report.json").is_file());
    for (arguments, code, word) in [
        ("--help", "2", "no report"),
        ("--limit 'x", "2", "arguments"),
        ("--no-such-flag", "2", "no report"),
        ("--max-length 1", "2", "parallax: usage: "),
        ("--ort-lib /nowhere", "5", "parallax: environment: "),
    ] {
        runner.check("parallax-mini-mlx-8bit", &[("ARGS", arguments)]);
        assert_eq!(runner.outputs(), ["error", code, ""], "{arguments}");
        assert!(runner.summary().contains(word), "{arguments}: {}", runner.summary());
        assert_eq!(runner.judge("true").unwrap().to_string(), code);
        assert!(!runner.path("a report/report.json").exists());
    }
    runner.check("no-such-model", &[]);
    assert_eq!(runner.outputs(), ["error", "4", ""]);
    assert_eq!(runner.step("judge", &[("FAIL", "false")]).status.code(), Some(70), "a check that never ran is no pass");
}

#[test]
fn inputs_are_data() {
    let runner = Runner::new();
    let evil = "$(touch planted) `touch planted`; touch planted\n::error::x";
    let printed =
        runner.check("parallax-mini-mlx-8bit", &[("POLICY", evil), ("ARGS", "--limit $(touch${IFS}planted)")]);
    assert!(!runner.path("planted").exists());
    let (first, last) = (printed.lines().next().unwrap(), printed.lines().next_back().unwrap());
    let token = first.strip_prefix("::stop-commands::").unwrap();
    assert_eq!(last, format!("::{token}::"));
    assert_eq!(runner.output("verdict"), "error");
    // Quotes keep words together.
    runner.check("parallax-mini-mlx-8bit", &[("ARGS", "--limit 150\n --prompt 'find: ' --quiet")]);
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(runner.path("a report/report.json")).unwrap()).unwrap();
    assert!(report.to_string().contains("find: "));
}

#[test]
fn the_source_s_key_is_a_plain_word() {
    let runner = Runner::new();
    assert!(runner.step("source", &[]).status.success());
    let key = runner.output("key");
    assert!(key.len() == 32 && key.chars().all(|c| c.is_ascii_hexdigit()), "{key}");
    assert!(runner.output("wheels").starts_with(runner.dir.path().canonicalize().unwrap().to_str().unwrap()));
}

/// Names after `prefix` in a text.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let name = |t: &str| t.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    text.split(prefix).skip(1).map(name).collect()
}

#[test]
fn the_file_says_what_the_script_reads() {
    let text = fs::read_to_string(repository("action.yml")).unwrap();
    let action: Value = serde_yaml_ng::from_str(&text).unwrap();
    let keys = |of: &str| -> BTreeSet<String> {
        action[of].as_mapping().unwrap().keys().map(|k| k.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys("inputs"), names(&text, "inputs."), "inputs declared and used");
    assert_eq!(keys("outputs"), names(&text, "steps.check.outputs."));
    let steps = action["runs"]["steps"].as_sequence().unwrap();
    let script = fs::read_to_string(repository("scripts/action")).unwrap();
    let mut given = BTreeSet::new();
    for step in steps {
        let Some(run) = step.get("run").and_then(Value::as_str) else {
            let uses = step["uses"].as_str().unwrap();
            assert!(uses.starts_with("actions/") && uses.contains('@'), "{uses}");
            continue;
        };
        // An expression in a script is text of a stranger in a script.
        assert!(!run.contains("${{"), "{run}");
        assert_eq!(step["shell"].as_str(), Some("bash"));
        let step_name = run.rsplit(' ').next().unwrap();
        assert!(script.contains(&format!("\n  {step_name}) ")), "{step_name}");
        let variables = step["env"].as_mapping().unwrap().keys();
        given.extend(variables.map(|k| k.as_str().unwrap().strip_prefix("PARALLAX_").unwrap().to_owned()));
    }
    given.remove("ACTION");
    let mut read = names(&script, "PARALLAX_");
    read.retain(|name| !name.is_empty() && name != "PROGRAM");
    assert_eq!(read, given, "variables read and given");
    for output in keys("outputs") {
        assert!(script.contains(&format!("output {output} ")), "{output}");
    }
}

#[test]
fn every_flag_the_script_passes_exists() {
    let help = Command::new(env!("CARGO_BIN_EXE_parallax")).args(["check", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let script = fs::read_to_string(repository("scripts/action")).unwrap();
    let passed = names(&script, "\"--");
    assert!(passed.len() >= 4, "{passed:?}");
    for flag in passed {
        assert!(help.contains(&format!("--{flag} ")), "--{flag}");
    }
}
