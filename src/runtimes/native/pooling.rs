//! From token vectors to one sentence vector: the modules behind the encoder, as sentence-transformers
//! computes them (`sentence_transformers/sentence_transformer/modules/pooling.py`, `normalize.py`).
//!
//! Any runtime's `final` states go in, so that every arm is pooled by the same code. Sums are f64.

use std::sync::Arc;

use crate::checkpoint::{PoolingMode, SentenceModules};
use crate::fault::Fault;
use crate::hidden_states::{LayoutError, TapStates};

/// Smallest divisor of a mean (`torch.clamp(min=1e-9)` in pooling.py).
const MIN_DIVISOR: f64 = 1e-9;
/// Smallest divisor of a normalization (`eps` of `torch.nn.functional.normalize`).
const MIN_NORM: f64 = 1e-12;

/// A pooling of one row, `[tokens ≥ 1, hidden]`, to `[hidden]`.
type Pool = fn(&[f32], usize) -> Vec<f64>;

fn pool(mode: PoolingMode) -> Pool {
    match mode {
        PoolingMode::Cls => |row, hidden| row[..hidden].iter().map(|x| f64::from(*x)).collect(),
        PoolingMode::Max => max,
        PoolingMode::Mean => |row, hidden| weighted(row, hidden, |_| 1.0, |total| total),
        PoolingMode::MeanSqrtLen => |row, hidden| weighted(row, hidden, |_| 1.0, f64::sqrt),
        PoolingMode::WeightedMean => |row, hidden| weighted(row, hidden, |t| (t + 1) as f64, |total| total),
        PoolingMode::LastToken => |row, hidden| row[row.len() - hidden..].iter().map(|x| f64::from(*x)).collect(),
    }
}

/// What can be wrong between a pooling and the states it is given.
#[derive(Debug, thiserror::Error)]
pub enum PoolingError {
    /// The pooling file was written for another width.
    #[error("{file}: the pooling is for vectors of {stated}, the model's hidden states have {hidden}")]
    Dimension {
        /// File that states the pooling.
        file: String,
        /// Width it states.
        stated: usize,
        /// Width of the model.
        hidden: usize,
    },
    /// No pooling mode at all.
    #[error("no pooling mode is given; choose one of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken")]
    Empty,
    /// States of another width than this head was made for.
    #[error("pooling for hidden states of width {expected} was given width {found}")]
    Width {
        /// Width at construction.
        expected: usize,
        /// Width of the states.
        found: usize,
    },
    /// Rows that do not add up: a bug.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl PoolingError {
    /// A bad input when files disagree, a bug when the program disagrees with itself.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Dimension { .. } => Fault::BadInput,
            Self::Empty => Fault::Usage,
            Self::Width { .. } | Self::Layout(_) => Fault::Internal,
        }
    }
}

/// The modules behind an encoder.
#[derive(Clone, Debug)]
pub struct SentenceHead {
    pools: Vec<Pool>,
    normalize: bool,
    hidden: usize,
}

impl SentenceHead {
    /// The head of `modules` for hidden states of width `hidden`.
    ///
    /// `include_prompt: false` is the caller's business: this head pools every token it is given.
    pub fn new(modules: &SentenceModules, hidden: usize) -> Result<Self, PoolingError> {
        if let Some(stated) = modules.dimension.filter(|n| *n != hidden) {
            let file = modules.stated_in.clone().unwrap_or_else(|| "pooling".to_owned());
            return Err(PoolingError::Dimension { file, stated, hidden });
        }
        let pools: Vec<Pool> = modules.pooling.iter().map(|mode| pool(*mode)).collect();
        if pools.is_empty() {
            return Err(PoolingError::Empty);
        }
        Ok(Self { pools, normalize: modules.normalize, hidden })
    }

    /// Width of a sentence vector: `hidden` times the number of concatenated poolings.
    pub fn width(&self) -> usize {
        self.pools.len() * self.hidden
    }

    /// `final` states to the taps `pooled` and `sentence`, each `[rows, width]` as rows of one token.
    /// Without a normalization both are the same buffer.
    ///
    /// A row without tokens gives zeros; their undefined cosine is for the metrics to report.
    pub fn apply(&self, states: &TapStates) -> Result<(Arc<TapStates>, Arc<TapStates>), PoolingError> {
        if states.hidden() != self.hidden {
            return Err(PoolingError::Width { expected: self.hidden, found: states.hidden() });
        }
        let rows = states.rows();
        let mut pooled = Vec::with_capacity(rows * self.width()); // [rows, width]
        let mut sentence = Vec::new(); // [rows, width]
        for r in 0..rows {
            let vector: Vec<f64> = match states.row(r) {
                [] => vec![0.0; self.width()],
                row => self.pools.iter().flat_map(|pool| pool(row, self.hidden)).collect(),
            };
            let start = pooled.len();
            pooled.extend(vector.iter().map(|x| *x as f32));
            if self.normalize {
                // from the float32 vector, which is what the next module receives
                let vector = &pooled[start..];
                let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
                // a NaN norm stays NaN: `max` would hide it
                let norm = if norm < MIN_NORM { MIN_NORM } else { norm };
                sentence.extend(vector.iter().map(|x| (f64::from(*x) / norm) as f32));
            }
        }
        let one_each: Vec<usize> = (0..=rows).collect();
        let pooled = Arc::new(TapStates::ragged(self.width(), &one_each, pooled)?);
        let sentence = match self.normalize {
            true => Arc::new(TapStates::ragged(self.width(), &one_each, sentence)?),
            false => Arc::clone(&pooled),
        };
        Ok((pooled, sentence))
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
