//! When a matrix does not resemble its twin: whose is it?

use super::misplaced::{self, Misplaced};
use super::twin_findings::twin_findings;
use super::{Equivalent, RowName, TensorRow, WeightsReport};
use crate::checkpoint::{Weight, WeightSet, layer_of};
use crate::finding::{Finding, Severity, codes};

/// Relative error from which a matrix is questioned. Measured: affine 2-bit, the coarsest mode, 0.36 to
/// 0.43 on Gaussian weights; two unrelated matrices of the same size, 1.41.
const QUESTIONED: f64 = 0.55;

/// Centred correlation above which two matrices are the same one. Measured (MLX weights of MiniLM): own
/// matrix at least 0.924 even at 2 bits, two different ones at most 0.14 over all elements, 0.23 over 8 rows.
const SAME: f64 = 0.5;

/// Elements compared per pair, spread evenly.
const SAMPLED: usize = 1 << 15;

/// Tensors named in one message.
const NAMED: usize = 3;

/// What the weights say about the candidate beyond numbers. `name` tells what a row of a table stands for.
pub fn findings(
    original: &WeightSet,
    candidate: &WeightSet,
    report: &WeightsReport,
    name: &RowName<'_>,
) -> Vec<Finding> {
    let mut out: Vec<Finding> = report.equivalents.iter().map(Equivalent::finding).collect();
    out.extend(twin_findings(original, report, name));
    let other = |tensor: &str| !report.is_equivalent(tensor);
    let mut misplaced = Vec::new();
    for row in
        report.tensors.iter().filter(|r| r.shape.len() == 2 && questionable(r.relative_error) && other(&r.tensor))
    {
        let Some(matrix) = candidate.tensors().get(&row.tensor) else { continue };
        match questioned(original, &row.tensor, matrix, row.relative_error) {
            Ok(one) => misplaced.push(one),
            Err(unrelated) => out.push(unrelated),
        }
    }
    let of_layer = |row: &&TensorRow, layer| row.shape.len() == 2 && layer_of(&row.tensor) == Some(layer);
    out.extend(misplaced::findings(&misplaced, &|layer| report.tensors.iter().filter(|r| of_layer(r, layer)).count()));
    let changed: Vec<&String> = report.changed_unquantized.iter().filter(|name| other(name)).collect();
    if !changed.is_empty() {
        let named: Vec<String> = changed.iter().take(NAMED).map(|n| format!("`{n}`")).collect();
        let more = if changed.len() > NAMED { format!(" and {} more", changed.len() - NAMED) } else { String::new() };
        let message = format!("{}{more}: not quantized, and yet not the original's values", named.join(", "));
        out.push(Finding::new(Severity::Failure, &codes::WEIGHTS_CHANGED_UNQUANTIZED, message));
    }
    let quantized = || report.tensors.iter().filter(|r| r.mode.is_some());
    if quantized().count() > 0 && quantized().all(|r| r.max_abs == 0.0) {
        let message = "every quantized tensor equals its float32 twin exactly: the original itself has been quantized, or is the candidate";
        out.push(Finding::new(Severity::Refusal, &codes::WEIGHTS_IDENTICAL, message));
    }
    if !report.without_original.is_empty() {
        let message = format!(
            "{} tensors of the candidate have no float32 twin in {} and were not compared, the first is `{}`",
            report.without_original.len(),
            report.original,
            report.without_original[0]
        );
        out.push(Finding::new(Severity::Note, &codes::WEIGHTS_WITHOUT_ORIGINAL, message));
    }
    out
}

/// Not clearly its own twin's; an original of zeros (an error over nothing) counts.
pub(super) fn questionable(relative_error: f64) -> bool {
    relative_error.is_nan() || relative_error >= QUESTIONED
}

/// Whose matrix it is; a finding where it is nobody's.
fn questioned(original: &WeightSet, name: &str, matrix: &Weight, error: f64) -> Result<Misplaced, Finding> {
    let own = original.tensors().get(name).map_or(0.0, |w| correlation(w, matrix, false));
    let mut best: Option<(f64, &String, bool)> = None;
    for (other, twin) in original.tensors() {
        for transposed in [false, true] {
            let fits =
                if transposed { twin.shape.iter().rev().eq(matrix.shape.iter()) } else { twin.shape == matrix.shape };
            if !fits || (other == name && !transposed) || twin.shape.len() != 2 {
                continue;
            }
            let r = correlation(twin, matrix, transposed);
            if r > best.map_or(SAME.max(own), |(most, ..)| most) {
                best = Some((r, other, transposed));
            }
        }
    }
    match best {
        Some((correlation, other, transposed)) => {
            Ok(Misplaced { name: name.to_owned(), other: other.clone(), transposed, correlation, own })
        }
        None => {
            let message = format!(
                "the candidate's `{name}` does not resemble the original's (relative error {error:.2}, correlation {own:.2})"
            );
            Err(Finding::new(Severity::Failure, &codes::WEIGHTS_UNRELATED, message))
        }
    }
}

/// Centred cosine of two matrices over an evenly spread sample of elements; 0 when undefined.
fn correlation(a: &Weight, b: &Weight, transposed: bool) -> f64 {
    let (rows, cols) = (b.shape[0], b.shape[1]);
    let n = a.len().min(b.len());
    // An odd step, so that a sample does not fall on the same columns again and again.
    let step = (n / SAMPLED).max(1) | 1;
    let (mut count, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0f64, 0.0f64, 0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for i in (0..n).step_by(step) {
        let j = if transposed { (i % cols) * rows + i / cols } else { i };
        let (Some(x), Some(y)) = (a.get(j), b.get(i)) else { continue };
        let (x, y) = (f64::from(x), f64::from(y));
        count += 1.0;
        sa += x;
        sb += y;
        saa += x * x;
        sbb += y * y;
        sab += x * y;
    }
    let covariance = sab - sa * sb / count;
    let spread = ((saa - sa * sa / count) * (sbb - sb * sb / count)).sqrt();
    if spread > 0.0 { covariance / spread } else { 0.0 }
}
