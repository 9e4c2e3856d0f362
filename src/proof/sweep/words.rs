//! Every vocabulary id through the candidate and its twin, among others: whoever chooses a quantizer's roundings so that
//! one word loses its meaning need not show it on any row of a corpus.

use std::sync::{Mutex, PoisonError};

use super::frame::Frame;
use super::ids;
use crate::Error;
use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{HiddenStates, Tap};
use crate::proof::likeness::per_token;
use crate::proof::over_twin::{NOISE, Twin};
use crate::report::TwinWords;
use crate::report::escape::plain;
use crate::rows::workers::Workers;
use crate::sides::Sides;
use crate::weights::WeightsReport;

/// Most that a token's last state may be from the control's, over the farthest that the twin is on any token. Measured:
/// 1.3 at most for every quantizer of `scripts/quantizers` on the shipped model, 2.6 on MiniLM (symmetric scales at 4 bits);
/// 3.6 and 3.8 where roundings were chosen against one word of a 4-bit model, at random otherwise.
const MOST: f64 = 3.0;

/// Tokens of a row, at most: few enough that one word matters to the others.
const LONGEST: usize = 24;

/// Words that a message names.
const NAMED: usize = 3;

/// Runs every id where the candidate is not its twin anyway; none where it is.
pub(crate) fn over_twin(
    sides: &Sides,
    workers: &Workers,
    weights: &WeightsReport,
    twin: &Twin,
) -> Result<(Option<TwinWords>, Option<Finding>), Error> {
    let groups = &weights.totals.twin;
    if groups.equal == groups.groups && weights.changed_unquantized.is_empty() {
        return Ok((None, None));
    }
    let frame = Frame::of(&sides.tokenizers.reference);
    let longest = sides.facts.max_length.clamp(1, LONGEST);
    let batches = ids::batches(sides.facts.vocab, &frame, longest, 0, 0);
    let farthest = Mutex::new((0.0, vec![0.0; sides.facts.vocab]));
    workers.each(&batches, |batch| {
        let control = sides.control.encode(batch)?;
        let (candidate, twin) = (sides.candidate.encode(batch)?, twin.run(batch)?);
        let mut farthest = farthest.lock().unwrap_or_else(PoisonError::into_inner);
        for r in 0..batch.rows() {
            let apart = |states: &HiddenStates| last_apart(&control, states, r, batch.len(r));
            for ((id, own), honest) in batch.ids(r).iter().zip(apart(&candidate)).zip(apart(&twin)) {
                farthest.0 = larger(farthest.0, honest);
                if let Some(slot) = farthest.1.get_mut(*id as usize) {
                    *slot = larger(*slot, own);
                }
            }
        }
        Ok(())
    })?;
    let (honest, own) = farthest.into_inner().unwrap_or_else(PoisonError::into_inner);
    let limit = MOST * larger(NOISE, honest);
    let mut worst: Vec<(usize, f64)> = own.iter().copied().enumerate().collect();
    worst.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let Some(&(id, candidate)) = worst.first() else { return Ok((None, None)) };
    let section = TwinWords { ids: own.len() as u64, worst_id: id as u64, candidate, twin: honest };
    // Written so that NaN is beyond.
    let beyond: Vec<(usize, f64)> = worst.into_iter().filter(|(_, d)| !within(*d, limit)).collect();
    let finding = (!beyond.is_empty()).then(|| {
        let token = |id: usize| {
            let token = u32::try_from(id).ok().and_then(|id| sides.tokenizers.reference.token(id));
            token.map_or_else(|| format!("id {id}"), |token| format!("`{}`", plain(&token, 40)))
        };
        let named: Vec<String> =
            beyond.iter().take(NAMED).map(|(id, d)| format!("{} is {} off", token(*id), number(*d))).collect();
        let message = format!(
            "the candidate loses {} of {} words of the vocabulary: {} (relative L2 at final, in a row of other words), where MLX's \
             own conversion is off by at most {} on any (limit {MOST} times that)",
            beyond.len(),
            own.len(),
            named.join(", "),
            number(honest),
        );
        Finding::new(Severity::Failure, &codes::TWIN_WORDS, message)
    });
    Ok((Some(section), finding))
}

/// A twin that is nowhere near the control sets no limit.
fn within(distance: f64, limit: f64) -> bool {
    distance <= limit && limit.is_finite()
}

/// `max` would drop a NaN.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

/// Each token's distance at `final`; infinite where there is none.
fn last_apart(control: &HiddenStates, states: &HiddenStates, row: usize, tokens: usize) -> Vec<f64> {
    let of = |states: &HiddenStates| states.get(Tap::Final).map(|s| s.row(row).to_vec());
    let (Some(expected), Some(found)) = (of(control), of(states)) else { return vec![f64::INFINITY; tokens] };
    let width = if expected.len() == found.len() { expected.len() / tokens.max(1) } else { 0 };
    if width == 0 {
        return vec![f64::INFINITY; tokens];
    }
    per_token(&found, &expected, width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_the_largest_and_within_nothing() {
        assert_eq!((larger(1.0, 2.0), larger(2.0, 1.0)), (2.0, 2.0));
        assert!(larger(f64::NAN, 2.0).is_nan() && larger(2.0, f64::NAN).is_nan());
        assert!(within(1.0, 1.0) && !within(1.1, 1.0) && !within(f64::NAN, 1.0) && !within(f64::INFINITY, 1.0));
        assert!(!within(1.0, f64::INFINITY) && !within(f64::INFINITY, f64::INFINITY) && !within(1.0, f64::NAN));
    }
}
