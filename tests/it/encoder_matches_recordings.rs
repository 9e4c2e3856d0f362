//! The native encoder computes what torch and MLX computed: same weights, same tokens, every tap.

use crate::native;

use native::mlx::Tiny;
use native::{Bert, relative_l2, weight_set};
use parallax::hidden_states::Tap;
use parallax::runtimes::Encoder;
use parallax::runtimes::native::NativeEncoder;
use parallax::tokens::TokenBatch;
use serde_json::json;

/// Relative L2 at the worst tap against torch float32. Measured 4.8e-7 (layer.2, six rows of 2 to 53 tokens):
/// float32 arithmetic in another order.
const TORCH_TOLERANCE: f64 = 2e-6;

/// Relative L2 at the worst tap against MLX run on float32 activations. Measured 4.3e-7 (4-bit, layer.1).
const MLX_TOLERANCE: f64 = 2e-6;

#[test]
fn every_tap_of_every_tiny_mlx_bert_equals_mlx() {
    for name in ["bert-8bit-g64", "bert-4bit-g32", "bert-6bit-g32-f32", "bert-3bit-g64-bf16", "bert-f16"] {
        let tiny = Tiny::load(name);
        let encoder = NativeEncoder::build(&tiny.config, &weight_set(&tiny.weights), name).unwrap();
        let mut worst = 0.0_f64;
        for (run, recorded) in &tiny.runs {
            let found = encoder.encode(&recorded.batch).unwrap();
            for (tap, error) in recorded.errors(&found) {
                assert!(error <= MLX_TOLERANCE, "{name} {run} {tap}: {error:e}");
                worst = worst.max(error);
            }
        }
        println!("{name}: {worst:.2e}");
    }
}

/// The quantized models differ from each other by far more than the tolerance: none stands in for another.
#[test]
fn one_tiny_model_never_passes_for_another() {
    let (eight, four) = (Tiny::load("bert-8bit-g64"), Tiny::load("bert-4bit-g32"));
    let encoder = NativeEncoder::build(&eight.config, &weight_set(&eight.weights), "8 bits").unwrap();
    for (run, recorded) in &four.runs {
        let found = encoder.encode(&recorded.batch).unwrap();
        for (tap, error) in recorded.errors(&found) {
            assert!(error > 1000.0 * MLX_TOLERANCE, "{run} {tap}: {error:e}");
        }
    }
}

#[test]
fn every_tap_of_a_tiny_bert_equals_torch() {
    let bert = Bert::load();
    let encoder = bert.encoder().with_inner_taps();
    let found = encoder.encode(&bert.recorded.batch).unwrap();
    for (tap, error) in bert.recorded.errors(&found) {
        println!("{tap}: {error:.2e}");
        assert!(error <= TORCH_TOLERANCE, "{tap}: {error:e}");
    }
    let reported: Vec<Tap> = found.iter().map(|(tap, _)| tap).collect();
    assert_eq!(reported, encoder.taps());
    assert_eq!(reported.len(), 1 + 3 * 4 + 1);
    assert!(reported.is_sorted());
}

#[test]
fn each_layer_alone_on_the_recorded_input_equals_torch() {
    let bert = Bert::load();
    let encoder = bert.encoder();
    let taps = &bert.recorded.taps;
    for k in 0..4 {
        let input = if k == 0 { Tap::Embeddings } else { Tap::Layer(k - 1) };
        let found = encoder.layer(k, &taps[&input]).unwrap().unwrap();
        let error = relative_l2(&found, &taps[&Tap::Layer(k)]);
        println!("layer {k} alone: {error:.2e}");
        assert!(error <= TORCH_TOLERANCE, "{error:e}");
    }
    assert!(encoder.layer(4, &taps[&Tap::Layer(3)]).is_err());
}

#[test]
fn final_is_the_last_layer_itself() {
    let bert = Bert::load();
    let found = bert.encoder().encode(&bert.recorded.batch).unwrap();
    let (last, last_hidden_state) = (found.get(Tap::Layer(3)).unwrap(), found.get(Tap::Final).unwrap());
    assert!(std::sync::Arc::ptr_eq(last, last_hidden_state));
    assert_eq!(found.iter().count(), 6, "inner taps are off unless asked for");
}

