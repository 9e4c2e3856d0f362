//! Matrices that do not resemble their twins and still compute the same: neurons or heads that stand in another order in
//! every matrix that reads or writes them, queries multiplied with what keys were divided by. A person should know that
//! nothing is lost. It is stated only where the original, moved and scaled in that way, has the candidate's matrices as
//! its own twins, group by group, and every bias with them.

use super::identify::questionable;
use super::permuted_blocks::BLOCKS;
use super::permuted_proof::There;
use super::twin_findings::is_beyond;
use super::{Equivalent, TensorRow, WeightsReport};
use crate::checkpoint::WeightSet;

/// What of the tensors that are not their twins is equivalent to the original. `heads` is how many heads there are; without
/// it, only neurons are looked for.
pub fn equivalents(
    original: &WeightSet,
    candidate: &WeightSet,
    report: &WeightsReport,
    heads: Option<usize>,
) -> Vec<Equivalent> {
    let mut out = Vec::new();
    if !report.tensors.iter().any(|row| is_wrong(report, &row.tensor) || is_unexplained(report, &row.tensor)) {
        return out;
    }
    for block in BLOCKS {
        let Some((module, _)) = block.rows.first() else { continue };
        let suffix = format!("{module}.weight");
        for name in candidate.tensors().keys() {
            let Some(prefix) = name.strip_suffix(&suffix).filter(|p| p.is_empty() || p.ends_with('.')) else {
                continue;
            };
            let there = There { block, prefix, original, candidate };
            let names = there.tensors();
            let wrong = names.iter().any(|name| is_wrong(report, name));
            if wrong || names.iter().any(|name| is_unexplained(report, name)) {
                out.extend(there.equivalents(heads, wrong).into_iter().flatten());
            }
        }
    }
    out
}

/// True where a tensor is proven not to be the original's.
fn is_wrong(report: &WeightsReport, name: &str) -> bool {
    let row = report.tensors.iter().find(|row| row.tensor == name);
    let by_row = |row: &TensorRow| {
        let changed = row.twin.as_ref().is_some_and(|twin| twin.changed > 0);
        changed || (row.shape.len() == 2 && questionable(row.relative_error))
    };
    row.is_some_and(by_row) || report.changed_unquantized.iter().any(|changed| changed == name)
}

/// True where rounding alone does not explain a tensor, which may be as honest as GPTQ.
fn is_unexplained(report: &WeightsReport, name: &str) -> bool {
    report.tensors.iter().find(|row| row.tensor == name).is_some_and(is_beyond)
}

#[cfg(test)]
#[path = "permuted_tests.rs"]
mod tests;
