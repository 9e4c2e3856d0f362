//! Set-up where the users are: the CI snippets run as they stand, the pre-commit hook meets the files it should, and
//! completions and manual pages know every command.

use crate::common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use common::repository;
use serde_yaml_ng::Value;
use zip::write::SimpleFileOptions;

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// A wheel that puts this build of parallax where a wheel of maturin's would.
fn wheel(dir: &Path) -> String {
    let path = dir.join("parallax_check-0.1.0-py3-none-any.whl");
    let mut wheel = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let program = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_parallax"));
    let files = [
        ("parallax_check-0.1.0.data/scripts/parallax", program.as_str()),
        ("parallax_check-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: parallax-check\nVersion: 0.1.0\n"),
        ("parallax_check-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        ("parallax_check-0.1.0.dist-info/RECORD", ""),
    ];
    for (name, text) in files {
        wheel.start_file(name, SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
        wheel.write_all(text.as_bytes()).unwrap();
    }
    wheel.finish().unwrap();
    path.display().to_string()
}

/// What pip installs unless told otherwise: this repository, whose project file is what pip needs.
const PACKAGE: &str = "git+https://github.com/OWNER/parallax@v0.1.0";

/// A workspace with the shipped models in it, and a wheel.
struct Workspace {
    dir: tempfile::TempDir,
    wheel: String,
}

impl Workspace {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(repository("models"), dir.path().join("models")).unwrap();
        let wheel = wheel(dir.path());
        Self { dir, wheel }
    }

    fn run(&self, shell: &[&str], script: &str, variables: &BTreeMap<String, String>) -> Output {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(script).current_dir(self.dir.path()).envs(variables);
        command.env("PARALLAX_PACKAGE", &self.wheel).output().unwrap()
    }

    fn has_report(&self) -> bool {
        ["report.json", "junit.xml"].iter().all(|f| self.dir.path().join("parallax-report").join(f).is_file())
    }
}

#[test]
fn the_gitlab_job_runs_and_fails_when_it_should() {
    let job: Value = serde_yaml_ng::from_str(&read("scripts/ci/gitlab.yml")).unwrap();
    let job = &job["parallax"];
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let mut variables: BTreeMap<String, String> =
        job["variables"].as_mapping().unwrap().iter().map(|(k, v)| (text(k), text(v))).collect();
    assert_eq!(variables.remove("PARALLAX_PACKAGE").as_deref(), Some(PACKAGE));
    let lines = |key: &str| job[key].as_sequence().unwrap().iter().map(text).collect::<Vec<_>>().join("\n");
    let workspace = Workspace::new();
    let run = |script: &str, v: &_| workspace.run(&["bash", "-eo", "pipefail", "-c"], script, v);
    let output = run(&lines("before_script"), &variables);
    assert!(output.status.success(), "{output:?}");
    let output = run(&lines("script"), &variables);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("PASS"), "{output:?}");
    assert!(workspace.has_report());
    assert!(workspace.dir.path().join(text(&job["artifacts"]["reports"]["junit"])).is_file());
    assert!(workspace.dir.path().join(text(&job["artifacts"]["paths"][0])).is_dir());
    // A model that is broken stops the job at once.
    variables.insert("CANDIDATE".to_owned(), "models".to_owned());
    assert_eq!(run(&lines("script"), &variables).status.code(), Some(4));
}

#[test]
fn the_jenkins_pipeline_s_commands_run() {
    let file = read("scripts/ci/Jenkinsfile");
    let setting = |line: &str| {
        let (name, value) = line.trim().split_once(" = '")?;
        Some((name.to_owned(), value.strip_suffix('\'')?.to_owned()))
    };
    let mut variables: BTreeMap<String, String> = file.lines().filter_map(setting).collect();
    assert_eq!(variables.len(), 4, "{variables:?}");
    assert_eq!(variables.remove("PARALLAX_PACKAGE").as_deref(), Some(PACKAGE));
    assert!(PACKAGE.ends_with(&format!("@v{}", env!("CARGO_PKG_VERSION"))));
    // In Groovy's quotes a backslash is written twice.
    let scripts: Vec<String> = file.split("'''").skip(1).step_by(2).map(|s| s.replace("\\\\", "\\")).collect();
    assert_eq!(scripts.len(), 2);
    let workspace = Workspace::new();
    for script in &scripts {
        let output = workspace.run(&["sh", "-xec"], script, &variables);
        assert!(output.status.success(), "{script}: {output:?}");
    }
    assert!(workspace.has_report());
    variables.insert("CANDIDATE".to_owned(), "models/parallax-mini".to_owned());
    let output = workspace.run(&["sh", "-xec"], &scripts[1], &variables);
    assert!(output.status.code() != Some(0), "the reference itself is no candidate: {output:?}");
    for (open, close) in ["{}", "()", "[]"].iter().map(|p| (p.chars().next().unwrap(), p.chars().last().unwrap())) {
        assert_eq!(file.matches(open).count(), file.matches(close).count(), "{open}{close}");
    }
}

