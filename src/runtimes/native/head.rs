//! The modules behind the encoder, as sentence-transformers computes them: pooling, then Dense, LayerNorm and
//! Normalize in the order the folder lists them (`sentence_transformers/sentence_transformer/modules/`).
//!
//! Any runtime's `final` states go in, so that every arm is pooled by the same code. Sums are f64; what goes from one
//! module to the next is float32, as there.

use std::sync::Arc;

use super::pooling::{Pool, pool};
use crate::checkpoint::{DenseActivation, PoolingMode, SentenceModules, Stage, StageWeights};
use crate::fault::Fault;
use crate::hidden_states::{LayoutError, TapStates};
use crate::memory::Memory;

/// Smallest divisor of a normalization (`eps` of `torch.nn.functional.normalize`).
const MIN_NORM: f64 = 1e-12;
/// ε of a LayerNorm module (`torch.nn.LayerNorm`'s default).
const LAYER_NORM_EPS: f64 = 1e-5;

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
    /// A module that wants vectors of another width than it gets.
    #[error("{module}: is for vectors of {stated}, it gets vectors of {found}")]
    Stage {
        /// Its folder, or what it does.
        module: String,
        /// Width it states.
        stated: usize,
        /// Width before it.
        found: usize,
    },
    /// More dimensions are to be kept than there are.
    #[error(
        "vectors are to be cut to {stated} dimensions (--dim, or truncate_dim in the model's files) and have {found}"
    )]
    Truncate {
        /// Dimensions to keep.
        stated: usize,
        /// Dimensions there are.
        found: usize,
    },
    /// A module without its weights.
    #[error(
        "{module}: the module's `{tensor}` is missing; a Dense or LayerNorm module needs its weights (model.safetensors in its folder)"
    )]
    Missing {
        /// Its folder.
        module: String,
        /// The tensor.
        tensor: String,
    },
    /// A weight of another shape than the module's file says.
    #[error("{module}: `{tensor}` has shape {found:?}, its config.json says {expected:?}")]
    Shape {
        /// Its folder.
        module: String,
        /// The tensor.
        tensor: String,
        /// By the module's file.
        expected: Vec<usize>,
        /// As found.
        found: Vec<usize>,
    },
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
            Self::Dimension { .. }
            | Self::Stage { .. }
            | Self::Truncate { .. }
            | Self::Missing { .. }
            | Self::Shape { .. } => Fault::BadInput,
            Self::Empty => Fault::Usage,
            Self::Width { .. } | Self::Layout(_) => Fault::Internal,
        }
    }
}

/// The modules behind an encoder, ready to run.
#[derive(Clone, Debug)]
pub struct SentenceHead {
    pools: Vec<Pool>,
    stages: Vec<Loaded>,
    hidden: usize,
    width: usize,
    /// Tokens at the beginning of every row that are not pooled.
    skipped: usize,
    modules: SentenceModules,
    weights: StageWeights,
}

/// A stage with its weights.
#[derive(Clone, Debug)]
enum Loaded {
    Normalize,
    /// W is `[outputs, inputs]`.
    Dense {
        weight: Arc<Memory<f32>>,
        bias: Option<Arc<Memory<f32>>>,
        activation: DenseActivation,
    },
    LayerNorm {
        weight: Arc<Memory<f32>>,
        bias: Arc<Memory<f32>>,
    },
    Truncate(usize),
}

impl SentenceHead {
    /// The head of `modules` for hidden states of width `hidden`, none of whose modules has weights.
    ///
    /// # Errors
    /// A module that has, and widths that do not fit.
    pub fn new(modules: &SentenceModules, hidden: usize) -> Result<Self, PoolingError> {
        Self::with_weights(modules, hidden, &StageWeights::new())
    }

