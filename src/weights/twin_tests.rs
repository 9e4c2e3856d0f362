use std::collections::BTreeMap;

use super::{Method, Quantizer, WeightsReport, beyond_rounding, compare, findings, free_choices};
use crate::checkpoint::{Bytes, PackedBytes, Storage, Weight, WeightSet};
use crate::finding::Severity;
use crate::quantization::{Codes, requantized};

pub(super) const ROWS: usize = 96;
const COLUMNS: usize = 128;
pub(super) const GROUP: usize = 32;
const NAME: &str = "encoder.layer.0.attention.self.value";
const NEXT: &str = "encoder.layer.0.attention.output.dense";

/// Numbers between -1 and 1, the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Near enough to a normal distribution.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.next()).sum::<f32>() * 0.7
    }
}

pub(super) fn original(seed: u64, rows: usize) -> Weight {
    let mut random = Random(seed);
    let values = (0..rows * COLUMNS).map(|_| 0.05 * random.normal()).collect();
    let storage =
        Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: String::new() };
    Weight::new("embeddings.a_embeddings.weight", vec![rows, COLUMNS], values, storage)
}

/// One group's codes, scale and bias.
pub(super) type Line = (Vec<u8>, f32, f32);

/// A matrix as a quantizer stores it, in float32 scales.
pub(super) fn stored(original: &Weight, bits: u32, mut group: impl FnMut(&[f32]) -> Line) -> Weight {
    let (mut packed, mut scales, mut biases, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for weights in original.rows().chunks(GROUP) {
        let (codes, scale, bias) = group(weights);
        values.extend(codes.iter().map(|q| f32::from(*q) * scale + bias));
        packed.extend(Codes { codes, ..Codes::default() }.pack(bits));
        scales.extend(scale.to_le_bytes());
        biases.extend(bias.to_le_bytes());
    }
    let mut weight = original.changed(|all| *all = values);
    weight.storage.mode = Some("affine");
    (weight.storage.bits, weight.storage.group_size) = (Some(bits), Some(GROUP as u32));
    weight.with_packed(PackedBytes::new(Bytes::of(packed), Bytes::of(scales), Some((Bytes::of(biases), "F32".into()))))
}

pub(super) fn range(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), w| (l.min(*w), h.max(*w)))
}

pub(super) fn most(bits: u32) -> f32 {
    ((1u32 << bits) - 1) as f32
}

/// Rounded by `round` on the scale between `share` of the smallest and of the largest weight.
pub(super) fn between(weights: &[f32], bits: u32, share: f32, mut round: impl FnMut(f32) -> f32) -> Line {
    let (low, high) = range(weights);
    let (low, high) = (low * share, high * share);
    let scale = (high - low) / most(bits);
    let code = |w: &f32| round((w - low) / scale).clamp(0.0, most(bits)) as u8;
    (weights.iter().map(code).collect(), scale, low)
}

/// The scale and bias that fit the codes best.
pub(super) fn fitted(weights: &[f32], codes: Vec<u8>) -> Line {
    let n = weights.len() as f64;
    let mean = |of: &dyn Fn(usize) -> f64| (0..weights.len()).map(of).sum::<f64>() / n;
    let (q, w) = (|i: usize| f64::from(codes[i]), |i: usize| f64::from(weights[i]));
    let (mq, mw) = (mean(&q), mean(&w));
    let scale = (mean(&|i| q(i) * w(i)) - mq * mw) / (mean(&|i| q(i) * q(i)) - mq * mq);
    (codes, scale as f32, (mw - scale * mq) as f32)
}

pub(super) fn made(original: &Weight, bits: u32, quantizer: &str) -> Weight {
    let mut random = Random(7);
    match quantizer {
        "mlx" => requantized(original, bits, GROUP as u32, "F16").unwrap(),
        "minmax" => stored(original, bits, |w| between(w, bits, 1.0, f32::round)),
        "clip" => stored(original, bits, |w| between(w, bits, if bits == 8 { 0.99 } else { 0.93 }, f32::round)),
        "fitted" => stored(original, bits, |w| fitted(w, between(w, bits, 1.0, f32::round).0)),
        "dwq" => {
            let twin = requantized(original, bits, GROUP as u32, "F32").unwrap();
            let (_, packed) = crate::quantization::packed(&twin).unwrap();
            let (mut codes, mut next) = (Codes::default(), Vec::new());
            for r in 0..original.shape[0] {
                assert!(codes.read(&packed, r));
                next.extend(codes.codes.chunks(GROUP).map(<[u8]>::to_vec));
            }
            let mut next = next.into_iter();
            stored(original, bits, |w| fitted(w, next.next().unwrap()))
        }
        "stochastic" => stored(original, bits, |w| between(w, bits, 1.0, |x| (x + 0.5 * random.next() + 0.5).floor())),
        "noise" => stored(original, bits, |w| between(w, bits, 1.0, |x| (x + 1.2 * random.next()).round())),
        other => panic!("{other}"),
    }
}

