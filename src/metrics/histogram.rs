//! A log-linear histogram of non-negative f64: quantiles that merge exactly.
//!
//! A bucket is a value's exponent and first seven fraction bits (`bits >> 45`), so buckets are at most
//! 1/128 of their value wide, counts are integers, and no logarithm is involved. DDSketch makes the same
//! promise with a logarithm (arXiv 1908.10693).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bits;

const DROPPED_BITS: u32 = 45;
const PAGE_BITS: u32 = 7;
const PAGE: usize = 1 << PAGE_BITS;

/// How far above the true value a quantile can be, relative to it (normal f64): one bucket.
pub const QUANTILE_ERROR: f64 = 1.0 / PAGE as f64;

/// Counts of non-negative values by size, with lanes of their own for zero, +∞ and NaN.
///
/// One page of 128 buckets (1 KiB) per power of two that occurs: never more than 2,047 pages, however
/// many values are added, and about ten in practice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Saved", try_from = "Saved")]
pub struct Histogram {
    zero: u64,
    pages: BTreeMap<u16, Box<[u64; PAGE]>>,
    infinite: u64,
    nan: u64,
    /// Smallest and largest value that is not NaN.
    range: Option<(f64, f64)>,
}

impl Histogram {
    /// Nothing counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a value. A negative one is not a distance and counts as NaN.
    pub fn add(&mut self, x: f64) {
        if x.is_nan() || x < 0.0 {
            self.nan = self.nan.saturating_add(1);
            return;
        }
        let x = x.abs(); // -0.0
        self.range = Some(match self.range {
            None => (x, x),
            Some((min, max)) => (min.min(x), max.max(x)),
        });
        if x == 0.0 {
            self.zero = self.zero.saturating_add(1);
        } else if x.is_infinite() {
            self.infinite = self.infinite.saturating_add(1);
        } else {
            self.count_bucket((x.to_bits() >> DROPPED_BITS) as u32, 1);
        }
    }

    /// `bucket` must be below 2^18.
    fn count_bucket(&mut self, bucket: u32, n: u64) {
        let page = self.pages.entry((bucket >> PAGE_BITS) as u16).or_insert_with(|| Box::new([0; PAGE]));
        let slot = &mut page[bucket as usize % PAGE];
        *slot = slot.saturating_add(n);
    }

    /// The values counted in ten steps per decade ([`STEPS`]): (largest value, how many) from the smallest step that holds any to the
    /// largest, empty ones between them included. A value within 1/128 of a step may be counted above or below it; zeros
    /// are in the first, what is not finite in a last one of its own.
    pub fn steps(&self) -> Vec<(f64, u64)> {
        let mut out: Vec<(f64, u64)> = Vec::new();
        let mut edges = series();
        let mut waiting = self.zero;
        for (bucket, n) in self.buckets() {
            let value = f64::from_bits(u64::from(bucket) << DROPPED_BITS);
            while out.last().is_none_or(|(edge, _)| *edge < value) {
                let Some(edge) = edges.next() else { break };
                if edge >= value || !out.is_empty() {
                    out.push((edge, 0));
                }
            }
            if let Some((_, count)) = out.last_mut() {
                *count = count.saturating_add(n).saturating_add(std::mem::take(&mut waiting));
            }
        }
        if waiting > 0 {
            out.push((0.0, waiting));
        }
        let odd = self.infinite.saturating_add(self.nan);
        out.extend((odd > 0).then_some((f64::INFINITY, odd)));
        out
    }

    /// Adds another histogram, exactly.
    pub fn merge(&mut self, other: &Self) {
        self.zero = self.zero.saturating_add(other.zero);
        self.infinite = self.infinite.saturating_add(other.infinite);
        self.nan = self.nan.saturating_add(other.nan);
        for (bucket, n) in other.buckets() {
            self.count_bucket(bucket, n);
        }
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    /// Non-empty buckets, smallest values first.
    fn buckets(&self) -> impl Iterator<Item = (u32, u64)> {
        self.pages.iter().flat_map(|(&page, counts)| {
            let base = u32::from(page) << PAGE_BITS;
            counts.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(i, &n)| (base + i as u32, n))
        })
    }

