use std::collections::BTreeMap;

use super::equivalents;
use crate::checkpoint::{Storage, Weight, WeightSet};
use crate::finding::Severity;
use crate::quantization::requantized;
use crate::weights::{Equivalent, compare, findings};

const HIDDEN: usize = 64;
const INNER: usize = 128;
const HEADS: usize = 4;
const WIDTH: usize = HIDDEN / HEADS;
const AT: &str = "encoder.layer.0.";

/// Numbers near a normal distribution, the same each time.
struct Random(u64);

impl Random {
    fn normal(&mut self) -> f32 {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..6).map(|_| next()).sum::<f32>() * 0.05
    }

    fn order(&mut self, n: usize) -> Vec<usize> {
        let mut keyed: Vec<(u32, usize)> = (0..n).map(|i| (self.normal().to_bits(), i)).collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(_, i)| i).collect()
    }
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn model() -> Tensors {
    let mut random = Random(9);
    let mut out = Tensors::new();
    let mut linear = |name: &str, rows: usize, columns: usize| {
        out.insert(
            format!("{AT}{name}.weight"),
            (vec![rows, columns], (0..rows * columns).map(|_| random.normal()).collect()),
        );
        out.insert(format!("{AT}{name}.bias"), (vec![rows], (0..rows).map(|_| random.normal()).collect()));
    };
    for part in ["query", "key", "value"] {
        linear(&format!("attention.self.{part}"), HIDDEN, HIDDEN);
    }
    linear("attention.output.dense", HIDDEN, HIDDEN);
    linear("intermediate.dense", INNER, HIDDEN);
    linear("output.dense", HIDDEN, INNER);
    // Biases of keys change no attention, so that training leaves them at nothing: float16 has few bits there.
    out.get_mut(&format!("{AT}attention.self.key.bias")).unwrap().1.iter_mut().for_each(|v| *v *= 1e-5);
    out
}

fn set(tensors: &Tensors) -> WeightSet {
    let plain =
        Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: String::new() };
    let weight = |(name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| {
        (name.clone(), Weight::new(name, shape.clone(), values.clone(), plain.clone()))
    };
    WeightSet::new("test", tensors.iter().map(weight).collect()).unwrap()
}

/// As MLX stores them: matrices in codes of so many bits, biases float16; plain float16 at 16.
fn stored(tensors: &Tensors, bits: u32) -> WeightSet {
    let half = |weight: &Weight| {
        let mut out = weight.changed(|all| all.iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32()));
        out.storage.dtype = "F16".into();
        out
    };
    let weights = set(tensors);
    let one = |name: &String, weight: &Weight| match weight.shape.len() {
        2 if bits < 16 => (name.clone(), requantized(weight, bits, 32, "F16").unwrap()),
        _ => (name.clone(), half(weight)),
    };
    WeightSet::new("test", weights.tensors().iter().map(|(n, w)| one(n, w)).collect()).unwrap()
}

fn rows(tensors: &mut Tensors, module: &str, change: impl Fn(usize) -> (usize, f32)) {
    for part in ["weight", "bias"] {
        let (shape, values) = tensors.get_mut(&format!("{AT}{module}.{part}")).unwrap();
        let width = values.len() / shape[0];
        let before = values.clone();
        for (j, row) in values.chunks_mut(width).enumerate() {
            let (from, factor) = change(j);
            row.iter_mut().zip(&before[from * width..]).for_each(|(to, w)| *to = w * factor);
        }
    }
}

fn columns(tensors: &mut Tensors, module: &str, change: impl Fn(usize) -> (usize, f32)) {
    let (shape, values) = tensors.get_mut(&format!("{AT}{module}.weight")).unwrap();
    for row in values.chunks_mut(shape[1]) {
        let before = row.to_vec();
        row.iter_mut().enumerate().for_each(|(j, to)| *to = before[change(j).0] * change(j).1);
    }
}

/// What is found, and everything that is said.
fn told(candidate: &WeightSet) -> (Vec<Equivalent>, String) {
    let original = set(&model());
    let mut report = compare(&original, candidate).unwrap();
    report.equivalents = equivalents(&original, candidate, &report, Some(HEADS));
    let found = findings(&original, candidate, &report, &|_, _| None);
    if !report.equivalents.is_empty() {
        assert!(found.iter().any(|f| f.severity == Severity::Failure && f.code == "weights.permuted"), "never a pass");
    }
    (report.equivalents, found.iter().map(|f| format!("{}: {}\n", f.code, f.message)).collect())
}

