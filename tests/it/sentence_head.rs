//! Pooling and normalization: numbers computed by hand, torch's own, and invariants.

use crate::native;

use native::{fixture, tensors};
use parallax::checkpoint::PoolingMode::{self, *};
use parallax::checkpoint::{DenseActivation, DenseModule, SentenceModules, Stage, StageWeights, Storage, Weight};
use parallax::fault::Fault;
use parallax::hidden_states::TapStates;
use parallax::runtimes::native::SentenceHead;

/// Against torch float32 sums over up to 53 tokens. Measured 6.0e-8 (mean), relative L2.
const TORCH_TOLERANCE: f64 = 1e-6;

const ALL: [PoolingMode; 6] = [Cls, Max, Mean, MeanSqrtLen, WeightedMean, LastToken];

fn head(pooling: &[PoolingMode], normalize: bool) -> SentenceHead {
    let modules = SentenceModules {
        pooling: pooling.to_vec(),
        stages: normalize.then_some(Stage::Normalize).into_iter().collect(),
        ..SentenceModules::of(Mean)
    };
    SentenceHead::new(&modules, 2).unwrap()
}

/// Three rows: (1,2) (3,−4); nothing; (−1,−7).
fn states() -> TapStates {
    TapStates::ragged(2, &[0, 2, 2, 3], vec![1.0, 2.0, 3.0, -4.0, -1.0, -7.0]).unwrap()
}

fn rows(states: &TapStates) -> Vec<Vec<f32>> {
    (0..states.rows()).map(|r| states.row(r).to_vec()).collect()
}

#[test]
fn every_mode_by_hand() {
    let expected = [
        [1.0, 2.0],
        [3.0, 2.0],
        [2.0, -1.0],
        [4.0 / std::f32::consts::SQRT_2, -2.0 / std::f32::consts::SQRT_2],
        [7.0 / 3.0, -2.0],
        [3.0, -4.0],
    ];
    for (mode, expected) in ALL.iter().zip(expected) {
        let (pooled, sentence) = head(&[*mode], false).apply(&states()).unwrap();
        assert_eq!(rows(&pooled), [expected.to_vec(), vec![0.0, 0.0], vec![-1.0, -7.0]], "{mode}");
        assert!(std::sync::Arc::ptr_eq(&pooled, &sentence), "without a normalization both are the same");
    }
}

#[test]
fn concatenation_keeps_the_order_and_normalization_spans_all_of_it() {
    let both = head(&[LastToken, Cls], true);
    assert_eq!(both.width(), 4);
    let (pooled, sentence) = both.apply(&states()).unwrap();
    assert_eq!(pooled.row(0), [3.0, -4.0, 1.0, 2.0]);
    let norm = 30.0_f32.sqrt();
    for (s, p) in sentence.row(0).iter().zip(pooled.row(0)) {
        assert!((s - p / norm).abs() < 1e-7);
    }
    assert_eq!(sentence.row(1), [0.0; 4], "an empty row is zeros, not NaN and not dropped");
    for r in [0, 2] {
        let length: f64 = sentence.row(r).iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6);
    }
}

#[test]
fn padded_states_pool_like_ragged_ones() {
    let nan = f32::NAN;
    let values = vec![1.0, 2.0, 3.0, -4.0, nan, nan, nan, nan, -1.0, -7.0, nan, nan];
    let padded = TapStates::padded(2, 2, &[2, 0, 1], Box::new(values)).unwrap();
    let all = head(&ALL, true);
    assert_eq!(rows(&all.apply(&padded).unwrap().1), rows(&all.apply(&states()).unwrap().1));
}

#[test]
fn a_nan_is_never_pooled_away() {
    for position in 0..2 {
        let mut values = vec![1.0, 2.0, 3.0, 4.0];
        values[position * 2] = f32::NAN;
        let states = TapStates::ragged(2, &[0, 2], values).unwrap();
        for mode in [Max, Mean, MeanSqrtLen, WeightedMean] {
            let (pooled, sentence) = head(&[mode], true).apply(&states).unwrap();
            assert!(pooled.row(0)[0].is_nan() && pooled.row(0)[1].is_finite(), "{mode}");
            assert!(sentence.row(0).iter().all(|x| x.is_nan()), "{mode}");
        }
    }
}