    /// Values counted, NaN included.
    pub fn count(&self) -> u64 {
        let finite = self.buckets().fold(self.zero, |sum, (_, n)| sum.saturating_add(n));
        finite.saturating_add(self.infinite).saturating_add(self.nan)
    }

    /// How many of them were NaN.
    pub fn nan(&self) -> u64 {
        self.nan
    }

    /// Number of non-empty buckets: what memory depends on, whatever the count.
    pub fn occupied(&self) -> usize {
        self.buckets().count()
    }

    /// Smallest value; NaN if any was NaN; `None` if there is none.
    pub fn min(&self) -> Option<f64> {
        if self.nan > 0 { Some(f64::NAN) } else { self.range.map(|r| r.0) }
    }

    /// Largest value; NaN if any was NaN; `None` if there is none.
    pub fn max(&self) -> Option<f64> {
        if self.nan > 0 { Some(f64::NAN) } else { self.range.map(|r| r.1) }
    }

    /// The nearest-rank quantile, in thousandths (999 is p99.9): NaN counts as larger than everything.
    ///
    /// The upper edge of the value's bucket, and never above the largest value: it does not flatter, and
    /// is at most 1/128 too large. `None` without values.
    pub fn quantile(&self, thousandths: u32) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (u128::from(count) * u128::from(thousandths.min(1000))).div_ceil(1000).max(1);
        let mut seen = u128::from(self.zero);
        if seen >= rank {
            return Some(0.0);
        }
        let (min, max) = self.range.unwrap_or((f64::NAN, f64::NAN));
        for (bucket, n) in self.buckets() {
            seen += u128::from(n);
            if seen >= rank {
                let edge = f64::from_bits(((u64::from(bucket) + 1) << DROPPED_BITS) - 1);
                return Some(edge.min(max).max(min));
            }
        }
        seen += u128::from(self.infinite);
        Some(if seen >= rank { f64::INFINITY } else { f64::NAN })
    }
}

/// Steps of a decade: Renard's preferred numbers (ISO 3, R10), each some 1.26 times the one before.
pub const STEPS: [&str; 10] = ["1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8"];

/// [`STEPS`] of every decade that an f64 can be, as their decimal text reads.
fn series() -> impl Iterator<Item = f64> {
    (-307..=308)
        .flat_map(|power| STEPS.map(|digits| format!("{digits}e{power}").parse()))
        .filter_map(|edge: Result<f64, _>| edge.ok().filter(|edge| edge.is_finite()))
}

/// The unique written form: buckets in order, empty ones left out.
#[derive(Serialize, Deserialize)]
struct Saved {
    zero: u64,
    infinite: u64,
    nan: u64,
    #[serde(with = "bits::optional")]
    min: Option<f64>,
    #[serde(with = "bits::optional")]
    max: Option<f64>,
    buckets: Vec<(u32, u64)>,
}

impl From<Histogram> for Saved {
    fn from(h: Histogram) -> Self {
        Self {
            zero: h.zero,
            infinite: h.infinite,
            nan: h.nan,
            min: h.range.map(|r| r.0),
            max: h.range.map(|r| r.1),
            buckets: h.buckets().collect(),
        }
    }
}

impl TryFrom<Saved> for Histogram {
    type Error = String;

    fn try_from(saved: Saved) -> Result<Self, String> {
        let range = match (saved.min, saved.max) {
            (Some(min), Some(max)) if 0.0 <= min && min <= max => Some((min, max)),
            (None, None) => None,
            _ => return Err("a histogram's min and max must be 0 <= min <= max".into()),
        };
        let mut h = Self { zero: saved.zero, infinite: saved.infinite, nan: saved.nan, range, ..Self::default() };
        for (bucket, n) in saved.buckets {
            if u64::from(bucket) >= f64::INFINITY.to_bits() >> DROPPED_BITS {
                return Err(format!("a histogram has no bucket {bucket}"));
            }
            h.count_bucket(bucket, n);
        }
        if range.is_none() != (h.count() == h.nan) {
            return Err("a histogram's range and counts contradict each other".into());
        }
        Ok(h)
    }
}

#[cfg(test)]
#[path = "histogram_tests.rs"]
mod tests;
