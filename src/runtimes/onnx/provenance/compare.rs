//! A piece of a constant against its tensor, element by element; and where they differ, which of the three is the odd
//! one: graph, original or candidate.

use super::find::Piece;
use super::known::{CheckpointTensor, Fold, View};
use super::leaves::Leaf;
use crate::checkpoint::Weight;

/// A graph that lies this many times nearer to the candidate than the candidate's own rounding was made from it. An
/// independent original lies one rounding away: nearer in half of all elements, never in all of them.
const MADE: f64 = 20.0;
/// The same where the candidate's rounding is not known, because no element of the tensor agrees: share of the tensor's
/// length, between one float32 step (6e-8) and what 8 bits cost (5.5e-3 on the shipped model).
const MADE_OF_ALL: f64 = 1e-4;
/// Share of a tensor that must agree for the candidate's rounding to be read off it: of a graph made from the candidate
/// only those elements agree that cost no rounding.
const AGREEING: f64 = 0.2;
/// The original is the odd one where it is so many times farther from the candidate than the graph is.
const ODD: f64 = 4.0;

/// Which of graph, original and candidate is not like the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// The graph holds what the candidate's weights are after rounding.
    MadeFromCandidate,
    /// Graph and candidate belong together, the original does not.
    Original,
    /// Original and candidate belong together, the graph does not.
    Graph,
    /// No two belong together, or the candidate has no such tensor.
    Unknown,
}

/// Elements that differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The graph's constant.
    pub constant: String,
    /// The original's tensor.
    pub tensor: String,
    /// Elements that differ, and all that were compared.
    pub differing: usize,
    /// All of this piece.
    pub elements: usize,
    /// The first of them: row of the tensor, and place in the row; a list has a row per element.
    pub row: usize,
    /// Its place in that row.
    pub column: usize,
    /// The original's value there, as the graph should hold it.
    pub original: f32,
    /// The graph's value there.
    pub graph: f32,
    /// Rows with differing elements.
    pub rows: usize,
    /// True where the tensor is a list: its rows are elements.
    pub list: bool,
    /// Which one is not like the others.
    pub odd: Odd,
}

/// None where all elements are the tensor's.
pub(super) fn compared(
    leaf: &Leaf<'_>,
    view: View,
    piece: &Piece,
    known: &CheckpointTensor<'_>,
    candidate: Option<&Weight>,
) -> Option<Difference> {
    let theirs = view.rows(leaf, piece.at, piece.rows);
    let all = known.weight.rows();
    let (from, n) = (piece.first * known.inputs, piece.rows * known.inputs);
    let ours = all.get(from..from + n).unwrap_or_default();
    if ours.len() == n && *ours == *theirs {
        return None;
    }
    let same = |i: usize| match (ours.get(i), theirs.get(i)) {
        (Some(&w), Some(&g)) => known.same(leaf, piece.fold, w, g),
        _ => false,
    };
    let differing: Vec<bool> = (0..n).map(|i| !same(i)).collect();
    let first = differing.iter().position(|d| *d)?;
    let width = known.inputs.max(1);
    let value = |values: &[f32]| values.get(first).copied().unwrap_or(f32::NAN);
    let candidate = candidate.filter(|c| c.shape == known.weight.shape).map(|c| (c, c.rows()));
    let odd = candidate.map_or(Odd::Unknown, |(weight, rows)| {
        let lossless = weight.storage.mode.is_none() && weight.storage.dtype == "F32";
        let rows = rows.get(from..from + n).unwrap_or_default();
        odd(&differing, ours, &theirs, rows, piece.fold, lossless)
    });
    Some(Difference {
        constant: leaf.name.to_owned(),
        tensor: known.name.to_owned(),
        differing: differing.iter().filter(|d| **d).count(),
        elements: n,
        row: piece.first + first / width,
        column: first % width,
        original: piece.fold.of(value(ours)),
        graph: value(&theirs),
        rows: differing.chunks(width).filter(|row| row.contains(&true)).count(),
        list: known.weight.shape.len() < 2,
        odd,
    })
}

