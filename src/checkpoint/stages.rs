//! The modules behind the pooling: Dense, LayerNorm, Normalize, in the order `modules.json` lists them.
//!
//! Ported semantics: sentence-transformers `models/Dense.py`, `models/LayerNorm.py`, `models/Normalize.py`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::Weight;
use super::modules_error::{ModulesError, malformed};
use super::pooling_config::{flag, object, whole};

/// Weights of the modules that have any, by the module's folder and the tensor's last name (`weight`, `bias`).
pub type StageWeights = BTreeMap<(String, String), Arc<Weight>>;

/// One module behind the pooling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A vector over its length.
    Normalize,
    /// activation(W·x + b).
    Dense(DenseModule),
    /// LayerNorm over the vector (torch's default ε of 1e-5).
    LayerNorm {
        /// Its folder.
        path: String,
        /// Width of the vectors.
        dimension: usize,
    },
    /// The first so many dimensions (matryoshka representations, Kusupati et al. 2022).
    Truncate(usize),
}

/// A Dense module as its own `config.json` states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseModule {
    /// Its folder.
    pub path: String,
    /// Width in.
    pub inputs: usize,
    /// Width out.
    pub outputs: usize,
    /// Whether b is there.
    pub bias: bool,
    /// What is applied then.
    pub activation: DenseActivation,
}

/// Activations of Dense modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseActivation {
    /// None.
    Identity,
    /// tanh.
    Tanh,
    /// max(x, 0).
    Relu,
    /// GELU with erf.
    Gelu,
    /// 1 / (1 + e^(−x)).
    Sigmoid,
}

/// By the last part of torch's class names.
const ACTIVATIONS: &[(&str, DenseActivation)] = &[
    ("Identity", DenseActivation::Identity),
    ("Tanh", DenseActivation::Tanh),
    ("ReLU", DenseActivation::Relu),
    ("GELU", DenseActivation::Gelu),
    ("Sigmoid", DenseActivation::Sigmoid),
];

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normalize => f.write_str("Normalize"),
            Self::LayerNorm { dimension, .. } => write!(f, "LayerNorm {dimension}"),
            Self::Truncate(n) => write!(f, "the first {n} dimensions"),
            Self::Dense(d) => {
                let name = ACTIVATIONS.iter().find(|(_, a)| *a == d.activation).map_or("", |(name, _)| name);
                write!(f, "Dense {} to {}{}, {name}", d.inputs, d.outputs, if d.bias { "" } else { " without bias" })
            }
        }
    }
}

impl Stage {
    /// Folder of its weights, where it has any.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Dense(d) => Some(&d.path),
            Self::LayerNorm { path, .. } => Some(path),
            Self::Normalize | Self::Truncate(_) => None,
        }
    }

    /// A Dense module's own file.
    pub(super) fn dense(path: &str, value: &Value, file: &str) -> Result<Self, ModulesError> {
        let map = object(value, file)?;
        let required = |key| whole(map, key, file)?.ok_or_else(|| malformed(file, format!("`{key}` is missing")));
        for key in ["module_input_name", "module_output_name"] {
            let usual = [None, Some("sentence_embedding")];
            if !usual.contains(&map.get(key).and_then(Value::as_str)) {
                return Err(malformed(
                    file,
                    format!("`{key}` is not `sentence_embedding`, which is all parallax reads"),
                ));
            }
        }
        let class = map.get("activation_function").and_then(Value::as_str).unwrap_or("Tanh");
        let name = class.rsplit('.').next().unwrap_or(class);
        let known = ACTIVATIONS.iter().find(|(known, _)| *known == name);
        let activation = known.map(|(_, a)| *a).ok_or_else(|| {
            let names: Vec<_> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
            let name: String = name.escape_default().take(40).collect();
            malformed(file, format!("activation `{name}` is not supported; supported are {}", names.join(", ")))
        })?;
        Ok(Self::Dense(DenseModule {
            path: path.to_owned(),
            inputs: required("in_features")?,
            outputs: required("out_features")?,
            bias: flag(map, "bias", file)?.unwrap_or(true),
            activation,
        }))
    }

    /// A LayerNorm module's own file.
    pub(super) fn layer_norm(path: &str, value: &Value, file: &str) -> Result<Self, ModulesError> {
        let dimension = whole(object(value, file)?, "dimension", file)?;
        let dimension = dimension.ok_or_else(|| malformed(file, "`dimension` is missing"))?;
        Ok(Self::LayerNorm { path: path.to_owned(), dimension })
    }
}
