//! What the twins say in words.

use super::{Quantizer, TensorRow, TwinRow, WeightsReport};
use crate::checkpoint::{WeightSet, layer_of, names};
use crate::finding::{Finding, Severity, codes};

/// Root mean square error in half steps below which an original is the candidate's own weights. Measured: rounding to
/// nearest leaves 0.58, clipping 0.60, and a file made from dequantized weights 0 to 0.001.
const MADE_FROM: f64 = 0.58 / 20.0;

/// Elements from which on that is no accident.
const ENOUGH: u64 = 1024;

/// Rows named in one message.
const NAMED: usize = 3;

/// What a row of a tensor stands for: the token of a row of the table of words, where a tokenizer is at hand.
pub type RowName<'a> = dyn Fn(&str, usize) -> Option<String> + 'a;

/// Most that a quantizer leaves, in half steps of the twin: the root mean square of a group, the largest of a weight.
struct Leaves {
    quantizer: Quantizer,
    /// In tables: nobody pays a word for an output.
    table: (f64, f64),
    /// In the layers' matrices; beyond it their outputs are asked.
    layer: (f64, f64),
    /// In matrices outside the layers, whose outputs nothing here computes.
    outside: (f64, f64),
    /// How far the errors may point one way, over the twin's.
    coherence: f64,
}

/// Measured on the shipped model and the real MiniLM at 8 and 4 bits, as `scripts/quantizers` makes them. Nearest: 1.30
/// in a group of a table and 1.92 of a layer (symmetric scales), 3.84 for one weight (clipped). Trained scales (DWQ): 0.97
/// and 2.75 in a table, 2.41 and 4.34 in a layer. Stochastic: 1.09 and 2.21. A fault in a matrix rounded to nearest leaves
/// 2.6 in a group at least. What pays weights for outputs leaves
/// more, and is judged by the layer's outputs: AWQ with clipping 9.4 and 73, GPTQ 17 and 53; in a pooler 2.0 and 14, and
/// 1.4 and 5.1.
///
/// Errors along one direction, over the twin's: stochastic rounding 1.09 at most. Where codes are the nearest, only scales
/// are free: plain and clipped ones 2.2, symmetric ones 5.5 (MiniLM at 4 bits, where few columns are large), trained ones
/// 5.1. GPTQ 7.1, which lays its errors where inputs have none. Roundings chosen against words that a corpus lacks: 2.5,
/// 4.0 and 5.0, in half of the matrices 1.4, 2.9 and 3.7 at least.
const LEAVES: &[Leaves] = &[
    Leaves {
        quantizer: Quantizer::Nearest,
        table: (1.4, 4.2),
        layer: (2.0, 4.2),
        outside: (2.3, 15.0),
        coherence: 8.0,
    },
    Leaves {
        quantizer: Quantizer::RetrainedScales,
        table: (1.15, 3.2),
        layer: (3.5, 6.5),
        outside: (3.5, 6.5),
        coherence: 8.0,
    },
    Leaves {
        quantizer: Quantizer::Stochastic,
        table: (1.4, 3.0),
        layer: (1.4, 3.0),
        outside: (1.4, 3.0),
        coherence: 1.25,
    },
    Leaves {
        quantizer: Quantizer::Unknown,
        table: (0.0, 0.0),
        layer: (0.0, 0.0),
        outside: (2.3, 15.0),
        coherence: f64::INFINITY,
    },
];

/// How far rounding errors of an original that nobody aimed point one way, at most, over drawn signs. Measured: at most
/// 1.19 (MiniLM in every format that mlx-embeddings writes; the shipped model 1.13), 2.5 in half of the matrices and up to
/// 4.1 in an original that was trained within its 4-bit cells to lose one phrase.
const DIRECTION: f64 = 1.5;

/// Tensors that were changed, tensors that no quantizer made, and originals that were made from the candidate.
pub(super) fn twin_findings(original: &WeightSet, report: &WeightsReport, name: &RowName<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    let (mut made_from, mut one_ways, mut aimed) = (Vec::new(), Vec::new(), Vec::new());
    for (row, twin) in report.tensors.iter().filter_map(|row| Some((row, row.twin.as_ref()?))) {
        if report.is_equivalent(&row.tensor) {
            continue;
        }
        if twin.changed > 0 {
            out.push(changed(row, twin, name));
        } else if let Some(said) = one_way(twin) {
            one_ways.push((&row.tensor, said));
        } else if let (true, Some(said)) = (layer_of(&row.tensor).is_none(), beyond(row, twin, name)) {
            let message = format!("the candidate's `{}` {said}", row.tensor);
            out.push(Finding::new(Severity::Failure, &codes::WEIGHTS_BEYOND_ROUNDING, message));
        }
        aimed.extend(twin.direction.filter(|told| *told > DIRECTION).map(|told| (told, row.tensor.as_str())));
        let enough = row.float32_bytes / 4 >= ENOUGH;
        if enough && twin.error < MADE_FROM && !constant(original, &row.tensor) {
            made_from.push(row.tensor.as_str());
        }
    }
    if let Some((first, said)) = one_ways.first() {
        let more = if one_ways.len() > 1 { format!("; so have {} others", one_ways.len() - 1) } else { String::new() };
        let message = format!("the candidate's `{first}` {said}{more}: its roundings were chosen, not left to a rule");
        out.push(Finding::new(Severity::Failure, &codes::WEIGHTS_ONE_WAY, message));
    }
    aimed.sort_by(|a, b| b.0.total_cmp(&a.0));
    if let Some((told, first)) = aimed.first() {
        let message = format!(
            "{} of the original's matrices lie in the candidate's rounding cells as no weights do that nobody chose: what \
             rounding takes from `{first}` points one way ({told:.2} times as far as with drawn signs, limit {DIRECTION}). \
             The original was changed within its rounding, so that the candidate departs from it where that was aimed at; give \
             the checkpoint as it was published",
            aimed.len()
        );
        out.push(Finding::new(Severity::Refusal, &codes::WEIGHTS_AIMED_ORIGINAL, message));
    }
    if let Some(first) = made_from.first() {
        let message = format!(
            "{} of the original's matrices lie on the candidate's own codes (`{first}`: an error far below what rounding to \
             these codes leaves): the original was made from the candidate. Give the float32 checkpoint it was converted \
             from with --original",
            made_from.len()
        );
        out.push(Finding::new(Severity::Refusal, &codes::WEIGHTS_MADE_FROM_CANDIDATE, message));
    }
    if let Some((a, b)) = report.folds.first() {
        let more = if report.folds.len() > 1 {
            format!(", and {} other pairs", report.folds.len() - 1)
        } else {
            String::new()
        };
        let message = format!("scaled per channel between `{a}` and `{b}`{more}, the product unchanged (AWQ)");
        out.push(Finding::new(Severity::Note, &codes::WEIGHTS_SCALED, message));
    }
    out
}