    /// The head of `modules` for hidden states of width `hidden`.
    ///
    /// # Errors
    /// Weights that are missing or of other shapes than the modules' files say, and widths that do not fit.
    pub fn with_weights(
        modules: &SentenceModules,
        hidden: usize,
        weights: &StageWeights,
    ) -> Result<Self, PoolingError> {
        if let Some(stated) = modules.dimension.filter(|n| *n != hidden) {
            let file = modules.stated_in.clone().unwrap_or_else(|| "pooling".to_owned());
            return Err(PoolingError::Dimension { file, stated, hidden });
        }
        let pools: Vec<Pool> = modules.pooling.iter().map(|mode| pool(*mode)).collect();
        if pools.is_empty() {
            return Err(PoolingError::Empty);
        }
        let mut width = pools.len() * hidden;
        let mut stages = Vec::new();
        for stage in &modules.stages {
            let (loaded, after) = load(stage, width, weights)?;
            stages.push(loaded);
            width = after;
        }
        let (modules, weights) = (modules.clone(), weights.clone());
        Ok(Self { pools, stages, hidden, width, skipped: 0, modules, weights })
    }

    /// The same modules behind another pooling.
    ///
    /// # Errors
    /// A pooling of another width than the modules behind it are for.
    pub fn with_pooling(&self, pooling: Vec<PoolingMode>) -> Result<Self, PoolingError> {
        let modules = SentenceModules { pooling, dimension: None, ..self.modules.clone() };
        Ok(Self { skipped: self.skipped, ..Self::with_weights(&modules, self.hidden, &self.weights)? })
    }

    /// The same pooling with other modules behind it.
    ///
    /// # Errors
    /// Modules whose widths do not fit, or whose weights are not there.
    pub fn with_stages(&self, stages: Vec<Stage>) -> Result<Self, PoolingError> {
        let modules = SentenceModules { stages, ..self.modules.clone() };
        Ok(Self { skipped: self.skipped, ..Self::with_weights(&modules, self.hidden, &self.weights)? })
    }

    /// Tokens at the beginning of every row that are not pooled.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The same head with all dimensions: what a graph computes that knows no `--dim`.
    ///
    /// # Errors
    /// A module behind the cut that is for the narrower vectors.
    pub fn untruncated(&self) -> Result<Self, PoolingError> {
        let stages = self.modules.stages.iter().filter(|s| !matches!(s, Stage::Truncate(_))).cloned().collect();
        let modules = SentenceModules { stages, ..self.modules.clone() };
        Ok(Self { skipped: self.skipped, ..Self::with_weights(&modules, self.hidden, &self.weights)? })
    }

    /// The same head, leaving out so many tokens at the beginning of every row: those of a prompt that is not pooled.
    /// Only means and maxima leave them out; the first and the last token of a row stay what they are
    /// (`include_prompt` in pooling.py).
    pub fn skipping(mut self, tokens: usize) -> Self {
        self.skipped = tokens;
        self
    }

    /// What it was made of.
    pub fn modules(&self) -> &SentenceModules {
        &self.modules
    }

    /// Width of a sentence vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `final` states to the taps `pooled` and `sentence`, each `[rows, width]` as rows of one token.
    /// Without a module behind the pooling both are the same buffer.
    ///
    /// A row without tokens gives zeros; their undefined cosine is for the metrics to report.
    pub fn apply(&self, states: &TapStates) -> Result<(Arc<TapStates>, Arc<TapStates>), PoolingError> {
        if states.hidden() != self.hidden {
            return Err(PoolingError::Width { expected: self.hidden, found: states.hidden() });
        }
        let rows = states.rows();
        let pooled_width = self.pools.len() * self.hidden;
        let mut pooled = Vec::with_capacity(rows * pooled_width); // [rows, pools · hidden]
        let mut sentence = Vec::new(); // [rows, width]
        for r in 0..rows {
            let row = states.row(r);
            let kept = row.get(self.skipped * self.hidden..).filter(|kept| !kept.is_empty()).unwrap_or(row);
            let mut vector: Vec<f32> = match row {
                [] => vec![0.0; pooled_width],
                _ => self
                    .modules
                    .pooling
                    .iter()
                    .zip(&self.pools)
                    .flat_map(|(mode, pool)| {
                        let whole = [PoolingMode::Cls, PoolingMode::LastToken].contains(mode);
                        pool(if whole { row } else { kept }, self.hidden)
                    })
                    .map(|x| x as f32)
                    .collect(),
            };
            pooled.extend_from_slice(&vector);
            if !self.stages.is_empty() {
                self.stages.iter().for_each(|stage| vector = stage.apply(&vector));
                sentence.append(&mut vector);
            }
        }
        let one_each: Vec<usize> = (0..=rows).collect();
        let pooled = Arc::new(TapStates::ragged(pooled_width, &one_each, pooled)?);
        let sentence = match self.stages.is_empty() {
            true => Arc::clone(&pooled),
            false => Arc::new(TapStates::ragged(self.width, &one_each, sentence)?),
        };
        Ok((pooled, sentence))
    }
}

