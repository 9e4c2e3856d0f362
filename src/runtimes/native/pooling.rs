//! From a row's token vectors to one vector, as sentence-transformers computes it
//! (`sentence_transformers/sentence_transformer/modules/pooling.py`). Sums are f64.

use crate::checkpoint::PoolingMode;

/// Smallest divisor of a mean (`torch.clamp(min=1e-9)` in pooling.py).
const MIN_DIVISOR: f64 = 1e-9;

/// A pooling of one row, `[tokens ≥ 1, hidden]`, to `[hidden]`.
pub(super) type Pool = fn(&[f32], usize) -> Vec<f64>;

pub(super) fn pool(mode: PoolingMode) -> Pool {
    match mode {
        PoolingMode::Cls => |row, hidden| row[..hidden].iter().map(|x| f64::from(*x)).collect(),
        PoolingMode::Max => max,
        PoolingMode::Mean => |row, hidden| weighted(row, hidden, |_| 1.0, |total| total),
        PoolingMode::MeanSqrtLen => |row, hidden| weighted(row, hidden, |_| 1.0, f64::sqrt),
        PoolingMode::WeightedMean => |row, hidden| weighted(row, hidden, |t| (t + 1) as f64, |total| total),
        PoolingMode::LastToken => |row, hidden| row[row.len() - hidden..].iter().map(|x| f64::from(*x)).collect(),
    }
}

/// The largest value of each dimension; NaN where the dimension holds one.
fn max(row: &[f32], hidden: usize) -> Vec<f64> {
    let mut out = vec![f32::NEG_INFINITY; hidden];
    for token in row.chunks_exact(hidden) {
        for (m, x) in out.iter_mut().zip(token) {
            *m = if *x > *m || x.is_nan() { *x } else { *m };
        }
    }
    out.into_iter().map(f64::from).collect()
}

/// Σ weight(t)·x(t) / divisor(Σ weight(t)).
fn weighted(row: &[f32], hidden: usize, weight: fn(usize) -> f64, divisor: fn(f64) -> f64) -> Vec<f64> {
    let mut out = vec![0.0; hidden];
    let mut total = 0.0;
    for (t, token) in row.chunks_exact(hidden).enumerate() {
        total += weight(t);
        for (sum, x) in out.iter_mut().zip(token) {
            *sum += weight(t) * f64::from(*x);
        }
    }
    let divisor = divisor(total.max(MIN_DIVISOR));
    out.into_iter().map(|sum| sum / divisor).collect()
}
