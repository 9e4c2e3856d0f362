//! What a run leaves behind: every format, hostile text harmless in all of them; and the shipped files
//! are the ones the manifest speaks of.

use crate::common;

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
    // One line of a megabyte, as long as a line may be.
    let long =
        serde_json::json!({"id": "long", "passage": format!("{}<script>{}", HOSTILE.concat(), "x<&".repeat(330_000))});
    std::fs::write(&corpus, lines.join("\n") + "\n" + &long.to_string()).unwrap();
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
        .args(["--policy", "strict", "--corpus", corpus.to_str().unwrap(), "--out", out.to_str().unwrap(), "--explain"])
        .args(["--format", "github", "--max-line-bytes", "4000000"])
        .output()
        .unwrap();
    let stdout = String::from_utf8(run.stdout).unwrap();
    assert!([1, 3].contains(&run.status.code().unwrap()), "{stdout}{}", String::from_utf8_lossy(&run.stderr));
    let mut names: Vec<String> =
        std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["junit.xml", "report.html", "report.json", "report.md"]);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let written = ["report.md", "junit.xml", "report.html"].map(|name| (name, read(name)));
    for (name, text) in written.into_iter().chain([("stdout", stdout)]) {
        for bad in ['\u{1b}', '\u{7}', '\u{0}', '\u{202e}', '\u{2066}', '\u{2028}'] {
            assert!(!text.contains(bad), "{name} holds {bad:?}");
        }
        // Commands of a runner: none but the annotations that were asked for, and none of them with another's words.
        let commands: Vec<&str> = text.lines().filter(|l| l.trim_start().starts_with("::")).collect();
        let ours = |l: &&str| {
            ["error", "warning", "notice"].iter().any(|level| l.starts_with(&format!("::{level} title=parallax%3A ")))
        };
        assert!(
            if name == "stdout" { !commands.is_empty() && commands.len() <= 10 } else { commands.is_empty() },
            "{name}: {commands:?}"
        );
        assert!(commands.iter().all(ours), "{commands:?}");
        if name != "stdout" {
            let own = usize::from(name == "report.html");
            assert!(text.matches("<script").count() == own && !text.contains("<img"), "{name}");
        }
        assert!(text.len() < 2 << 20, "{name}: {} bytes", text.len());
    }
    let value: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    jsonschema::draft202012::new(&parallax::report::schema()).unwrap().validate(&value).unwrap();
    // Every other format is a function of report.json.
    let report = Report::from_json(read("report.json").as_bytes()).unwrap();
    assert!(!report.worst_rows.is_empty());
    for renderer in RENDERERS {
        let rendered = (renderer.render)(&report).unwrap();
        if let Some(name) = renderer.file_name {
            assert_eq!(rendered, read(name).into_bytes(), "{}", renderer.id);
        }
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
