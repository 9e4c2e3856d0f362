//! Rows alone, in batches and padded: the reference against the control at every tap.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::{LIMIT, refused};
use crate::Error;
use crate::figures::number;
use crate::finding::{Finding, codes};
use crate::hidden_states::{HiddenStates, Tap};
use crate::proof::likeness::per_token;
use crate::proof::outputs::{Explaining, Outputs};
use crate::report::SweepSection;
use crate::rows::workers::Workers;
use crate::runtimes::RunError;
use crate::sides::Sides;
use crate::tokens::TokenBatch;

/// One batch in which a row is not the control's.
struct Wrong {
    lengths: Vec<usize>,
    row: usize,
    /// Where it starts and how far it is there, or why the reference did not run.
    how: How,
    /// The same row alone is wrong too.
    alone: bool,
}

enum How {
    Apart(Tap, f64),
    Refused(String),
}

/// What the sweep found.
pub(crate) struct Found {
    /// The largest distance within the limit.
    pub(crate) largest: f64,
    wrong: Vec<Wrong>,
    lengths: usize,
    batches: usize,
}

/// Runs every batch through both.
pub(crate) fn sweep(
    sides: &Sides,
    workers: &Workers,
    batches: &[TokenBatch],
    explaining: &Explaining,
    outputs: &Mutex<Outputs>,
) -> Result<Found, Error> {
    let all = workers.map(batches, |batch| {
        let control = sides.control.encode(batch)?;
        let reference = match sides.reference.encode(batch) {
            Ok(states) => states,
            Err(RunError::Failed { message, .. }) => {
                let alone = batch.rows() == 1;
                return Ok((0.0, Some(Wrong { lengths: lengths(batch), row: 0, how: How::Refused(message), alone })));
            }
            Err(other) => return Err(other.into()),
        };
        outputs.lock().unwrap_or_else(PoisonError::into_inner).add(explaining, batch, &reference)?;
        let (largest, found) = compare(batch, &reference, &control);
        let Some((row, tap, distance)) = found else { return Ok((largest, None)) };
        let alone = batch.rows() == 1 || {
            let one = row_of(batch, row);
            let (reference, control) = (sides.reference.encode(&one)?, sides.control.encode(&one)?);
            compare(&one, &reference, &control).1.is_some()
        };
        Ok((largest, Some(Wrong { lengths: lengths(batch), row, how: How::Apart(tap, distance), alone })))
    })?;
    let largest = all.iter().map(|(d, _)| *d).fold(0.0, f64::max);
    let alone = batches.iter().filter(|b| b.rows() == 1).count();
    Ok(Found {
        largest,
        wrong: all.into_iter().filter_map(|(_, wrong)| wrong).collect(),
        lengths: alone,
        batches: batches.len() - alone,
    })
}

fn lengths(batch: &TokenBatch) -> Vec<usize> {
    (0..batch.rows()).map(|r| batch.len(r)).collect()
}

fn row_of(batch: &TokenBatch, r: usize) -> TokenBatch {
    let mut one = TokenBatch::new();
    one.push(batch.row_id(r), batch.ids(r), batch.type_ids(r));
    one
}

/// The largest distance within the limit; and the first tap at which a row is beyond it, with the worst row there.
fn compare(batch: &TokenBatch, reference: &HiddenStates, control: &HiddenStates) -> (f64, Option<(usize, Tap, f64)>) {
    let mut largest = 0.0_f64;
    for (tap, ours) in reference.iter() {
        let mut worst: Option<(usize, Tap, f64)> = None;
        for r in 0..batch.rows() {
            let comparable = control.get(tap).filter(|c| {
                c.rows() == ours.rows() && c.row(r).len() == ours.row(r).len() && c.hidden() == ours.hidden()
            });
            let distance = comparable.map_or(f64::INFINITY, |theirs| {
                per_token(ours.row(r), theirs.row(r), ours.hidden()).fold(0.0, f64::max)
            });
            // Written so that NaN is beyond it; the distance of something that is no number is infinite.
            if distance <= LIMIT {
                largest = largest.max(distance);
            } else if worst.is_none_or(|(_, _, most)| distance > most) {
                worst = Some((r, tap, distance));
            }
        }
        if worst.is_some() {
            return (largest, worst);
        }
    }
    let nothing = reference.iter().next().is_none();
    (largest, nothing.then_some((0, Tap::Embeddings, f64::INFINITY)))
}

/// What was swept, for the report.
pub(crate) fn describe(section: &mut SweepSection, batches: &[TokenBatch], largest: f64) {
    let lengths: BTreeSet<u64> = batches.iter().flat_map(lengths).map(|n| n as u64).collect();
    let sizes: BTreeSet<u64> = batches.iter().map(|b| b.rows() as u64).collect();
    section.lengths = lengths.into_iter().collect();
    section.batch_sizes = sizes.into_iter().collect();
    section.padded_batches = batches.iter().filter(|b| padded(&self::lengths(b)) > 0).count() as u64;
    section.rows = batches.iter().map(|b| b.rows() as u64).sum();
    section.tokens = batches.iter().map(|b| b.tokens() as u64).sum();
    section.relative_l2 = Some(largest);
}

/// Rows shorter than the longest.
fn padded(lengths: &[usize]) -> usize {
    let longest = lengths.iter().max();
    lengths.iter().filter(|n| Some(*n) != longest).count()
}

impl Found {
    /// Lengths that are wrong whatever they are batched with, and batches that make a row wrong.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let (alone, batched): (Vec<&Wrong>, Vec<&Wrong>) = self.wrong.iter().partition(|w| w.alone);
        let mut out = Vec::new();
        if let Some(first) = alone.first() {
            let wrong: BTreeSet<usize> = alone.iter().filter_map(|w| w.lengths.get(w.row)).copied().collect();
            let shown: Vec<String> = wrong.iter().take(8).map(usize::to_string).collect();
            let more = if wrong.len() > 8 { format!(" and {} more lengths", wrong.len() - 8) } else { String::new() };
            let message = format!(
                "the reference does not compute what its float32 weights say for rows of {}{more} tokens ({} rows alone and {} batches swept): {}",
                shown.join(", "),
                self.lengths,
                self.batches,
                first.how.words()
            );
            out.push(refused(&codes::SWEEP_LENGTHS, message));
        }
        if let Some(first) = batched.iter().min_by_key(|w| w.lengths.iter().sum::<usize>()) {
            let (rows, padded) = (first.lengths.len(), padded(&first.lengths));
            let length = first.lengths.get(first.row).copied().unwrap_or_default();
            let message = format!(
                "the reference computes a row otherwise in a batch than alone, in {} of {} swept batches; in one of {rows} rows ({padded} of them padded, the longest of {} tokens) the row of {length} tokens is off: {}; the same row alone is right",
                batched.len(),
                self.batches,
                first.lengths.iter().max().copied().unwrap_or_default(),
                first.how.words()
            );
            out.push(refused(&codes::SWEEP_BATCHES, message));
        }
        out
    }
}

impl How {
    fn words(&self) -> String {
        match self {
            Self::Apart(tap, distance) => {
                format!("it starts at `{tap}`, {} from the control (relative L2, limit {LIMIT:.0e})", number(*distance))
            }
            Self::Refused(message) => format!("ONNX Runtime fails: {message}"),
        }
    }
}