/// Weights of a module, by the folder it lies in.
fn weights(parts: &[(&str, &str, Vec<usize>, Vec<f32>)]) -> StageWeights {
    let storage =
        Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: String::new() };
    let one = |(path, name, shape, values): &(&str, &str, Vec<usize>, Vec<f32>)| {
        let weight = Weight::new(name, shape.clone(), values.clone(), storage.clone());
        (((*path).to_owned(), (*name).to_owned()), std::sync::Arc::new(weight))
    };
    parts.iter().map(one).collect()
}

fn dense(path: &str, inputs: usize, outputs: usize, bias: bool, activation: DenseActivation) -> Stage {
    Stage::Dense(DenseModule { path: path.into(), inputs, outputs, bias, activation })
}

/// The row (1,2) (3,−4) has the mean (2,−1); what follows is computed by hand.
#[test]
fn modules_behind_the_pooling_in_their_order() {
    let of = |stages: &[Stage]| SentenceModules { stages: stages.to_vec(), ..SentenceModules::of(Mean) };
    let all = weights(&[
        ("2_Dense", "weight", vec![3, 2], vec![1.0, 1.0, 0.5, -1.0, -1.0, 0.0]),
        ("2_Dense", "bias", vec![3], vec![0.0, 1.0, 0.5]),
        ("3_LayerNorm", "weight", vec![3], vec![1.0, 2.0, 1.0]),
        ("3_LayerNorm", "bias", vec![3], vec![0.0, 0.0, 1.0]),
    ]);
    let run = |stages: &[Stage]| {
        let head = SentenceHead::with_weights(&of(stages), 2, &all).unwrap();
        let (pooled, sentence) = head.apply(&states()).unwrap();
        assert_eq!(pooled.row(0), [2.0, -1.0]);
        assert_eq!(sentence.hidden(), head.width());
        sentence.row(0).to_vec()
    };
    let norm = Stage::LayerNorm { path: "3_LayerNorm".into(), dimension: 3 };
    // W·(2,−1) + b = (1, 3, −1.5)
    let plain = dense("2_Dense", 2, 3, true, DenseActivation::Identity);
    assert_eq!(run(std::slice::from_ref(&plain)), [1.0, 3.0, -1.5]);
    assert_eq!(run(&[dense("2_Dense", 2, 3, false, DenseActivation::Identity)]), [1.0, 2.0, -2.0]);
    assert_eq!(run(&[dense("2_Dense", 2, 3, true, DenseActivation::Relu)]), [1.0, 3.0, 0.0]);
    let near = |found: Vec<f32>, expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f64::from(*f) - e).abs() < 1e-6, "{found:?} {expected:?}");
        }
    };
    near(run(&[dense("2_Dense", 2, 3, true, DenseActivation::Tanh)]), &[1f64.tanh(), 3f64.tanh(), -1.5f64.tanh()]);
    near(run(&[dense("2_Dense", 2, 3, true, DenseActivation::Gelu)]), &[0.841_344_7, 2.995_950_3, -0.100_210_8]);
    near(run(&[dense("2_Dense", 2, 3, true, DenseActivation::Sigmoid)]), &[0.731_058_6, 0.952_574_1, 0.182_425_5]);
    // mean 5/6, biased variance 3.388…
    let (mean, deviation) = (5.0 / 6.0, (3.388_888_888_f64 + 1e-5).sqrt());
    let normed = [(1.0 - mean) / deviation, 2.0 * (3.0 - mean) / deviation, (-1.5 - mean) / deviation + 1.0];
    near(run(&[plain.clone(), norm]), &normed);
    let length = 12.25f64.sqrt();
    near(run(&[plain.clone(), Stage::Normalize]), &[1.0 / length, 3.0 / length, -1.5 / length]);
    near(run(&[plain.clone(), Stage::Normalize, Stage::Truncate(2)]), &[1.0 / length, 3.0 / length]);
    // another order is another vector
    assert_ne!(run(&[plain.clone(), Stage::Normalize]), run(&[Stage::Normalize, plain]));
}