const BITS: [u32; 4] = [8, 4, 3, 16];

fn neurons() -> Vec<usize> {
    Random(5).order(INNER)
}

/// Heads in another order; dimensions within each in another one, too.
fn heads(within: bool) -> Vec<usize> {
    let (heads, inner) = ([2, 0, 3, 1], Random(6).order(WIDTH));
    (0..HIDDEN).map(|j| heads[j / WIDTH] * WIDTH + if within { inner[j % WIDTH] } else { j % WIDTH }).collect()
}

fn permute_heads(tensors: &mut Tensors, of: [&[usize]; 4]) {
    for (part, from) in ["query", "key", "value"].iter().zip(of) {
        rows(tensors, &format!("attention.self.{part}"), |j| (from[j], 1.0));
    }
    columns(tensors, "attention.output.dense", |j| (of[3][j], 1.0));
}

fn scale(tensors: &mut Tensors, pair: [&str; 2], factor: impl Fn(usize) -> f32) {
    rows(tensors, pair[0], |j| (j, factor(j)));
    rows(tensors, pair[1], |j| (j, 1.0 / factor(j)));
}

const QUERY_KEY: [&str; 2] = ["attention.self.query", "attention.self.key"];

#[test]
fn nothing_is_looked_for_where_nothing_is_wrong() {
    for bits in BITS {
        let (found, text) = told(&stored(&model(), bits));
        assert!(found.is_empty() && text.is_empty(), "{bits}: {text}");
    }
}

#[test]
fn neurons_in_another_order_are_told_and_both_matrices_named() {
    for bits in BITS {
        let mut all = model();
        let from = neurons();
        rows(&mut all, "intermediate.dense", |j| (from[j], 1.0));
        columns(&mut all, "output.dense", |j| (from[j], 1.0));
        let (found, text) = told(&stored(&all, bits));
        assert_eq!(found.len(), 1, "{bits}: {text}");
        assert!(
            text.contains("equivalent up to a permutation") && !text.contains("does not resemble"),
            "{bits}: {text}"
        );
        assert!(text.contains("intermediate.dense.weight` and `encoder.layer.0.output.dense.weight`"), "{text}");
        assert!(!text.contains("changed_unquantized"), "the bias is part of it: {text}");
        // A fault elsewhere is told beside it.
        all.get_mut("encoder.layer.0.attention.self.key.bias").unwrap().1[3] += 1.0;
        let (found, text) = told(&stored(&all, bits));
        assert!(found.len() == 1 && text.contains("self.key.bias`: not quantized"), "{bits}: {text}");
    }
}

#[test]
fn heads_in_another_order_are_told() {
    for (bits, within) in BITS.iter().flat_map(|bits| [(*bits, false), (*bits, true)]) {
        let mut all = model();
        let from = heads(within);
        permute_heads(&mut all, [&from; 4]);
        let (found, text) = told(&stored(&all, bits));
        assert_eq!(found.len(), 2, "{bits}, {within}: {text}");
        assert!(found.iter().all(|e| !e.rescaled && e.moved >= HIDDEN - 8), "{found:?}");
        assert!(text.contains("self.query.weight` and `encoder.layer.0.attention.self.key.weight`"), "{text}");
        assert!(text.contains("self.value.weight` and `encoder.layer.0.attention.output.dense.weight`"), "{text}");
        assert!(!text.contains("changed_unquantized") && !text.contains("resemble"), "{bits}: {text}");
    }
}

