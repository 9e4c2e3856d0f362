//! The house keeps its order: small files, data flowing one way, no printing in the library.

use crate::common;

use std::path::{Path, PathBuf};

use common::repository;

/// Rooms from top to bottom; a room may use the rooms before it.
const ROOMS: &[&str] = &[
    "vectors",
    "memory",
    "panels",
    "hidden_states",
    "fault",
    "figures",
    "json_float",
    "spelling",
    "finding",
    "observe",
    "corpus",
    "tokens",
    "checkpoint",
    "labels",
    "quantization",
    "runtimes",
    "metrics",
    "align",
    "weights",
    "policy",
    "verdict",
    "report",
    "error",
    "sides",
    "rows",
    "proof",
    "check",
    "tools",
    "lib",
];

/// The rooms of `runtimes/onnx`, likewise.
pub(crate) const ONNX_ROOMS: &[&str] = &["error", "file", "graph", "taps", "weights", "logic", "provenance", "session"];

/// Lines past which a file is two files.
const LONGEST: usize = 400;

/// Every Rust file below a folder.
pub(crate) fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches"] {
        rust_files(&repository(dir), &mut files);
    }
    assert!(files.len() > 50);
    let long: Vec<_> = files.iter().filter(|f| std::fs::read_to_string(f).unwrap().lines().count() > LONGEST).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn a_room_uses_only_the_rooms_above_it() {
    let src = repository("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut checked = 0;
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let room = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").trim_end_matches("_tests");
        let Some(own) = ROOMS.iter().position(|r| *r == room) else {
            assert!(["cli", "main"].contains(&room), "{room} is no room");
            continue;
        };
        for line in std::fs::read_to_string(&file).unwrap().lines().filter(|l| !l.trim_start().starts_with("//")) {
            for part in line.split("crate::").skip(1) {
                let used: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = ROOMS.iter().position(|r| *r == used) else { continue };
                assert!(other <= own, "{} uses {used}, which is below it: {line}", relative.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn the_library_prints_nothing_and_never_exits() {
    let mut files = Vec::new();
    rust_files(&repository("src"), &mut files);
    for file in files.iter().filter(|f| !f.components().any(|c| c.as_os_str() == "cli")) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code: String = code.lines().filter(|l| !l.trim_start().starts_with("//!")).collect();
        for word in ["println!", "print!(", "process::exit", "todo!", "unimplemented!", "unsafe {"] {
            assert!(!code.contains(word), "{}: {word}", file.display());
        }
    }
}
