//! The cross-match: every token-level reference tap against every candidate tap.

use super::{AlignError, CrossMatchReport, Side};
use crate::hidden_states::{HiddenStates, Tap, TapStates};
use crate::metrics::{ExactSum, fused};

/// Accumulates Σ‖c−r‖² for every pair of taps, and Σ‖r‖², Σ‖c‖² for every tap.
///
/// The sums are exact, so the matrix knows no order. Work per token is taps² · hidden: feed it the
/// probes or a sample, not a whole corpus. Sentence-level taps are left out: they are another shape.
#[derive(Clone, Debug)]
pub struct CrossMatch {
    reference: Vec<(Tap, ExactSum)>,
    candidate: Vec<(Tap, ExactSum)>,
    same: Vec<(Tap, Tap)>,
    /// `[reference][candidate]`; `None` once the two were seen with different widths.
    difference: Vec<Vec<Option<ExactSum>>>,
    tokens: u64,
    non_finite: u64,
}

impl CrossMatch {
    /// For these taps of each side. `same` names pairs that are the same point of the computation, such
    /// as `final` and the last layer of a post-norm model: they cannot be told apart and need not be.
    pub fn new(reference: &[Tap], candidate: &[Tap], same: &[(Tap, Tap)]) -> Self {
        let token_level = |taps: &[Tap]| -> Vec<(Tap, ExactSum)> {
            taps.iter().filter(|t| !t.is_sentence_level()).map(|t| (*t, ExactSum::new())).collect()
        };
        let (reference, candidate) = (token_level(reference), token_level(candidate));
        let difference = vec![vec![Some(ExactSum::new()); candidate.len()]; reference.len()];
        Self { reference, candidate, same: same.to_vec(), difference, tokens: 0, non_finite: 0 }
    }

    /// Adds one batch. Every tap must be there, and every tap of both sides must have the same rows with
    /// the same number of tokens; on an error nothing was added.
    pub fn add(&mut self, reference: &HiddenStates, candidate: &HiddenStates) -> Result<(), AlignError> {
        let r = find(Side::Reference, &self.reference, reference)?;
        let c = find(Side::Candidate, &self.candidate, candidate)?;
        let Some(first) = r.first().or(c.first()).copied() else { return Err(AlignError::NoTaps) };
        for (side, taps, all) in [(Side::Reference, &self.reference, &r), (Side::Candidate, &self.candidate, &c)] {
            for ((tap, _), states) in taps.iter().zip(all) {
                same_rows(side, *tap, first, states)?;
            }
        }
        for (states, per_candidate) in r.iter().zip(&mut self.difference) {
            for (other, pair) in c.iter().zip(per_candidate) {
                if states.hidden() != other.hidden() {
                    *pair = None;
                }
                if let Some(sum) = pair {
                    each_token(states, |row, at| {
                        sum.add(fused::difference(&states.row(row)[at.clone()], &other.row(row)[at]))
                    });
                }
            }
        }
        let mut finite = Vec::new();
        for (taps, all) in [(&mut self.reference, &r), (&mut self.candidate, &c)] {
            for ((_, energy), states) in taps.iter_mut().zip(all) {
                let mut token = 0;
                each_token(states, |row, at| {
                    let x = &states.row(row)[at];
                    let square = fused::dot(x, x);
                    energy.add(square);
                    // A square of f32 values is finite exactly when they are.
                    if token == finite.len() {
                        finite.push(true);
                    }
                    finite[token] &= square.is_finite();
                    token += 1;
                });
            }
        }
        self.tokens = self.tokens.saturating_add(finite.len() as u64);
        self.non_finite = self.non_finite.saturating_add(finite.iter().filter(|f| !**f).count() as u64);
        Ok(())
    }

