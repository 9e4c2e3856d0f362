//! Pooling and normalization: numbers computed by hand, torch's own, and invariants.

#![allow(clippy::unwrap_used)]

mod native;

use native::{fixture, tensors};
use parallax::checkpoint::PoolingMode::{self, *};
use parallax::checkpoint::SentenceModules;
use parallax::fault::Fault;
use parallax::hidden_states::TapStates;
use parallax::runtimes::native::SentenceHead;

/// Against torch float32 sums over up to 53 tokens. Measured 6.0e-8 (mean), relative L2.
const TORCH_TOLERANCE: f64 = 1e-6;

const ALL: [PoolingMode; 6] = [Cls, Max, Mean, MeanSqrtLen, WeightedMean, LastToken];

fn head(pooling: &[PoolingMode], normalize: bool) -> SentenceHead {
    let modules = SentenceModules { pooling: pooling.to_vec(), normalize, ..SentenceModules::of(Mean) };
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
