//! Every honest export is understood to its last node; what treats one id, length or batch differently is named.

mod values;

use std::path::{Path, PathBuf};

use crate::common::graph::{self, Edited, cast, node};
use parallax::finding::Severity;
use parallax::hidden_states::Tap;
use parallax::runtimes::onnx::file::raw::RawNode;
use parallax::runtimes::onnx::{Graph, OnnxModel, TapHints, exactness, find_taps, logic};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

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

/// The padding's id in the configuration beside a file.
fn padding(file: &Path) -> Option<i64> {
    let config = file.parent().unwrap().join("original/config.json");
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(config).ok()?).unwrap();
    config["pad_token_id"].as_i64()
}

#[test]
fn every_node_of_every_exact_export_belongs_to_a_known_block() {
    let mut all = Vec::new();
    files(&fixtures(), &mut all);
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models"), &mut all);
    // Exports made elsewhere (`scripts/zoo/architectures`), where there are any.
    if let Ok(more) = std::env::var("PARALLAX_ONNX_ZOO") {
        more.split(':').for_each(|folder| files(Path::new(folder), &mut all));
    }
    let (mut wrong, mut exact) = (Vec::new(), 0);
    for file in all {
        let model = OnnxModel::read(&file).unwrap();
        let g = Graph::new(&model).unwrap();
        // A graph that is no float32 reference is refused for that.
        let Ok(map) = find_taps(&g, TapHints::default()) else { continue };
        if exactness(&g, &map, Some("gelu_tanh")).is_empty() {
            let audit = logic(&g, &map, padding(&file));
            assert_eq!(audit.blocks.values().sum::<usize>(), audit.nodes, "{}", file.display());
            assert!(!audit.blocks.contains_key("unknown") || !audit.complete(), "{}", file.display());
            exact += 1;
            wrong.extend(audit.unaudited.iter().map(|u| format!("{}: {u}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{} nodes:\n{}", wrong.len(), wrong.join("\n"));
    assert!(exact >= 60, "{exact} exact exports");
}

/// The four exports faults are planted in: decomposed norms and fused ones, ids as a table and counted positions.
const EXPORTS: &[&str] = &[
    "zoo/tiny-bert/ts14.onnx",
    "zoo/tiny-bert/dyn18.onnx",
    "zoo/tiny-modernbert/dyn18.onnx",
    "families/tiny-xlm-roberta/ts17.onnx",
];

/// Plants a fault; the node that must be named, and whether it is a condition.
fn planted(export: &str, id: &str, change: &dyn Fn(&mut Edited), named: &str, conditional: bool) {
    let mut edited = graph::open(&fixtures().join(export));
    change(&mut edited);
    let model = edited.model();
    let g = Graph::new(&model).unwrap();
    let audit = logic(&g, &edited.map, None);
    let found: Vec<String> = audit.unaudited.iter().map(ToString::to_string).collect();
    let hit = audit.unaudited.iter().find(|u| u.node == named);
    let hit = hit.unwrap_or_else(|| panic!("{export}: {id}: not named: {found:#?}"));
    assert_eq!(hit.conditional, conditional, "{export}: {id}: {hit}");
    assert!(!audit.complete());
    let findings = audit.findings(true);
    let code = if conditional { "graph.conditional" } else { "graph.unaudited" };
    let severity = if conditional { Severity::Refusal } else { Severity::Warning };
    assert!(findings.iter().any(|f| f.code == code && f.severity == severity && f.message.contains(named)), "{id}");
    assert!(audit.findings(false).iter().all(|f| f.severity == Severity::Refusal), "{id}");
}

/// The number of tokens as a float, `length`.
fn length(e: &mut Edited) -> Vec<RawNode> {
    e.ints("at_one", &[], &[1]);
    vec![node("Shape", &["input_ids"], "dims"), node("Gather", &["dims", "at_one"], "length")]
}

#[test]
fn ids_reach_the_word_table_and_nothing_else() {
    for export in EXPORTS {
        planted(
            export,
            "map",
            &|e| {
                let map: Vec<i64> = (0..109).map(|i| if i == 77 { 78 } else { i }).collect();
                e.ints("map", &[109], &map);
                e.before("Gather", "input_ids", vec![node("Gather", &["map", "input_ids"], "planted")]);
            },
            "planted_planted",
            true,
        );
        planted(
            export,
            "one id",
            &|e| {
                e.ints("id", &[], &[77]);
                e.ints("other", &[], &[78]);
                let nodes = vec![
                    node("Greater", &["input_ids", "id"], "is"),
                    node("Where", &["is", "other", "input_ids"], "planted"),
                ];
                e.before("Gather", "input_ids", nodes);
            },
            "planted_is",
            true,
        );
        planted(
            export,
            "one id, by its embedding",
            &|e| {
                let words = e.map.words.clone();
                e.ints("id", &[], &[77]);
                e.ints("last", &[1], &[-1]);
                let nodes = vec![
                    node("Equal", &["input_ids", "id"], "is"),
                    cast("is", 1, "float"),
                    node("Unsqueeze", &["float", "last"], "column"),
                    node("Add", &[&words, "column"], "planted"),
                ];
                e.behind(&words, nodes);
            },
            if export.contains("roberta") { "planted_is" } else { "planted_planted" },
            true,
        );
        planted(
            export,
            "modulo",
            &|e| {
                e.ints("many", &[], &[100]);
                e.before("Gather", "input_ids", vec![node("Mod", &["input_ids", "many"], "planted")]);
            },
            "planted_planted",
            true,
        );
        planted(
            export,
            "clip",
            &|e| {
                e.ints("least", &[], &[0]);
                e.ints("most", &[], &[100]);
                e.before("Gather", "input_ids", vec![node("Clip", &["input_ids", "least", "most"], "planted")]);
            },
            "planted_planted",
            true,
        );
        planted(
            export,
            "second table",
            &|e| {
                let (words, width) = (e.map.words.clone(), e.map.hidden);
                e.floats("second", &[109, width as i64], &(0..109 * width).map(|i| i as f32).collect::<Vec<_>>());
                let nodes =
                    vec![node("Gather", &["second", "input_ids"], "more"), node("Add", &[&words, "more"], "planted")];
                e.behind(&words, nodes);
            },
            "planted_more",
            true,
        );
    }
}

#[test]
fn lengths_and_batch_sizes_shape_tensors_and_nothing_else() {
    for export in EXPORTS {
        for (id, op, last) in [("one length", "Equal", 17), ("above a length", "Greater", 100)] {
            planted(
                export,
                id,
                &|e| {
                    let words = e.map.words.clone();
                    e.ints("number", &[], &[last]);
                    let mut nodes = length(e);
                    nodes.extend([
                        node(op, &["length", "number"], "is"),
                        cast("is", 1, "float"),
                        node("Add", &[&words, "float"], "planted"),
                    ]);
                    e.behind(&words, nodes);
                },
                "planted_is",
                true,
            );
        }
        planted(
            export,
            "a length as a number",
            &|e| {
                let words = e.map.words.clone();
                let mut nodes = length(e);
                nodes.extend([cast("length", 1, "float"), node("Mul", &[&words, "float"], "planted")]);
                e.behind(&words, nodes);
            },
            "planted_float",
            true,
        );
        planted(
            export,
            "tokens of long batches are cut off",
            &|e| {
                let end = e.map.tensor(Tap::Layer(0)).unwrap().to_owned();
                e.ints("many", &[], &[300]);
                e.ints("none", &[1], &[0]);
                e.ints("first", &[1], &[1]);
                e.ints("all", &[1], &[i64::MAX]);
                let mut nodes = length(e);
                nodes.extend([
                    node("Div", &["length", "many"], "from"),
                    node("Unsqueeze", &["from", "none"], "start"),
                    node("Slice", &[&end, "start", "all", "first"], "planted"),
                ]);
                e.behind(&end, nodes);
            },
            "planted_from",
            true,
        );
        planted(
            export,
            "the first row alone",
            &|e| {
                let end = e.map.tensor(Tap::Layer(0)).unwrap().to_owned();
                e.ints("none", &[1], &[0]);
                e.behind(&end, vec![node("Gather", &[&end, "none"], "planted")]);
            },
            "planted_planted",
            true,
        );
    }
}

#[test]
fn the_mask_is_read_element_by_element() {
    for export in EXPORTS {
        planted(
            export,
            "ignored with one padded row",
            &|e| {
                e.ints("along", &[1], &[1]);
                let nodes = vec![
                    node("ReduceMin", &["attention_mask", "along"], "least"),
                    node("Max", &["attention_mask", "least"], "planted"),
                ];
                e.behind("attention_mask", nodes);
            },
            "planted_least",
            true,
        );
        planted(
            export,
            "ignored in long rows",
            &|e| {
                e.ints("along", &[1], &[1]);
                e.ints("many", &[], &[30]);
                let nodes = vec![
                    node("ReduceSum", &["attention_mask", "along"], "real"),
                    node("Greater", &["real", "many"], "long"),
                    cast("long", 7, "whole"),
                    node("Max", &["attention_mask", "whole"], "planted"),
                ];
                e.behind("attention_mask", nodes);
            },
            "planted_long",
            true,
        );
        planted(
            export,
            "one word is masked out",
            &|e| {
                e.ints("id", &[], &[77]);
                let nodes = vec![
                    node("Greater", &["input_ids", "id"], "is"),
                    cast("is", 7, "whole"),
                    node("Mul", &["attention_mask", "whole"], "planted"),
                ];
                e.behind("attention_mask", nodes);
            },
            "planted_is",
            true,
        );
        planted(
            export,
            "the first token is always seen",
            &|e| {
                e.ints("none", &[], &[0]);
                e.ints("one", &[], &[1]);
                let mut nodes = length(e);
                nodes.extend([
                    node("Range", &["none", "length", "one"], "places"),
                    node("Less", &["places", "one"], "is"),
                    cast("is", 7, "whole"),
                    node("Max", &["attention_mask", "whole"], "planted"),
                ]);
                e.behind("attention_mask", nodes);
            },
            "planted_is",
            true,
        );
    }
}

#[test]
fn the_result_is_no_unfinished_formula() {
    for export in EXPORTS {
        planted(
            export,
            "nothing",
            &|e| {
                e.floats("nothing", &[], &[0.0]);
                e.maker("last_hidden_state").output[0] = "before".to_owned();
                e.graph().node.push(node("Mul", &["before", "nothing"], "last_hidden_state"));
            },
            "planted_last_hidden_state",
            false,
        );
    }
}

#[test]
fn positions_count_and_the_id_left_out_is_the_paddings() {
    let roberta = "families/tiny-xlm-roberta/ts17.onnx";
    let compared = |e: &mut Edited| {
        let id =
            e.graph().node.iter().find(|n| n.op_type == "Equal" && n.input[0] == "input_ids").unwrap().input[1].clone();
        e.ints("word", &[], &[77]);
        for node in &mut e.graph().node {
            node.input.iter_mut().filter(|i| **i == id && node.op_type == "Equal").for_each(|i| *i = "word".into());
        }
    };
    let mut edited = graph::open(&fixtures().join(roberta));
    compared(&mut edited);
    let model = edited.model();
    let g = Graph::new(&model).unwrap();
    for (stated, words) in [(None, "tokens other than 77 are counted"), (Some(1), "compared with 77, which is not")] {
        let audit = logic(&g, &edited.map, stated);
        assert!(audit.unaudited.iter().any(|u| u.conditional && u.why.contains(words)), "{audit}");
    }
    planted(
        "zoo/tiny-bert/ts14.onnx",
        "far positions are exchanged",
        &|e| {
            let table =
                e.graph().initializer.iter().find(|t| t.data_type == 7 && t.dims.len() == 2).map(|t| t.name.clone());
            let mut places: Vec<i64> = (0..160).collect();
            places[100..].reverse();
            e.ints("places", &[1, 160], &places);
            for node in &mut e.graph().node {
                if node.op_type == "Slice" && node.input[0] == table.clone().unwrap_or_else(|| node.input[0].clone()) {
                    node.input[0] = "places".into();
                    node.name = "cut".into();
                    break;
                }
            }
        },
        "cut",
        true,
    );
}
