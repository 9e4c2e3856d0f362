//! Which tensor of a checkpoint is this constant? By name where it has kept one, by content always: transposed, packed,
//! cut, repeated, or folded in one of the known ways.

use super::known::{CheckpointTensor, Fold, Forms, View};
use super::leaves::Leaf;
use crate::checkpoint::is_table;

/// Elements looked at before a whole tensor is.
const SAMPLES: usize = 64;
/// Share of the sampled elements that must agree for two tensors to be the same one with some elements changed: of two
/// different tensors of one shape, less than 1 % agree.
const AGREE: f64 = 0.5;
/// Distance over the tensor's length below which two tensors that agree in no element still are the same one, rounded
/// or trained further. Chosen between the relative error of 2-bit codes (0.36 to 0.43 on Gaussian weights) and that of two
/// unrelated matrices (1.41).
const NEAR: f64 = 0.7;
/// Places that the first row of a cut is looked for at.
const PLACES: usize = 64;

/// A run of rows of a constant that are rows of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    /// The tensor's number among those known.
    pub(super) known: usize,
    /// Its first row, and the constant's.
    pub(super) first: usize,
    pub(super) at: usize,
    pub(super) rows: usize,
    pub(super) fold: Fold,
}

/// How well something fits; more is better.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Fit(f64);

impl Fit {
    const WHOLE: Self = Self(2.0);
}

/// The pieces of a constant, one after another, and how it is to be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) view: View,
    pub(super) pieces: Vec<Piece>,
    fit: Fit,
}

/// Finds a constant among the tensors; none where nothing resembles it.
pub(super) fn find(leaf: &Leaf<'_>, known: &[CheckpointTensor<'_>], forms: &Forms) -> Option<Plan> {
    // Names are kept whole or not at all: of two that fit, the longer one is meant.
    let called = known.iter().enumerate().filter(|(_, tensor)| tensor.is_called(leaf.name));
    let called = called.max_by_key(|(_, tensor)| tensor.name.len()).map(|(k, _)| k);
    let mut best: Option<Plan> = None;
    for view in views(&leaf.shape) {
        if let Some(plan) = plan(leaf, view, known, forms, called)
            && best.as_ref().is_none_or(|b| plan.fit > b.fit)
        {
            let whole = plan.fit == Fit::WHOLE;
            best = Some(plan);
            if whole {
                break;
            }
        }
    }
    best
}

fn views(shape: &[usize]) -> Vec<View> {
    match *shape {
        [] => Vec::new(),
        // A list of numbers, or one row of a table.
        [n] => {
            let list = View { outputs: n, inputs: 1, transposed: false };
            vec![list, View { outputs: 1, inputs: n, transposed: false }]
        }
        [a, b] => {
            vec![View { outputs: b, inputs: a, transposed: true }, View { outputs: a, inputs: b, transposed: false }]
        }
        [ref first @ .., last] => {
            let outputs = first.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(0);
            vec![View { outputs, inputs: last, transposed: false }]
        }
    }
}

