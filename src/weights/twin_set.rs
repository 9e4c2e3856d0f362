//! The whole twin: every tensor of the original in the format that the candidate keeps it in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::WeightsReport;
use crate::checkpoint::{Weight, WeightError, WeightSet};
use crate::quantization::{self, FloatType, Program, Target};

/// What an honest conversion of `original` to the candidate's own formats, tensor by tensor, gives. Tensors without an
/// original stay the candidate's. `report` tells which tensors are their twin already: those are shared.
///
/// # Errors
/// Weights that are no numbers in the candidate's type.
pub fn twin_of(original: &WeightSet, candidate: &WeightSet, report: &WeightsReport) -> Result<WeightSet, WeightError> {
    let same = |name: &String| {
        let row = report.tensors.iter().find(|row| row.tensor == *name);
        let quantized = row.and_then(|row| row.twin.as_ref()).map(|twin| twin.equal == twin.groups);
        quantized.unwrap_or_else(|| row.is_some() && !report.changed_unquantized.contains(name))
    };
    candidate.changed(|tensors: &mut BTreeMap<String, Arc<Weight>>| {
        for (name, weight) in tensors.iter_mut().filter(|(name, _)| !same(name)) {
            let cast = report.tensors.iter().find(|row| row.tensor == *name).and_then(|row| row.twin.as_ref());
            let cast = cast.and_then(|twin| FloatType::named(&twin.cast));
            if let Some(twin) = original.tensors().get(name).and_then(|o| twin_weight(o, weight, cast)) {
                *weight = Arc::new(twin);
            }
        }
    })
}

fn twin_weight(original: &Weight, candidate: &Weight, cast: Option<FloatType>) -> Option<Weight> {
    if original.shape != candidate.shape {
        return None;
    }
    let storage = &candidate.storage;
    let Some(mode) = storage.mode else {
        let float = FloatType::named(&storage.dtype)?;
        return Some(original.changed(|values| values.iter_mut().for_each(|v| *v = float.round(*v))));
    };
    let stored = FloatType::named(&storage.dtype);
    let target = Target {
        bits: storage.bits?,
        group_size: usize::try_from(storage.group_size?).ok()?,
        float: stored.or(cast).unwrap_or(FloatType::BF16),
        program: Program::Cpu,
    };
    quantization::quantized_as(original, quantization::mode(mode)?, &target)
}
