//! Every float constant of every export at hand is its checkpoint's, element by element: no false alarm, and nothing
//! passed over. Only files are read.

use crate::common;

use std::path::{Path, PathBuf};

use common::plant::Copy;
use common::{fixture, repository};
use parallax::finding::Severity;
use parallax::tools::{Inspection, inspect};

const CODE: &str = "graph.weights";

fn said(inspection: &Inspection) -> Option<&str> {
    inspection.facts.iter().find(|(name, _)| name == "graph's weights").map(|(_, said)| said.as_str())
}

fn graphs(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|f| f.extension().is_some_and(|e| e == "onnx")).collect();
    files.sort();
    files
}

/// What is wrong with one export; empty where all its weights are the checkpoint's.
fn wrong(file: &Path) -> Vec<String> {
    let inspection = inspect(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let grave = inspection.findings.iter().filter(|f| f.code == CODE && f.severity >= Severity::Warning);
    let mut wrong: Vec<String> = grave.map(|f| f.message.clone()).collect();
    let sentence = said(&inspection).unwrap_or("nothing was compared");
    let numbers: Vec<&str> = sentence.split(' ').collect();
    // `53 of 53 constants ...`: all, and more than none.
    if numbers.first() != numbers.get(2) || numbers.first() == Some(&"0") {
        wrong.push(format!("{}: {sentence}", file.display()));
    }
    wrong
}

#[test]
fn every_float32_export_holds_its_checkpoint() {
    let inexact = ["fp16.onnx", "int4.onnx", "int8_dynamic.onnx", "int8_qdq.onnx"];
    let folders = ["zoo", "families"].map(fixture).into_iter().flat_map(|all| std::fs::read_dir(all).unwrap());
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|f| f.join("model.safetensors").exists());
    let mut files: Vec<PathBuf> = folders.flat_map(|folder| graphs(&folder)).collect();
    files.retain(|file| !inexact.contains(&file.file_name().unwrap().to_str().unwrap()));
    files.push(repository("models/parallax-mini/onnx/model.onnx"));
    // The other zoo, whose checkpoint lies in a folder of its own, and where there is one, a whole zoo elsewhere.
    let elsewhere = std::env::var_os("PARALLAX_ZOO").map(PathBuf::from);
    let roots = std::iter::once(fixture("onnx")).chain(elsewhere);
    let models = roots.flat_map(|root| std::fs::read_dir(root).unwrap()).map(|entry| entry.unwrap().path());
    let mut moved = Vec::new();
    for model in models.filter(|m| m.join("original").exists()) {
        for graph in graphs(&model) {
            let copy = Copy::of_path(&model.join("original"));
            std::fs::copy(&graph, copy.file(graph.file_name().unwrap().to_str().unwrap())).unwrap();
            files.push(copy.file(graph.file_name().unwrap().to_str().unwrap()));
            moved.push(copy);
        }
    }
    let all: Vec<String> = files.iter().flat_map(|file| wrong(file)).collect();
    assert!(all.is_empty(), "{} of {} exports: {all:#?}", all.len(), files.len());
    assert!(files.len() >= 70, "{}", files.len());
}

/// Half the precision is the checkpoint's rounded, and what is packed in integers is left to the refusal of the graph.
#[test]
fn exports_that_are_not_float32_are_refused_as_that_and_not_accused() {
    let of = |file: &str| inspect(&fixture("zoo/tiny-bert").join(file)).unwrap();
    let half = of("fp16.onnx");
    assert!(said(&half).unwrap().starts_with("53 of 53 constants"), "{:?}", said(&half));
    for file in ["fp16.onnx", "int4.onnx", "int8_dynamic.onnx"] {
        let found = of(file).findings;
        assert!(found.iter().any(|f| f.code == "reference.inexact"), "{file}");
        assert!(!found.iter().any(|f| f.code == CODE && f.severity == Severity::Failure), "{file}: {found:?}");
    }
}
