//! The taps of every export of one model carry what PyTorch calls its hidden states.

use crate::onnx_common;

use onnx_common::{EXPORTS, Expected, model, runtime, taps};
use parallax::hidden_states::Tap;
use parallax::runtimes::Encoder;
use parallax::runtimes::onnx::{Graph, OnnxEncoder, SessionOptions, TapError, TapHints, facts, find_taps};

/// Relative L2 between ONNX Runtime and PyTorch; 5.2e-7 was the most measured over all taps and exports.
const SAME: f64 = 1e-5;
/// Distance of any tap from its neighbour; 1.0 was the least measured.
const DIFFERENT: f64 = 0.1;

#[test]
fn every_tap_of_every_export_is_the_hidden_state_it_is_named_after() {
    let (runtime, expected) = (runtime(), Expected::read());
    let batch = expected.batch();
    let (mut worst, mut nearest) = (0f64, f64::INFINITY);
    for name in EXPORTS {
        let model = model(name);
        let map = taps(&model);
        let encoder = OnnxEncoder::open(&runtime, &model, &map, SessionOptions::default()).unwrap();
        let states = encoder.encode(&batch).unwrap();
        let points = [Tap::Embeddings, Tap::Layer(0), Tap::Layer(1), Tap::Layer(2), Tap::Layer(3)];
        for (k, tap) in points.into_iter().enumerate() {
            let got = states.get(tap).unwrap();
            let (distance, n) = expected.distance(&format!("hidden.{k}"), got);
            assert_eq!(n, batch.tokens() * 64);
            assert!(distance < SAME, "{name} {tap}: {distance:e}");
            worst = worst.max(distance);
            for other in (0..5).filter(|&o| o != k) {
                let (distance, _) = expected.distance(&format!("hidden.{other}"), got);
                nearest = nearest.min(distance);
                assert!(distance > DIFFERENT, "{name} {tap} against hidden.{other}: {distance:e}");
            }
        }
        for k in 0..4 {
            let (distance, _) = expected.distance(&format!("mid.{k}"), states.get(Tap::Attention(k)).unwrap());
            assert!(distance < SAME, "{name} attention {k}: {distance:e}");
            worst = worst.max(distance);
        }
        let (last, end) = (states.get(Tap::Layer(3)).unwrap(), states.get(Tap::Final).unwrap());
        assert!(std::sync::Arc::ptr_eq(last, end));
        assert!(encoder.taps().is_sorted());
    }
    println!("worst relative L2 {worst:e}, nearest other tap {nearest:e}");
}

#[test]
fn the_map_and_the_facts_say_what_the_model_is() {
    for name in EXPORTS {
        let model = model(name);
        let g = Graph::new(&model).unwrap();
        let map = taps(&model);
        assert_eq!((map.layers, map.vocab, map.hidden), (4, 1800, 64));
        assert_eq!(map.ids_input, "input_ids");
        assert!(map.post_norm);
        let f = facts(&g, &map);
        assert_eq!((f.heads, f.intermediate, f.positions), (Some(4), Some(160), Some(128)), "{name}");
        assert_eq!((f.activation, f.layer_norm_eps), (Some("gelu"), Some(1e-12)), "{name}");
        assert!(f.producer.starts_with("pytorch"), "{}", f.producer);
        assert!(f.opset >= 14);
    }
}

#[test]
fn hints_that_contradict_the_graph_are_refused() {
    let model = model("dyn18");
    let g = Graph::new(&model).unwrap();
    let error = find_taps(&g, TapHints { layers: Some(6), vocab: None }).unwrap_err();
    assert!(matches!(error, TapError::Layers { found: 4, expected: 6, .. }));
    assert!(find_taps(&g, TapHints { layers: None, vocab: Some(1801) }).is_err());
}
