//! Vectors per row: BERT's own pooler, and which pooling a vector is.

use std::sync::Arc;

use super::super::likeness::apart;
use crate::Error;
use crate::checkpoint::{PoolingMode, SentenceModules, Stage, WeightSet};
use crate::hidden_states::TapStates;
use crate::memory::Memory;
use crate::runtimes::native::SentenceHead;

const MODES: [PoolingMode; 6] = [
    PoolingMode::Mean,
    PoolingMode::Cls,
    PoolingMode::LastToken,
    PoolingMode::Max,
    PoolingMode::MeanSqrtLen,
    PoolingMode::WeightedMean,
];
/// Where checkpoints keep their pooler: BERT and its family, then ALBERT.
const POOLERS: &[&str] = &["pooler.dense", "pooler"];

/// `tanh(W · first token + b)` (transformers `BertPooler`), with the original's weights.
pub(crate) struct Pooler {
    weight: Arc<Memory<f32>>, // [hidden, hidden]
    bias: Arc<Memory<f32>>,   // [hidden]
}

impl Pooler {
    /// The original's, where it has one for this width.
    pub(crate) fn of(original: &WeightSet, hidden: usize) -> Option<Self> {
        let tensors = original.tensors();
        POOLERS.iter().find_map(|name| {
            let weight = tensors.get(&format!("{name}.weight")).filter(|w| w.shape == [hidden, hidden])?;
            let bias = tensors.get(&format!("{name}.bias")).filter(|b| b.shape == [hidden])?;
            Some(Self { weight: weight.shared_rows(), bias: bias.shared_rows() })
        })
    }

    /// One vector per row; a row without tokens has zeros for its first token.
    pub(crate) fn apply(&self, states: &TapStates) -> Result<Arc<TapStates>, Error> {
        let hidden = states.hidden();
        let mut values = Vec::with_capacity(states.rows() * hidden);
        for r in 0..states.rows() {
            let first = states.row(r).get(..hidden).unwrap_or_default();
            for (row, bias) in self.weight.chunks_exact(hidden.max(1)).zip(self.bias.iter()) {
                let sum: f64 = row.iter().zip(first).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                values.push(libm::tanh(sum + f64::from(*bias)) as f32);
            }
        }
        let one_each: Vec<usize> = (0..=states.rows()).collect();
        Ok(Arc::new(TapStates::ragged(hidden, &one_each, values)?))
    }
}

/// A pooling and its modules, in words.
pub(crate) fn in_words(modules: &SentenceModules) -> String {
    let stages: String = modules.stages.iter().map(|stage| format!(", then {stage}")).collect();
    format!("{} pooling{stages}", modules.pooling_name())
}

/// The pooling of `last` (one row) nearest to `vector`: in words, and its distance. None where every pooling has another
/// width.
pub(crate) fn nearest(
    head: &SentenceHead,
    last: &TapStates,
    vector: &TapStates,
) -> Result<Option<(String, f64)>, Error> {
    let mut best: Option<(String, f64)> = None;
    let mut offer = |name: String, found: &TapStates| {
        if found.hidden() != vector.hidden() {
            return;
        }
        let (distance, _) = apart(vector.row(0), found.row(0), found.hidden());
        // Behind Normalize some poolings are one: the plainer name is kept unless another is clearly nearer.
        if best.as_ref().is_none_or(|(_, least)| distance < 0.5 * *least) {
            best = Some((name, distance));
        }
    };
    let stated = head.modules();
    for mode in MODES {
        for stages in [stated.stages.clone(), vec![], vec![Stage::Normalize]] {
            // What has weights is only known as the files have it.
            let weighted = stages.iter().any(|stage| stage.path().is_some());
            let modules = SentenceModules { stages, ..SentenceModules::of(mode) };
            let pooling = match weighted {
                true => head.with_pooling(vec![mode])?,
                false => SentenceHead::new(&modules, last.hidden())?,
            };
            offer(in_words(&modules), &pooling.apply(last)?.1);
        }
    }
    // A pooling that stops too early, or begins too late.
    let (width, row) = (last.hidden(), last.row(0));
    let part = |tokens: std::ops::Range<usize>| -> Result<Arc<TapStates>, Error> {
        let values = row.get(tokens.start * width..tokens.end * width).unwrap_or_default().to_vec();
        Ok(head.apply(&TapStates::ragged(width, &[0, tokens.len()], values)?)?.1)
    };
    for n in 1..last.tokens(0) {
        offer(format!("{} of the first {n} tokens of the row only", in_words(stated)), &*part(0..n)?);
        offer(format!("{} without the first {n} tokens of the row", in_words(stated)), &*part(n..last.tokens(0))?);
    }
    Ok(best)
}
