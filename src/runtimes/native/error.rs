//! What can keep an encoder from being built.

use super::ARCHITECTURES;
use super::ops::ProductError;
use crate::checkpoint::{ConfigError, WeightError};
use crate::fault::Fault;

/// A model that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// No architecture of that name.
    #[error("{label}: model_type `{model_type}` is not supported; nearest is `{nearest}` (supported: {supported})")]
    ModelType {
        /// Which model.
        label: String,
        /// What its configuration says.
        model_type: String,
        /// The supported name that is spelled most alike.
        nearest: &'static str,
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
    /// A bug for sizes that disagree inside the program, else a bad input.
    pub fn fault(&self) -> Fault {
        match self {
            Self::ModelType { .. } | Self::Unsupported { .. } | Self::Config(_) | Self::Weights(_) => Fault::BadInput,
            Self::Values { .. } | Self::Product(_) => Fault::Internal,
        }
    }

    pub(super) fn unknown_model_type(label: &str, model_type: &str) -> Self {
        let names = || ARCHITECTURES.iter().flat_map(|a| a.model_types).copied();
        let model_type: String = model_type.escape_default().take(60).collect();
        Self::ModelType {
            label: label.to_owned(),
            nearest: names().min_by_key(|name| edits(&model_type, name)).unwrap_or_default(),
            supported: names().collect::<Vec<_>>().join(", "),
            model_type,
        }
    }
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
