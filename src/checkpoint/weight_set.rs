//! Named float32 weights of one model, wherever they came from, read strictly: every tensor is used
//! once, none is missing, none is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::Weight;

/// What can be wrong with a set of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// A tensor the architecture needs is not there.
    #[error("{source_name}: tensor `{tensor}` is missing")]
    Missing {
        /// Where the weights came from.
        source_name: String,
        /// Full name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{source_name}: tensor `{tensor}` has shape {found:?}, the configuration says {expected:?}{hint}")]
    Shape {
        /// Where the weights came from.
        source_name: String,
        /// Full name.
        tensor: String,
        /// Shape by configuration.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
        /// What another declaration of its quantization would make of it; empty where none would help.
        hint: String,
    },
    /// A tensor nobody asked for.
    #[error("{source_name}: tensor `{tensor}` is used by nothing in this architecture ({count} such tensors)")]
    Unused {
        /// Where the weights came from.
        source_name: String,
        /// The first such tensor.
        tensor: String,
        /// How many there are.
        count: usize,
    },
    /// A NaN or infinity in a weight.
    #[error(
        "{source_name}: tensor `{tensor}` holds {value} at element {index}; a model with such a weight cannot be judged"
    )]
    NonFinite {
        /// Where the weights came from.
        source_name: String,
        /// Full name.
        tensor: String,
        /// The value, `NaN` or `inf`.
        value: f32,
        /// Flat index.
        index: usize,
    },
}

/// The float32 weights of one model under their Hugging Face names, without a model prefix
/// (`embeddings.word_embeddings.weight`, `encoder.layer.0.attention.self.query.weight`).
#[derive(Debug)]
pub struct WeightSet {
    source_name: String,
    tensors: BTreeMap<String, Arc<Weight>>,
    used: Mutex<BTreeSet<String>>,
}

impl WeightSet {
    /// Takes the weights in; a NaN or infinity anywhere is refused.
    pub fn new(source_name: impl Into<String>, tensors: BTreeMap<String, Weight>) -> Result<Self, WeightError> {
        let source_name = source_name.into();
        tensors
            .par_iter()
            .map(|(t, w)| finite(&source_name, t, w))
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), _>>()?;
        let tensors = tensors.into_iter().map(|(name, weight)| (name, Arc::new(weight))).collect();
        Ok(Self { source_name, tensors, used: Mutex::default() })
    }

    /// A copy in which `change` has replaced some weights; the others are shared, not copied. Nothing of it
    /// is taken yet.
    pub fn changed(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Weight>>)) -> Result<Self, WeightError> {
        let mut tensors = self.tensors.clone();
        change(&mut tensors);
        for (name, weight) in &tensors {
            if !self.tensors.get(name).is_some_and(|old| Arc::ptr_eq(old, weight)) {
                finite(&self.source_name, name, weight)?;
            }
        }
        Ok(Self { source_name: self.source_name.clone(), tensors, used: Mutex::default() })
    }

    /// Those whose name is `wanted`, shared, not copied. Nothing of them is taken yet.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let tensors = self.tensors.iter().filter(|(name, _)| wanted(name));
        let tensors = tensors.map(|(name, weight)| (name.clone(), Arc::clone(weight))).collect();
        Self { source_name: self.source_name.clone(), tensors, used: Mutex::default() }
    }

    /// Where the weights came from, for people.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// All weights by name.
    pub fn tensors(&self) -> &BTreeMap<String, Arc<Weight>> {
        &self.tensors
    }

    /// Reads below `prefix` (`encoder.layer.3`); an empty prefix is the whole model.
    pub fn scope(&self, prefix: impl Into<String>) -> Scope<'_> {
        Scope { set: self, prefix: prefix.into() }
    }

    /// Names of the weights that something has taken.
    pub fn used(&self) -> BTreeSet<String> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses weights that nothing has taken, except those for which `ignorable` says so.
    pub fn finish(&self, ignorable: impl Fn(&str) -> bool) -> Result<(), WeightError> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = self.tensors.keys().filter(|name| !used.contains(*name) && !ignorable(name));
        match left.next() {
            None => Ok(()),
            Some(first) => Err(WeightError::Unused {
                source_name: self.source_name.clone(),
                tensor: first.clone(),
                count: 1 + left.count(),
            }),
        }
    }
}

/// Codes of 8 bits in groups of 64 lie as codes of 4 bits in groups of 128 would: only a layer's true width tells them
/// apart.
fn hint(weight: &Weight, expected: &[usize]) -> String {
    let (Some(bits), Some(group)) = (weight.storage.bits, weight.storage.group_size) else { return String::new() };
    let (&[rows, columns], &[true_rows, true_columns]) = (weight.shape.as_slice(), expected) else {
        return String::new();
    };
    let groups = columns.checked_div(group as usize).unwrap_or(0);
    let true_bits = (columns * bits as usize).checked_div(true_columns).unwrap_or(0);
    let fits = rows == true_rows && true_bits * true_columns == columns * bits as usize && groups > 0;
    match fits && true_columns.is_multiple_of(groups) {
        true => format!(
            ": config.json declares {bits} bits in groups of {group}, with {true_bits} bits in groups of {} it would be that",
            true_columns / groups
        ),
        false => String::new(),
    }
}

fn finite(source_name: &str, tensor: &str, weight: &Weight) -> Result<(), WeightError> {
    let Some((index, value)) = weight.first_non_finite() else { return Ok(()) };
    let (source_name, tensor) = (source_name.to_owned(), tensor.to_owned());
    Err(WeightError::NonFinite { source_name, tensor, value, index })
}

/// Strict access to the weights below one prefix.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    set: &'a WeightSet,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// One level further down.
    pub fn below(&self, part: impl std::fmt::Display) -> Scope<'a> {
        Scope { set: self.set, prefix: self.full(&part.to_string()) }
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// Takes a required weight and checks its shape.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<&'a Arc<Weight>, WeightError> {
        let tensor = self.full(name);
        let Some(weight) = self.set.tensors.get(&tensor) else {
            return Err(WeightError::Missing { source_name: self.set.source_name.clone(), tensor });
        };
        if weight.shape != shape {
            return Err(WeightError::Shape {
                source_name: self.set.source_name.clone(),
                tensor,
                expected: shape.to_vec(),
                found: weight.shape.clone(),
                hint: hint(weight, shape),
            });
        }
        self.set.used.lock().unwrap_or_else(PoisonError::into_inner).insert(tensor);
        Ok(weight)
    }
}
