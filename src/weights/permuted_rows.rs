//! Rows of a matrix found again among the original's, wherever they stand and whatever they were multiplied with; and the
//! original with its rows or columns moved and scaled in the same way.

use rayon::prelude::*;

use crate::checkpoint::Weight;
use crate::vectors::widest;

/// Cosine from which on two rows may be the same one, whatever the sign. Measured on every matrix of the layers of the
/// shipped model and the real MiniLM: a row and itself at 8 bits at least 0.99995, at 4 bits 0.987, at 3 bits 0.952, at
/// 2 bits 0.823; the two rows of a matrix that are most alike, 0.49 in the median of matrices and 0.984 in the worst. Which
/// of several it is, the largest cosine says, and whether it is at all, the twin.
const SAME_ROW: f64 = 0.6;

/// Cosine from which on a row is surely at home, and not another one like it.
const AT_HOME: f64 = 0.999;

/// Lanes of a sum: its order is fixed.
const LANES: usize = 8;

/// Rows of one part of a matrix, or the elements of its bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The first row.
    pub(super) first: usize,
    /// How many.
    pub(super) rows: usize,
}

/// Where each row of a part comes from, and what it was multiplied with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moved {
    /// Row `j` is the original's row `from[j]`, both counted within the part.
    pub(super) from: Vec<usize>,
    /// 1 or -1.
    pub(super) sign: Vec<f64>,
}

impl Moved {
    /// How many rows stand elsewhere.
    pub(super) fn count(&self) -> usize {
        self.from.iter().enumerate().filter(|(j, from)| j != *from).count()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    widest(
        #[inline(always)]
        || {
            let mut sums = [0.0f64; LANES];
            let (a_whole, a_rest) = a.as_chunks::<LANES>();
            let (b_whole, b_rest) = b.as_chunks::<LANES>();
            for (a, b) in a_whole.iter().zip(b_whole) {
                sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += f64::from(*a) * f64::from(*b));
            }
            let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            sums.iter().sum::<f64>() + rest
        },
    )
}

/// Rows of a part of a matrix, `[rows, width]`.
fn rows_of(values: &[f32], width: usize, part: Part) -> Vec<&[f32]> {
    values.chunks(width.max(1)).skip(part.first).take(part.rows).collect()
}

/// Every row of the candidate's part found once among the original's; none where one is not.
pub(super) fn moved(original: &Weight, candidate: &Weight, part: Part) -> Option<Moved> {
    let &[_, width] = original.shape.as_slice() else { return None };
    let (o, c) = (original.rows(), candidate.rows());
    let (o, c) = (rows_of(&o, width, part), rows_of(&c, width, part));
    if o.len() != part.rows || c.len() != part.rows {
        return None;
    }
    let length = |rows: &[&[f32]]| -> Vec<f64> { rows.iter().map(|row| dot(row, row).sqrt()).collect() };
    let (lengths, own) = (length(&o), length(&c));
    let cosine = |j: usize, i: usize| {
        let size = own[j] * lengths[i];
        if size > 0.0 { dot(c[j], o[i]) / size } else { 0.0 }
    };
    let at_home: Vec<f64> = (0..part.rows).into_par_iter().map(|j| cosine(j, j)).collect();
    let zeros = |j: usize| own[j] == 0.0 && lengths[j] == 0.0;
    let mut out = Moved { from: (0..part.rows).collect(), sign: at_home.iter().map(|r| sign(*r)).collect() };
    let Some(away) = (0..part.rows).find(|j| at_home[*j].abs() < SAME_ROW && !zeros(*j)) else { return Some(out) };
    // In a permuted matrix, a row may stand where another one like it was.
    let open: Vec<usize> = (0..part.rows).filter(|j| at_home[*j].abs() < AT_HOME && !zeros(*j)).collect();
    let search = |j: usize| -> Option<(usize, f64)> {
        let all = open.iter().map(|i| (*i, cosine(j, *i)));
        all.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).filter(|(_, r)| r.abs() >= SAME_ROW)
    };
    // What resembles nothing is seen at its first row.
    if own[away] > 0.0 {
        search(away)?;
    }
    let found: Vec<Option<(usize, f64)>> = open.par_iter().map(|j| search(*j)).collect();
    let mut free: Vec<bool> = vec![false; part.rows];
    open.iter().for_each(|i| free[*i] = true);
    for (j, found) in open.iter().zip(&found) {
        let Some((i, r)) = *found else { continue };
        // Two rows that are one and the same row of the original are no permutation.
        if !std::mem::take(&mut free[i]) {
            return None;
        }
        (out.from[*j], out.sign[*j]) = (i, sign(r));
    }
    // Rows of zeros are all alike; a row that is something is nowhere.
    let mut zeros = open.iter().copied().filter(|i| free[*i] && lengths[*i] == 0.0).collect::<Vec<_>>().into_iter();
    for (j, _) in open.iter().zip(&found).filter(|(_, found)| found.is_none()) {
        if own[*j] > 0.0 {
            return None;
        }
        (out.from[*j], out.sign[*j]) = (zeros.next()?, 1.0);
    }
    Some(out)
}

