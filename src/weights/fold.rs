//! Channels scaled between two layers whose product is unchanged, as AWQ does it before it rounds: the rows of one are
//! divided by factors, the columns of the next are multiplied by them. Undone in the original, each matrix has its own
//! twin again.
//!
//! Source: Lin et al., AWQ (arXiv:2306.00978), section 3; which layers may be scaled so follows from what stands between
//! them: a norm and the projections behind it, the values and the attention's output, the linear half of a gated
//! feed-forward block and its down projection.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::{Weight, WeightError, WeightSet};

/// Natural logarithm that the factors of rows and of columns may be apart: each is an estimate from rounded weights.
/// Measured at 4 bits: 0.05 at most.
const AGREES: f64 = 0.15;

/// Size from which on a float16 has all its 11 bits: a smaller bias tells the factor worse than the rows do.
const PRECISE: f64 = 1.0 / 16384.0;

/// One pair that may be scaled.
struct Pair {
    /// What is divided: a Linear by its rows, or a norm by its elements.
    divided: &'static str,
    /// The part of its rows, of so many, from which on they are divided: a fused matrix holds others before.
    from: (usize, usize),
    /// What is multiplied by its columns.
    multiplied: &'static [&'static str],
}

/// To know another architecture, add its rows.
const PAIRS: &[Pair] = &[
    Pair { divided: "attention.self.value", from: (0, 1), multiplied: &["attention.output.dense"] },
    Pair { divided: "attention.v_lin", from: (0, 1), multiplied: &["attention.out_lin"] },
    Pair { divided: "attention.attn.v", from: (0, 1), multiplied: &["attention.attn.o"] },
    Pair { divided: "attn.Wqkv", from: (2, 3), multiplied: &["attn.Wo"] },
    Pair { divided: "attn.Wqkv", from: (2, 3), multiplied: &["attn.out_proj"] },
    Pair { divided: "attn_norm", from: (0, 1), multiplied: &["attn.Wqkv"] },
    Pair { divided: "mlp_norm", from: (0, 1), multiplied: &["mlp.Wi"] },
    Pair { divided: "mlp.Wi", from: (1, 2), multiplied: &["mlp.Wo"] },
    Pair {
        divided: "input_layernorm",
        from: (0, 1),
        multiplied: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    },
    Pair { divided: "self_attn.v_proj", from: (0, 1), multiplied: &["self_attn.o_proj"] },
    Pair { divided: "post_attention_layernorm", from: (0, 1), multiplied: &["mlp.gate_proj", "mlp.up_proj"] },
    Pair { divided: "mlp.up_proj", from: (0, 1), multiplied: &["mlp.down_proj"] },
];

/// Widths of heads that share their values among several queries.
const HEADS: &[usize] = &[32, 48, 64, 80, 96, 128, 256];

/// A pair that was scaled: the original's tensors with the scaling, and the two modules.
pub(super) struct Fold {
    pub(super) tensors: BTreeMap<String, Weight>,
    pub(super) between: (String, String),
    /// The matrices whose columns were multiplied.
    pub(super) multiplied: Vec<String>,
}

/// Every pair whose factors agree, in the order of the layers; what an earlier one has scaled the next finds scaled.
pub(super) fn folds(original: &WeightSet, candidate: &WeightSet) -> Vec<Fold> {
    let mut out = Vec::new();
    let mut scaled: BTreeMap<String, Weight> = BTreeMap::new();
    for pair in PAIRS.iter().rev() {
        let suffix = format!("{}.weight", pair.divided);
        for name in candidate.tensors().keys() {
            let Some(prefix) = name.strip_suffix(&suffix).filter(|p| p.is_empty() || p.ends_with('.')) else {
                continue;
            };
            if let Some(fold) = fold(pair, prefix, original, candidate, &scaled) {
                scaled.extend(fold.tensors.iter().map(|(n, w)| (n.clone(), w.clone())));
                out.push(fold);
            }
        }
    }
    out
}

/// The original with the channels scaled that the candidate was found to have scaled: the same model, and the one whose
/// matrices have to be compared with the candidate's.
///
/// # Errors
/// Names that collide.
pub fn scaled_original(
    original: &WeightSet,
    candidate: &WeightSet,
    found: &[(String, String)],
) -> Result<WeightSet, WeightError> {
    let kept = if found.is_empty() { Vec::new() } else { folds(original, candidate) };
    original.changed(|tensors: &mut BTreeMap<String, Arc<Weight>>| {
        for fold in kept.into_iter().filter(|fold| found.contains(&fold.between)) {
            tensors.extend(fold.tensors.into_iter().map(|(name, weight)| (name, Arc::new(weight))));
        }
    })
}

