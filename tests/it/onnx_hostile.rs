//! Damaged, renamed and contradictory files: an error or the right answer, never a panic.

use crate::onnx_common;

use bytes::Bytes;
use onnx_common::{EXPORTS, folder, model, taps};
use parallax::runtimes::onnx::file::proto::ModelProto;
use parallax::runtimes::onnx::{Graph, OnnxError, OnnxModel, TapHints, exactness, facts, find_taps, recover};
use prost::Message;

/// Everything that can be asked of a file without running it.
fn everything(bytes: Vec<u8>) -> Result<(), String> {
    let model = OnnxModel::from_bytes("damaged.onnx", Bytes::from(bytes)).map_err(|e| e.to_string())?;
    let g = Graph::new(&model).map_err(|e| e.to_string())?;
    let map = find_taps(&g, TapHints::default()).map_err(|e| e.to_string())?;
    let _ = (facts(&g, &map), exactness(&g, &map, None));
    recover(&g, &map).map(|_| ()).map_err(|e| e.to_string())
}

fn edited(name: &str, edit: impl FnOnce(&mut ModelProto)) -> Vec<u8> {
    let mut proto = model(name).proto().clone();
    edit(&mut proto);
    proto.encode_to_vec()
}

#[test]
fn truncated_files_are_refused_on_one_line() {
    for name in EXPORTS {
        let bytes = model(name).bytes().to_vec();
        assert_eq!(everything(bytes.clone()), Ok(()));
        for cut in (0..400).chain((400..bytes.len()).step_by(bytes.len() / 150)).chain(bytes.len() - 40..bytes.len()) {
            if let Err(message) = everything(bytes[..cut].to_vec()) {
                assert!(!message.contains('\n') && message.starts_with("damaged.onnx: "), "{message}");
            }
        }
        assert!(everything(bytes[..bytes.len() / 2].to_vec()).is_err());
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = edited("dyn18", |m| {
        m.graph.as_mut().unwrap().initializer.iter_mut().for_each(|t| {
            if t.raw_data.len() > 64 * 64 * 4 {
                t.raw_data = t.raw_data.slice(..0);
                t.dims = vec![0, 64];
            }
        })
    });
    let mut seed = 11u64;
    for _ in 0..1_500 {
        let mut damaged = bytes.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 20) as usize % damaged.len();
            damaged[at] ^= 1 << (seed >> 61);
        }
        let _ = everything(damaged);
    }
}

#[test]
fn weights_are_recovered_without_any_name() {
    let original = std::fs::read(folder().join("original/model.safetensors")).unwrap();
    let original = safetensors::SafeTensors::deserialize(&original).unwrap();
    for name in EXPORTS {
        let bytes = edited(name, |m| {
            let graph = m.graph.as_mut().unwrap();
            for (i, t) in graph.initializer.iter_mut().enumerate() {
                let renamed = format!("c{i}");
                for input in graph.node.iter_mut().flat_map(|n| &mut n.input).filter(|n| **n == t.name) {
                    input.clone_from(&renamed);
                }
                t.name = renamed;
            }
            graph.node.iter_mut().for_each(|n| n.name.clear());
        });
        let model = OnnxModel::from_bytes("renamed.onnx", Bytes::from(bytes)).unwrap();
        let set = recover(&Graph::new(&model).unwrap(), &taps(&model)).unwrap();
        for (name, weight) in set.tensors() {
            let bits: Vec<[u8; 4]> = weight.rows().iter().map(|v| v.to_le_bytes()).collect();
            assert!(bits.as_flattened() == original.tensor(name).unwrap().data(), "{name}");
        }
        assert!(set.tensors().len() >= 69);
    }
}

#[test]
fn names_that_contradict_the_structure_are_refused() {
    let bytes = edited("dyn18", |m| {
        let [q, k] = ["query", "key"].map(|r| format!("encoder.layer.1.attention.self.{r}.bias"));
        for input in m.graph.as_mut().unwrap().node.iter_mut().flat_map(|n| &mut n.input) {
            if *input == q {
                *input = k.clone()
            } else if *input == k {
                *input = q.clone()
            }
        }
    });
    let error = everything(bytes).unwrap_err();
    assert!(error.contains("layer.1.attention.self.query.bias") && error.contains("self.key.bias"), "{error}");
}