/// A prompt's tokens are left out of means and maxima; the first and the last token stay what they are.
#[test]
fn a_prompt_may_be_left_out_of_the_pooling() {
    let states = TapStates::ragged(1, &[0, 3, 4], vec![10.0, 2.0, 4.0, 7.0]).unwrap();
    for (mode, expected) in [(Mean, 3.0), (Max, 4.0), (Cls, 10.0), (LastToken, 4.0)] {
        let head = SentenceHead::new(&SentenceModules::of(mode), 1).unwrap().skipping(1);
        let (pooled, _) = head.apply(&states).unwrap();
        assert_eq!(pooled.row(0), [expected], "{mode}");
        assert_eq!(pooled.row(1), [7.0], "{mode}: a row that is nothing else");
    }
}

#[test]
fn modules_without_their_weights_or_of_other_widths_are_errors() {
    let of = |stage: Stage| SentenceModules { stages: vec![stage], ..SentenceModules::of(Mean) };
    let all = weights(&[("2_Dense", "weight", vec![3, 2], vec![0.0; 6])]);
    let plain = |inputs, outputs, bias| dense("2_Dense", inputs, outputs, bias, DenseActivation::Identity);
    SentenceHead::with_weights(&of(plain(2, 3, false)), 2, &all).unwrap();
    for (stage, word) in [
        (plain(2, 3, true), "`bias` is missing"),
        (plain(2, 4, false), "has shape [3, 2]"),
        (plain(3, 3, false), "is for vectors of 3, it gets vectors of 2"),
        (dense("3_Dense", 2, 3, false, DenseActivation::Identity), "3_Dense: the module's `weight` is missing"),
        (Stage::LayerNorm { path: "2_Dense".into(), dimension: 2 }, "has shape [3, 2]"),
        (Stage::Truncate(3), "are to be cut to 3 dimensions"),
    ] {
        let e = SentenceHead::with_weights(&of(stage), 2, &all).unwrap_err();
        assert!(e.to_string().contains(word), "{e}");
        assert_eq!(e.fault(), Fault::BadInput);
    }
}

#[test]
fn heads_that_do_not_fit_are_errors() {
    let stated = SentenceModules {
        dimension: Some(3),
        stated_in: Some("1_Pooling/config.json".into()),
        ..SentenceModules::of(Mean)
    };
    let e = SentenceHead::new(&stated, 2).unwrap_err();
    assert_eq!(e.fault(), Fault::BadInput);
    assert!(e.to_string().contains("1_Pooling/config.json"));
    let none = SentenceModules { pooling: vec![], ..SentenceModules::of(Mean) };
    assert!(SentenceHead::new(&none, 2).is_err());
    let wide = TapStates::ragged(3, &[0, 1], vec![0.0; 3]).unwrap();
    assert!(head(&[Mean], false).apply(&wide).is_err());
}

#[test]
fn cls_mean_and_last_token_equal_torch_and_differ_from_each_other() {
    let recorded = tensors(&fixture("onnx/bert/hidden_states.safetensors"));
    let (shape, mask) = &recorded["attention_mask"];
    let lengths: Vec<usize> = mask.chunks(shape[1]).map(|m| m.iter().sum::<f32>() as usize).collect();
    let (shape, values) = recorded["hidden.4"].clone();
    let hidden = shape[2];
    let states = TapStates::padded(hidden, shape[1], &lengths, Box::new(values)).unwrap();
    let names = [(Cls, "pooled.cls"), (Mean, "pooled.mean"), (LastToken, "pooled.last")];
    for (mode, _) in names {
        let (pooled, _) = SentenceHead::new(&SentenceModules::of(mode), hidden).unwrap().apply(&states).unwrap();
        for (other, name) in names {
            let one_each: Vec<usize> = (0..=lengths.len()).collect();
            let expected = TapStates::ragged(hidden, &one_each, recorded[name].1.clone()).unwrap();
            let error = native::relative_l2(&pooled, &expected);
            println!("{mode} against {name}: {error:.2e}");
            assert_eq!(error <= TORCH_TOLERANCE, mode == other, "{mode} against {name}: {error:e}");
        }
    }
}
