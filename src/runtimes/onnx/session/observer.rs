//! Does looking change what is seen? Extra outputs can stop ONNX Runtime from fusing operators, so the
//! tapped session is held against the untouched file, output by output, on batches of several shapes.

use serde::{Deserialize, Serialize};

use super::expose::expose;
use super::inputs::plan;
use super::library::Runtime;
use super::outlets::{Carries, Outlets, declared};
use super::{Output, SessionOptions, build, run, selected};
use crate::json_float;
use crate::runtimes::onnx::error::OnnxError;
use crate::runtimes::onnx::file::model::OnnxModel;
use crate::runtimes::onnx::graph::Graph;
use crate::runtimes::onnx::taps::TapMap;
use crate::tokens::TokenBatch;

/// How the tapped session's outputs differ from the untouched one's, over real tokens: the worst of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ObserverEffect {
    /// The output that differs most, and on what batch: `last_hidden_state` on 3 rows of 17 tokens.
    #[serde(default)]
    pub output: String,
    /// `|tapped - untouched| / |untouched|`; NaN when either holds a NaN.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub relative_l2: f64,
    /// Largest absolute difference; NaN when either holds a NaN.
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub max_abs: f64,
    /// Every value has the same bits.
    pub bit_identical: bool,
    /// Values compared, never 0.
    pub values: u64,
}

/// [`observer_effects`] on one batch.
pub fn observer_effect(
    runtime: &Runtime,
    model: &OnnxModel,
    map: &TapMap,
    options: SessionOptions,
    batch: &TokenBatch,
) -> Result<ObserverEffect, OnnxError> {
    let effect = observer_effects(runtime, model, map, options, std::slice::from_ref(batch))?;
    effect.ok_or_else(|| OnnxError::Runtime {
        file: model.name().to_owned(),
        message: "the graph has no float output of hidden states or vectors".to_owned(),
    })
}

/// Runs the file as it is and with its taps exposed on some batches, and compares every output that the graph declares
/// and that can be hidden states or vectors; none where it has no such output.
pub fn observer_effects(
    runtime: &Runtime,
    model: &OnnxModel,
    map: &TapMap,
    options: SessionOptions,
    batches: &[TokenBatch],
) -> Result<Option<ObserverEffect>, OnnxError> {
    let refused = |message| OnnxError::Runtime { file: model.name().to_owned(), message };
    let g = Graph::new(model)?;
    let mut outlets = Outlets::of(map.entries.iter().chain(&map.middles));
    let mut untouched = build(runtime, model, model.untouched(), options).map_err(refused)?;
    let exposed = expose(&g, outlets.tensors.iter().map(String::as_str));
    let mut tapped = build(runtime, model, &exposed, options).map_err(refused)?;
    outlets.check(&tapped, model.name())?;
    outlets.declare(&tapped, declared(&g), outlets.hidden.unwrap_or(map.hidden));
    // Heads and outputs of other types are refused where outputs are explained; they are not computed here.
    let comparable = outlets.declared.iter().filter(|o| !matches!(o.carries, Carries::Other(_) | Carries::Input(_)));
    let own: Vec<String> = comparable.map(|o| o.name.clone()).collect();
    if own.is_empty() {
        return Ok(None);
    }
    let plans = plan(&g, map)?;
    let wanted = |names: &[String]| selected(names.iter().map(String::as_str)).map_err(refused);
    let (few, all) = (wanted(&own)?, wanted(&outlets.tensors)?);
    let mut worst: Option<ObserverEffect> = None;
    for batch in batches {
        for piece in plans.pieces(batch) {
            // Filled twice: a run takes its inputs.
            let filled = plans.fill(&piece).map_err(refused)?;
            let seq = filled.seq;
            let before = run(&mut untouched, filled.values, &few, &own).map_err(refused)?;
            let filled = plans.fill(&piece).map_err(refused)?;
            let seen = run(&mut tapped, filled.values, &all, &outlets.tensors).map_err(refused)?;
            for (name, a) in own.iter().zip(&before) {
                let at = outlets.tensors.iter().position(|t| t == name);
                let Some(b) = at.and_then(|i| seen.get(i)) else {
                    return Err(refused(format!("output `{name}` was not returned")));
                };
                if a.shape() != b.shape() {
                    let shapes = format!("{:?}, with taps {:?}", a.shape(), b.shape());
                    return Err(refused(format!("output `{name}` has shape {shapes}")));
                }
                let effect = compare(spans(a, &piece, seq).flat_map(|s| {
                    let (a, b): (&[f32], &[f32]) = (a.as_ref(), b.as_ref());
                    a[s.clone()].iter().copied().zip(b[s].iter().copied())
                }));
                let output = format!("`{name}` on {} rows of {} tokens", piece.rows(), piece.longest());
                worst = Some(ObserverEffect { output, ..effect }.or_worse(worst));
            }
        }
    }
    match worst.filter(|w| w.values > 0) {
        Some(worst) => Ok(Some(worst)),
        None => Err(refused("the batches have no tokens to compare".to_owned())),
    }
}

