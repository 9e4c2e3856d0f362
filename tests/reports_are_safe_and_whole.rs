//! What a run leaves behind: every format, hostile text harmless in all of them; and the shipped files
//! are the ones the manifest speaks of.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod common;

use assert_cmd::Command;
use common::repository;
use parallax::report::{RENDERERS, Report};
use sha2::{Digest, Sha256};

/// Rows that attack whatever shows them; each is the odd one out, so it is among the worst.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script> <img src=x onerror=alert(1)>",
    "::error file=x::pwned %0A ::set-output name=a::b",
    "\u{1b}[31mred\u{1b}[0m \u{7} \u{8}",
    "\u{202e}reversed\u{202c} \u{2066}isolated\u{2069}",
    "| a | b |\u{2028}# heading ]]> --> `code` [link](javascript:x)",
    "nul \u{0} byte \u{fffe}",
];

#[test]
fn hostile_sentences_are_harmless_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = dir.path().join("hostile.jsonl");
    let lines: Vec<String> = (0..120)
        .map(|i| {
            let text = format!("{} {}", HOSTILE[i % HOSTILE.len()], "words ".repeat(1 + i % 9));
            serde_json::json!({"id": i, "passage": text}).to_string()
        })
        .collect();
    std::fs::write(&corpus, lines.join("\n")).unwrap();
    let out = dir.path().join("report");
    let run = Command::cargo_bin("parallax")
        .unwrap()
        .current_dir(repository(""))
        .args([
            "check",
            "--quiet",
            "--reference",
            "models/parallax-mini",
            "--candidate",
            "models/parallax-mini-mlx-4bit",
        ])
        .args(["--policy", "int8", "--corpus", corpus.to_str().unwrap(), "--out", out.to_str().unwrap(), "--explain"])
        .output()
        .unwrap();
    let stdout = String::from_utf8(run.stdout).unwrap();
    assert!([1, 3].contains(&run.status.code().unwrap()), "{stdout}{}", String::from_utf8_lossy(&run.stderr));
    let mut names: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["junit.xml", "report.json", "report.md"]);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    for (name, text) in [("stdout", stdout), ("report.md", read("report.md")), ("junit.xml", read("junit.xml"))] {
        for bad in ['\u{1b}', '\u{7}', '\u{0}', '\u{202e}', '\u{2066}', '\u{2028}'] {
            assert!(!text.contains(bad), "{name} holds {bad:?}");
        }
        assert!(!text.lines().any(|l| l.trim_start().starts_with("::")), "{name}");
        if name != "stdout" {
            assert!(!text.contains("<script") && !text.contains("<img"), "{name}");
        }
    }
    // Every other format is a function of report.json.
    let report = Report::from_json(read("report.json").as_bytes()).unwrap();
    assert!(!report.worst_rows.is_empty());
    for renderer in RENDERERS {
        assert_eq!((renderer.render)(&report).unwrap(), read(renderer.file_name).into_bytes(), "{}", renderer.id);
    }
}

#[test]
fn the_shipped_files_are_the_ones_of_the_manifest() {
    let models = repository("models");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(models.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_object().unwrap();
    assert!(files.len() >= 20);
    let mut total = 0;
    for (name, entry) in files {
        let bytes = std::fs::read(models.join(name)).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(entry["sha256"], digest.as_str(), "{name}");
        assert_eq!(entry["bytes"], bytes.len(), "{name}");
        total += bytes.len();
    }
    assert!(total < 25_000_000, "{total}");
}
