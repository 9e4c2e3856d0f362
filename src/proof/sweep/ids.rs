//! Every vocabulary id once and again through the embeddings of the reference and of the control.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::frame::{Frame, Random};
use super::{LIMIT, refused};
use crate::Error;
use crate::figures::number;
use crate::finding::{Finding, codes};
use crate::hidden_states::{RowId, RowSet, Tap, TapStates};
use crate::proof::likeness::per_token;
use crate::proof::swept_row::FIRST;
use crate::report::escape::plain;
use crate::rows::workers::Workers;
use crate::runtimes::{Encoder, RunError};
use crate::sides::Sides;
use crate::tokens::TokenBatch;

/// Longest swept row: enough for words to stand at many positions.
const LONGEST: usize = 128;
/// Tokens of one batch, at most: 2,048 states of width 768 are 6 MiB.
const TOKENS: usize = 2048;
/// Rows of one batch where rows are of mixed lengths, at most.
const ROWS: usize = 24;
/// How often every id is swept: in rows of one length, then of mixed ones; again and again with `--thorough`.
const PASSES: u64 = 2;
const THOROUGH_PASSES: u64 = 8;
/// Wrong ids that a message names.
const NAMED: usize = 3;

/// What the sweep found.
pub(crate) struct Found {
    pub(crate) swept: u64,
    pub(crate) passes: u64,
    /// The largest distance of an id that is right.
    pub(crate) largest: f64,
    /// Ids whose embedding is not the control's, with the largest distance of each.
    wrong: BTreeMap<u32, f64>,
}

/// Runs every id through both embeddings.
pub(crate) fn sweep(
    sides: &Sides,
    workers: &Workers,
    frame: &Frame,
    seed: u64,
    thorough: bool,
) -> Result<Found, Error> {
    // A graph whose embeddings cannot be cut out runs whole: slower, and the same.
    let alone = sides.session.as_ref().and_then(|session| session.embeddings().ok());
    let reference = alone.as_deref().unwrap_or(&*sides.reference);
    let passes = if thorough { THOROUGH_PASSES } else { PASSES };
    let longest = sides.facts.max_length.clamp(1, LONGEST);
    let batches: Vec<TokenBatch> =
        (0..passes).flat_map(|pass| batches(sides.facts.vocab, frame, longest, pass, seed)).collect();
    let found = Mutex::new(Found { swept: sides.facts.vocab as u64, passes, largest: 0.0, wrong: BTreeMap::new() });
    workers.each(&batches, |batch| {
        let (ours, theirs) = (embeddings(reference, batch)?, embeddings(&*sides.control, batch)?);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        for r in 0..batch.rows() {
            let (ours, theirs) = (ours.row(r), theirs.row(r));
            let width = if ours.len() == theirs.len() { ours.len() / batch.len(r).max(1) } else { 0 };
            let mut distances = per_token(ours, theirs, width);
            for &id in batch.ids(r) {
                // States of another width are infinitely far away.
                let distance = if width == 0 { f64::INFINITY } else { distances.next().unwrap_or(f64::INFINITY) };
                // Written so that NaN is wrong.
                if distance <= LIMIT {
                    found.largest = found.largest.max(distance);
                    continue;
                }
                let slot = found.wrong.entry(id).or_insert(distance);
                *slot = slot.max(distance);
            }
        }
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn embeddings(of: &dyn Encoder, batch: &TokenBatch) -> Result<std::sync::Arc<TapStates>, Error> {
    if let Some(states) = of.embeddings(batch)? {
        return Ok(states);
    }
    let states = of.encode(batch)?;
    let missing = || RunError::Failed { encoder: of.describe(), message: "it reports no `embeddings`".to_owned() };
    Ok(states.get(Tap::Embeddings).cloned().ok_or_else(missing)?)
}

/// One pass over the vocabulary: every id in a place of its own.
pub(crate) fn batches(vocab: usize, frame: &Frame, longest: usize, pass: u64, seed: u64) -> Vec<TokenBatch> {
    let mut random = Random::new(seed.wrapping_add(pass.wrapping_mul(0x5851_f42d_4c95_7f2d)));
    let mut ids: Vec<u32> = (0..u32::try_from(vocab).unwrap_or(u32::MAX)).collect();
    random.shuffle(&mut ids);
    let around = if longest > frame.len() { frame.clone() } else { Frame::default() };
    let room = longest - around.len();
    let (mut all, mut rest) = (vec![TokenBatch::new()], ids.as_slice());
    let mut most = ROWS;
    let mut row = FIRST | ((pass + 1) << 32);
    while !rest.is_empty() {
        let mixed = pass % 2 == 1;
        let content = if mixed { random.within(1, room) } else { room };
        let (now, later) = rest.split_at(content.min(rest.len()));
        rest = later;
        let ids = around.around(now);
        let full =
            all.last().is_none_or(|b: &TokenBatch| b.tokens() + ids.len() > TOKENS || (mixed && b.rows() >= most));
        if full {
            all.push(TokenBatch::new());
            most = random.within(1, ROWS);
        }
        if let Some(batch) = all.last_mut() {
            batch.push(RowId { set: RowSet::Probes, row }, &ids, &vec![0; ids.len()]);
            row += 1;
        }
    }
    all.retain(|b| !b.is_empty());
    all
}

impl Found {
    /// Ids that are wrong, in order.
    pub(crate) fn wrong_ids(&self) -> Vec<u32> {
        self.wrong.keys().copied().collect()
    }

    /// The wrong ids by name, the furthest first.
    pub(crate) fn finding(&self, sides: &Sides) -> Option<Finding> {
        let mut worst: Vec<(u32, f64)> = self.wrong.iter().map(|(id, d)| (*id, *d)).collect();
        worst.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let token = |id: u32| {
            sides.tokenizers.reference.token(id).map_or_else(String::new, |t| format!(" (`{}`)", plain(&t, 40)))
        };
        let named: Vec<String> =
            worst.iter().take(NAMED).map(|&(id, d)| format!("id {id}{} is {} apart", token(id), number(d))).collect();
        (!worst.is_empty()).then(|| {
            let message = format!(
                "the reference's `embeddings` are not the float32 weights' for {} of {} token ids: {} (relative L2, limit {LIMIT:.0e}); its graph maps these tokens elsewhere, or its table is another one",
                worst.len(),
                self.swept,
                named.join(", ")
            );
            refused(&codes::SWEEP_IDS, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_swept_once_a_pass_in_a_framed_row() {
        let frame = Frame { before: vec![2], behind: vec![3] };
        for pass in 0..2 {
            let all = batches(500, &frame, 16, pass, 9);
            let mut content: Vec<u32> = Vec::new();
            for batch in &all {
                assert!(batch.tokens() <= TOKENS && batch.longest() <= 16);
                for r in 0..batch.rows() {
                    let ids = batch.ids(r);
                    assert!(ids[0] == 2 && ids[ids.len() - 1] == 3);
                    content.extend(&ids[1..ids.len() - 1]);
                }
            }
            content.sort_unstable();
            assert_eq!(content, (0..500).collect::<Vec<_>>());
        }
        let lengths = |pass| batches(500, &frame, 16, pass, 9).iter().map(TokenBatch::longest).max();
        assert_eq!(lengths(0), Some(16));
        assert!(batches(500, &frame, 16, 1, 9).iter().any(|b| (0..b.rows()).any(|r| b.len(r) % 2 == 1)));
        assert!(batches(40, &frame, 1, 0, 9).iter().all(|b| b.longest() == 1), "no room for a frame");
    }
}