/// Covers a view's rows with tensors; `called` is the one whose name the constant has.
fn plan(
    leaf: &Leaf<'_>,
    view: View,
    known: &[CheckpointTensor<'_>],
    forms: &Forms,
    called: Option<usize>,
) -> Option<Plan> {
    if view.outputs.checked_mul(view.inputs) != Some(leaf.values.len()) {
        return None;
    }
    let (mut at, mut least, mut pieces) = (0, Fit::WHOLE, Vec::new());
    while at < view.outputs {
        let left = view.outputs - at;
        let mut best: Option<(Fit, bool, Piece)> = None;
        for (k, tensor) in
            known.iter().enumerate().filter(|(_, tensor)| tensor.inputs == view.inputs && tensor.weight.len() > 1)
        {
            // A list is a part of no longer list: a tensor of one dimension is taken whole.
            if tensor.inputs == 1 && tensor.outputs > left {
                continue;
            }
            let rows = tensor.outputs.min(left);
            let named = Some(k) == called && tensor.outputs == view.outputs;
            for first in places(leaf, view, at, tensor, rows) {
                let (fit, fold) = fit(leaf, view, [at, first, rows], tensor, forms);
                let piece = Piece { known: k, first, at, rows, fold };
                let fits = fit > Fit(0.0) || named;
                // Of equals the longest, then the one of the same name: tensors may be equal.
                let better = best.as_ref().is_none_or(|(other, other_named, other_piece)| {
                    (named && !other_named) || (named == *other_named && (fit, rows) > (*other, other_piece.rows))
                });
                if fits && better {
                    best = Some((fit, named, piece));
                }
            }
        }
        let Some((fit, _, piece)) = best else {
            // A vocabulary that is padded in the graph: the rows behind the checkpoint's own.
            let table = pieces.last().and_then(|p: &Piece| known.get(p.known)).is_some_and(|k| is_table(k.name));
            return (table && pieces.len() == 1).then_some(Plan { view, pieces, fit: least });
        };
        least = Fit(least.0.min(fit.0));
        at += piece.rows;
        pieces.push(piece);
    }
    Some(Plan { view, pieces, fit: least })
}

/// Rows of a tensor that the constant's rows may begin at.
fn places(leaf: &Leaf<'_>, view: View, at: usize, tensor: &CheckpointTensor<'_>, rows: usize) -> Vec<usize> {
    let Some(last) = tensor.outputs.checked_sub(rows) else { return Vec::new() };
    if last == 0 || rows == 0 {
        return vec![0];
    }
    // Packed matrices are cut in equal parts; tables anywhere.
    let parts = (0..=last).step_by(rows).take(PLACES);
    let start = leaf.values.get(view.at(at, 0)).copied().unwrap_or(f32::NAN);
    let anywhere = (0..=last).filter(|&r| tensor.get(r, 0) == start).take(PLACES);
    parts.chain(anywhere).collect()
}

/// How well rows fit, under the fold that fits best.
fn fit(
    leaf: &Leaf<'_>,
    view: View,
    [at, first, rows]: [usize; 3],
    tensor: &CheckpointTensor<'_>,
    forms: &Forms,
) -> (Fit, Fold) {
    let n = rows * tensor.inputs;
    let count = n.min(SAMPLES);
    // Spread over rows and columns alike.
    let place = |j: usize| (j * n / count.max(1) + (j * 37) % tensor.inputs.max(1)) % n.max(1);
    let pair = |p: usize| {
        let (r, i) = (p / tensor.inputs, p % tensor.inputs);
        (tensor.get(first + r, i), leaf.values.get(view.at(at + r, i)).copied().unwrap_or(f32::NAN))
    };
    let pairs: Vec<(f32, f32)> = (0..count).map(|j| pair(place(j))).collect();
    let mut best = (Fit(f64::NEG_INFINITY), Fold::None);
    for fold in tensor.folds(forms, &pairs) {
        let agreeing = pairs.iter().filter(|&&(w, g)| tensor.same(leaf, fold, w, g)).count();
        let share = agreeing as f64 / pairs.len().max(1) as f64;
        let square = |of: &dyn Fn(f32, f32) -> f64| pairs.iter().map(|&(w, g)| of(fold.of(w), g).powi(2)).sum::<f64>();
        let distance = (square(&|w, g| f64::from(g) - f64::from(w)) / square(&|w, _| f64::from(w))).sqrt();
        let fit = match share {
            share if share >= AGREE => 1.0 + share,
            // NaN is far.
            _ if distance < NEAR => 1.0 - distance,
            _ => 0.0,
        };
        if Fit(fit) > best.0 {
            best = (Fit(fit), fold);
        }
    }
    best
}

/// The constant with one of its rows, where all are the same: a table looked up with one id everywhere.
pub(super) fn repeated<'l>(leaf: &'l Leaf<'_>) -> Option<Leaf<'l>> {
    let width = *leaf.shape.last().filter(|_| leaf.shape.len() > 1)?;
    let row = leaf.values.get(..width).filter(|row| row.len() > 1)?;
    leaf.values.chunks(width).all(|other| other == row).then(|| Leaf {
        tensor: leaf.tensor,
        name: leaf.name,
        shape: vec![width],
        values: row.into(),
        rounded: leaf.rounded,
        inside: leaf.inside,
    })
}
