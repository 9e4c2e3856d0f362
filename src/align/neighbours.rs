//! Do sentences still have the same neighbours? What a search on these vectors would notice.

use serde::{Deserialize, Serialize};

use super::ranks::{pearson, spearman};
use super::sample::Pair;
use crate::hidden_states::RowId;
use crate::metrics::{fused, number};

/// Two neighbours whose reference similarities differ by less are equally near: float32 noise between
/// two runs of one model moves a cosine by up to 1e-6, and duplicates in a corpus differ by nothing
/// else. Choosing the other one is no flip.
pub const NEIGHBOUR_TIE: f64 = 1e-6;
/// Neighbours compared by the overlap.
const NEAREST: usize = 10;
/// Flips listed.
const FLIPS: usize = 10;
/// Below this many rows a neighbour is no choice.
const MIN_ROWS: usize = 3;

/// A row whose nearest neighbour changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    /// The row.
    pub row: RowId,
    /// Its nearest neighbour on the reference side.
    pub reference_neighbour: RowId,
    /// Its nearest neighbour on the candidate side.
    pub candidate_neighbour: RowId,
    /// By how much the reference prefers its own (difference of cosine similarities).
    #[serde(with = "number")]
    pub margin: f64,
}

/// How well the neighbourhoods of a sample agree. Statistics are `None` below three rows, correlations
/// also where similarities do not vary; all are NaN if any vector was unusable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// Rows of the sample.
    pub rows: u64,
    /// Rows whose vector is zero or not finite on either side: they have no neighbours.
    pub unusable: u64,
    /// Share of rows whose nearest neighbour is the same (up to [`NEIGHBOUR_TIE`]).
    #[serde(with = "number::optional")]
    pub top1_agreement: Option<f64>,
    /// Mean share of the candidate's ten nearest that are among the reference's ten nearest.
    #[serde(with = "number::optional")]
    pub top10_overlap: Option<f64>,
    /// Spearman's correlation of all pairwise similarities.
    #[serde(with = "number::optional")]
    pub spearman: Option<f64>,
    /// Pearson's correlation of all pairwise similarities.
    #[serde(with = "number::optional")]
    pub pearson: Option<f64>,
    /// The ten flips with the largest margin.
    pub nearest_flips: Vec<Flip>,
}

/// One side's vector of a pair.
type Side = fn(&Pair) -> &[f32];

/// Compares all pairs of `rows`, which are in the order of their ids.
pub(super) fn compare(rows: &[(RowId, &Pair)]) -> Neighbours {
    let norms = |side: Side| -> Vec<f64> { rows.iter().map(|(_, p)| fused::dot(side(p), side(p)).sqrt()).collect() };
    let (reference, candidate): (Side, Side) = (|p| &p.reference, |p| &p.candidate);
    let (norms_r, norms_c) = (norms(reference), norms(candidate));
    let usable = |n: f64| n.is_finite() && n > 0.0;
    let unusable = norms_r.iter().zip(&norms_c).filter(|(r, c)| !usable(**r) || !usable(**c)).count();
    let mut answer = Neighbours {
        rows: rows.len() as u64,
        unusable: unusable as u64,
        top1_agreement: None,
        top10_overlap: None,
        spearman: None,
        pearson: None,
        nearest_flips: Vec::new(),
    };
    let statistics = [&mut answer.top1_agreement, &mut answer.top10_overlap, &mut answer.spearman, &mut answer.pearson];
    if rows.len() < MIN_ROWS {
        return answer;
    }
    if unusable > 0 {
        statistics.into_iter().for_each(|s| *s = Some(f64::NAN));
        return answer;
    }
    let (r, c) = (Similarities::of(rows, reference, &norms_r), Similarities::of(rows, candidate, &norms_c));
    (answer.spearman, answer.pearson) = (spearman(&r.upper(), &c.upper()), pearson(&r.upper(), &c.upper()));
    let (mut agree, mut overlap, mut flips) = (0usize, 0.0, Vec::new());
    for i in 0..rows.len() {
        let (near_r, near_c) = (r.nearest(i), c.nearest(i));
        let (Some(&first_r), Some(&first_c), Some(&last_r)) = (near_r.first(), near_c.first(), near_r.last()) else {
            continue;
        };
        let margin = r.at(i, first_r) - r.at(i, first_c);
        if margin <= NEIGHBOUR_TIE {
            agree += 1;
        } else {
            let (row, reference_neighbour, candidate_neighbour) = (rows[i].0, rows[first_r].0, rows[first_c].0);
            flips.push(Flip { row, reference_neighbour, candidate_neighbour, margin });
        }
        let edge = r.at(i, last_r) - NEIGHBOUR_TIE;
        overlap += near_c.iter().filter(|&&j| r.at(i, j) >= edge).count() as f64 / near_c.len() as f64;
    }
    flips.sort_by(|a, b| b.margin.total_cmp(&a.margin).then_with(|| a.row.cmp(&b.row)));
    flips.truncate(FLIPS);
    answer.top1_agreement = Some(agree as f64 / rows.len() as f64);
    answer.top10_overlap = Some(overlap / rows.len() as f64);
    answer.nearest_flips = flips;
    answer
}

/// Cosine similarities of all pairs, `[n, n]`.
struct Similarities {
    n: usize,
    cosines: Vec<f64>,
}

impl Similarities {
    fn of(rows: &[(RowId, &Pair)], side: Side, norms: &[f64]) -> Self {
        let n = rows.len();
        let mut cosines = vec![1.0; n * n];
        for i in 0..n {
            for j in 0..i {
                let cosine = fused::dot(side(rows[j].1), side(rows[i].1)) / (norms[j] * norms[i]);
                cosines[i * n + j] = cosine;
                cosines[j * n + i] = cosine;
            }
        }
        Self { n, cosines }
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.cosines[i * self.n + j]
    }

    /// The similarity of every pair once.
    fn upper(&self) -> Vec<f64> {
        (0..self.n).flat_map(|i| self.cosines[i * self.n + i + 1..(i + 1) * self.n].iter().copied()).collect()
    }

    /// The nearest rows to `i`, nearest first; ties to the smaller row.
    fn nearest(&self, i: usize) -> Vec<usize> {
        let mut others: Vec<usize> = (0..self.n).filter(|&j| j != i).collect();
        let order = |a: &usize, b: &usize| self.at(i, *b).total_cmp(&self.at(i, *a)).then_with(|| a.cmp(b));
        let k = NEAREST.min(others.len());
        if k < others.len() {
            others.select_nth_unstable_by(k, order);
            others.truncate(k);
        }
        others.sort_unstable_by(order);
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_is_there_once_and_the_nearest_are_ten() {
        let small = Similarities { n: 3, cosines: (0..9).map(f64::from).collect() };
        assert_eq!(small.upper(), [1.0, 2.0, 5.0]);
        let n = 15usize;
        let cosines = (0..n * n).map(|k| -((k / n).abs_diff(k % n) as f64)).collect();
        let line = Similarities { n, cosines };
        assert_eq!(line.nearest(0), (1..=10).collect::<Vec<_>>());
        assert_eq!(line.nearest(7)[..4], [6, 8, 5, 9], "ties to the smaller row");
        assert_eq!(line.nearest(7).len(), NEAREST);
    }
}