fn fold(
    pair: &Pair,
    prefix: &str,
    original: &WeightSet,
    candidate: &WeightSet,
    scaled: &BTreeMap<String, Weight>,
) -> Option<Fold> {
    let own = |name: &str| {
        let before = scaled.get(name).or_else(|| original.tensors().get(name).map(|w| &**w))?;
        let after = candidate.tensors().get(name)?;
        (before.shape == after.shape).then_some((before, &**after))
    };
    let divided = format!("{prefix}{}.weight", pair.divided);
    let bias = format!("{prefix}{}.bias", pair.divided);
    let (before, after) = own(&divided)?;
    let rows = *before.shape.first()?;
    let first = rows * pair.from.0 / pair.from.1;
    let width = before.len().checked_div(rows)?;
    let by_rows: Vec<f64> = ratios(&before.rows(), &after.rows(), width).into_iter().skip(first).collect();
    let multiplied: Vec<String> = pair.multiplied.iter().map(|m| format!("{prefix}{m}.weight")).collect();
    let mut by_columns: Vec<(f64, f64)> = Vec::new();
    for name in &multiplied {
        let (before, after) = own(name)?;
        let &[_, columns] = before.shape.as_slice() else { return None };
        by_columns.resize(columns, (0.0, 0.0));
        for (o, c) in before.rows().chunks(columns).zip(after.rows().chunks(columns)) {
            for ((sums, o), c) in by_columns.iter_mut().zip(o).zip(c) {
                sums.0 += f64::from(*o) * f64::from(*c);
                sums.1 += f64::from(*o) * f64::from(*o);
            }
        }
    }
    let by_columns: Vec<f64> = by_columns.iter().map(|(both, own)| both / own).collect();
    let head = mapping(&by_rows, &by_columns)?;
    let mut factors = vec![0.0f64; by_rows.len()];
    let mut counts = vec![0usize; by_rows.len()];
    for (column, factor) in by_columns.iter().enumerate() {
        let row = row_of(column, head, by_columns.len() / by_rows.len());
        *factors.get_mut(row)? += factor.ln();
        *counts.get_mut(row)? += 1;
    }
    let biases = own(&bias).map(|(b, a)| (b.rows().into_owned(), a.rows().into_owned()));
    for (i, factor) in factors.iter_mut().enumerate() {
        let columns = *factor / counts[i].max(1) as f64;
        // A vector's own factor is exact; a matrix's is an estimate from as many weights as the columns'.
        let rows = by_rows[i].ln();
        *factor = if width == 1 { rows } else { 0.5 * (rows + columns) };
        if width > 1
            && let Some((b, a)) = &biases
        {
            let (b, a) = (f64::from(*b.get(first + i)?), f64::from(*a.get(first + i)?));
            let exact = b / a;
            if a.abs() >= PRECISE && exact > 0.0 && (exact.ln() - *factor).abs() <= AGREES {
                *factor = exact.ln();
            }
        }
        *factor = factor.exp();
    }
    let mut tensors = BTreeMap::new();
    let divide = |weight: &Weight, width: usize| {
        weight.changed(|all| {
            for (row, factor) in all.chunks_mut(width).skip(first).zip(&factors) {
                row.iter_mut().for_each(|w| *w = (f64::from(*w) / factor) as f32);
            }
        })
    };
    tensors.insert(divided.clone(), divide(before, width));
    if let Some((before, after)) = own(&bias) {
        // Where the bias told the factor it is its own proof of nothing: it must still be near what the matrices say.
        let mut weight = divide(before, 1);
        let told = after.rows().into_owned();
        weight = weight.changed(|all| {
            for (value, told) in all.iter_mut().zip(told) {
                let near = (f64::from(*value) - f64::from(told)).abs() <= AGREES * f64::from(told.abs());
                *value = if near { told } else { *value };
            }
        });
        tensors.insert(bias, weight);
    }
    for name in &multiplied {
        let (before, _) = own(name)?;
        let columns = by_columns.len();
        let weight = before.changed(|all| {
            for row in all.chunks_mut(columns) {
                for (column, w) in row.iter_mut().enumerate() {
                    let factor = factors.get(row_of(column, head, columns / by_rows.len())).copied().unwrap_or(1.0);
                    *w = (f64::from(*w) * factor) as f32;
                }
            }
        });
        tensors.insert(name.clone(), weight);
    }
    let between = (divided, multiplied.join("` and `"));
    Some(Fold { tensors, between, multiplied })
}

/// What each row was divided by: least squares of the original's row over the candidate's.
fn ratios(before: &[f32], after: &[f32], width: usize) -> Vec<f64> {
    let one = |(o, c): (&[f32], &[f32])| {
        let own: f64 = o.iter().map(|w| f64::from(*w) * f64::from(*w)).sum();
        let both: f64 = o.iter().zip(c).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        own / both
    };
    before.chunks(width.max(1)).zip(after.chunks(width.max(1))).map(one).collect()
}

/// The row that a column belongs to: heads of a width, each shared by so many.
fn row_of(column: usize, head: usize, shared: usize) -> usize {
    column / head / shared.max(1) * head + column % head
}

/// The width of heads with which the factors of columns are those of rows; none where they are not.
fn mapping(rows: &[f64], columns: &[f64]) -> Option<usize> {
    let shared = columns.len().checked_div(rows.len()).filter(|n| *n > 0 && n * rows.len() == columns.len())?;
    let alone = [rows.len()];
    let heads: &[usize] = if shared == 1 { &alone } else { HEADS };
    let fits = |head: usize| {
        rows.len().is_multiple_of(head)
            && columns.iter().enumerate().all(|(column, factor)| {
                let row = rows.get(row_of(column, head, shared)).copied().unwrap_or(f64::NAN);
                // Written so that factors that are none of either do not agree.
                row > 0.0 && *factor > 0.0 && (row.ln() - factor.ln()).abs() <= AGREES
            })
    };
    heads.iter().copied().find(|head| fits(*head))
}