#[test]
fn queries_multiplied_with_what_keys_are_divided_by_are_told() {
    let mut random = Random(3);
    let each: Vec<f32> =
        (0..HIDDEN).map(|_| (2.0 * random.normal()).exp() * if random.normal() < 0.0 { -1.0 } else { 1.0 }).collect();
    type Way = (&'static str, Box<dyn Fn(usize) -> f32>);
    let ways: [Way; 5] = [
        ("all", Box::new(|_| 1.7)),
        ("a power of two", Box::new(|_| 0.25)),
        ("turned around", Box::new(|_| -1.0)),
        ("by head", Box::new(|j| [0.5, 1.3, 1.0, 3.0][j / WIDTH])),
        ("by dimension", Box::new(move |j| each[j])),
    ];
    for (what, factor) in &ways {
        for bits in [8, 4, 16] {
            let mut all = model();
            scale(&mut all, QUERY_KEY, factor);
            let (found, text) = told(&stored(&all, bits));
            assert!(found.iter().any(|e| e.rescaled && e.moved == 0), "{what}, {bits}: {text}");
            assert!(text.contains("equivalent up to a rescaling"), "{what}, {bits}: {text}");
            assert!(text.contains("self.query.weight` and `encoder.layer.0.attention.self.key.weight`"), "{text}");
        }
    }
}

/// What only resembles an equivalence.
#[test]
fn half_of_an_equivalence_is_none() {
    let from = neurons();
    let (whole, inner) = (heads(false), heads(true));
    let split: Vec<usize> = (0..HIDDEN).map(|j| (j + WIDTH / 2) % HIDDEN).collect();
    let same: Vec<usize> = (0..HIDDEN).collect();
    type Fault<'a> = (&'a str, Box<dyn Fn(&mut Tensors) + 'a>);
    let faults: [Fault<'_>; 14] = [
        ("rows alone", Box::new(|t| rows(t, "intermediate.dense", |j| (from[j], 1.0)))),
        ("columns alone", Box::new(|t| columns(t, "output.dense", |j| (from[j], 1.0)))),
        (
            "another order of the columns",
            Box::new(|t| {
                rows(t, "intermediate.dense", |j| (from[j], 1.0));
                columns(t, "output.dense", |j| (from[from[j]], 1.0));
            }),
        ),
        (
            "the bias stays",
            Box::new(|t| {
                let bias = t[&format!("{AT}intermediate.dense.bias")].clone();
                rows(t, "intermediate.dense", |j| (from[j], 1.0));
                columns(t, "output.dense", |j| (from[j], 1.0));
                t.insert(format!("{AT}intermediate.dense.bias"), bias);
            }),
        ),
        (
            "one neuron is another",
            Box::new(|t| {
                rows(t, "intermediate.dense", |j| (from[j], 1.0));
                columns(t, "output.dense", |j| (from[j], 1.0));
                let values = &mut t.get_mut(&format!("{AT}intermediate.dense.weight")).unwrap().1;
                values.copy_within(0..HIDDEN, HIDDEN);
            }),
        ),
        (
            "neurons scaled through the activation",
            Box::new(|t| {
                rows(t, "intermediate.dense", |j| (from[j], 2.0));
                columns(t, "output.dense", |j| (from[j], 0.5));
            }),
        ),
        ("values and outputs alone", Box::new(|t| permute_heads(t, [&same, &same, &whole, &whole]))),
        ("queries and keys alone", Box::new(|t| permute_heads(t, [&whole, &whole, &same, &same]))),
        ("keys stay", Box::new(|t| permute_heads(t, [&whole, &same, &whole, &whole]))),
        ("keys in another order within heads", Box::new(|t| permute_heads(t, [&inner, &whole, &whole, &whole]))),
        ("halves of heads", Box::new(|t| permute_heads(t, [&split; 4]))),
        ("queries alone scaled", Box::new(|t| rows(t, QUERY_KEY[0], |j| (j, 1.5)))),
        (
            "queries scaled, keys divided by a little more",
            Box::new(|t| {
                rows(t, QUERY_KEY[0], |j| (j, 1.5));
                rows(t, QUERY_KEY[1], |j| (j, 1.0 / 1.52));
            }),
        ),
        (
            "another head's scale",
            Box::new(|t| {
                rows(t, QUERY_KEY[0], |j| (j, [0.5, 1.3, 1.0, 3.0][j / WIDTH]));
                rows(t, QUERY_KEY[1], |j| (j, [2.0, 1.0, 1.0 / 1.3, 1.0 / 3.0][j / WIDTH]));
            }),
        ),
    ];
    for (what, fault) in &faults {
        for bits in BITS {
            let mut all = model();
            fault(&mut all);
            let (found, text) = told(&stored(&all, bits));
            assert!(found.is_empty() && !text.contains("equivalent"), "{what}, {bits}: {found:?} {text}");
        }
    }
}
