//! What gates may ask for: each metric with the statistics it has and the direction it is bounded in.

use super::Stat;

/// Which limits make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Smaller is better: only `max`.
    Above,
    /// Larger is better: only `min`.
    Below,
    /// 1 is perfect: either.
    Either,
}

/// One metric as gates see it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name.
    pub id: &'static str,
    /// The limits that make sense.
    pub bound: Bound,
    /// The statistics it has.
    pub stats: &'static [Stat],
    /// A limit past this one passes anything that is not absurd, so it is refused.
    pub vacuous: Option<f64>,
}

const fn known(id: &'static str, bound: Bound, stats: &'static [Stat]) -> Known {
    Known { id, bound, stats, vacuous: None }
}

const fn with_vacuous(id: &'static str, stats: &'static [Stat], vacuous: f64) -> Known {
    Known { id, bound: Bound::Above, stats, vacuous: Some(vacuous) }
}

const PER_TOKEN: &[Stat] = &[Stat::Mean, Stat::P50, Stat::P90, Stat::P99, Stat::P999, Stat::Min, Stat::Max];
const TENSORS: &[Stat] = &[Stat::Max, Stat::Mean, Stat::Min, Stat::Total];
const ONLY_MEAN: &[Stat] = &[Stat::Mean];
const ONLY_MAX: &[Stat] = &[Stat::Max];

/// Metrics of hidden states and sentence vectors. A relative error of 1 is what an all-zero output
/// has; a cosine distance of 0.5 is 60 degrees.
pub const TAP_METRICS: &[Known] = &[
    with_vacuous("relative_l2", PER_TOKEN, 1.0),
    known("standardized_l2", Bound::Above, PER_TOKEN),
    with_vacuous("cosine_distance", PER_TOKEN, 0.5),
    known("sqnr_db", Bound::Below, ONLY_MEAN),
    known("max_abs", Bound::Above, PER_TOKEN),
    known("mse", Bound::Above, PER_TOKEN),
    known("norm_ratio", Bound::Either, PER_TOKEN),
    known("non_finite", Bound::Above, ONLY_MAX),
    known("zero_vectors", Bound::Above, ONLY_MAX),
];

/// Metrics of stored weights. `total` is over all elements of all matrices.
pub const WEIGHT_METRICS: &[Known] = &[
    known("mse", Bound::Above, TENSORS),
    known("rmse", Bound::Above, TENSORS),
    with_vacuous("relative_error", TENSORS, 1.0),
    known("max_abs", Bound::Above, TENSORS),
    known("sqnr_db", Bound::Below, TENSORS),
];

/// Metrics of neighbour search.
pub const NEIGHBOUR_METRICS: &[Known] = &[
    known("top1_agreement", Bound::Below, ONLY_MEAN),
    known("top10_overlap", Bound::Below, ONLY_MEAN),
    known("spearman", Bound::Below, ONLY_MEAN),
    known("pearson", Bound::Below, ONLY_MEAN),
];

/// The name nearest to `word`, when it is near enough to be a slip of the keys.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A hostile file may hold a name of megabytes; nothing known is that long.
    if word.len() > 64 {
        return None;
    }
    let scored = names.into_iter().map(|name| (distance(word, name), name));
    let (cost, name) = scored.min_by_key(|(cost, _)| *cost)?;
    (cost <= name.len().max(3) / 3).then_some(name)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name_and_strangers_do_not() {
        let ids = || TAP_METRICS.iter().map(|k| k.id);
        assert_eq!(nearest("relativ_l2", ids()), Some("relative_l2"));
        assert_eq!(nearest("cosine", ["max", "cosine_distance"]), None);
        assert_eq!(nearest("q99", ["p90", "p99"]), Some("p99"));
        assert_eq!(nearest("banana", ids()), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), ids()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
