//! Does looking change what is seen? Extra outputs can stop ONNX Runtime from fusing operators, so the
//! tapped session is held against the untouched file once.

use super::error::OnnxError;
use super::expose::expose;
use super::graph::Graph;
use super::inputs::{fill, plan};
use super::library::Runtime;
use super::model::OnnxModel;
use super::session::{Output, SessionOptions, build, run, selected};
use super::taps::TapMap;
use crate::tokens::TokenBatch;

/// How the tapped session's output differs from the untouched one's, over real tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObserverEffect {
    /// `|tapped - untouched| / |untouched|`; NaN when either holds a NaN.
    pub relative_l2: f64,
    /// Largest absolute difference; NaN when either holds a NaN.
    pub max_abs: f64,
    /// Every value has the same bits.
    pub bit_identical: bool,
    /// Values compared, never 0.
    pub values: u64,
}

/// Runs the file as it is and with its taps exposed on one batch, and compares the graph's own output.
pub fn observer_effect(
    runtime: &Runtime,
    model: &OnnxModel,
    map: &TapMap,
    options: SessionOptions,
    batch: &TokenBatch,
) -> Result<ObserverEffect, OnnxError> {
    let refused = |message| OnnxError::Runtime { file: model.name().to_owned(), message };
    let g = Graph::new(model)?;
    // The search may have run towards an inner tensor: then any output of the graph will do.
    let own = g.outputs().iter().find(|o| o.name == map.sink).or_else(|| g.outputs().first());
    let own = own.ok_or_else(|| refused("the graph has no outputs".to_owned()))?.name.clone();
    let mut tapped: Vec<String> = map.entries.iter().chain(&map.middles).map(|e| e.tensor.clone()).collect();
    tapped.push(own.clone());
    tapped.sort();
    tapped.dedup();
    let at = tapped.iter().position(|t| *t == own).unwrap_or_default();

    let plans = plan(&g, map)?;
    let seq = batch.longest().max(1);
    let pass = |bytes: &[u8], names: &[String]| -> Result<Vec<Output>, OnnxError> {
        let mut session = build(runtime, model, bytes, options).map_err(refused)?;
        let outputs = selected(names.iter().map(String::as_str)).map_err(refused)?;
        run(&mut session, fill(&plans, batch, seq).map_err(refused)?, &outputs, names).map_err(refused)
    };
    let untouched = pass(model.untouched(), std::slice::from_ref(&own))?;
    let seen = pass(&expose(&g, tapped.iter().map(String::as_str)), &tapped)?;
    let (Some(a), Some(b)) = (untouched.first(), seen.get(at)) else {
        return Err(refused(format!("output `{own}` was not returned")));
    };
    if a.shape() != b.shape() {
        return Err(refused(format!("output `{own}` has shape {:?}, with taps {:?}", a.shape(), b.shape())));
    }
    let effect = compare(spans(a, batch, seq).flat_map(|s| {
        let (a, b): (&[f32], &[f32]) = (a.as_ref(), b.as_ref());
        a[s.clone()].iter().copied().zip(b[s].iter().copied())
    }));
    if effect.values == 0 {
        return Err(refused("the batch has no tokens to compare".to_owned()));
    }
    Ok(effect)
}

/// Where the real tokens' values lie; everything, when the output is not per token.
fn spans(output: &Output, batch: &TokenBatch, seq: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let width = match *output.shape() {
        [rows, tokens, width] if rows == batch.rows() as i64 && tokens == seq as i64 => usize::try_from(width).ok(),
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
    ObserverEffect { relative_l2, max_abs, bit_identical, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_is_never_no_effect() {
        let same = compare([(1.0, 1.0), (-2.0, -2.0)].into_iter());
        assert_eq!(same, ObserverEffect { relative_l2: 0.0, max_abs: 0.0, bit_identical: true, values: 2 });
        let nan = compare([(f32::NAN, 1.0), (1.0, 1.0)].into_iter());
        assert!(nan.relative_l2.is_nan() && nan.max_abs.is_nan() && !nan.bit_identical);
        let off = compare([(3.0, 3.5), (4.0, 4.0)].into_iter());
        assert!((off.relative_l2 - 0.1).abs() < 1e-12 && off.max_abs == 0.5 && !off.bit_identical);
    }
}