impl ObserverEffect {
    /// Both together: the worse of each number, NaN the worst.
    fn or_worse(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let badness = |e: &Self| if e.relative_l2.is_nan() { f64::INFINITY } else { e.relative_l2 };
        let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        let worse = if badness(&self) > badness(&other) { &self } else { &other };
        Self {
            output: worse.output.clone(),
            relative_l2: worse.relative_l2,
            max_abs: larger(self.max_abs, other.max_abs),
            bit_identical: self.bit_identical && other.bit_identical,
            values: self.values + other.values,
        }
    }
}

/// Where the real tokens' values lie; everything, when the output is not per token.
fn spans(output: &Output, batch: &TokenBatch, seq: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let width = match *output.shape() {
        [rows, tokens, width] if rows >= batch.rows() as i64 && tokens == seq as i64 => usize::try_from(width).ok(),
        _ => None,
    };
    let all = output.as_ref().len();
    let rows: Vec<_> = match width {
        Some(w) => (0..batch.rows()).map(|r| r * seq * w..(r * seq + batch.len(r)) * w).collect(),
        None => std::iter::once(0..all).collect(),
    };
    rows.into_iter()
}

fn compare(pairs: impl Iterator<Item = (f32, f32)>) -> ObserverEffect {
    let (mut wrong, mut norm, mut max_abs, mut values, mut bit_identical) = (0f64, 0f64, 0f64, 0u64, true);
    for (a, b) in pairs {
        let d = (f64::from(a) - f64::from(b)).abs();
        wrong += d * d;
        norm += f64::from(a) * f64::from(a);
        // `max` would drop a NaN.
        max_abs = if d.is_nan() || max_abs.is_nan() { f64::NAN } else { max_abs.max(d) };
        bit_identical &= a.to_bits() == b.to_bits();
        values += 1;
    }
    let relative_l2 = if wrong == 0.0 { 0.0 } else { (wrong / norm).sqrt() };
    ObserverEffect { output: String::new(), relative_l2, max_abs, bit_identical, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_is_never_no_effect() {
        let same = compare([(1.0, 1.0), (-2.0, -2.0)].into_iter());
        let none = ObserverEffect { relative_l2: 0.0, max_abs: 0.0, bit_identical: true, values: 2, ..same.clone() };
        assert_eq!(same, none);
        let nan = compare([(f32::NAN, 1.0), (1.0, 1.0)].into_iter());
        assert!(nan.relative_l2.is_nan() && nan.max_abs.is_nan() && !nan.bit_identical);
        let off = compare([(3.0, 3.5), (4.0, 4.0)].into_iter());
        assert!((off.relative_l2 - 0.1).abs() < 1e-12 && off.max_abs == 0.5 && !off.bit_identical);
        let worst = off.clone().or_worse(Some(nan)).or_worse(Some(same));
        assert!(worst.relative_l2.is_nan() && worst.max_abs.is_nan() && worst.values == 6);
    }
}
