//! Coverage: errors have hidden in rows of certain lengths and in padded batches, so a run must have seen
//! such rows. What the corpus lacks the built-in probes supply, and that is said; what neither has leaves
//! the run inconclusive.
//!
//! Why these kinds: an MLX attention kernel gave NaN in padded rows when the longest row was a multiple of
//! 32 and at least 128 tokens long; a float32 matrix product was exact for one row and not for several.

use crate::finding::{Finding, Severity, codes};
use crate::report::CoverageSection;
use crate::tokens::TokenBatch;

/// What a batch is, as far as coverage goes.
struct Shape {
    rows: usize,
    shortest: usize,
    longest: usize,
}

/// One kind of row or batch.
struct Kind {
    name: &'static str,
    /// Tokens a row must be allowed to have for this kind to exist.
    needs: usize,
    counts: Counts,
}

/// How many of the kind there are.
enum Counts {
    /// In a row of so many tokens.
    Row(fn(usize) -> bool),
    /// In a batch.
    Batch(fn(&Shape) -> bool),
    /// Among the rows cut to the length limit.
    Truncated,
}

/// Every kind. To ask for another, add a row.
const KINDS: &[Kind] = &[
    Kind { name: "rows of 31 to 33 tokens", needs: 33, counts: Counts::Row(|n| (31..=33).contains(&n)) },
    Kind { name: "rows of 63 to 65 tokens", needs: 65, counts: Counts::Row(|n| (63..=65).contains(&n)) },
    Kind { name: "rows of 128 tokens or more", needs: 128, counts: Counts::Row(|n| n >= 128) },
    Kind {
        name: "rows whose length is a multiple of 32",
        needs: 32,
        counts: Counts::Row(|n| n > 0 && n.is_multiple_of(32)),
    },
    Kind { name: "batches of one row", needs: 1, counts: Counts::Batch(|b| b.rows == 1) },
    Kind {
        name: "padded batches of mixed lengths",
        needs: 2,
        counts: Counts::Batch(|b| b.rows > 1 && b.shortest < b.longest),
    },
    Kind {
        name: "padded batches whose longest row is a multiple of 32 and at least 128",
        needs: 128,
        counts: Counts::Batch(|b| {
            b.rows > 1 && b.shortest < b.longest && b.longest >= 128 && b.longest.is_multiple_of(32)
        }),
    },
    Kind { name: "rows cut to the length limit", needs: 1, counts: Counts::Truncated },
];

/// How many rows and batches of each kind were run.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    counts: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: vec![0; KINDS.len()] }
    }
}

impl Coverage {
    /// Counts a batch that was run.
    pub(crate) fn batch(&mut self, batch: &TokenBatch) {
        let lengths: Vec<usize> = (0..batch.rows()).map(|r| batch.len(r)).collect();
        let shape = Shape {
            rows: lengths.len(),
            shortest: lengths.iter().copied().min().unwrap_or(0),
            longest: batch.longest(),
        };
        for (kind, count) in KINDS.iter().zip(&mut self.counts) {
            *count += match kind.counts {
                Counts::Row(fits) => lengths.iter().filter(|n| fits(**n)).count() as u64,
                Counts::Batch(fits) => u64::from(fits(&shape)),
                Counts::Truncated => 0,
            };
        }
    }

    /// Counts rows that were cut to the length limit.
    pub(crate) fn truncated(&mut self, rows: u64) {
        for (kind, count) in KINDS.iter().zip(&mut self.counts) {
            if matches!(kind.counts, Counts::Truncated) {
                *count += rows;
            }
        }
    }
}

/// The longest built-in probe, in words: models with a longer limit cut none of the probes, and none is asked for.
const LONGEST_PROBE: usize = 512;

/// The kinds that exist under this length limit, and who supplied them.
pub(crate) fn sections(corpus: &Coverage, probes: &Coverage, max_length: usize) -> Vec<CoverageSection> {
    let all = KINDS.iter().zip(corpus.counts.iter().zip(&probes.counts));
    let cut = |kind: &Kind| !matches!(kind.counts, Counts::Truncated) || max_length <= LONGEST_PROBE;
    all.filter(|(kind, _)| kind.needs <= max_length && cut(kind))
        .map(|(kind, (corpus, probes))| CoverageSection {
            kind: kind.name.to_owned(),
            corpus: *corpus,
            probes: *probes,
        })
        .collect()
}

/// What the probes had to supply, and what nobody did. A kind counts as covered only where the candidate was judged on it:
/// by the policy's gates on the corpus, beside its twin on the probes.
pub(crate) fn findings(sections: &[CoverageSection]) -> Vec<Finding> {
    let names = |of: &dyn Fn(&CoverageSection) -> bool| -> Option<String> {
        let names: Vec<&str> = sections.iter().filter(|s| of(s)).map(|s| s.kind.as_str()).collect();
        (!names.is_empty()).then(|| names.join("; "))
    };
    let filled = names(&|s| s.corpus == 0 && s.probes > 0).map(|kinds| {
        let message = format!(
            "the corpus has none of these: {kinds}; built-in probes supplied them, on which the candidate is held against an honest conversion"
        );
        Finding::new(Severity::Note, &codes::COVERAGE_FILLED, message)
    });
    let missing = names(&|s| s.corpus == 0 && s.probes == 0).map(|kinds| {
        let message =
            format!("neither the corpus nor the built-in probes have these: {kinds}; errors hide there, add such rows");
        Finding::new(Severity::Refusal, &codes::COVERAGE_MISSING, message)
    });
    filled.into_iter().chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::{RowId, RowSet};

    fn coverage(batches: &[&[usize]], truncated: u64) -> Coverage {
        let mut coverage = Coverage::default();
        for lengths in batches {
            let mut batch = TokenBatch::new();
            for &n in *lengths {
                batch.push(RowId { set: RowSet::Corpus, row: 0 }, &vec![1; n], &vec![0; n]);
            }
            coverage.batch(&batch);
        }
        coverage.truncated(truncated);
        coverage
    }

    #[test]
    fn each_kind_is_counted_and_what_is_missing_is_named() {
        let full = coverage(&[&[31], &[64, 63], &[20, 128], &[160, 7, 8]], 2);
        let none = Coverage::default();
        let counts: Vec<u64> = sections(&full, &none, 512).iter().map(|s| s.corpus).collect();
        assert_eq!(counts, [1, 2, 2, 3, 1, 3, 2, 2]);
        assert!(findings(&sections(&full, &none, 512)).is_empty());
        let filled = findings(&sections(&none, &full, 512));
        assert_eq!((filled.len(), filled[0].severity), (1, Severity::Note));
        let missing = findings(&sections(&coverage(&[&[5], &[4, 6]], 1), &none, 512));
        assert_eq!(missing[0].severity, Severity::Refusal);
        assert!(missing[0].message.contains("31 to 33") && !missing[0].message.contains("mixed lengths;"));
    }

    #[test]
    fn a_short_length_limit_asks_for_no_long_rows() {
        let kinds: Vec<String> =
            sections(&Coverage::default(), &Coverage::default(), 40).into_iter().map(|s| s.kind).collect();
        assert!(kinds.iter().all(|k| !k.contains("128") && !k.contains("63")), "{kinds:?}");
        assert_eq!(kinds.len(), 5);
    }
}
