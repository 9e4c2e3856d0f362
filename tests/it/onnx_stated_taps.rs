//! Taps stated by a person: taken when they can be true, refused with the reason when they cannot.

use crate::onnx_common;

use onnx_common::{model, taps};
use parallax::fault::Fault;
use parallax::finding::Severity;
use parallax::hidden_states::Tap;
use parallax::runtimes::onnx::{Graph, Stated, StatedError, TapHints, recover, stated_taps};

const HINTS: TapHints = TapHints { layers: Some(4), vocab: Some(1800) };

fn found() -> Vec<(String, String)> {
    taps(&model("dyn18")).entries.iter().map(|e| (e.tap.to_string(), e.tensor.clone())).collect()
}

fn json(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(tap, tensor)| format!("{tap:?}: {tensor:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn stated(text: &str) -> Result<Stated, StatedError> {
    let model = model("dyn18");
    stated_taps(&Graph::new(&model).unwrap(), "taps.json", text.as_bytes(), HINTS)
}

fn refused(pairs: &[(String, String)], words: &str, fault: Fault) {
    let error = stated(&json(pairs)).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.to_string().starts_with("taps.json: "), "{error}");
    assert_eq!(error.fault(), fault, "{error}");
}

#[test]
fn what_the_search_finds_can_be_stated() {
    let all = stated(&json(&found())).unwrap();
    assert_eq!(all.findings, []);
    let searched = taps(&model("dyn18"));
    for e in &searched.entries {
        assert_eq!(all.map.tensor(e.tap), Some(e.tensor.as_str()));
    }
    assert!(all.map.entries.iter().all(|e| e.evidence == "stated in taps.json" && e.node.contains('`')));
    assert_eq!((all.map.layers, all.map.post_norm, &all.map.blocks), (4, true, &searched.blocks));
    assert_eq!((all.map.sink, all.map.ids_input, all.map.words), (searched.sink, searched.ids_input, searched.words));
}

#[test]
fn a_statement_against_the_structure_is_kept_and_said() {
    let mut pairs = found();
    // The attention's own norm is a tensor of the stream, and not the one the structure names.
    pairs[2].1 = taps(&model("dyn18")).tensor(Tap::Attention(1)).unwrap().to_owned();
    let all = stated(&json(&pairs)).unwrap();
    assert_eq!(all.map.tensor(Tap::Layer(1)), Some(pairs[2].1.as_str()));
    assert_eq!(all.findings.len(), 1, "{:?}", all.findings);
    let finding = &all.findings[0];
    assert_eq!((finding.severity, finding.code.as_str()), (Severity::Warning, "alignment.stated_taps"));
    assert!(finding.message.contains("`layer.1` is stated as") && finding.message.contains("structure says"));
}

#[test]
fn a_map_without_blocks_recovers_no_weights() {
    let model = model("dyn18");
    let g = Graph::new(&model).unwrap();
    let mut map = taps(&model);
    map.blocks.clear();
    let error = recover(&g, &map).unwrap_err().to_string();
    assert!(error.contains("the nodes of its layers are unknown"), "{error}");
}

#[test]
fn what_cannot_be_true_is_refused() {
    let with = |at: usize, tensor: &str| {
        let mut pairs = found();
        pairs[at].1 = tensor.to_owned();
        pairs
    };
    refused(&with(1, "nowhere"), "has no such tensor", Fault::BadInput);
    refused(&with(1, "input_ids"), "does not depend on the token embeddings", Fault::BadInput);
    refused(&with(1, &found()[0].1), "`embeddings` is stated as the same tensor", Fault::BadInput);
    refused(&with(5, &found()[3].1), "`layer.2` is stated as the same tensor", Fault::BadInput);
    let mut swapped = found();
    (swapped[1].1, swapped[2].1) = (swapped[2].1.clone(), swapped[1].1.clone());
    refused(&swapped, "does not depend on `layer.0`", Fault::BadInput);
    let without = |at: usize| {
        let mut pairs = found();
        pairs.remove(at);
        pairs
    };
    refused(&without(0), "`embeddings` is missing", Fault::BadInput);
    refused(&without(2), "`layer.1` is missing", Fault::BadInput);
    refused(&without(4), "3 layers are stated, the configuration says 4", Fault::BadInput);
    refused(&without(5), "`final` is missing", Fault::BadInput);
    refused(&[], "`embeddings` is missing", Fault::BadInput);
    let mut twice = found();
    twice.push(twice[1].clone());
    refused(&twice, "`layer.0` is stated twice", Fault::Usage);
    let mut unknown = found();
    unknown.push(("layers.9".to_owned(), "x".to_owned()));
    refused(&unknown, "\"layers.9\" is no tap", Fault::Usage);
    let mut pooled = found();
    pooled.push(("pooled".to_owned(), found()[5].1.clone()));
    refused(&pooled, "\"pooled\" is no tap", Fault::Usage);
}

#[test]
fn whole_numbers_and_truth_values_are_no_hidden_states() {
    let model = model("dyn18");
    let g = Graph::new(&model).unwrap();
    let shape = (0..g.len()).find(|&k| g.op(k) == "Shape").unwrap();
    let mut pairs = found();
    pairs[0].1 = g.name(g.output(shape, 0).unwrap()).to_owned();
    refused(&pairs, "operator Shape makes no float32 values", Fault::BadInput);
}

#[test]
fn no_taps_file_is_a_usage_error() {
    for text in ["", "[]", "{\"embeddings\": 3}", "{\"embeddings\": \"a\"", "null", "{} {}"] {
        let error = stated(text).unwrap_err();
        assert_eq!(error.fault(), Fault::Usage, "{text}: {error}");
        assert!(error.to_string().contains("not a taps file"), "{error}");
    }
    let large = format!("{{\"embeddings\": \"{}\"}}", "x".repeat(1 << 20));
    assert!(stated(&large).unwrap_err().to_string().contains("the limit is"));
}
