//! Tensor against tensor, element by element, in f64.

use rayon::prelude::*;

use super::fold::folds;
use super::groups::largest_shift;
use super::quantizer::{Evidence, decide, hold_few, is_mlx};
use super::twin::twin_row;
use super::{Method, Quantizer, TensorRow, TwinTotals, WeightTotals, WeightsError, WeightsReport};
use crate::checkpoint::{Weight, WeightSet, layer_of};
use crate::quantization::FloatType;

/// Sums over one pair of tensors.
struct Sums {
    row: TensorRow,
    difference: f64,
    original: f64,
    /// Which quantizers can have made it.
    evidence: Evidence,
}

/// Compares every tensor both sides have. Sums run in element order, so the result does not depend on threads.
///
/// # Errors
/// Twins of different shapes, or no twins at all.
pub fn compare(original: &WeightSet, candidate: &WeightSet) -> Result<WeightsReport, WeightsError> {
    let pairs: Vec<(&String, &Weight, &Weight)> = candidate
        .tensors()
        .iter()
        .filter_map(|(name, c)| Some((name, &**original.tensors().get(name)?, &**c)))
        .collect();
    if pairs.is_empty() {
        return Err(WeightsError::Nothing {
            original: original.source_name().to_owned(),
            candidate: candidate.source_name().to_owned(),
        });
    }
    if let Some((name, o, c)) = pairs.iter().find(|(_, o, c)| o.shape != c.shape || o.len() != c.len()) {
        return Err(WeightsError::Shape {
            tensor: (*name).clone(),
            original: original.source_name().to_owned(),
            candidate: candidate.source_name().to_owned(),
            expected: o.shape.clone(),
            found: c.shape.clone(),
        });
    }
    let mut sums: Vec<Sums> = pairs.par_iter().map(|(name, o, c)| pair(name, o, c, false)).collect();
    decided(&mut sums);
    let mut changed_unquantized: Vec<String> = pairs
        .iter()
        .filter(|(_, o, c)| c.storage.mode.is_none() && !same_but_for_storage(o, c))
        .map(|(n, ..)| (*n).clone())
        .collect();
    let folds = undone(original, candidate, &mut sums, &mut changed_unquantized);
    let of_layers = sums.iter_mut().filter(|s| layer_of(&s.row.tensor).is_some());
    hold_few(of_layers.filter_map(|s| Some((s.row.twin.as_mut()?, &s.evidence))));
    let lacking = |of: &WeightSet, other: &WeightSet| -> Vec<String> {
        of.tensors().keys().filter(|n| !other.tensors().contains_key(*n)).cloned().collect()
    };
    Ok(WeightsReport {
        original: original.source_name().to_owned(),
        candidate: candidate.source_name().to_owned(),
        totals: totals(&sums),
        changed_unquantized,
        folds,
        equivalents: Vec::new(),
        without_original: lacking(candidate, original),
        without_candidate: lacking(original, candidate),
        tensors: sums.into_iter().map(|s| s.row).collect(),
    })
}

/// Where other quantizers than MLX's have been at work: channels scaled between two layers are scaled in the original,
/// too, and the two compared again. Kept where that explains more of their groups.
fn undone(
    original: &WeightSet,
    candidate: &WeightSet,
    sums: &mut [Sums],
    changed_unquantized: &mut Vec<String>,
) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    if changed_unquantized.is_empty() && sums.iter().all(|s| s.broken() == 0) {
        return kept;
    }
    for fold in folds(original, candidate) {
        // A matrix whose columns were multiplied is nowhere its twin. One that is was changed in places, not scaled, and
        // factors that are estimated would excuse that.
        let is_twins = |name: &String| {
            let of = |s: &&Sums| s.row.tensor == *name;
            sums.iter().find(of).and_then(|s| s.row.twin.as_ref()).is_some_and(is_mlx)
        };
        if fold.multiplied.iter().any(is_twins) {
            continue;
        }
        let again: Vec<(usize, Sums)> = fold
            .tensors
            .iter()
            .filter_map(|(name, o)| {
                let at = sums.iter().position(|s| s.row.tensor == *name)?;
                Some((at, pair(name, o, candidate.tensors().get(name)?, true)))
            })
            .collect();
        let broken = |sums: &mut dyn Iterator<Item = &Sums>| -> u64 { sums.map(Sums::broken).sum() };
        // A plain tensor between the two that is not the original's is broken, too.
        let plain = fold.tensors.keys().filter(|name| changed_unquantized.contains(name)).count() as u64;
        let before = plain + broken(&mut again.iter().map(|(at, _)| &sums[*at]));
        let mut again = again;
        decided(again.iter_mut().map(|(_, s)| s));
        if before > 0 && broken(&mut again.iter().map(|(_, s)| s)) < before {
            for (at, s) in again {
                let (name, row) = (s.row.tensor.clone(), &fold.tensors);
                changed_unquantized.retain(|n| *n != name);
                if let (Some(o), Some(c)) = (row.get(&name), candidate.tensors().get(&name))
                    && c.storage.mode.is_none()
                    && !same_but_for_storage(o, c)
                {
                    changed_unquantized.push(name);
                }
                sums[at] = s;
                if let Some(twin) = sums[at].row.twin.as_mut() {
                    twin.method = Method::Awq;
                }
            }
            kept.push(fold.between);
        }
    }
    changed_unquantized.sort_unstable();
    kept
}