fn sign(r: f64) -> f64 {
    if r < 0.0 { -1.0 } else { 1.0 }
}

/// Rows of a part moved and multiplied; `width` is 1 for a bias.
pub(super) fn with_rows(weight: &Weight, width: usize, part: Part, moved: &Moved, factors: &[f64]) -> Weight {
    weight.changed(|all| {
        let before = all.clone();
        let width = width.max(1);
        let rows = all.chunks_mut(width).skip(part.first).take(part.rows);
        for ((row, from), factor) in rows.zip(&moved.from).zip(factors) {
            let at = (part.first + from) * width;
            let source = before.get(at..at + width).unwrap_or_default();
            row.iter_mut().zip(source).for_each(|(to, w)| *to = (f64::from(*w) * factor) as f32);
        }
    })
}

/// Columns moved in the same way and divided.
pub(super) fn with_columns(weight: &Weight, moved: &Moved, factors: &[f64]) -> Weight {
    let columns = moved.from.len().max(1);
    weight.changed(|all| {
        let mut before = vec![0.0f32; columns];
        for row in all.chunks_exact_mut(columns) {
            before.copy_from_slice(row);
            for ((to, from), factor) in row.iter_mut().zip(&moved.from).zip(factors) {
                let w = before.get(*from).copied().unwrap_or(f32::NAN);
                *to = (f64::from(w) / factor) as f32;
            }
        }
    })
}

/// Of each row: its product with the row it comes from, and that one's square.
pub(super) fn by_rows(original: &Weight, candidate: &Weight, part: Part, moved: &Moved) -> Vec<(f64, f64)> {
    let width = original.shape.get(1).copied().unwrap_or(1);
    let (o, c) = (original.rows(), candidate.rows());
    let (o, c) = (rows_of(&o, width, part), rows_of(&c, width, part));
    let one = |(c, from): (&&[f32], &usize)| o.get(*from).map_or((0.0, 0.0), |o| (dot(c, o), dot(o, o)));
    c.iter().zip(&moved.from).map(one).collect()
}

/// The same of each column.
pub(super) fn by_columns(original: &Weight, candidate: &Weight, moved: &Moved) -> Vec<(f64, f64)> {
    let columns = moved.from.len().max(1);
    let mut out = vec![(0.0f64, 0.0f64); columns];
    for (o, c) in original.rows().chunks_exact(columns).zip(candidate.rows().chunks_exact(columns)) {
        for ((sums, c), from) in out.iter_mut().zip(c).zip(&moved.from) {
            let o = f64::from(o.get(*from).copied().unwrap_or(f32::NAN));
            sums.0 += o * f64::from(*c);
            sums.1 += o * o;
        }
    }
    out
}