/// Bit-identical, not merely close: batches, shards and thread counts must not show in a report.
#[test]
fn a_row_alone_a_row_in_a_batch_and_any_number_of_threads_give_the_same_bits() {
    let bert = Bert::load();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bert.encoder().encode(&bert.recorded.batch).unwrap())
    };
    let (one, four) = (run(1), run(4));
    for (tap, states) in one.iter() {
        for r in 0..bert.recorded.batch.rows() {
            assert_eq!(states.row(r), four.get(tap).unwrap().row(r), "{tap} row {r}: 1 and 4 threads");
            let alone = bert.encoder().encode(&bert.recorded.row(r)).unwrap();
            assert_eq!(states.row(r), alone.get(tap).unwrap().row(0), "{tap} row {r}: alone and in a batch");
        }
    }
}

/// The same with more tokens than one thread takes through a layer at a time, and with the taps inside the layers.
#[test]
fn a_row_is_what_it_is_alone_among_thousands_of_tokens() {
    let bert = Bert::load();
    let encoder = bert.encoder().with_inner_taps();
    let (mut batch, rows) = (TokenBatch::new(), bert.recorded.batch.rows());
    while batch.tokens() < 6000 {
        let r = batch.rows() % rows;
        batch.push(bert.recorded.batch.row_id(r), bert.recorded.batch.ids(r), bert.recorded.batch.type_ids(r));
    }
    let alone: Vec<_> = (0..rows).map(|r| encoder.encode(&bert.recorded.row(r)).unwrap()).collect();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let all = pool.install(|| encoder.encode(&batch).unwrap());
        assert_eq!(all.iter().count(), encoder.taps().len());
        for (tap, states) in all.iter() {
            for r in 0..batch.rows() {
                let alone = alone[r % rows].get(tap).unwrap().row(0);
                assert!(states.row(r) == alone, "{tap} row {r}, {threads} threads: alone and in a batch");
            }
        }
    }
}

/// A comparison that sees no planted fault proves nothing.
#[test]
fn planted_faults_are_far_outside_the_tolerance() {
    let swap = |mut bert: Bert, a: &str, b: &str| {
        let (x, y) = (bert.weights[a].clone(), bert.weights[b].clone());
        assert_ne!(x.1, y.1, "{a} and {b}");
        bert.weights.insert(a.into(), y);
        bert.weights.insert(b.into(), x);
        bert
    };
    let layer = |k: usize, part: &str| format!("encoder.layer.{k}.{part}.weight");
    let zeroed = |name: &str| {
        let mut bert = Bert::load();
        bert.weights.get_mut(name).unwrap().1.fill(0.0);
        bert
    };
    let act = |name: &str| Bert::load().with_config(|c| c["hidden_act"] = json!(name));
    let faults = [
        ("tanh for erf", act("gelu_new")),
        ("relu for gelu", act("relu")),
        ("eps 1e-5", Bert::load().with_config(|c| c["layer_norm_eps"] = json!(1e-5))),
        ("heads regrouped", Bert::load().with_config(|c| c["num_attention_heads"] = json!(8))),
        (
            "query and key swapped",
            swap(Bert::load(), &layer(2, "attention.self.query"), &layer(2, "attention.self.key")),
        ),
        (
            "value of two layers swapped",
            swap(Bert::load(), &layer(0, "attention.self.value"), &layer(1, "attention.self.value")),
        ),
        ("a bias zeroed", zeroed("encoder.layer.3.output.dense.bias")),
        ("type embeddings zeroed", zeroed("embeddings.token_type_embeddings.weight")),
    ];
    for (name, bert) in faults {
        let error = bert.recorded.worst(bert.encoder());
        println!("{name}: {error:.2e}");
        assert!(error > 5.0 * TORCH_TOLERANCE, "{name}: {error:e} would have gone unseen");
    }
}
