//! Graphs changed by hand: other names, another order, inexact operators, fused sums that lead nowhere.

use crate::onnx_common;

use std::collections::HashMap;

use bytes::Bytes;
use onnx_common::{EXPORTS, model, runtime, taps};
use parallax::finding::Severity;
use parallax::hidden_states::{RowId, RowSet, Tap};
use parallax::runtimes::Encoder;
use parallax::runtimes::onnx::file::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use parallax::runtimes::onnx::file::proto::{ValueInfoProto, dtype};
use parallax::runtimes::onnx::file::raw::OperatorSetId;
use parallax::runtimes::onnx::{Graph, OnnxEncoder, OnnxModel, SessionOptions, TapHints, exactness, facts, find_taps};
use parallax::tokens::TokenBatch;
use prost::Message;

fn built(proto: &ModelProto) -> OnnxModel {
    OnnxModel::from_bytes("changed.onnx", Bytes::from(proto.encode_to_vec())).unwrap()
}

#[test]
fn neither_names_nor_file_order_matter() {
    for name in EXPORTS {
        let original = model(name);
        let mut proto = original.proto().clone();
        let graph = proto.graph.as_mut().unwrap();
        let inputs: Vec<String> = graph.input.iter().map(|i| i.name.clone()).collect();
        let mut names: HashMap<String, String> = HashMap::new();
        let mut rename = |n: &mut String| {
            if !n.is_empty() && !inputs.contains(n) {
                let fresh = format!("t{}", names.len());
                *n = names.entry(n.clone()).or_insert(fresh).clone();
            }
        };
        for node in &mut graph.node {
            node.input.iter_mut().chain(&mut node.output).for_each(&mut rename);
            node.name = String::new();
        }
        graph.initializer.iter_mut().for_each(|t| rename(&mut t.name));
        graph.output.iter_mut().for_each(|o| rename(&mut o.name));
        graph.node.reverse();
        graph.initializer.reverse();
        let changed = built(&proto);
        let g = Graph::new(&changed).unwrap();
        let (was, is) = (taps(&original), find_taps(&g, TapHints::default()).unwrap());
        assert_eq!(is.entries.len(), 6, "{name}");
        for (a, b) in was.entries.iter().chain(&was.middles).zip(is.entries.iter().chain(&is.middles)) {
            assert_eq!((a.tap, &names[&a.tensor]), (b.tap, &b.tensor), "{name}");
        }
    }
}

/// The findings after the first node of `op` is edited.
fn inexact(export: &str, op: &str, edit: impl Fn(&mut NodeProto)) -> Vec<String> {
    let original = model(export);
    let map = taps(&original);
    let mut proto = original.proto().clone();
    let node = proto.graph.as_mut().unwrap().node.iter_mut().find(|n| n.op_type == op).unwrap();
    edit(node);
    let changed = built(&proto);
    let findings = exactness(&Graph::new(&changed).unwrap(), &map, Some("gelu"));
    assert!(findings.iter().all(|f| f.severity == Severity::Refusal && f.code == "reference.inexact"));
    findings.into_iter().map(|f| f.message).collect()
}

#[test]
fn every_kind_of_inexactness_is_named_with_its_node() {
    let ops = ["MatMulNBits", "MatMulInteger", "DynamicQuantizeMatMul", "QAttention", "FastGelu", "QLinearMatMul"];
    for op in ops {
        let found = inexact("dyn18", "MatMul", |n| n.op_type = op.to_owned());
        assert_eq!(found.len(), 1, "{op}: {found:?}");
        assert!(found[0].contains(&format!("operator {op} (node `")), "{}", found[0]);
    }
    for op in ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"] {
        let found = inexact("ts14_sdpa", "Transpose", |n| n.op_type = op.to_owned());
        assert!(found[0].contains(&format!("operator {op} (node `")), "{}", found[0]);
    }
    let tanh = inexact("dyn18", "Erf", |n| n.op_type = "Tanh".to_owned());
    assert!(tanh.len() == 1 && tanh[0].contains("tanh approximation of GELU (node `"), "{tanh:?}");
    let gelu = inexact("dyn20_sdpa", "Gelu", |n| {
        n.attribute =
            vec![AttributeProto { name: "approximate".into(), s: "tanh".into(), ..AttributeProto::default() }];
    });
    assert!(gelu.len() == 1 && gelu[0].contains("tanh approximation of GELU (node `"), "{gelu:?}");
    for (to, word) in [(dtype::FLOAT16, "float16"), (dtype::BFLOAT16, "bfloat16")] {
        let cast = inexact("dyn18", "Erf", |n| {
            n.op_type = "Cast".to_owned();
            n.attribute = vec![AttributeProto { name: "to".into(), i: to.into(), ..AttributeProto::default() }];
        });
        assert!(cast.len() == 1 && cast[0].contains(&format!("a cast to {word} (node `")), "{cast:?}");
    }
}

const WIDTH: usize = 8;
const VOCAB: usize = 12;

fn tensor(name: &str, dims: &[usize], values: impl Fn(usize) -> f32) -> TensorProto {
    let bytes: Vec<u8> = (0..dims.iter().product()).flat_map(|i| values(i).to_le_bytes()).collect();
    let dims = dims.iter().map(|&d| d as i64).collect();
    TensorProto { name: name.into(), dims, data_type: dtype::FLOAT, raw_data: bytes.into(), ..TensorProto::default() }
}

fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let words = |all: &[&str]| all.iter().map(|&n| n.to_owned()).collect();
    let domain = if op.starts_with("Skip") { "com.microsoft" } else { "" }.to_owned();
    NodeProto {
        op_type: op.into(),
        name: format!("n_{}", output[0]),
        input: words(input),
        output: words(output),
        domain,
        ..NodeProto::default()
    }
}

fn input(name: &str, elem_type: i32, dims: usize) -> ValueInfoProto {
    use parallax::runtimes::onnx::file::proto::{DimProto, ShapeProto, TensorType, TypeProto};
    let shape = Some(ShapeProto { dim: vec![DimProto { dim_value: None }; dims] });
    let tensor_type = Some(TensorType { elem_type, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// Two pre-norm layers whose last sum lives and dies inside a fused node.
fn pre_norm() -> ModelProto {
    let wave = |step: f32| move |i: usize| (i as f32 * step).sin();
    let mut graph = GraphProto {
        name: "g".into(),
        initializer: vec![
            tensor("table", &[VOCAB, WIDTH], wave(0.7)),
            tensor("one", &[WIDTH], |_| 1.0),
            tensor("nil", &[WIDTH], |_| 0.0),
        ],
        input: vec![input("input_ids", dtype::INT64, 2)],
        output: vec![input("last_hidden_state", dtype::FLOAT, 3)],
        node: vec![
            node("Gather", &["table", "input_ids"], &["x"]),
            node("LayerNormalization", &["x", "one", "nil"], &["n0"]),
        ],
        ..GraphProto::default()
    };
    let mut stream = "x".to_owned();
    for k in 0..2 {
        let name = |s: &str| format!("{s}{k}");
        let end = if k == 1 { "last_hidden_state".to_owned() } else { format!("n{}", k + 1) };
        graph.initializer.push(tensor(&name("wa"), &[WIDTH, WIDTH], wave(0.31 + k as f32)));
        graph.initializer.push(tensor(&name("wf"), &[WIDTH, WIDTH], wave(0.53 + k as f32)));
        graph.node.push(node("MatMul", &[&name("n"), &name("wa")], &[&name("s")]));
        graph.node.push(node("Softmax", &[&name("s")], &[&name("a")]));
        graph.node.push(node(
            "SkipLayerNormalization",
            &[&name("a"), &stream, "one", "nil"],
            &[&name("m"), "", "", &name("r")],
        ));
        graph.node.push(node("MatMul", &[&name("m"), &name("wf")], &[&name("f")]));
        let outputs = [end.as_str(), "", "", &name("x")];
        let outputs = if k == 1 { &outputs[..1] } else { &outputs[..] };
        graph.node.push(node("SkipLayerNormalization", &[&name("f"), &name("r"), "one", "nil"], outputs));
        stream = name("x");
    }
    let opset = |domain: &str, version| OperatorSetId { domain: domain.into(), version };
    let opset_import = vec![opset("", 17), opset("com.microsoft", 1)];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..ModelProto::default() }
}

#[test]
fn a_residual_sum_inside_the_last_node_is_wired_and_is_what_the_norm_saw() {
    let model = built(&pre_norm());
    let g = Graph::new(&model).unwrap();
    let map = find_taps(&g, TapHints { layers: Some(2), vocab: Some(VOCAB) }).unwrap();
    assert_eq!((map.tensor(Tap::Embeddings), map.tensor(Tap::Layer(0))), (Some("x"), Some("x0")));
    assert_eq!(map.tensor(Tap::Final), Some("last_hidden_state"));
    assert!(!map.post_norm);
    let last = map.entries.iter().find(|e| e.tap == Tap::Layer(1)).unwrap();
    assert!(g.find(&last.tensor).is_none(), "{last:?}");
    assert_eq!(last.node, "SkipLayerNormalization `n_last_hidden_state`");
    assert!(last.evidence.contains("wired as an output"));
    assert_eq!(facts(&g, &map).intermediate, Some(WIDTH));

    let encoder = OnnxEncoder::open(&runtime(), &model, &map, SessionOptions::default()).unwrap();
    let mut batch = TokenBatch::new();
    batch.push(RowId { set: RowSet::Corpus, row: 0 }, &[3, 1, 4, 1, 5], &[0; 5]);
    let states = encoder.encode(&batch).unwrap();
    let (sum, end) = (states.get(Tap::Layer(1)).unwrap(), states.get(Tap::Final).unwrap());
    assert_eq!(sum.row(0).len(), 5 * WIDTH);
    for (token, normed) in sum.row(0).chunks(WIDTH).zip(end.row(0).chunks(WIDTH)) {
        let mean = token.iter().sum::<f32>() / WIDTH as f32;
        let deviation = (token.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / WIDTH as f32).sqrt();
        for (v, n) in token.iter().zip(normed) {
            assert!(((v - mean) / deviation - n).abs() < 1e-5, "{v} {n}");
        }
        assert!(mean.abs().max((deviation - 1.0).abs()) > 1e-3, "the sum is not the norm's output");
    }
}
