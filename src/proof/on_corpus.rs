//! The candidate beside its twin on the corpus' own rows, wherever the control runs: no limit of taste holds there, so this
//! is what sees a state that goes wrong in a few rows only.
//!
//! Where every weight is the twin's, the twin is made of the candidate's own weights, and the states must be its, token
//! for token. Elsewhere the mean error of a batch may be as many times the twin's as on the probes.

use std::collections::BTreeMap;

use super::over_twin::{self, Twin};
use crate::Error;
use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{HiddenStates, RowId, Tap, TapStates};
use crate::metrics::TokenSums;
use crate::policy::LARGEST_ENGINE;
use crate::runtimes::native::SentenceHead;
use crate::sides::Sides;
use crate::sides::request::CheckRequest;
use crate::tokens::TokenBatch;
use crate::weights::WeightsReport;

/// What the candidate's states on the corpus are held against.
pub(crate) struct OnCorpus<'a> {
    twin: &'a Twin,
    /// The modules that the candidate's files state, where every weight of it is proven and it is to be computed as its
    /// files say: the twin with them is the candidate.
    proven: Option<&'a SentenceHead>,
}

/// The farthest token at each tap, and the first of the batches that err too much.
#[derive(Default)]
pub(crate) struct Farthest {
    farthest: BTreeMap<Tap, (f64, RowId, usize)>,
    over: Option<(RowId, String)>,
    batches: u64,
}

impl<'a> OnCorpus<'a> {
    pub(crate) fn new(sides: &'a Sides, request: &CheckRequest, twin: &'a Twin, weights: &WeightsReport) -> Self {
        let totals = &weights.totals.twin;
        let proven = totals.equal == totals.groups
            && weights.changed_unquantized.is_empty()
            && weights.without_original.is_empty()
            && weights.folds.is_empty();
        let as_stated = !request.emulate_mlx && !sides.foreign;
        Self { twin, proven: (proven && as_stated).then_some(&sides.facts.stated_head) }
    }

    /// One batch that the control ran on, too.
    pub(crate) fn see(
        &self,
        batch: &TokenBatch,
        control: &HiddenStates,
        candidate: &HiddenStates,
    ) -> Result<Farthest, Error> {
        let mut seen = Farthest::default();
        let Some(head) = self.proven else {
            let errors = over_twin::compare(batch, control, candidate, &self.twin.run(batch)?)?;
            seen.over = over_twin::exceeded(&errors).map(|said| (batch.row_id(0), said));
            seen.batches = u64::from(seen.over.is_some());
            return Ok(seen);
        };
        for (tap, honest) in self.twin.run_behind(batch, head)?.iter() {
            let far = |r| match candidate.get(tap) {
                Some(own) => farthest(honest, own, r),
                None => (f64::INFINITY, 0),
            };
            let rows = (0..batch.rows()).map(|r| (far(r), batch.row_id(r)));
            let far = rows.map(|((far, token), row)| (far, row, token));
            let far = far.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            seen.farthest.extend(far.map(|far| (tap, far)));
        }
        Ok(seen)
    }
}

/// The largest relative L2 of a token of a row, and which; infinite where it is no number or the two are of other shapes.
fn farthest(honest: &TapStates, own: &TapStates, r: usize) -> (f64, usize) {
    let width = honest.hidden().max(1);
    if own.hidden() != honest.hidden() || own.row(r).len() != honest.row(r).len() {
        return (f64::INFINITY, 0);
    }
    let pairs = honest.row(r).chunks_exact(width).zip(own.row(r).chunks_exact(width));
    let far =
        pairs.map(|(honest, own)| if honest == own { 0.0 } else { TokenSums::of(honest, own, None).relative_l2() });
    let far = far.map(|far| if far.is_nan() { f64::INFINITY } else { far });
    let first = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1));
    far.enumerate().map(|(token, far)| (far, token)).max_by(first).unwrap_or((0.0, 0))
}