#[test]
fn the_workflow_gives_the_action_inputs_it_has() {
    let workflow: Value = serde_yaml_ng::from_str(&read("scripts/ci/github.yml")).unwrap();
    let action: Value = serde_yaml_ng::from_str(&read("action.yml")).unwrap();
    let steps = workflow["jobs"]["parallax"]["steps"].as_sequence().unwrap();
    let step = steps.iter().find(|s| s["uses"].as_str().unwrap().contains("/parallax@")).unwrap();
    let given = step["with"].as_mapping().unwrap();
    let inputs = action["inputs"].as_mapping().unwrap();
    assert!(given.keys().all(|k| inputs.contains_key(k)), "{given:?}");
    let required = inputs.iter().filter(|(_, v)| v.get("required").is_some());
    assert!(required.map(|(k, _)| k).all(|k| given.contains_key(k)), "{given:?}");
    for path in ["reference", "candidate", "corpus"] {
        assert!(repository(given[path].as_str().unwrap()).exists(), "{path}");
    }
}

#[test]
fn the_hook_meets_the_files_of_models() {
    let hooks: Value = serde_yaml_ng::from_str(&read(".pre-commit-hooks.yaml")).unwrap();
    let hook = &hooks[0];
    assert_eq!((hook["id"].as_str(), hook["language"].as_str()), (Some("parallax-lint"), Some("python")));
    let files = regex::Regex::new(hook["files"].as_str().unwrap()).unwrap();
    for path in ["models/parallax-mini", "models/parallax-mini-mlx-8bit", "tests/fixtures/zoo/default-bert"] {
        for entry in fs::read_dir(repository(path)).unwrap() {
            let name = format!("{path}/{}", entry.unwrap().file_name().to_str().unwrap());
            let other = ["figures.json", "corpus.txt", "manifest.json", "/onnx", "1_Pooling", ".onnx_data"];
            assert_eq!(files.is_match(&name), !other.iter().any(|o| name.ends_with(o)), "{name}");
        }
    }
    assert!(!files.is_match("package.json") && !files.is_match("my_config.json") && files.is_match("config.json"));
    // Its entry is a command that exists and takes files.
    let words: Vec<&str> = hook["entry"].as_str().unwrap().split(' ').collect();
    assert_eq!(words[0], "parallax");
    let mut command = Command::new(env!("CARGO_BIN_EXE_parallax"));
    command.args(&words[1..]).args(["models/parallax-mini/config.json", "models/parallax-mini/tokenizer.json"]);
    assert!(command.current_dir(repository("")).output().unwrap().status.success());
}

/// The product of a command.
fn product(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_parallax")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that `--help` shows.
fn subcommands() -> Vec<String> {
    let help = product(&["--help"]);
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let name = |line: &str| line.strip_prefix("  ")?.split(' ').next().filter(|n| !n.is_empty()).map(str::to_owned);
    let names: Vec<String> = commands.lines().filter_map(name).filter(|n| n != "help").collect();
    assert!(names.len() >= 9 && names.contains(&"lint".to_owned()), "{names:?}");
    names
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let names = subcommands();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = product(&["completions", shell]);
        for name in &names {
            assert!(script.contains(name), "{shell}: {name}");
        }
        assert!(script.contains("candidate") && script.contains("ort-lib"), "{shell}");
    }
    let page = product(&["man"]);
    assert!(page.contains(".TH PARALLAX 1"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(product(&["man", "--dir", dir.path().to_str().unwrap()]), "");
    for name in &names {
        assert!(page.contains(&format!("parallax\\-{name}(1)")), "{name}");
        let own = fs::read_to_string(dir.path().join(format!("parallax-{name}.1"))).unwrap();
        assert!(own.contains(&format!(".TH PARALLAX-{} 1", name.to_uppercase())), "{own}");
    }
    let check = fs::read_to_string(dir.path().join("parallax-check.1")).unwrap();
    assert!(check.contains("\\-\\-candidate") && !check.contains("subcommands"), "{check}");
    assert!(dir.path().join("parallax-policy-show.1").is_file());
    let unknown = Command::new(env!("CARGO_BIN_EXE_parallax")).args(["completions", "cmd"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn bash_reads_its_completions() {
    let script = product(&["completions", "bash"]);
    let ask = format!(
        "{script}\nCOMP_WORDS=(parallax li); COMP_CWORD=1; _parallax parallax li parallax; echo \"${{COMPREPLY[*]}}\""
    );
    let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "lint", "{output:?}");
}
