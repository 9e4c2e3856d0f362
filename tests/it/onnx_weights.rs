//! The weights recovered from every export are the checkpoint's own, bit for bit.

use crate::onnx_common;

use onnx_common::{EXPORTS, folder, model, taps};
use parallax::checkpoint::WeightSet;
use parallax::runtimes::onnx::{Graph, exactness, recover};
use safetensors::SafeTensors;

fn assert_equal(set: &WeightSet, original: &[u8]) {
    let original = SafeTensors::deserialize(original).unwrap();
    let names: Vec<&str> = original.names().into_iter().filter(|n| n.contains('.')).collect();
    let pooled = set.tensors().contains_key("pooler.dense.weight");
    let wanted = names.iter().filter(|n| !n.ends_with("position_ids") && (pooled || !n.starts_with("pooler."))).count();
    assert_eq!(set.tensors().len(), wanted);
    for (name, weight) in set.tensors() {
        let t = original.tensor(name).unwrap();
        assert_eq!(weight.shape, t.shape(), "{name}");
        let bits: Vec<[u8; 4]> = weight.rows().iter().map(|v| v.to_le_bytes()).collect();
        assert!(bits.as_flattened() == t.data(), "{name} differs");
    }
}

#[test]
fn recovered_weights_are_the_checkpoints() {
    let original = std::fs::read(folder().join("original/model.safetensors")).unwrap();
    for name in EXPORTS {
        let model = model(name);
        let g = Graph::new(&model).unwrap();
        let set = recover(&g, &taps(&model)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(set.tensors().len() >= 5 + 4 * 16, "{name}");
        assert_equal(&set, &original);
    }
}

#[test]
fn float32_exports_are_exact() {
    for name in EXPORTS {
        let model = model(name);
        let g = Graph::new(&model).unwrap();
        assert_eq!(exactness(&g, &taps(&model), Some("gelu")), [], "{name}");
    }
}
