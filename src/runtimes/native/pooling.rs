//! From token states to one vector per row.
//!
//! Source: UKPLab/sentence-transformers `models/Pooling.py` (modes, the order of concatenation, the
//! clamp of the divisor) and `models/Normalize.py`; torch `F.normalize` (eps).

use std::sync::Arc;

use crate::checkpoint::{PoolingMode, SentenceModules};
use crate::hidden_states::{HiddenStates, LayoutError, Tap, TapStates};

/// Smallest divisor of a mean (sentence-transformers).
const SMALLEST_DIVISOR: f64 = 1e-9;

/// Smallest norm divided by (torch `F.normalize`).
const SMALLEST_NORM: f64 = 1e-12;

/// Pooling and Normalize of one side.
#[derive(Clone, Debug)]
pub struct SentenceHead {
    pooling: Vec<PoolingMode>,
    normalize: bool,
}

impl SentenceHead {
    /// As the model's files say.
    pub fn new(modules: &SentenceModules) -> Self {
        Self { pooling: modules.pooling.clone(), normalize: modules.normalize }
    }

    /// Adds the taps `pooled` and `sentence` to states that have `final`.
    ///
    /// # Errors
    /// Only if the states do not have the layout they claim.
    pub fn extend(&self, states: &mut HiddenStates) -> Result<(), LayoutError> {
        let Some(last) = states.get(Tap::Final).cloned() else { return Ok(()) };
        let width = last.hidden() * self.pooling.len();
        let (mut pooled, mut sentence) = (Vec::new(), Vec::new());
        for r in 0..last.rows() {
            let vector = self.pool(last.row(r), last.hidden());
            let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt().max(SMALLEST_NORM);
            let divisor = if self.normalize { norm } else { 1.0 };
            sentence.extend(vector.iter().map(|v| (v / divisor) as f32));
            pooled.extend(vector.iter().map(|v| *v as f32));
        }
        let offsets: Vec<usize> = (0..=last.rows()).collect();
        states.insert(Tap::Pooled, Arc::new(TapStates::ragged(width, &offsets, pooled)?));
        states.insert(Tap::Sentence, Arc::new(TapStates::ragged(width, &offsets, sentence)?));
        Ok(())
    }

    /// One row's vector; `states` is `[tokens, hidden]`. A row without tokens is all zeros, which the
    /// metrics count as a violation.
    fn pool(&self, states: &[f32], hidden: usize) -> Vec<f64> {
        let tokens = states.chunks_exact(hidden.max(1));
        let count = tokens.len();
        let weighted = |weight: &dyn Fn(usize) -> f64, divisor: f64| -> Vec<f64> {
            let mut sum = vec![0.0f64; hidden];
            for (t, token) in states.chunks_exact(hidden.max(1)).enumerate() {
                let w = weight(t);
                sum.iter_mut().zip(token).for_each(|(s, v)| *s += w * f64::from(*v));
            }
            let divisor = divisor.max(SMALLEST_DIVISOR);
            sum.iter_mut().for_each(|s| *s /= divisor);
            sum
        };
        let n = count as f64;
        self.pooling
            .iter()
            .flat_map(|mode| match mode {
                PoolingMode::Cls => weighted(&|t| f64::from(t == 0), 1.0),
                PoolingMode::LastToken => weighted(&|t| f64::from(t + 1 == count), 1.0),
                PoolingMode::Mean => weighted(&|_| 1.0, n),
                PoolingMode::MeanSqrtLen => weighted(&|_| 1.0, n.sqrt()),
                PoolingMode::WeightedMean => weighted(&|t| (t + 1) as f64, n * (n + 1.0) / 2.0),
                PoolingMode::Max => largest(states, hidden, count),
            })
            .collect()
    }
}

fn largest(states: &[f32], hidden: usize, count: usize) -> Vec<f64> {
    let mut out = vec![if count == 0 { 0.0 } else { f64::NEG_INFINITY }; hidden];
    for token in states.chunks_exact(hidden.max(1)) {
        for (o, &v) in out.iter_mut().zip(token) {
            let v = f64::from(v);
            // A NaN wins, so that it is seen.
            if v > *o || v.is_nan() {
                *o = v;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(modes: &[PoolingMode], states: Vec<f32>, tokens: usize) -> Vec<f64> {
        SentenceHead { pooling: modes.to_vec(), normalize: false }.pool(&states, states.len() / tokens)
    }

    #[test]
    fn every_mode_by_hand() {
        use PoolingMode::*;
        let states = vec![1.0, -2.0, 3.0, 4.0, 5.0, -6.0]; // three tokens, width 2
        let close = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-12);
        for (mode, want) in [
            (Cls, [1.0, -2.0]),
            (Max, [5.0, 4.0]),
            (Mean, [3.0, -4.0 / 3.0]),
            (MeanSqrtLen, [9.0 / 3f64.sqrt(), -4.0 / 3f64.sqrt()]),
            (WeightedMean, [(1.0 + 6.0 + 15.0) / 6.0, (-2.0 + 8.0 - 18.0) / 6.0]),
            (LastToken, [5.0, -6.0]),
        ] {
            assert!(close(&pooled(&[mode], states.clone(), 3), &want), "{mode:?}");
        }
        assert!(close(&pooled(&[Cls, Mean], states, 3), &[1.0, -2.0, 3.0, -4.0 / 3.0]));
    }

    #[test]
    fn normalize_makes_unit_vectors_and_padding_is_never_looked_at() {
        let head = SentenceHead { pooling: vec![PoolingMode::Mean], normalize: true };
        let padded =
            TapStates::padded(2, 3, &[1, 2], Box::new(vec![3., 4., 9., 9., 9., 9., 1., 0., 0., 1., 9., 9.])).unwrap();
        let mut states = HiddenStates::new();
        states.insert(Tap::Final, Arc::new(padded));
        head.extend(&mut states).unwrap();
        assert_eq!(states.get(Tap::Pooled).unwrap().row(0), [3.0, 4.0]);
        assert_eq!(states.get(Tap::Sentence).unwrap().row(0), [0.6, 0.8]);
        assert_eq!(states.get(Tap::Pooled).unwrap().row(1), [0.5, 0.5]);
    }
}