pub(super) fn report(
    original: Vec<(String, Weight)>,
    candidate: Vec<(String, Weight)>,
) -> (WeightsReport, Vec<Severity>, String) {
    let set = |tensors: Vec<(String, Weight)>| {
        let tensors: BTreeMap<_, _> = tensors.into_iter().collect();
        WeightSet::new("test", tensors).unwrap()
    };
    let (o, c) = (set(original), set(candidate));
    let report = compare(&o, &c).unwrap();
    let found = findings(&o, &c, &report, &|_, _| None);
    let text = found.iter().map(|f| format!("{}: {}\n", f.code, f.message)).collect();
    (report, found.iter().map(|f| f.severity).collect(), text)
}

pub(super) fn alone(original: &Weight, candidate: Weight) -> (WeightsReport, Vec<Severity>, String) {
    let name = format!("{NAME}.weight");
    report(vec![(name.clone(), original.clone())], vec![(name, candidate)])
}

/// Codes of a group, changed in the file.
fn broken(weight: &Weight, change: impl Fn(&mut [u8])) -> Weight {
    let packed = weight.packed().unwrap();
    let mut codes = packed.codes().to_vec();
    change(&mut codes);
    let biases = packed.biases().map(|(b, dtype)| (Bytes::of(b.to_vec()), dtype.to_owned()));
    weight.clone().with_packed(PackedBytes::new(Bytes::of(codes), Bytes::of(packed.scales().to_vec()), biases))
}

const HONEST: &[(&str, Quantizer)] = &[
    ("mlx", Quantizer::Mlx),
    ("minmax", Quantizer::Nearest),
    ("clip", Quantizer::Nearest),
    ("dwq", Quantizer::RetrainedScales),
    ("stochastic", Quantizer::Stochastic),
];

#[test]
fn honest_quantizers_are_told_apart_and_none_is_wrong() {
    let original = original(1, ROWS);
    for bits in [8, 4] {
        for (name, quantizer) in HONEST {
            let (report, severities, text) = alone(&original, made(&original, bits, name));
            let twin = report.tensors[0].twin.as_ref().unwrap();
            assert_eq!((twin.quantizer, twin.changed), (*quantizer, 0), "{name} {bits}: {twin:?}");
            assert!(severities.iter().all(|s| *s <= Severity::Warning), "{name} {bits}: {text}");
            assert_eq!(twin.equal == twin.groups, *name == "mlx", "{name} {bits}");
            let free = free_choices(&report);
            assert_eq!(free.is_some(), ["clip", "stochastic"].contains(name), "{name} {bits}: {free:?}");
            assert!(twin.error > 0.4 && twin.error < 0.9, "{name} {bits}: {}", twin.error);
        }
        let (report, severities, text) = alone(&original, made(&original, bits, "fitted"));
        assert_eq!(report.totals.twin.changed, 0, "{text}");
        assert!(severities.iter().all(|s| *s <= Severity::Warning), "{text}");
    }
}

#[test]
fn one_fault_in_any_of_them_is_a_failure() {
    let original = original(2, ROWS);
    for bits in [8u32, 4] {
        for name in HONEST.iter().map(|(name, _)| *name).chain(["fitted"]) {
            let honest = made(&original, bits, name);
            let width = GROUP * bits as usize / 8;
            let top = 1u8 << (bits - 1);
            let faults: [(&str, Weight); 3] = [
                ("one bit", broken(&honest, |codes| codes[5 * width + 3] ^= top)),
                ("a row reversed", broken(&honest, |codes| codes[8 * width..12 * width].reverse())),
                ("a row of zeros", broken(&honest, |codes| codes[16 * width..20 * width].fill(0))),
            ];
            for (what, faulty) in faults {
                let (report, severities, text) = alone(&original, faulty);
                let left = severities.contains(&Severity::Failure) || !beyond_rounding(&report).is_empty();
                assert!(left, "{name} {bits}, {what}: {report:?} {text}");
            }
        }
    }
}

#[test]
fn rounding_toward_one_direction_is_no_chance() {
    let original = original(5, 4 * ROWS);
    let said = |candidate: Weight| {
        let (report, ..) = alone(&original, candidate);
        report.tensors[0].twin.as_ref().unwrap().quantizer
    };
    for bits in [8, 4] {
        assert_eq!(said(made(&original, bits, "stochastic")), Quantizer::Stochastic);
        // Up in every other column, down in the others.
        let mut i = 0;
        let toward = stored(&original, bits, |w| {
            between(w, bits, 1.0, |x| {
                i += 1;
                if i % 2 == 0 { x.ceil() } else { x.floor() }
            })
        });
        assert_eq!(said(toward), Quantizer::Unknown);
    }
}