/// Fills in which quantizers made the tensors.
fn decided<'a>(sums: impl IntoIterator<Item = &'a mut Sums>) {
    decide(sums.into_iter().filter_map(|s| Some((s.row.twin.as_mut()?, &s.evidence))));
}

impl Sums {
    /// Groups that its quantizer cannot have made; all, where none can have made it.
    fn broken(&self) -> u64 {
        self.row.twin.as_ref().map_or(0, |t| if t.quantizer == Quantizer::Unknown { t.groups } else { t.changed })
    }
}

/// One tensor by itself; `folded` tells that channels of the original were scaled by estimated factors first.
pub(super) fn alone(name: &str, original: &Weight, candidate: &Weight, folded: bool) -> TensorRow {
    let mut sums = pair(name, original, candidate, folded);
    decided([&mut sums]);
    sums.row
}

fn pair(name: &str, original: &Weight, candidate: &Weight, folded: bool) -> Sums {
    let (mut difference, mut o2, mut c2, mut oc) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    let (mut max_abs, mut at) = (0.0f64, 0usize);
    for (i, (&o, &c)) in original.rows().iter().zip(candidate.rows().iter()).enumerate() {
        let (o, c) = (f64::from(o), f64::from(c));
        let d = c - o;
        difference += d * d;
        o2 += o * o;
        c2 += c * c;
        oc += o * c;
        // Both sides are finite (`WeightSet` refuses anything else), so is their difference in f64.
        if d.abs() > max_abs {
            (max_abs, at) = (d.abs(), i);
        }
    }
    let n = original.len() as f64;
    let mse = if n > 0.0 { difference / n } else { 0.0 };
    let storage = &candidate.storage;
    let shift = largest_shift(original, candidate);
    let (twin, evidence) = twin_row(original, candidate, folded).unzip();
    let row = TensorRow {
        tensor: name.to_owned(),
        shape: candidate.shape.clone(),
        dtype: storage.dtype.clone(),
        mode: storage.mode.map(str::to_owned),
        bits: storage.bits,
        group_size: storage.group_size,
        bytes: storage.bytes,
        float32_bytes: 4 * candidate.len() as u64,
        mse,
        rmse: mse.sqrt(),
        relative_error: ratio(difference.sqrt(), o2.sqrt()),
        max_abs,
        max_abs_index: unravel(at, &candidate.shape),
        sqnr_db: if difference == 0.0 { f64::INFINITY } else { 10.0 * (o2 / difference).log10() },
        group_shift: shift.map(|s| s.size),
        group_shift_at: shift.map(|s| (s.row, s.group)),
        twin,
        cosine: if difference == 0.0 && o2 > 0.0 { 1.0 } else { oc / (o2.sqrt() * c2.sqrt()) },
    };
    Sums { row, difference, original: o2, evidence: evidence.unwrap_or_default() }
}

/// An error relative to nothing is infinite, unless there is none.
fn ratio(error: f64, size: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / size }
}

fn unravel(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &extent) in shape.iter().enumerate().rev() {
        if extent > 0 {
            index[i] = flat % extent;
            flat /= extent;
        }
    }
    index
}

/// Equal once the original is rounded to the candidate's stored type, from float32 or by way of another type.
pub(super) fn same_but_for_storage(original: &Weight, candidate: &Weight) -> bool {
    let stored = FloatType::named(&candidate.storage.dtype).unwrap_or(FloatType::F32);
    let (o, c) = (original.rows(), candidate.rows());
    let by = |first: FloatType| o.iter().zip(c.iter()).all(|(&o, &c)| stored.round(first.round(o)) == c);
    o.len() == c.len() && [FloatType::F32, FloatType::F16, FloatType::BF16].into_iter().any(by)
}

/// Sums over the two-dimensional tensors, as the matrices of a model are usually reported.
fn totals(sums: &[Sums]) -> WeightTotals {
    let matrices = || sums.iter().filter(|s| s.row.shape.len() == 2);
    let elements: u64 = matrices().map(|s| s.row.float32_bytes / 4).sum();
    let difference: f64 = matrices().map(|s| s.difference).sum();
    let original: f64 = matrices().map(|s| s.original).sum();
    let largest = |value: fn(&TensorRow) -> f64| {
        matrices().max_by(|a, b| value(&a.row).total_cmp(&value(&b.row))).map(|s| &s.row)
    };
    let max_abs = largest(|r| r.max_abs);
    let bytes: u64 = sums.iter().map(|s| s.row.bytes).sum();
    let float32_bytes: u64 = sums.iter().map(|s| s.row.float32_bytes).sum();
    WeightTotals {
        tensors: sums.len(),
        quantized: matrices().filter(|s| s.row.mode.is_some()).count(),
        matrix_elements: elements,
        mse: if elements > 0 { difference / elements as f64 } else { 0.0 },
        relative_error: ratio(difference.sqrt(), original.sqrt()),
        max_abs: max_abs.map_or(0.0, |r| r.max_abs),
        max_abs_tensor: max_abs.map(|r| r.tensor.clone()),
        worst_tensor: largest(|r| r.relative_error).map(|r| r.tensor.clone()),
        bytes,
        float32_bytes,
        twin: TwinTotals::of(sums.iter().filter_map(|s| s.row.twin.as_ref())),
        bits_per_weight: if float32_bytes > 0 { 32.0 * bytes as f64 / float32_bytes as f64 } else { 0.0 },
    }
}
