//! How good a ranked list is, by documents that people judged (BEIR's and trec_eval's measures).

/// Documents looked at.
pub const DEPTH: usize = 10;

/// What one query's list is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranking {
    /// Normalized discounted cumulative gain of the first ten (Järvelin & Kekäläinen 2002; trec_eval's `ndcg_cut_10`: the
    /// gain is the grade itself).
    pub ndcg: f64,
    /// Share of all relevant documents that are among the first ten.
    pub recall: f64,
    /// One over the rank of the first relevant document; 0 where none is among the first ten.
    pub reciprocal_rank: f64,
}

impl Ranking {
    /// Of the first ten documents' grades in the order of the list, and of all grades of the query that are above 0; none
    /// where nothing is relevant.
    pub fn of(first: &[f64], relevant: &[f64]) -> Option<Self> {
        if relevant.is_empty() {
            return None;
        }
        let gain = |grades: &mut dyn Iterator<Item = f64>| -> f64 {
            (2u32..).zip(grades.take(DEPTH)).map(|(rank, grade)| grade.max(0.0) / f64::from(rank).log2()).sum()
        };
        let mut best = relevant.to_vec();
        best.sort_unstable_by(|a, b| b.total_cmp(a));
        let found = first.iter().take(DEPTH).filter(|grade| **grade > 0.0).count();
        let at = first.iter().take(DEPTH).position(|grade| *grade > 0.0);
        Some(Self {
            ndcg: gain(&mut first.iter().copied()) / gain(&mut best.into_iter()),
            recall: found as f64 / relevant.len() as f64,
            reciprocal_rank: at.map_or(0.0, |at| 1.0 / (at + 1) as f64),
        })
    }
}

/// The documents with the highest scores, best first, ties to the earlier one; those that `left_out` names are not ranked.
pub fn first(scores: &[f64], left_out: impl Fn(usize) -> bool) -> Vec<usize> {
    let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then_with(|| a.cmp(b));
    let mut all: Vec<usize> = (0..scores.len()).filter(|i| !left_out(*i)).collect();
    if all.len() > DEPTH {
        all.select_nth_unstable_by(DEPTH, order);
        all.truncate(DEPTH);
    }
    all.sort_unstable_by(order);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_worth_what_the_textbook_says() {
        // DCG 3 + 0 + 2/2 + 1/log2 5, the best 3 + 2/log2 3 + 1/2.
        let found = Ranking::of(&[3.0, 0.0, 2.0, 1.0], &[1.0, 2.0, 3.0]).unwrap();
        let best = 3.0 + 2.0 / 3f64.log2() + 0.5;
        assert!((found.ndcg - (4.0 + 1.0 / 5f64.log2()) / best).abs() < 1e-15);
        assert_eq!((found.recall, found.reciprocal_rank), (1.0, 1.0));
        let late = Ranking::of(&[0.0, 0.0, 1.0], &[1.0, 1.0]).unwrap();
        assert_eq!((late.recall, late.reciprocal_rank), (0.5, 1.0 / 3.0));
        assert_eq!(Ranking::of(&[0.0; 12], &[2.0]).unwrap(), Ranking { ndcg: 0.0, recall: 0.0, reciprocal_rank: 0.0 });
        assert_eq!(Ranking::of(&[0.0], &[]), None, "nothing is relevant");
    }

    #[test]
    fn what_stands_behind_the_tenth_place_does_not_count() {
        let mut grades = vec![0.0; DEPTH];
        grades.push(1.0);
        assert_eq!(Ranking::of(&grades, &[1.0]).unwrap().recall, 0.0);
        let many = vec![1.0; 12];
        let all = Ranking::of(&many, &many).unwrap();
        assert_eq!((all.ndcg, all.recall), (1.0, 10.0 / 12.0));
        assert_eq!(Ranking::of(&[-1.0, 1.0], &[1.0]).unwrap().reciprocal_rank, 0.5, "a grade below 0 is not relevant");
    }

    #[test]
    fn the_first_ten_are_the_best_ten() {
        let scores: Vec<f64> = (0..40).map(|i| f64::from((i * 7) % 40)).collect();
        let best = first(&scores, |i| i == 17);
        assert_eq!(best.len(), DEPTH);
        assert!(best.windows(2).all(|w| scores[w[0]] > scores[w[1]]) && !best.contains(&17));
        assert_eq!(scores[best[0]], 38.0, "39 was left out");
        assert_eq!(first(&[1.0, 2.0, 2.0], |_| false), [1, 2, 0], "ties to the earlier one");
    }
}