    /// Adds another cross-match over the same taps, exactly.
    pub fn merge(&mut self, other: &Self) -> Result<(), AlignError> {
        let names = |taps: &[(Tap, ExactSum)]| taps.iter().map(|t| t.0.to_string()).collect::<Vec<_>>().join(" ");
        let describe = |x: &Self| format!("reference [{}], candidate [{}]", names(&x.reference), names(&x.candidate));
        let (expected, found) = (describe(self), describe(other));
        if expected != found || self.same != other.same {
            return Err(AlignError::Unmergeable { what: "cross-matches", expected, found });
        }
        for (mine, theirs) in
            self.reference.iter_mut().zip(&other.reference).chain(self.candidate.iter_mut().zip(&other.candidate))
        {
            mine.1.merge(&theirs.1);
        }
        for (mine, theirs) in self.difference.iter_mut().flatten().zip(other.difference.iter().flatten()) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => mine.merge(theirs),
                _ => *mine = None,
            }
        }
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.non_finite = self.non_finite.saturating_add(other.non_finite);
        Ok(())
    }

    /// The matrix.
    pub fn finish(&self) -> CrossMatchReport {
        let cell = |r: &ExactSum, c: &ExactSum, d: &Option<ExactSum>| match d {
            _ if self.tokens == 0 => f64::NAN,
            // States of different widths cannot be the same point.
            None => f64::INFINITY,
            Some(d) => (d.value() / (0.5 * (r.value() + c.value()))).sqrt(),
        };
        let row = |((_, r), differences): (&(Tap, ExactSum), &Vec<Option<ExactSum>>)| {
            self.candidate.iter().zip(differences).map(|((_, c), d)| cell(r, c, d)).collect()
        };
        CrossMatchReport {
            reference_taps: self.reference.iter().map(|t| t.0).collect(),
            candidate_taps: self.candidate.iter().map(|t| t.0).collect(),
            relative_l2: self.reference.iter().zip(&self.difference).map(row).collect(),
            tokens: self.tokens,
            non_finite: self.non_finite,
            identical: classes(&self.same),
        }
    }
}

fn find<'a>(side: Side, taps: &[(Tap, ExactSum)], states: &'a HiddenStates) -> Result<Vec<&'a TapStates>, AlignError> {
    let get = |tap: Tap| states.get(tap).map(|s| &**s).ok_or(AlignError::MissingTap { tap, missing: side });
    taps.iter().map(|(tap, _)| get(*tap)).collect()
}

fn same_rows(side: Side, tap: Tap, first: &TapStates, states: &TapStates) -> Result<(), AlignError> {
    if first.rows() != states.rows() {
        return Err(AlignError::Rows { side, tap, expected: first.rows(), found: states.rows() });
    }
    match (0..first.rows()).find(|&r| first.tokens(r) != states.tokens(r)) {
        None => Ok(()),
        Some(number) => {
            let (expected, found) = (first.tokens(number), states.tokens(number));
            Err(AlignError::Uneven { side, tap, number, expected, found })
        }
    }
}

/// Calls `f` with every row and the range of each of its tokens in it.
fn each_token(states: &TapStates, mut f: impl FnMut(usize, std::ops::Range<usize>)) {
    let hidden = states.hidden();
    for row in 0..states.rows() {
        for token in 0..states.tokens(row) {
            f(row, token * hidden..(token + 1) * hidden);
        }
    }
}

/// Groups of taps that are the same point: the pairs, joined where they share a tap.
fn classes(same: &[(Tap, Tap)]) -> Vec<Vec<Tap>> {
    let mut groups: Vec<Vec<Tap>> = Vec::new();
    for &(a, b) in same.iter().filter(|(a, b)| a != b) {
        let (mut joined, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.contains(&a) || g.contains(&b));
        let mut group: Vec<Tap> = joined.drain(..).flatten().chain([a, b]).collect();
        group.sort_unstable();
        group.dedup();
        groups = rest;
        groups.push(group);
    }
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_points_form_groups() {
        let (a, b, c, d) = (Tap::Layer(0), Tap::Layer(1), Tap::Final, Tap::Embeddings);
        assert!(classes(&[(a, a)]).is_empty());
        assert_eq!(classes(&[(b, c), (d, a), (c, b)]), [vec![d, a], vec![b, c]]);
        assert_eq!(classes(&[(b, c), (d, a), (a, c)]), [vec![d, a, b, c]]);
    }
}
