//! Do sentences still have the same neighbours? What a search on these vectors would notice.

use serde::{Deserialize, Serialize};

use super::neighbour_stats::NeighbourStats;
use crate::hidden_states::RowId;
use crate::json_float;
use crate::metrics::correlation::{CONSTANT, pearson, spearman};
use crate::metrics::fused;

/// The two vectors of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    /// What the row says, as a hash of its words: rows that differ in case or punctuation have one. None where that is not
    /// known.
    pub(super) said: Option<u64>,
    pub(super) reference: Box<[f32]>,
    pub(super) candidate: Box<[f32]>,
}

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Flip {
    /// The row.
    pub row: RowId,
    /// Its nearest neighbour on the reference side.
    pub reference_neighbour: RowId,
    /// Its nearest neighbour on the candidate side.
    pub candidate_neighbour: RowId,
    /// By how much the reference prefers its own (difference of cosine similarities).
    #[serde(with = "json_float")]
    #[schemars(with = "json_float::Written")]
    pub margin: f64,
}

/// How well the neighbourhoods of a sample agree. Statistics are `None` below three rows, correlations
/// also where similarities do not vary; all are NaN if any vector was unusable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// The numbers.
    #[serde(flatten)]
    pub stats: NeighbourStats,
    /// Rows whose vector is zero or not finite on either side: they have no neighbours.
    pub unusable: u64,
    /// The ten flips with the largest margin.
    pub nearest_flips: Vec<Flip>,
}

/// One side's vector of a pair.
type Side = fn(&Pair) -> &[f32];

/// Compares all pairs of `rows`, which are in the order of their ids; of rows that repeat each other, the first.
pub(super) fn compare(rows: &[(RowId, &Pair)]) -> Neighbours {
    let norms = |side: Side| -> Vec<f64> { rows.iter().map(|(_, p)| fused::dot(side(p), side(p)).sqrt()).collect() };
    let (reference, candidate): (Side, Side) = (|p| &p.reference, |p| &p.candidate);
    let (norms_r, norms_c) = (norms(reference), norms(candidate));
    let usable = |n: f64| n.is_finite() && n > 0.0;
    let unusable = norms_r.iter().zip(&norms_c).filter(|(r, c)| !usable(**r) || !usable(**c)).count();
    let stats = NeighbourStats { rows: rows.len() as u64, ..NeighbourStats::default() };
    let mut answer = Neighbours { stats, unusable: unusable as u64, nearest_flips: Vec::new() };
    if rows.len() < MIN_ROWS {
        return answer;
    }
    if unusable > 0 {
        answer.stats = answer.stats.unusable();
        return answer;
    }
    let r = Similarities::of(rows, reference, &norms_r);
    // A row told twice would find itself, whatever the candidate does to it.
    let distinct = r.distinct(&rows.iter().map(|(_, pair)| pair.said).collect::<Vec<_>>());
    if distinct.len() < rows.len() {
        let kept: Vec<(RowId, &Pair)> = distinct.into_iter().map(|i| rows[i]).collect();
        return compare(&kept);
    }
    let c = Similarities::of(rows, candidate, &norms_c);
    let (pairs_r, pairs_c) = (r.upper(), c.upper());
    (answer.stats.spearman, answer.stats.pearson) = (spearman(&pairs_r, &pairs_c), pearson(&pairs_r, &pairs_c));
    answer.stats.similarity_shift = shift(&pairs_r, &pairs_c);
    let own = |(i, (_, pair)): (usize, &(RowId, &Pair))| {
        1.0 - fused::dot(reference(pair), candidate(pair)) / (norms_r[i] * norms_c[i])
    };
    answer.stats.relative_distance = relative_distance(rows.iter().enumerate().map(own).collect(), &pairs_r);
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
    answer.stats.top1_agreement = Some(agree as f64 / rows.len() as f64);
    answer.stats.top10_overlap = Some(overlap / rows.len() as f64);
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

    /// Rows that are no repetition of an earlier one: they say something else, and their vectors differ by more than noise.
    fn distinct(&self, said: &[Option<u64>]) -> Vec<usize> {
        let mut kept: Vec<usize> = Vec::new();
        for i in 0..self.n {
            let repeats = |j: usize| (said[i].is_some() && said[i] == said[j]) || self.at(i, j) >= 1.0 - NEIGHBOUR_TIE;
            if !kept.iter().any(|&j| repeats(j)) {
                kept.push(i);
            }
        }
        kept
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

/// Root mean square difference of two lists over the first one's standard deviation; none where that does not vary.
fn shift(reference: &[f64], candidate: &[f64]) -> Option<f64> {
    let n = reference.len() as f64;
    let mean = reference.iter().sum::<f64>() / n;
    let variance = reference.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
    let moved = reference.iter().zip(candidate).map(|(r, c)| (c - r).powi(2)).sum::<f64>() / n;
    (variance >= CONSTANT).then(|| (moved / variance).sqrt())
}

/// 99th percentile (the value that one in a hundred exceeds) of the rows' own distances over the mean distance of two
/// rows; none where all rows are one.
fn relative_distance(mut own: Vec<f64>, similarities: &[f64]) -> Option<f64> {
    let apart = similarities.iter().map(|s| 1.0 - s).sum::<f64>() / similarities.len() as f64;
    own.sort_unstable_by(f64::total_cmp);
    let rank = (own.len() as f64 * 0.99).ceil() as usize;
    let p99 = own.get(rank.saturating_sub(1))?;
    // A rounding error below zero is no distance.
    (apart >= NEIGHBOUR_TIE).then(|| p99.max(0.0) / apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_units_of_the_reference() {
        let reference = [0.1, 0.3, 0.5, 0.7];
        assert_eq!(shift(&reference, &reference), Some(0.0));
        // Standard deviation 0.2236: half of it added to every pair.
        let moved: Vec<f64> = reference.iter().map(|s| s + 0.05f64.sqrt() / 2.0).collect();
        assert!((shift(&reference, &moved).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(shift(&[0.5; 4], &reference), None, "alike rows have no scale");
        assert!(shift(&reference, &[f64::NAN; 4]).unwrap().is_nan());
        let own: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(relative_distance(own, &[0.5, 0.5]), Some(198.0));
        assert_eq!(relative_distance(vec![0.1], &[1.0]), None);
    }

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
