//! Who made the tensors, in words; and what only a run over sentences can tell of it.

use super::{Method, Quantizer, TensorRow, TwinRow, WeightsReport};
use crate::finding::{Finding, Severity, codes};

/// Most that errors which compensate each other move a matrix's outputs, over what as large ones would if each were by
/// itself. Measured at 8 and 4 bits: GPTQ by the paper 0.41 to 0.83 (shipped model) and at 4 bits 0.45 to 0.80 (MiniLM), by
/// mlx-lm's code 0.40 to 0.87 (shipped model); noise, MLX's own rounding, plain, clipped, symmetric and stochastic scales
/// 0.965 to 1.04, another matrix in its place 1.00.
const COMPENSATES: f64 = 0.92;

/// What a run over sentences tells of a matrix that keeps no rule of rounding.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// The tensor.
    pub tensor: String,
    /// How far it moves its outputs, over what errors of its own size would if each were by itself.
    pub over_independent: f64,
    /// It moves them no farther than a quantizer may.
    pub passed: bool,
}

/// Names what the outputs tell: an error-compensating quantizer moves weights farther than rounding does, and outputs less
/// than such errors would by themselves.
pub fn judge_outputs(report: &mut WeightsReport, outputs: &[Outputs]) {
    for told in outputs {
        let twin = report.tensors.iter_mut().find(|row| row.tensor == told.tensor).and_then(|row| row.twin.as_mut());
        let Some(twin) = twin.filter(|twin| twin.method == Method::Unknown && twin.quantizer == Quantizer::Unknown)
        else {
            continue;
        };
        twin.outputs = Some(told.over_independent);
        if told.passed && told.over_independent <= COMPENSATES {
            twin.method = Method::Gptq;
        }
    }
}

/// Who made the matrices that MLX's own quantizer did not, with how many.
pub fn makers(report: &WeightsReport) -> Option<String> {
    let mut counts: Vec<(Method, &str, usize)> = Vec::new();
    for (_, twin) in others(report) {
        match counts.iter_mut().find(|(_, words, _)| *words == twin.made_by()) {
            Some((.., count)) => *count += 1,
            None => counts.push((twin.method, twin.made_by(), 1)),
        }
    }
    counts.sort_by_key(|(method, ..)| *method);
    let said = |(i, (_, words, count)): (usize, &(Method, &str, usize))| match (i, count) {
        (0, 1) => format!("1 matrix by {words}"),
        (0, _) => format!("{count} matrices by {words}"),
        _ => format!("{count} by {words}"),
    };
    let all: Vec<String> = counts.iter().enumerate().map(said).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// A note on the tensors that MLX's own quantizer did not make; `run` tells that sentences were run, so that what only
/// those can tell is told.
pub fn other_quantizers(report: &WeightsReport, run: bool) -> Option<Finding> {
    let (row, twin) = others(report).next()?;
    let open = others(report).any(|(_, twin)| twin.quantizer == Quantizer::Unknown && twin.method == Method::Unknown);
    let tell =
        if open && !run { "; whether errors compensate each other (GPTQ) only a run over sentences tells" } else { "" };
    let message = format!(
        "{} matrices were not made by MLX's own quantizer (the first is `{}`, {} of {} groups equal): {}{tell}",
        others(report).count(),
        row.tensor,
        twin.equal,
        twin.groups,
        makers(report)?,
    );
    Some(Finding::new(Severity::Note, &codes::WEIGHTS_OTHER_QUANTIZER, message))
}

/// What cannot be proven of quantizers that are free in the codes or scales they choose: the same freedom hides a choice
/// that moves only texts which nobody ran.
pub fn free_choices(report: &WeightsReport) -> Option<Finding> {
    let all: Vec<&TwinRow> = others(report).map(|(_, twin)| twin).filter(|twin| !twin.fixed).collect();
    let mut words: Vec<&str> = all.iter().map(|twin| twin.made_by()).collect();
    words.sort_unstable();
    words.dedup();
    let message = format!(
        "no one rule gives all codes and scales of {} matrices ({}): that they do no harm is shown for the rows compared, and a \
         choice aimed at other texts would not be seen; give a corpus of the texts that matter",
        all.len(),
        words.join("; ")
    );
    (!all.is_empty()).then(|| Finding::new(Severity::Warning, &codes::WEIGHTS_FREE_CHOICES, message))
}

fn others(report: &WeightsReport) -> impl Iterator<Item = (&TensorRow, &TwinRow)> {
    report.tensors.iter().filter_map(|row| Some((row, row.twin.as_ref()?))).filter(|(_, twin)| twin.is_others())
}
