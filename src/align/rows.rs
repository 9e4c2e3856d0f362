//! Rows against rows: the shapes must agree before any number is believed.

use super::{AlignError, Side};
use crate::hidden_states::{HiddenStates, Tap, TapStates};
use crate::tokens::TokenBatch;

/// Both sides report the same taps; every tap has the batch's rows, every row its tokens (one vector at
/// sentence level), and both sides' states are equally wide. The error names the first that does not.
pub fn check_rows(reference: &HiddenStates, candidate: &HiddenStates, batch: &TokenBatch) -> Result<(), AlignError> {
    if batch.is_empty() {
        return Err(AlignError::NoRows);
    }
    if reference.iter().next().is_none() && candidate.iter().next().is_none() {
        return Err(AlignError::NoTaps);
    }
    for (tap, theirs) in candidate.iter() {
        if reference.get(tap).is_none() {
            return Err(AlignError::MissingTap { tap, missing: Side::Reference });
        }
        check_tap(Side::Candidate, tap, theirs, batch)?;
    }
    for (tap, states) in reference.iter() {
        let theirs = candidate.get(tap).ok_or(AlignError::MissingTap { tap, missing: Side::Candidate })?;
        check_tap(Side::Reference, tap, states, batch)?;
        if states.hidden() != theirs.hidden() {
            return Err(AlignError::Width { tap, reference: states.hidden(), candidate: theirs.hidden() });
        }
    }
    Ok(())
}

fn check_tap(side: Side, tap: Tap, states: &TapStates, batch: &TokenBatch) -> Result<(), AlignError> {
    if states.rows() != batch.rows() {
        return Err(AlignError::Rows { side, tap, expected: batch.rows(), found: states.rows() });
    }
    for r in 0..batch.rows() {
        let expected = if tap.is_sentence_level() { 1 } else { batch.len(r) };
        let found = states.tokens(r);
        if found != expected {
            return Err(AlignError::Tokens { side, tap, row: batch.row_id(r), expected, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hidden_states::{RowId, RowSet};

    fn batch(lengths: &[usize]) -> TokenBatch {
        let mut batch = TokenBatch::new();
        for (i, &n) in lengths.iter().enumerate() {
            batch.push(RowId { set: RowSet::Corpus, row: 10 + i as u64 }, &vec![7; n], &vec![0; n]);
        }
        batch
    }

    fn states(taps: &[(Tap, &[usize], usize)]) -> HiddenStates {
        let mut all = HiddenStates::new();
        for &(tap, lengths, hidden) in taps {
            let mut offsets = vec![0];
            offsets.extend(lengths.iter().scan(0, |sum, n| {
                *sum += n;
                Some(*sum)
            }));
            let values = vec![0.5; offsets[lengths.len()] * hidden];
            all.insert(tap, Arc::new(TapStates::ragged(hidden, &offsets, values).unwrap()));
        }
        all
    }

    #[test]
    fn same_shapes_pass_and_each_difference_is_named() {
        let good = states(&[(Tap::Embeddings, &[2, 3], 4), (Tap::Final, &[2, 3], 4), (Tap::Pooled, &[1, 1], 4)]);
        let two_three = batch(&[2, 3]);
        check_rows(&good, &good, &two_three).unwrap();

        let refused = |other: &[(Tap, &[usize], usize)], words: &str| {
            let other = states(other);
            for (a, b) in [(&good, &other), (&other, &good)] {
                let error = check_rows(a, b, &two_three).unwrap_err();
                assert_eq!(error.fault(), crate::fault::Fault::Incomparable);
                assert!(error.to_string().contains(words), "{error} should say: {words}");
            }
        };
        refused(&[(Tap::Embeddings, &[2, 3], 4), (Tap::Final, &[2, 3], 4)], "`pooled` is missing");
        refused(
            &[(Tap::Embeddings, &[2, 3], 4), (Tap::Final, &[2, 2], 4), (Tap::Pooled, &[1, 1], 4)],
            "`final`, row 11: 3",
        );
        refused(
            &[(Tap::Embeddings, &[2], 4), (Tap::Final, &[2, 3], 4), (Tap::Pooled, &[1, 1], 4)],
            "2 rows expected, found 1",
        );
        refused(
            &[(Tap::Embeddings, &[2, 3], 4), (Tap::Final, &[2, 3], 4), (Tap::Pooled, &[2, 3], 4)],
            "`pooled`, row 10: 1",
        );
        refused(
            &[(Tap::Embeddings, &[2, 3], 6), (Tap::Final, &[2, 3], 4), (Tap::Pooled, &[1, 1], 4)],
            "`embeddings`: states of width",
        );
    }

    #[test]
    fn nothing_is_not_aligned() {
        let none = HiddenStates::new();
        assert_eq!(check_rows(&none, &none, &batch(&[2])), Err(AlignError::NoTaps));
        assert_eq!(check_rows(&none, &none, &batch(&[])), Err(AlignError::NoRows));
    }

    #[test]
    fn one_side_without_taps_lacks_them_all() {
        let (some, none) = (states(&[(Tap::Final, &[2], 4)]), HiddenStates::new());
        for (a, b, missing) in [(&some, &none, Side::Candidate), (&none, &some, Side::Reference)] {
            assert_eq!(check_rows(a, b, &batch(&[2])), Err(AlignError::MissingTap { tap: Tap::Final, missing }));
        }
    }
}
