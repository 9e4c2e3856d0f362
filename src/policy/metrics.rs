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
    /// An upper limit past this passes anything that is not absurd, so it is refused.
    pub loosest_max: Option<f64>,
    /// The same of the largest value: one token among thousands may be lost where the others are not.
    pub loosest_largest: Option<f64>,
    /// A lower limit at or below this passes anything that is not absurd, so it is refused.
    pub loosest_min: Option<f64>,
    /// The largest value there is: a lower limit past it can never be met.
    pub highest: Option<f64>,
}

impl Known {
    const fn new(id: &'static str, bound: Bound, stats: &'static [Stat]) -> Self {
        Self { id, bound, stats, loosest_max: None, loosest_largest: None, loosest_min: None, highest: None }
    }

    const fn max_up_to(self, limit: f64) -> Self {
        Self { loosest_max: Some(limit), loosest_largest: Some(limit), ..self }
    }

    const fn largest_up_to(self, limit: f64) -> Self {
        Self { loosest_largest: Some(limit), ..self }
    }

    /// An upper limit past this passes anything.
    pub(super) fn loosest(&self, stat: Stat) -> Option<f64> {
        if stat == Stat::Max { self.loosest_largest } else { self.loosest_max }
    }

    const fn min_above(self, limit: f64) -> Self {
        Self { loosest_min: Some(limit), ..self }
    }

    const fn never_above(self, highest: f64) -> Self {
        Self { highest: Some(highest), ..self }
    }
}

const PER_TOKEN: &[Stat] = &[Stat::Mean, Stat::P50, Stat::P90, Stat::P99, Stat::P999, Stat::Min, Stat::Max];
const TENSORS: &[Stat] = &[Stat::Max, Stat::Mean, Stat::Min, Stat::Total];
const ONLY_MEAN: &[Stat] = &[Stat::Mean];
const ONLY_MAX: &[Stat] = &[Stat::Max];

/// Metrics of hidden states and sentence vectors. An all-zero output has a relative error of 1 (plain
/// and standardized), 0 dB and a norm ratio of 0; a cosine distance of 0.5 is 60 degrees. A state turned around has a
/// relative error of 2.
pub const TAP_METRICS: &[Known] = &[
    Known::new("relative_l2", Bound::Above, PER_TOKEN).max_up_to(1.0).largest_up_to(1.9),
    Known::new("standardized_l2", Bound::Above, PER_TOKEN).max_up_to(1.0),
    Known::new("cosine_distance", Bound::Above, PER_TOKEN).max_up_to(0.5),
    Known::new("sqnr_db", Bound::Below, ONLY_MEAN).min_above(0.0),
    Known::new("max_abs", Bound::Above, PER_TOKEN),
    Known::new("mse", Bound::Above, PER_TOKEN),
    Known::new("norm_ratio", Bound::Either, PER_TOKEN).min_above(0.0),
    Known::new("non_finite", Bound::Above, ONLY_MAX),
    Known::new("zero_vectors", Bound::Above, ONLY_MAX),
];

/// Metrics of stored weights. `total` is over all elements of all matrices.
pub const WEIGHT_METRICS: &[Known] = &[
    Known::new("mse", Bound::Above, TENSORS),
    Known::new("rmse", Bound::Above, TENSORS),
    Known::new("relative_error", Bound::Above, TENSORS).max_up_to(1.0),
    Known::new("max_abs", Bound::Above, TENSORS),
    Known::new("sqnr_db", Bound::Below, TENSORS).min_above(0.0),
    Known::new("group_shift", Bound::Above, ONLY_MAX),
    Known::new("twin_equal", Bound::Below, &[Stat::Min, Stat::Total]).min_above(0.0).never_above(1.0),
    Known::new("changed_groups", Bound::Above, ONLY_MAX),
    Known::new("over_twin", Bound::Above, ONLY_MAX),
    Known::new("row_over_twin", Bound::Above, ONLY_MAX),
    Known::new("group_error", Bound::Above, ONLY_MAX),
    Known::new("largest_error", Bound::Above, ONLY_MAX),
];

/// Metrics of neighbour search: shares and correlations, so 1 is the most and 0 is chance or worse.
pub const NEIGHBOUR_METRICS: &[Known] = &[
    Known::new("top1_agreement", Bound::Below, ONLY_MEAN).min_above(0.0).never_above(1.0),
    Known::new("top10_overlap", Bound::Below, ONLY_MEAN).min_above(0.0).never_above(1.0),
    Known::new("spearman", Bound::Below, ONLY_MEAN).min_above(0.0).never_above(1.0),
    Known::new("pearson", Bound::Below, ONLY_MEAN).min_above(0.0).never_above(1.0),
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
    use crate::metrics::{Better, Kind, METRICS};

    #[test]
    fn gates_know_exactly_the_metrics_that_are_measured() {
        assert!(TAP_METRICS.iter().map(|k| k.id).eq(METRICS.iter().map(|m| m.id)));
        for (known, metric) in TAP_METRICS.iter().zip(METRICS) {
            let bound = match metric.better {
                Better::Lower | Better::Zero => Bound::Above,
                Better::Higher => Bound::Below,
                Better::NearOne => Bound::Either,
            };
            let stats = match metric.kind {
                Kind::PerToken => PER_TOKEN,
                Kind::WholeTap => ONLY_MEAN,
                Kind::Count => ONLY_MAX,
            };
            assert_eq!((known.bound, known.stats), (bound, stats), "{}", known.id);
        }
    }

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

    #[test]
    fn distances_count_every_character_and_words_end_at_64() {
        assert_eq!([distance("abc", ""), distance("", "ab"), distance("abc", "b")], [3, 2, 2]);
        let (name, slip) = ("a".repeat(64), format!("{}b", "a".repeat(63)));
        assert_eq!(nearest(&slip, [name.as_str()]), Some(name.as_str()));
        let (name, slip) = ("a".repeat(65), format!("{}b", "a".repeat(64)));
        assert_eq!(nearest(&slip, [name.as_str()]), None);
    }
}
