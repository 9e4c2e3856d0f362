//! What can keep an encoder from being built.

use super::ARCHITECTURES;
use super::ops::ProductError;
use crate::checkpoint::{ConfigError, ModelConfig, WeightError, WeightSet};
use crate::fault::Fault;

/// A model that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// No architecture of that name.
    #[error(
        "{label}: model_type `{model_type}` is not supported; nearest is `{nearest}`{differs} (supported: {supported})"
    )]
    ModelType {
        /// Which model.
        label: String,
        /// What its configuration says.
        model_type: String,
        /// The supported name whose tensors are most alike, or that is spelled most alike.
        nearest: &'static str,
        /// What parts the two, in words; empty where the weights are not known.
        differs: String,
        /// All supported names.
        supported: String,
    },
    /// A setting under which the architecture computes something we do not.
    #[error("{label}: config.json: `{field}` is `{found}`, supported is {expected}")]
    Unsupported {
        /// Which model.
        label: String,
        /// Key.
        field: String,
        /// Its value.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// A key of config.json that only this architecture reads.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tensor missing, misshapen, unused or not finite.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A tensor with more or fewer values than its own shape says.
    #[error("tensor `{tensor}` holds {found} values, its shape says {expected}")]
    Values {
        /// Its name within its module.
        tensor: String,
        /// Product of its shape.
        expected: usize,
        /// Values it holds.
        found: usize,
    },
    /// A weight that could not be packed.
    #[error(transparent)]
    Product(#[from] ProductError),
}

impl NativeError {
    /// Not comparable where it is not supported, a bug for sizes that disagree inside the program, else a bad input.
    pub fn fault(&self) -> Fault {
        match self {
            Self::ModelType { .. } | Self::Unsupported { .. } => Fault::Incomparable,
            Self::Config(e) => e.fault(),
            Self::Weights(_) => Fault::BadInput,
            Self::Values { .. } | Self::Product(_) => Fault::Internal,
        }
    }

    pub(super) fn unknown_model_type(label: &str, model_type: &str) -> Self {
        let names = || ARCHITECTURES.iter().flat_map(|a| a.model_types).copied();
        let model_type: String = model_type.escape_default().take(60).collect();
        Self::ModelType {
            label: label.to_owned(),
            nearest: names().min_by_key(|name| edits(&model_type, name)).unwrap_or_default(),
            differs: String::new(),
            supported: names().collect::<Vec<_>>().join(", "),
            model_type,
        }
    }
}

/// The error for a model type that is not known, where the weights are: the architecture that shares most tensors with
/// them, and what it misses and what it does not know.
pub(super) fn unlike(config: &ModelConfig, weights: &WeightSet, label: &str) -> NativeError {
    let mut error = NativeError::unknown_model_type(label, &config.model_type);
    let held = |name: &String| weights.tensors().contains_key(name);
    let alike = ARCHITECTURES.iter().map(|a| {
        let needed: Vec<String> = (a.parameters)(config).into_iter().filter(|p| p.required).map(|p| p.name).collect();
        let found = needed.iter().filter(|name| held(name)).count();
        (found, needed, a)
    });
    // Of the ones that share as many, the first: the plainest.
    let best = alike.rev().max_by_key(|(found, needed, _)| (found * 1000).checked_div(needed.len()).unwrap_or(0));
    if let (Some((found, needed, architecture)), NativeError::ModelType { nearest, differs, .. }) = (best, &mut error)
        && found > 0
    {
        let missing = needed.iter().find(|name| !held(name));
        let unknown = weights.tensors().keys().find(|n| !needed.contains(n) && !(architecture.ignorable)(n));
        let shown = |what: &str, name: Option<&String>| {
            name.map(|n| format!(", {what} `{}`", n.escape_default().take(120).collect::<String>()))
        };
        *nearest = architecture.model_types[0];
        *differs = format!(
            ", {found} of whose {} tensors are there{}{}",
            needed.len(),
            shown("not", missing).unwrap_or_default(),
            shown("and besides", unknown).unwrap_or_default()
        );
    }
    error
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let mut costs: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        costs[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = costs[j + 1];
            costs[j + 1] = replace.min(diagonal + 1).min(costs[j] + 1);
        }
    }
    costs.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!((edits("", "bert"), edits("bert", "bert"), edits("roberta", "bert")), (4, 0, 3));
    }
}
