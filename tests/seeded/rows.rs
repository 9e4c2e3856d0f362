//! Candidates that are wrong on one kind of row, which no row of the corpus is of: only the probes have it.

use parallax::hidden_states::Tap;
use parallax::tokens::TokenBatch;

use super::models::{EIGHT, Model, ONE};
use super::{Fault, Plant};
use crate::common::encoders::{Open, change};

/// Which row of a batch.
type Which = fn(&TokenBatch, usize) -> bool;

/// Adds to each number of some rows' states a part of the next one, behind the embeddings.
fn mixed(batch: &TokenBatch, hidden: usize, open: &mut Open, which: Which) {
    for (_, values) in open.iter_mut().filter(|(tap, _)| **tap != Tap::Embeddings) {
        for r in (0..batch.rows()).filter(|r| which(batch, *r)) {
            let row = &mut values[batch.offsets()[r] * hidden..batch.offsets()[r + 1] * hidden];
            for token in row.chunks_mut(hidden) {
                (1..hidden).for_each(|i| token[i - 1] += 0.25 * token[i]);
            }
        }
    }
}

const fn fault(id: &'static str, what: &'static str, plant: Plant, on: &'static [Model]) -> Fault {
    Fault { id, hazard: "G7", what, plant, on, exit: 1, says: &["twin.states", "errs more than its format does"] }
}

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "rows-alone",
        "the candidate is wrong on batches of one row",
        Plant::Sides(|s| change(&mut s.candidate, |b, n, open| mixed(b, n, open, |b, _| b.rows() == 1))),
        EIGHT,
    ),
    fault(
        "rows-of-128-tokens",
        "the candidate is wrong on rows of 128 tokens and more",
        Plant::Sides(|s| change(&mut s.candidate, |b, n, open| mixed(b, n, open, |b, r| b.len(r) >= 128))),
        ONE,
    ),
    fault(
        "rows-of-multiples-of-32",
        "the candidate is wrong on rows of 64, 96 and 128 tokens",
        Plant::Sides(|s| {
            change(&mut s.candidate, |b, n, open| {
                mixed(b, n, open, |b, r| b.len(r) >= 64 && b.len(r).is_multiple_of(32));
            });
        }),
        EIGHT,
    ),
    fault(
        "rows-of-31-to-33-tokens",
        "the candidate is wrong on rows of 31 to 33 tokens that are padded",
        Plant::Sides(|s| {
            change(&mut s.candidate, |b, n, open| {
                mixed(b, n, open, |b, r| (31..=33).contains(&b.len(r)) && b.len(r) < b.longest());
            });
        }),
        ONE,
    ),
    fault(
        "rows-in-long-batches",
        "the candidate is wrong on short rows beside one of at least 128 tokens",
        Plant::Sides(|s| {
            change(&mut s.candidate, |b, n, open| mixed(b, n, open, |b, r| b.longest() >= 128 && b.len(r) < 60));
        }),
        ONE,
    ),
];