/// Matrices of the layers that rounding alone does not explain, with what they are: only their outputs can tell whether
/// that was to compensate errors (GPTQ, AWQ) or is a fault.
pub fn beyond_rounding(report: &WeightsReport) -> Vec<Beyond<'_>> {
    let of_layer = |row: &&TensorRow| layer_of(&row.tensor).is_some();
    fn said<'a>(report: &WeightsReport, row: &'a TensorRow) -> Option<Beyond<'a>> {
        let twin = row.twin.as_ref().filter(|twin| twin.changed == 0 && !report.is_equivalent(&row.tensor))?;
        Some(Beyond { tensor: &row.tensor, quantizer: twin.quantizer, said: beyond(row, twin, &|_, _| None)? })
    }
    report.tensors.iter().filter(of_layer).filter_map(|row| said(report, row)).collect()
}

/// A matrix that rounding alone does not explain.
#[derive(Debug)]
pub struct Beyond<'a> {
    /// The tensor.
    pub tensor: &'a str,
    /// Which quantizer it looks like.
    pub quantizer: Quantizer,
    /// How far it is, behind the tensor's name.
    pub said: String,
}

/// Every weight is the same, so that any codes are exact.
fn constant(original: &WeightSet, tensor: &str) -> bool {
    let Some(weight) = original.tensors().get(tensor) else { return true };
    let rows = weight.rows();
    rows.windows(2).all(|w| w[0] == w[1])
}

fn changed(row: &TensorRow, twin: &TwinRow, name: &RowName<'_>) -> Finding {
    let rows: Vec<String> = twin.changed_rows.iter().take(NAMED).map(|r| row_words(row, *r, name)).collect();
    let more = if twin.changed_rows.len() > NAMED { " and others" } else { "" };
    let rows = if rows.is_empty() { String::new() } else { format!(", in {}{more}", rows.join(", ")) };
    let message = format!(
        "the candidate's `{}` was changed after it was quantized: {} of its {} groups are not what {} makes of the \
         original{rows} (largest error {:.1} half steps, in {})",
        row.tensor,
        twin.changed,
        twin.groups,
        twin.made_by(),
        twin.largest_error,
        row_words(row, twin.largest_error_at.0, name),
    );
    Finding::new(Severity::Failure, &codes::WEIGHTS_CHANGED_GROUPS, message)
}

/// `row 186 ("not")`, `position 12`.
fn row_words(row: &TensorRow, r: usize, name: &RowName<'_>) -> String {
    let said = if names::is_table(&row.tensor) { name(&row.tensor, r) } else { None };
    said.map_or_else(|| format!("row {r}"), |said| format!("row {r} ({said})"))
}

/// True where rounding alone does not explain a tensor.
pub(super) fn is_beyond(row: &TensorRow) -> bool {
    row.twin.as_ref().is_some_and(|twin| beyond(row, twin, &|_, _| None).is_some())
}

/// Errors that add up along one direction, where its quantizer leaves noise: in words, behind the tensor's name.
fn one_way(twin: &TwinRow) -> Option<String> {
    let limit = LEAVES.iter().find(|l| l.quantizer == twin.quantizer)?.coherence;
    let told = twin.coherence.filter(|told| *told > limit)?;
    Some(format!(
        "has errors that point one way: their largest singular value stands out {told:.2} times as much as with MLX's own (limit {limit} for {})",
        twin.made_by()
    ))
}

/// How much farther from the original a tensor is than its quantizer leaves it: in words, behind the tensor's name.
fn beyond(row: &TensorRow, twin: &TwinRow, name: &RowName<'_>) -> Option<String> {
    let leaves = LEAVES.iter().find(|l| l.quantizer == twin.quantizer)?;
    let (group, largest) = match (names::is_table(&row.tensor), layer_of(&row.tensor)) {
        (true, _) => leaves.table,
        (false, Some(_)) => leaves.layer,
        (false, None) => leaves.outside,
    };
    // Written so that NaN is beyond.
    if twin.group_error <= group && twin.largest_error <= largest {
        return None;
    }
    if twin.quantizer == Quantizer::Unknown {
        return Some("was made by no rule of rounding that is known".to_owned());
    }
    Some(format!(
        "is farther from the original than {} leaves it (root mean square {:.2} half steps in a group of {}, limit {group}; \
         largest {:.2} in {}, limit {largest})",
        twin.made_by(),
        twin.group_error,
        row_words(row, twin.group_error_at.0, name),
        twin.largest_error,
        row_words(row, twin.largest_error_at.0, name),
    ))
}
