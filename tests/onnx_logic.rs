//! Every honest export is understood to its last node; what treats one id, length or batch differently is named.
#![allow(missing_docs, clippy::unwrap_used)]

mod onnx_common;

use std::path::{Path, PathBuf};

use parallax::runtimes::onnx::{Graph, OnnxModel, TapHints, TapMap, exactness, find_taps, logic};

/// Every ONNX file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "onnx") {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn every_node_of_every_exact_export_belongs_to_a_known_block() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in ["tests/fixtures", "models"] {
        files(&root.join(folder), &mut all);
    }
    assert!(all.len() > 60, "{}", all.len());
    if let Ok(more) = std::env::var("PARALLAX_ONNX_ZOO") {
        more.split(':').for_each(|folder| files(Path::new(folder), &mut all));
    }
    let (mut wrong, mut exact) = (Vec::new(), 0);
    for file in all {
        let model = OnnxModel::read(&file).unwrap();
        let g = Graph::new(&model).unwrap();
        let map = match find_taps(&g, TapHints::default()) {
            Ok(map) => map,
            Err(e) => {
                println!("{e}");
                continue;
            }
        };
        // A graph that is no float32 reference is refused for that.
        let inexact = !exactness(&g, &map, Some("gelu_tanh")).is_empty();
        let start = std::time::Instant::now();
        let audit = logic(&g, &map, None);
        println!(
            "{} {:?} {audit}; {:?}{}",
            file.display(),
            start.elapsed(),
            audit.blocks,
            if inexact { " (inexact)" } else { "" }
        );
        if !inexact {
            exact += 1;
            wrong.extend(audit.unaudited.iter().map(|u| format!("{}: {u}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{} nodes:\n{}", wrong.len(), wrong.join("\n"));
    assert!(exact > 60, "{exact}");
    let _ = TapMap::default();
}
