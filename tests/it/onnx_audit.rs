//! Layer numbers are proven by weights, quantized or not, and a checkpoint with another order is found out.

use crate::onnx_common;

use std::collections::BTreeMap;

use onnx_common::{EXPORTS, folder, model, taps};
use parallax::checkpoint::{ModelFolder, WeightSet};
use parallax::finding::Severity;
use parallax::quantization::load_float;
use parallax::runtimes::onnx::{Audit, Graph, audit};

fn checkpoint() -> WeightSet {
    load_float(&ModelFolder::open(&folder().join("original")).unwrap()).unwrap().weights
}

/// The checkpoint with its tensors renamed or changed.
fn changed(rename: impl Fn(&str) -> String, change: impl Fn(&mut [f32])) -> WeightSet {
    let mut tensors = BTreeMap::new();
    for (name, weight) in checkpoint().tensors() {
        let weight = weight.changed(|values| change(values));
        tensors.insert(rename(name), weight);
    }
    WeightSet::new("changed", tensors).unwrap()
}

fn audited(name: &str, weights: &WeightSet) -> Audit {
    let model = model(name);
    audit(&Graph::new(&model).unwrap(), &taps(&model), weights)
}

/// Affine 4-bit codes in groups of 32, as MLX rounds them.
fn four_bits(values: &mut [f32]) {
    for group in values.chunks_mut(32) {
        let (low, high) = group.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        let step = ((high - low) / 15.0).max(1e-7);
        group.iter_mut().for_each(|v| *v = ((*v - low) / step).round() * step + low);
    }
}

#[test]
fn every_matrix_of_every_export_is_its_layers_own() {
    let original = checkpoint();
    for name in EXPORTS {
        let audit = audited(name, &original);
        assert!(audit.confirmed(), "{name}: {audit:?}");
        assert_eq!(audit.findings(), [], "{name}");
        for layer in &audit.layers {
            assert_eq!(layer.matrices.len(), 6, "{name}");
            for m in &layer.matrices {
                assert!(m.own > 0.999 && m.layer == Some(layer.layer), "{name}: {m:?}");
            }
        }
    }
}

#[test]
fn four_bit_weights_prove_the_same() {
    let quantized = changed(str::to_owned, four_bits);
    for name in EXPORTS {
        let audit = audited(name, &quantized);
        assert!(audit.confirmed(), "{name}: {audit:?}");
        let all = || audit.layers.iter().flat_map(|l| &l.matrices);
        let worst = all().map(|m| m.own).fold(1.0, f64::min);
        let nearest = all().map(|m| m.runner_up).fold(0.0, f64::max);
        println!("{name}: own at least {worst:.4}, another at most {nearest:.4}");
        assert!(worst > 0.97 && worst < 0.999_999, "{name}: {worst}");
    }
}

#[test]
fn a_checkpoint_with_two_layers_swapped_is_refused() {
    let swap = |name: &str| {
        let swapped = name.replace("layer.1.", "layer.X.").replace("layer.2.", "layer.1.");
        swapped.replace("layer.X.", "layer.2.")
    };
    let audit = audited("dyn18", &changed(swap, |_| {}));
    assert!(!audit.confirmed());
    let findings = audit.findings();
    assert_eq!(findings.len(), 2, "{findings:?}");
    for (finding, (graph, checkpoint)) in findings.iter().zip([(1, 2), (2, 1)]) {
        assert_eq!((finding.severity, finding.code.as_str()), (Severity::Refusal, "alignment.layer_numbers"));
        let words = format!("in layer {graph} of the graph, and is layer {checkpoint} of changed");
        assert!(finding.message.contains(&words), "{}", finding.message);
        assert!(finding.message.contains("6 of 6"), "{}", finding.message);
    }
}

#[test]
fn weights_of_another_model_prove_nothing() {
    let reversed = changed(str::to_owned, |values| values.reverse());
    let audit = audited("ts14_sdpa", &reversed);
    assert!(!audit.confirmed());
    let refusals = audit.findings().iter().filter(|f| f.severity == Severity::Refusal).count();
    assert_eq!(refusals, 4, "{:?}", audit.findings());
}

#[test]
fn layers_that_are_copies_of_each_other_are_told_apart_by_nothing() {
    let first = checkpoint();
    let copies = first.changed(|tensors| {
        for (name, weight) in tensors.iter_mut() {
            if let Some(part) = name.strip_prefix("encoder.layer.3.") {
                *weight = first.tensors()[&format!("encoder.layer.2.{part}")].clone();
            }
        }
    });
    let audit = audited("dyn18", &copies.unwrap());
    assert!(!audit.confirmed());
    let findings = audit.findings();
    assert!(
        findings.iter().any(|f| f.message.contains("layer 2") && f.message.contains("several layers")),
        "{findings:?}"
    );
    assert!(findings.iter().any(|f| f.message.contains("layer 3") && f.severity == Severity::Refusal), "{findings:?}");
}

#[test]
fn one_layers_weights_for_all_prove_membership_only() {
    let only = checkpoint();
    let set = only.changed(|tensors| tensors.retain(|n, _| !n.contains("layer.") || n.contains("layer.0."))).unwrap();
    let audit = audited("dyn18", &set);
    assert!(audit.shared);
    let findings = audit.findings();
    assert!(findings.iter().any(|f| f.severity == Severity::Note && f.message.contains("membership")));
    // The fixture's layers are not shared: layers 1 to 3 resemble nothing.
    assert_eq!(findings.iter().filter(|f| f.severity == Severity::Refusal).count(), 3, "{findings:?}");
}