impl Farthest {
    /// Adds another batch.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (tap, far) in other.farthest {
            let known = self.farthest.entry(tap).or_insert(far);
            // Of equals the first row, whichever worker came first.
            if far.0.total_cmp(&known.0).then(known.1.cmp(&far.1)).is_gt() {
                *known = far;
            }
        }
        self.over = [self.over.take(), other.over].into_iter().flatten().min();
        self.batches += other.batches;
    }

    /// Failures: the first taps at which the states are others, or the first batch that errs too much.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let failure = |message| Finding::new(Severity::Failure, &codes::TWIN_STATES, message);
        let wrong: Vec<_> = self.farthest.iter().filter(|(_, far)| far.0 > LARGEST_ENGINE).collect();
        let mut out: Vec<Finding> = wrong
            .first()
            .map(|(tap, (far, row, token))| {
                let others: Vec<String> = wrong.iter().skip(1).map(|(tap, _)| tap.to_string()).collect();
                let others = if others.is_empty() { String::new() } else { format!("; so are {}", others.join(", ")) };
                let message = format!(
                    "{tap} (quantization): the candidate's states are not those of an honest conversion, whose weights it \
                     has: {} from them at most (relative L2, limit {}), at {row} token {token}{others}",
                    number(*far),
                    number(LARGEST_ENGINE),
                );
                failure(message)
            })
            .into_iter()
            .collect();
        out.extend(self.over.as_ref().map(|(row, said)| {
            let more = self.batches.saturating_sub(1);
            let more = if more > 0 { format!("; so do {more} other batches") } else { String::new() };
            failure(format!("the candidate errs more than its format does, in the batch of {row}: {said}{more}"))
        }));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::RowSet;

    fn states(values: &[f32]) -> TapStates {
        TapStates::ragged(2, &[0, values.len() / 2], values.to_vec()).unwrap()
    }

    fn row(row: u64) -> RowId {
        RowId { set: RowSet::Corpus, row }
    }

    fn seen(tap: Tap, far: f64, at: u64) -> Farthest {
        Farthest { farthest: BTreeMap::from([(tap, (far, row(at), 0))]), ..Farthest::default() }
    }

    #[test]
    fn the_farthest_token_is_found_and_what_is_no_number_is_infinitely_far() {
        let honest = states(&[1.0, 0.0, 0.0, 2.0]);
        assert_eq!(farthest(&honest, &honest, 0), (0.0, 0));
        assert_eq!(farthest(&honest, &states(&[1.0, 0.0, 0.0, 1.0]), 0), (0.5, 1));
        assert_eq!(farthest(&honest, &states(&[f32::NAN, 0.0, 0.0, 2.0]), 0), (f64::INFINITY, 0));
        assert_eq!(farthest(&honest, &states(&[1.0, 0.0]), 0).0, f64::INFINITY, "a token is missing");
    }

    #[test]
    fn the_first_wrong_tap_is_told_whatever_the_order_of_the_batches() {
        let of = |all: Vec<Farthest>| {
            let mut sum = Farthest::default();
            all.into_iter().for_each(|one| sum.absorb(one));
            sum.findings().into_iter().map(|f| f.message).collect::<Vec<_>>()
        };
        assert!(of(vec![seen(Tap::Layer(0), 1e-7, 1), Farthest::default()]).is_empty());
        let all = || [seen(Tap::Layer(1), 0.2, 9), seen(Tap::Layer(1), 0.5, 7), seen(Tap::Layer(0), f64::INFINITY, 4)];
        let told = of(all().into());
        assert_eq!(told, of(all().into_iter().rev().collect()));
        assert!(told.len() == 1 && told[0].starts_with("layer.0 (quantization)"), "{told:?}");
        assert!(told[0].contains("at row 4") && told[0].ends_with("so are layer.1"), "{told:?}");
        let over = |at| Farthest { over: Some((row(at), format!("said {at}"))), batches: 1, ..Farthest::default() };
        let told = of(vec![over(5), over(2), over(8)]);
        assert!(told.len() == 1 && told[0].contains("row 2: said 2; so do 2 other batches"), "{told:?}");
    }
}
