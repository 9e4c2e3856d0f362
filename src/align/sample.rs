//! A sample of sentence vectors that does not depend on the order or the sharding of rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::neighbours::{self, Pair};
use super::{AlignError, Neighbours, Side};
use crate::hidden_states::{RowId, RowSet};

/// Rows in the sample.
pub const SAMPLE_ROWS: usize = 512;

/// The rows with the smallest hashes (bottom-k): a uniform sample that every shard agrees on.
///
/// Memory is k pairs of vectors. A row offered twice is kept once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Saved", try_from = "Saved")]
pub struct SentenceSample {
    limit: usize,
    widths: Option<(usize, usize)>,
    rows: BTreeMap<(u64, RowId), Pair>,
}

impl Default for SentenceSample {
    fn default() -> Self {
        Self::new(SAMPLE_ROWS)
    }
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014): the same everywhere, unlike std's hasher.
fn hash(row: RowId) -> u64 {
    let set = match row.set {
        RowSet::Corpus => 0,
        RowSet::Probes => 0x5851_f42d_4c95_7f2d,
    };
    let mut z = (row.row ^ set).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl SentenceSample {
    /// At most `limit` rows.
    pub fn new(limit: usize) -> Self {
        Self { limit, widths: None, rows: BTreeMap::new() }
    }

    /// Offers a row's sentence vectors. All vectors of a side must have one width; the two sides'
    /// widths may differ (similarities are taken within a side).
    pub fn offer(&mut self, row: RowId, reference: &[f32], candidate: &[f32]) -> Result<(), AlignError> {
        self.offer_said(row, None, reference, candidate)
    }

    /// The same of a row whose words have that hash: of rows that say the same, one is a neighbour.
    pub fn offer_said(
        &mut self,
        row: RowId,
        said: Option<u64>,
        reference: &[f32],
        candidate: &[f32],
    ) -> Result<(), AlignError> {
        let (expected_r, expected_c) = self.widths.unwrap_or((reference.len(), candidate.len()));
        for (side, expected, found) in
            [(Side::Reference, expected_r, reference.len()), (Side::Candidate, expected_c, candidate.len())]
        {
            if found != expected || found == 0 {
                return Err(AlignError::SentenceWidth { row, side, expected, found });
            }
        }
        self.widths = Some((expected_r, expected_c));
        let key = (hash(row), row);
        if self.rows.len() >= self.limit && self.rows.last_key_value().is_none_or(|(last, _)| key > *last) {
            return Ok(());
        }
        self.keep(key, Pair { said, reference: reference.into(), candidate: candidate.into() });
        Ok(())
    }

    /// Keeps a pair and drops the largest hash beyond the limit. Of two pairs for one row the smaller
    /// bits stay, so that even this does not depend on the order.
    fn keep(&mut self, key: (u64, RowId), pair: Pair) {
        let bits = |p: &Pair| p.reference.iter().chain(&p.candidate).map(|x| x.to_bits()).collect::<Vec<_>>();
        match self.rows.get(&key) {
            Some(old) if bits(old) <= bits(&pair) => {}
            _ => drop(self.rows.insert(key, pair)),
        }
        while self.rows.len() > self.limit {
            self.rows.pop_last();
        }
    }

    /// Adds another sample; the smaller limit holds.
    pub fn merge(&mut self, other: &Self) -> Result<(), AlignError> {
        if let (Some(a), Some(b)) = (self.widths, other.widths)
            && a != b
        {
            let (expected, found) = (format!("widths {a:?}"), format!("widths {b:?}"));
            return Err(AlignError::Unmergeable { what: "sentence samples", expected, found });
        }
        self.widths = self.widths.or(other.widths);
        self.limit = self.limit.min(other.limit);
        for (key, pair) in &other.rows {
            self.keep(*key, pair.clone());
        }
        while self.rows.len() > self.limit {
            self.rows.pop_last();
        }
        Ok(())
    }

    /// Rows sampled so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Compares the two sides' neighbourhoods: all pairs of rows, so O(k²·width) work and O(k²) memory.
    pub fn finish(&self) -> Neighbours {
        let mut rows: Vec<(RowId, &Pair)> = self.rows.iter().map(|((_, row), pair)| (*row, pair)).collect();
        rows.sort_unstable_by_key(|(row, _)| *row);
        neighbours::compare(&rows)
    }
}

/// A row, what it says, and the bits of its two vectors.
type SavedRow = (RowId, Option<u64>, Vec<u32>, Vec<u32>);

/// The written form: vectors as the bits of their values.
#[derive(Serialize, Deserialize)]
struct Saved {
    limit: usize,
    widths: Option<(usize, usize)>,
    rows: Vec<SavedRow>,
}

impl From<SentenceSample> for Saved {
    fn from(sample: SentenceSample) -> Self {
        let bits = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect();
        let rows =
            sample.rows.iter().map(|((_, row), p)| (*row, p.said, bits(&p.reference), bits(&p.candidate))).collect();
        Self { limit: sample.limit, widths: sample.widths, rows }
    }
}

impl TryFrom<Saved> for SentenceSample {
    type Error = AlignError;

    fn try_from(saved: Saved) -> Result<Self, AlignError> {
        let mut sample = Self { widths: saved.widths, ..Self::new(saved.limit) };
        let floats = |bits: &[u32]| bits.iter().map(|b| f32::from_bits(*b)).collect::<Vec<_>>();
        for (row, said, reference, candidate) in saved.rows {
            sample.offer_said(row, said, &floats(&reference), &floats(&candidate))?;
        }
        Ok(sample)
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
