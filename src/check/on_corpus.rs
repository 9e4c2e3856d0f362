//! The candidate beside its twin on the corpus' own rows, wherever the control runs: no limit of taste holds there, so this
//! is what sees a state that goes wrong in a few rows only.
//!
//! Where every weight is the twin's, the states must be those of these weights, token for token. Elsewhere the mean error of a batch may be as
//! many times the twin's as on the probes.

use std::collections::BTreeMap;

use super::CheckRequest;
use super::measure::add_sentences;
use super::over_twin::{self, Twin};
use super::sides::Sides;
use crate::Error;
use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{HiddenStates, RowId, Tap, TapStates};
use crate::metrics::TokenSums;
use crate::runtimes::Encoder;
use crate::runtimes::native::{NativeEncoder, SentenceHead};
use crate::tokens::TokenBatch;
use crate::weights::WeightsReport;

/// Most that states of the same weights may differ (relative L2 of a token): the limit of the engine arm. The same program
/// computes both, in the same order: measured 0.
const SAME: f64 = 1e-4;

/// What the candidate's states on the corpus are held against.
pub(super) struct OnCorpus<'a> {
    twin: &'a Twin,
    /// The candidate's own weights under the reference's configuration and the modules its files state, where every weight
    /// is proven to be what it should be and the candidate is to be computed as its files say.
    own: Option<(NativeEncoder, &'a SentenceHead)>,
}

/// The farthest token at each tap, and batches that err too much.
#[derive(Default)]
pub(super) struct Seen {
    farthest: BTreeMap<Tap, (f64, RowId, usize)>,
    over: Vec<(RowId, String)>,
}

impl<'a> OnCorpus<'a> {
    pub(super) fn new(
        sides: &'a Sides,
        request: &CheckRequest,
        twin: &'a Twin,
        weights: &WeightsReport,
    ) -> Result<Self, Error> {
        let totals = &weights.totals.twin;
        let proven = totals.equal == totals.groups
            && weights.changed_unquantized.is_empty()
            && weights.without_original.is_empty()
            && weights.folds.is_empty();
        let own = (proven && !request.emulate_mlx && !sides.foreign).then(|| {
            let encoder = NativeEncoder::build(&sides.facts.control_config, &sides.candidate_weights, "the candidate");
            encoder.map(|encoder| (encoder, &sides.facts.stated_head))
        });
        Ok(Self { twin, own: own.transpose()? })
    }

    /// One batch that the control ran on, too.
    pub(super) fn see(
        &self,
        batch: &TokenBatch,
        control: &HiddenStates,
        candidate: &HiddenStates,
    ) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        let Some((encoder, head)) = &self.own else {
            let errors = over_twin::compare(batch, control, candidate, &self.twin.run(batch)?)?;
            seen.over.extend(over_twin::exceeded(&errors).map(|said| (batch.row_id(0), said)));
            return Ok(seen);
        };
        let mut own = encoder.encode(batch)?;
        add_sentences(head, &mut own)?;
        for (tap, candidate) in candidate.iter() {
            let Some(honest) = own.get(tap) else { continue };
            let far = (0..batch.rows()).map(|r| (farthest(honest, candidate, r), batch.row_id(r)));
            let far = far.map(|((far, token), row)| (far, row, token));
            seen.farthest.extend(far.max_by(|a, b| a.0.total_cmp(&b.0)).map(|far| (tap, far)));
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
    far.enumerate().map(|(token, far)| (far, token)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
}

impl Seen {
    /// Adds another batch.
    pub(super) fn absorb(&mut self, other: Self) {
        for (tap, far) in other.farthest {
            let known = self.farthest.entry(tap).or_insert(far);
            // Of equals the first row, whichever worker came first.
            if far.0.total_cmp(&known.0).then(known.1.cmp(&far.1)).is_gt() {
                *known = far;
            }
        }
        self.over.extend(other.over);
        self.over.sort();
    }

    /// Failures: the first taps at which the states are others, or the first batch that errs too much.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let failure = |message| Finding::new(Severity::Failure, &codes::TWIN_STATES, message);
        let wrong: Vec<_> = self.farthest.iter().filter(|(_, far)| far.0 > SAME).collect();
        let mut out: Vec<Finding> = wrong
            .first()
            .map(|(tap, (far, row, token))| {
                let others: Vec<String> = wrong.iter().skip(1).map(|(tap, _)| tap.to_string()).collect();
                let others = if others.is_empty() { String::new() } else { format!("; so are {}", others.join(", ")) };
                let message = format!(
                    "{tap} (quantization): the candidate's states are not those of an honest conversion, whose weights it \
                     has: {} from them at most (relative L2, limit {}), at {row} token {token}{others}",
                    number(*far),
                    number(SAME),
                );
                failure(message)
            })
            .into_iter()
            .collect();
        out.extend(self.over.first().map(|(row, said)| {
            let more = self.over.len() - 1;
            let more = if more > 0 { format!("; so do {more} other batches") } else { String::new() };
            failure(format!("the candidate errs more than its format does, in the batch of {row}: {said}{more}"))
        }));
        out
    }
}