/// A stage with its weights, and the width behind it.
fn load(stage: &Stage, width: usize, weights: &StageWeights) -> Result<(Loaded, usize), PoolingError> {
    let fits = |module: &str, stated: usize| match stated == width {
        true => Ok(()),
        false => Err(PoolingError::Stage { module: module.to_owned(), stated, found: width }),
    };
    let take = |module: &str, tensor: &str, expected: &[usize]| {
        let found = weights.get(&(module.to_owned(), tensor.to_owned()));
        let (module, tensor) = (module.to_owned(), tensor.to_owned());
        match found {
            None => Err(PoolingError::Missing { module, tensor }),
            Some(weight) if weight.shape != expected || weight.len() != expected.iter().product::<usize>() => {
                Err(PoolingError::Shape { module, tensor, expected: expected.to_vec(), found: weight.shape.clone() })
            }
            Some(weight) => Ok(weight.shared_rows()),
        }
    };
    Ok(match stage {
        Stage::Normalize => (Loaded::Normalize, width),
        Stage::Truncate(n) if *n <= width => (Loaded::Truncate(*n), *n),
        Stage::Truncate(n) => return Err(PoolingError::Truncate { stated: *n, found: width }),
        Stage::LayerNorm { path, dimension } => {
            fits(path, *dimension)?;
            let [weight, bias] = [take(path, "weight", &[width])?, take(path, "bias", &[width])?];
            (Loaded::LayerNorm { weight, bias }, width)
        }
        Stage::Dense(d) => {
            fits(&d.path, d.inputs)?;
            let weight = take(&d.path, "weight", &[d.outputs, d.inputs])?;
            let bias = d.bias.then(|| take(&d.path, "bias", &[d.outputs])).transpose()?;
            (Loaded::Dense { weight, bias, activation: d.activation }, d.outputs)
        }
    })
}

impl Loaded {
    fn apply(&self, vector: &[f32]) -> Vec<f32> {
        match self {
            Self::Truncate(n) => vector.iter().take(*n).copied().collect(),
            Self::Normalize => {
                let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
                // a NaN norm stays NaN: `max` would hide it
                let norm = if norm < MIN_NORM { MIN_NORM } else { norm };
                vector.iter().map(|x| (f64::from(*x) / norm) as f32).collect()
            }
            Self::LayerNorm { weight, bias } => {
                let n = vector.len() as f64;
                let mean = vector.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
                let variance = vector.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
                let scale = (variance + LAYER_NORM_EPS).sqrt();
                let terms = vector.iter().zip(weight.iter()).zip(bias.iter());
                terms
                    .map(|((x, w), b)| ((f64::from(*x) - mean) / scale * f64::from(*w) + f64::from(*b)) as f32)
                    .collect()
            }
            Self::Dense { weight, bias, activation } => {
                let one = |(o, row): (usize, &[f32])| {
                    let sum: f64 = row.iter().zip(vector).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                    let sum = sum + bias.as_ref().and_then(|b| b.get(o)).map_or(0.0, |b| f64::from(*b));
                    activated(*activation, sum) as f32
                };
                weight.chunks_exact(vector.len().max(1)).enumerate().map(one).collect()
            }
        }
    }
}

fn activated(activation: DenseActivation, x: f64) -> f64 {
    match activation {
        DenseActivation::Identity => x,
        DenseActivation::Tanh => libm::tanh(x),
        // NaN stays NaN
        DenseActivation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        DenseActivation::Gelu => 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2)),
        DenseActivation::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
    }
}
