//! What both sides score on labels, and what the candidate lost.

use serde::{Deserialize, Serialize};

use super::bootstrap::interval;
use super::correlation::Correlated;
use super::ranking::Ranking;
use crate::json_float;

/// A score of pairs: its name, and its value where pair `i` stands `times[i]` times.
type OfPairs = (&'static str, fn(&Correlated<'_>, &[u32]) -> Option<f64>);

/// Scores of pairs of sentences. To add one: a row here, and one in the metrics that gates know.
pub const PAIR_SCORES: &[OfPairs] =
    &[("spearman", |c, times| c.spearman(times)), ("pearson", |c, times| c.pearson(times))];

/// A score of a search: its name, and what one query adds to the mean.
type OfQueries = (&'static str, fn(&Ranking) -> f64);

/// Scores of a search.
pub const SEARCH_SCORES: &[OfQueries] =
    &[("ndcg_at_10", |r| r.ndcg), ("recall_at_10", |r| r.recall), ("mrr_at_10", |r| r.reciprocal_rank)];

/// What follows a score's name in the name of its gate's metric.
pub const DROP: &str = "_drop";

/// One score of both sides. Numbers are none where labels or similarities do not vary, and NaN where a vector was zero or
/// no number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LabelScore {
    /// Its name: `spearman`, `ndcg_at_10`.
    pub score: String,
    /// Of the reference.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub reference: Option<f64>,
    /// Of the candidate.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub candidate: Option<f64>,
    /// Reference minus candidate: below 0 the candidate is better. None where the reference itself scores nothing (labels
    /// that count distances, a task that it does not know): then less would look like more.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub drop: Option<f64>,
    /// Lower end of the 95 % interval of the drop over other rows like these (paired bootstrap).
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub low: Option<f64>,
    /// Its upper end.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub high: Option<f64>,
}

impl LabelScore {
    fn new(score: &str, values: [Option<f64>; 2], ends: Option<[f64; 2]>) -> Self {
        let [reference, candidate] = values;
        let drop = Self::lost(reference, candidate);
        let [low, high] = ends.filter(|_| drop.is_some()).map_or([None, None], |ends| ends.map(Some));
        Self { score: score.to_owned(), reference, candidate, drop, low, high }
    }

    /// What follows from both scores.
    pub fn lost(reference: Option<f64>, candidate: Option<f64>) -> Option<f64> {
        let (reference, candidate) = (reference?, candidate?);
        // NaN is lost, not left out.
        (reference > 0.0 || reference.is_nan()).then_some(reference - candidate)
    }

    /// The name of the metric that gates limit.
    pub fn metric(&self) -> String {
        format!("{}{DROP}", self.score)
    }
}

/// Every score of pairs: their labels, and the cosines of both sides.
pub fn of_pairs(labels: &[f64], reference: &[f64], candidate: &[f64]) -> Vec<LabelScore> {
    let once = vec![1u32; labels.len()];
    let unusable = reference.iter().chain(candidate).any(|v| !v.is_finite());
    let (ours, theirs) = (Correlated::new(reference, labels), Correlated::new(candidate, labels));
    let score = |(name, of): &OfPairs| {
        if unusable {
            return LabelScore::new(name, [Some(f64::NAN); 2], None);
        }
        let ends = interval(labels.len(), |times| Some(of(&ours, times)? - of(&theirs, times)?));
        LabelScore::new(name, [of(&ours, &once), of(&theirs, &once)], ends)
    };
    PAIR_SCORES.iter().map(score).collect()
}

/// Every score of a search: what each query's list is worth on both sides; none for a query that has none.
pub fn of_search(rankings: &[Option<[Ranking; 2]>]) -> Vec<LabelScore> {
    let n = rankings.len() as f64;
    let score = |(name, of): &OfQueries| {
        let values: Option<Vec<[f64; 2]>> =
            rankings.iter().map(|r| r.map(|sides| sides.map(|side| of(&side)))).collect();
        let Some(values) = values.filter(|v| !v.is_empty()) else {
            return LabelScore::new(name, [Some(f64::NAN); 2], None);
        };
        let mean = |side: usize| Some(values.iter().map(|v| v[side]).sum::<f64>() / n);
        let lost = |times: &[u32]| {
            Some(values.iter().zip(times).map(|(v, times)| (v[0] - v[1]) * f64::from(*times)).sum::<f64>() / n)
        };
        LabelScore::new(name, [mean(0), mean(1)], interval(values.len(), lost))
    };
    SEARCH_SCORES.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_is_the_same_loses_nothing() {
        let labels: Vec<f64> = (0..50).map(|i| f64::from(i % 6)).collect();
        let cosines: Vec<f64> = (0..50).map(|i| 0.1 * f64::from(i % 6) + 0.01 * f64::from((i * 13) % 7)).collect();
        for score in of_pairs(&labels, &cosines, &cosines) {
            assert_eq!((score.drop, score.low, score.high), (Some(0.0), Some(0.0), Some(0.0)), "{score:?}");
            assert!(score.reference.unwrap() > 0.9);
        }
        let worse: Vec<f64> = cosines.iter().enumerate().map(|(i, c)| if i % 3 == 0 { -c } else { *c }).collect();
        for score in of_pairs(&labels, &cosines, &worse) {
            assert!(score.low.unwrap() > 0.0 && score.high > score.drop && score.drop > score.low, "{score:?}");
        }
    }

    #[test]
    fn vectors_that_are_no_numbers_are_nan_and_never_a_drop_of_nothing() {
        let labels: Vec<f64> = (0..40).map(f64::from).collect();
        let mut broken = labels.clone();
        broken[7] = f64::NAN;
        for score in of_pairs(&labels, &labels, &broken) {
            assert!(score.drop.unwrap().is_nan() && score.low.is_none());
        }
        let good = Ranking { ndcg: 1.0, recall: 1.0, reciprocal_rank: 1.0 };
        assert!(of_search(&[Some([good; 2]), None])[0].drop.unwrap().is_nan());
        assert!(of_search(&[])[0].drop.unwrap().is_nan());
        let distances: Vec<f64> = labels.iter().map(|l| -l).collect();
        let turned = of_pairs(&distances, &labels, &[0.1, 0.7].repeat(20));
        assert!(
            turned[0].reference.unwrap() < -0.9 && turned[0].drop.is_none() && turned[0].low.is_none(),
            "labels of distances"
        );
        let constant = of_pairs(&labels, &labels, &[0.5; 40]);
        assert_eq!((constant[0].candidate, constant[0].drop), (None, None), "similarities that do not vary");
    }

    #[test]
    fn a_search_loses_the_mean_of_its_queries() {
        let at = |ndcg: f64| Ranking { ndcg, recall: ndcg / 2.0, reciprocal_rank: 1.0 };
        let rankings: Vec<_> = (0..40).map(|i| Some([at(1.0), at(if i % 4 == 0 { 0.0 } else { 1.0 })])).collect();
        let scores = of_search(&rankings);
        assert_eq!((scores[0].drop, scores[1].drop, scores[2].drop), (Some(0.25), Some(0.125), Some(0.0)));
        assert!(scores[0].low.unwrap() > 0.05 && scores[0].high.unwrap() < 0.45, "{:?}", scores[0]);
        assert_eq!(scores[0].metric(), "ndcg_at_10_drop");
    }
}