/// Judged on the elements that differ; the others tell the candidate's rounding.
fn odd(differing: &[bool], original: &[f32], graph: &[f32], candidate: &[f32], fold: Fold, lossless: bool) -> Odd {
    let rms = |of: &dyn Fn(f64, f64, f64) -> f64, which: bool| {
        let values = original.iter().zip(graph).zip(candidate).zip(differing);
        let chosen = values
            .filter(|(_, differs)| **differs == which)
            .map(|(((&o, &g), &c), _)| of(f64::from(fold.of(o)), f64::from(g), f64::from(fold.of(c))).powi(2));
        let (sum, count) = chosen.fold((0.0, 0usize), |(sum, count), square| (sum + square, count + 1));
        (count > 0).then(|| (sum / count as f64).sqrt())
    };
    if candidate.len() != original.len() {
        return Odd::Unknown;
    }
    let of_original = |o: f64, _: f64, c: f64| o - c;
    let of_graph = |_: f64, g: f64, c: f64| g - c;
    let (Some(far), Some(near), Some(size)) = (rms(&of_original, true), rms(&of_graph, true), rms(&|_, _, c| c, true))
    else {
        return Odd::Unknown;
    };
    // The rounding of a whole tensor, or of what agrees.
    let agreeing = differing.iter().filter(|d| !**d).count() as f64;
    let enough = agreeing >= AGREEING * differing.len() as f64;
    let rounding = if enough { rms(&of_original, false) } else { None };
    let made = match rounding {
        Some(rounding) => near * MADE < rounding,
        None => near * MADE < far && near <= MADE_OF_ALL * size,
    };
    if made && !lossless && rounding.is_none_or(|rounding| far <= ODD * rounding) {
        return Odd::MadeFromCandidate;
    }
    // Written so that NaN is unknown.
    if near * ODD < far {
        Odd::Original
    } else if far * ODD < near || rounding.is_some_and(|rounding| far <= ODD * rounding && near > far) {
        Odd::Graph
    } else {
        Odd::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An original, and what 8 bits make of it.
    fn pair() -> (Vec<f32>, Vec<f32>) {
        let original: Vec<f32> = (0..256).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 0.1).collect();
        let rounded = original.iter().map(|v| (v * 1270.0).round() / 1270.0).collect();
        (original, rounded)
    }

    fn of(original: &[f32], graph: &[f32], candidate: &[f32]) -> Odd {
        let differing: Vec<bool> = original.iter().zip(graph).map(|(o, g)| o != g).collect();
        odd(&differing, original, graph, candidate, Fold::None, false)
    }

    #[test]
    fn the_odd_one_of_three_is_named() {
        let (original, candidate) = pair();
        let ulp: Vec<f32> = candidate.iter().map(|v| f32::from_bits(v.to_bits() + 1)).collect();
        assert_eq!(of(&original, &candidate, &candidate), Odd::MadeFromCandidate);
        assert_eq!(of(&original, &ulp, &candidate), Odd::MadeFromCandidate);
        let zeroed = |values: &[f32]| -> Vec<f32> {
            values.iter().enumerate().map(|(i, v)| if i < 64 { 0.0 } else { *v }).collect()
        };
        assert_eq!(of(&original, &zeroed(&original), &candidate), Odd::Graph);
        assert_eq!(of(&zeroed(&original), &original, &candidate), Odd::Original);
        // an original of another training: the graph lies one rounding from the candidate
        let other: Vec<f32> = original.iter().rev().map(|v| v * 1.3).collect();
        assert_eq!(of(&other, &original, &candidate), Odd::Original);
        assert_eq!(of(&original, &other, &candidate), Odd::Graph);
        let nan = vec![f32::NAN; 256];
        assert_eq!(of(&original, &nan, &candidate), Odd::Unknown);
        assert_eq!(of(&original, &candidate, &[]), Odd::Unknown);
    }
}