#[test]
fn what_no_rule_explains_is_left_to_the_output() {
    let original = original(3, ROWS);
    let (report, _, text) = alone(&original, made(&original, 8, "noise"));
    let left: Vec<&str> = beyond_rounding(&report).into_iter().map(|beyond| beyond.tensor).collect();
    assert_eq!(left, [format!("{NAME}.weight")], "{text}");
}

#[test]
fn an_original_made_from_the_candidate_is_refused() {
    let original = original(4, ROWS);
    for bits in [8, 4] {
        let candidate = made(&original, bits, "mlx");
        let copy = original.changed(|all| *all = candidate.rows().iter().map(|w| w * (1.0 + f32::EPSILON)).collect());
        let (_, severities, text) = alone(&copy, candidate);
        assert!(severities.contains(&Severity::Refusal) && text.contains("made from the candidate"), "{text}");
    }
}

#[test]
fn channels_scaled_between_two_layers_are_undone_and_faults_in_them_seen() {
    let (value, output) = (original(5, COLUMNS), original(6, ROWS));
    let mut random = Random(11);
    let factors: Vec<f32> = (0..COLUMNS).map(|_| (0.8 * random.next()).exp()).collect();
    let scaled = value.changed(|all| {
        all.chunks_mut(COLUMNS).zip(&factors).for_each(|(row, f)| row.iter_mut().for_each(|w| *w /= f));
    });
    let next = output.changed(|all| {
        all.chunks_mut(COLUMNS).for_each(|row| row.iter_mut().zip(&factors).for_each(|(w, f)| *w *= f));
    });
    let names = [format!("{NAME}.weight"), format!("{NEXT}.weight")];
    for bits in [8, 4] {
        let both = |a: Weight, b: Weight| vec![(names[0].clone(), a), (names[1].clone(), b)];
        let candidate = || [made(&scaled, bits, "mlx"), made(&next, bits, "mlx")];
        let [a, b] = candidate();
        let (report_, severities, text) = report(both(value.clone(), output.clone()), both(a, b));
        assert!(severities.iter().all(|s| *s <= Severity::Warning), "{bits}: {text}");
        assert_eq!(report_.folds, [(names[0].clone(), names[1].clone())], "{text}");
        assert!(text.contains("scaled per channel between"), "{text}");
        let methods: Vec<Method> = report_.tensors.iter().map(|row| row.twin.as_ref().unwrap().method).collect();
        assert_eq!(methods, [Method::Awq; 2], "{bits}");
        let [a, b] = candidate();
        let faulty = broken(&b, |codes| codes[..COLUMNS * bits as usize / 8].reverse());
        let (_, severities, text) = report(both(value.clone(), output.clone()), both(a, faulty));
        assert!(severities.contains(&Severity::Failure), "{bits}: {text}");
        // Only one of the two was scaled: the product changed.
        let [a, _] = candidate();
        let (report_, severities, text) =
            report(both(value.clone(), output.clone()), both(a, made(&output, bits, "mlx")));
        let left = severities.contains(&Severity::Failure) || !beyond_rounding(&report_).is_empty();
        assert!(left && report_.folds.is_empty(), "{bits}: {text}");
    }
}

#[test]
fn an_original_that_was_moved_within_its_rounding_is_refused() {
    let original = original(41, 4 * ROWS);
    // At 8 bits the scale's own rounding moves the cells, and there is little to choose.
    for bits in [4, 5] {
        let candidate = made(&original, bits, "mlx");
        let rounded = candidate.rows().into_owned();
        let aimed = |r: usize, c: usize| ((r * r) as f32 * 0.37).sin() * ((c * c) as f32 * 0.61).cos();
        let moved = original.changed(|all| {
            for (group, (weights, rounded)) in all.chunks_mut(GROUP).zip(rounded.chunks(GROUP)).enumerate() {
                let (low, high) = range(rounded);
                // What a group's scale follows from stays, and every code too: a weight goes to the other side of it.
                for (i, (w, q)) in
                    weights.iter_mut().zip(rounded).enumerate().filter(|(_, (_, q))| **q > low && **q < high)
                {
                    let at = group * GROUP + i;
                    *w = q - 0.7 * (q - *w).abs() * aimed(at / COLUMNS, at % COLUMNS).signum();
                }
            }
        });
        let (honest, _, text) = alone(&original, candidate.clone());
        assert!(honest.totals.twin.equal == honest.totals.twin.groups && !text.contains("aimed"), "{text}");
        let (report, severities, text) = alone(&moved, candidate);
        assert_eq!(report.totals.twin.equal, report.totals.twin.groups, "every code is still the twin's");
        assert!(severities.contains(&Severity::Refusal) && text.contains("weights.aimed_original"), "{bits}: {text}");
    }
}