#[test]
fn inexact_graphs_are_findings() {
    let bytes = edited("ts17_t215", |m| {
        let graph = m.graph.as_mut().unwrap();
        graph.node.iter_mut().filter(|n| n.op_type == "Erf").for_each(|n| n.op_type = "Tanh".to_owned());
    });
    let model = OnnxModel::from_bytes("tanh.onnx", Bytes::from(bytes)).unwrap();
    let g = Graph::new(&model).unwrap();
    let map = taps(&model);
    let findings = exactness(&g, &map, None);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].code == "reference.inexact" && findings[0].message.contains("tanh"), "{findings:?}");
    assert_eq!(facts(&g, &map).activation, Some("gelu_tanh"));
}

#[test]
fn what_is_not_supported_is_named() {
    let external = edited("dyn18", |m| m.graph.as_mut().unwrap().initializer[0].data_location = 1);
    assert!(everything(external).unwrap_err().contains("save as a single file"));
    let domain = edited("dyn18", |m| m.graph.as_mut().unwrap().node[3].domain = "evil".to_owned());
    assert!(everything(domain).unwrap_err().contains("domain `evil`"));
    let control = edited("dyn18", |m| m.graph.as_mut().unwrap().node[3].op_type = "Loop".to_owned());
    assert!(everything(control).unwrap_err().contains("control flow"));
    let dims = edited("dyn18", |m| m.graph.as_mut().unwrap().initializer[0].dims[0] += 1);
    assert!(everything(dims).unwrap_err().contains("expected"));
    let cycle = edited("dyn18", |m| {
        let graph = m.graph.as_mut().unwrap();
        let last = graph.node.last().unwrap().output[0].clone();
        graph.node[0].input.push(last);
    });
    assert!(everything(cycle).unwrap_err().contains("cycle"));
    let pointer = b"version https://git-lfs.github.com/spec/v1\n".to_vec();
    assert!(everything(pointer).unwrap_err().contains("git lfs pull"));
    assert!(matches!(OnnxModel::read(&folder()), Err(OnnxError::Malformed { .. } | OnnxError::Io { .. })));
}

#[test]
fn a_bias_the_exporter_dropped_is_zeros_and_one_added_elsewhere_is_refused() {
    // layer 2's output.dense: MatMul -> Add(bias) -> Add(residual).
    let bias = "encoder.layer.2.output.dense.bias";
    let skip = |m: &mut ModelProto, through: Option<&str>| {
        let nodes = &mut m.graph.as_mut().unwrap().node;
        let add = nodes.iter().position(|n| n.input.iter().any(|i| i == bias)).unwrap();
        let product = nodes[add].input.iter().position(|i| i != bias).unwrap();
        match through {
            None => {
                (nodes[add].op_type, nodes[add].input) =
                    ("Identity".to_owned(), vec![nodes[add].input[product].clone()]);
            }
            Some(op) => {
                let mut extra = nodes[add].clone();
                (extra.op_type, extra.input, extra.output) =
                    (op.to_owned(), vec![nodes[add].input[product].clone()], vec!["between".to_owned()]);
                nodes[add].input[product] = "between".to_owned();
                nodes.push(extra);
            }
        }
    };
    let model = OnnxModel::from_bytes("dropped.onnx", Bytes::from(edited("dyn18", |m| skip(m, None)))).unwrap();
    let set = recover(&Graph::new(&model).unwrap(), &taps(&model)).unwrap();
    assert!(set.tensors()[bias].rows().iter().all(|v| v.to_bits() == 0));
    let error = everything(edited("dyn18", |m| skip(m, Some("Identity")))).unwrap_err();
    assert!(error.contains("some way behind") && error.contains("--original"), "{error}");
}
