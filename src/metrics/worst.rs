//! Where the worst value was, under a total order: the same place for any batching or merge order.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Better, Location, bits};
use crate::hidden_states::RowId;

/// How bad a value is: larger is worse, NaN worst.
pub(crate) fn badness(better: Better, value: f64) -> f64 {
    match better {
        Better::Lower | Better::Zero => value,
        Better::Higher => -value,
        // The same order as |ln value|, without a logarithm. 0 gives +∞.
        Better::NearOne => value.max(1.0 / value),
    }
}

/// `Greater` when `a` is worse. Every NaN, of either sign, is worse than everything and equal to itself.
pub(crate) fn compare_badness(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (false, false) => a.total_cmp(&b),
        (a, b) => a.cmp(&b),
    }
}

/// The worst value so far and its place.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Worst {
    #[serde(with = "bits")]
    pub(crate) value: f64,
    pub(crate) row: RowId,
    pub(crate) token: Option<u32>,
    pub(crate) dimension: Option<u32>,
    #[serde(with = "bits::optional")]
    pub(crate) reference: Option<f64>,
}

impl Worst {
    /// True if a value at `(row, token)` takes the place of `current`: it is worse, or equally bad and
    /// of a smaller row, then token.
    pub(crate) fn is_beaten(
        current: Option<&Self>,
        better: Better,
        value: f64,
        row: RowId,
        token: Option<u32>,
    ) -> bool {
        current.is_none_or(|w| {
            let worse = compare_badness(badness(better, value), badness(better, w.value));
            worse.then_with(|| (w.row, w.token).cmp(&(row, token))) == Ordering::Greater
        })
    }

    /// The worse of two.
    pub(crate) fn merge(mine: &mut Option<Self>, other: Option<&Self>, better: Better) {
        if let Some(o) = other
            && Self::is_beaten(mine.as_ref(), better, o.value, o.row, o.token)
        {
            *mine = Some(*o);
        }
    }

    pub(crate) fn location(&self) -> Location {
        Location { row: self.row, token: self.token, dimension: self.dimension, reference: self.reference }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::RowSet;

    fn at(row: u64) -> RowId {
        RowId { set: RowSet::Corpus, row }
    }

    fn beats(better: Better, value: f64, row: u64, than: f64, than_row: u64) -> bool {
        let current = Worst { value: than, row: at(than_row), token: Some(3), dimension: None, reference: None };
        Worst::is_beaten(Some(&current), better, value, at(row), Some(3))
    }

    #[test]
    fn the_order_is_total() {
        use Better::{Higher, Lower, NearOne};
        assert!(beats(Lower, 2.0, 9, 1.0, 1) && !beats(Lower, 1.0, 1, 2.0, 9));
        assert!(beats(Higher, 1.0, 9, 2.0, 1));
        assert!(beats(NearOne, 0.4, 9, 2.0, 1) && !beats(NearOne, 0.6, 1, 2.0, 9));
        assert!(beats(NearOne, 0.0, 9, 1e300, 1));
        for better in [Lower, Higher, NearOne] {
            assert!(beats(better, f64::NAN, 9, 1e300, 1));
            assert!(beats(better, -f64::NAN, 9, f64::INFINITY, 1));
            assert!(!beats(better, f64::INFINITY, 1, f64::NAN, 9));
            assert!(beats(better, f64::NAN, 1, -f64::NAN, 2), "equally bad: the smaller row");
            assert!(!beats(better, 1.0, 2, 1.0, 2), "nothing beats itself");
        }
        assert!(Worst::is_beaten(None, Lower, 0.0, at(0), None));
    }
}
