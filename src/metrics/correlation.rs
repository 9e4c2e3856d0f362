//! Correlation of two lists: of similarities, or of similarities and labels.

/// A list whose variance is below this is constant up to f64 noise (similarities are in [-1, 1]): 2⁻⁶⁶, 1.4e-20.
pub const CONSTANT: f64 = 1.0 / (1u128 << 66) as f64;

/// Pearson's correlation; `None` when either list does not vary or there are fewer than two values.
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    weighted(a, b, |_| 1.0)
}

/// Pearson's correlation of lists in which value `i` stands `times(i)` times.
fn weighted(a: &[f64], b: &[f64], times: impl Fn(usize) -> f64) -> Option<f64> {
    let n = a.len().min(b.len());
    let pairs = || (0..n).map(|i| (times(i), a[i], b[i])).filter(|(w, ..)| *w > 0.0);
    let (count, sum_a, sum_b) = pairs().fold((0.0, 0.0, 0.0), |s, (w, x, y)| (s.0 + w, s.1 + w * x, s.2 + w * y));
    if count < 2.0 {
        return None;
    }
    let (mean_a, mean_b) = (sum_a / count, sum_b / count);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (w, x, y) in pairs() {
        let (x, y) = (x - mean_a, y - mean_b);
        aa += w * x * x;
        bb += w * y * y;
        ab += w * x * y;
    }
    if aa / count < CONSTANT || bb / count < CONSTANT {
        return None;
    }
    // One root: equal lists give exactly 1.
    Some((ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    // A constant list has ranks that are all equal up to noise; refuse it by its values.
    pearson(a, b)?;
    pearson(&ranks(a), &ranks(b))
}

fn ranks(x: &[f64]) -> Vec<f64> {
    Ordered::new(x).ranks(|_| 1.0)
}

/// A list whose order is known, for ranks of many resamples of it.
struct Ordered<'a> {
    values: &'a [f64],
    order: Vec<usize>,
}

impl<'a> Ordered<'a> {
    fn new(values: &'a [f64]) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
        Self { values, order }
    }

    /// Rank of each value, from 0, where value `i` stands `times(i)` times.
    fn ranks(&self, times: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut ranks = vec![0.0; self.values.len()];
        let mut before = 0.0;
        for group in self.order.chunk_by(|&i, &j| self.values[i] == self.values[j]) {
            let count: f64 = group.iter().map(|i| times(*i)).sum();
            group.iter().for_each(|i| ranks[*i] = before + (count - 1.0) / 2.0);
            before += count;
        }
        ranks
    }
}

/// Correlations of one list with labels, of the whole and of resamples of it.
pub struct Correlated<'a> {
    values: Ordered<'a>,
    labels: Ordered<'a>,
}

impl<'a> Correlated<'a> {
    /// Of as many values as labels.
    pub fn new(values: &'a [f64], labels: &'a [f64]) -> Self {
        Self { values: Ordered::new(values), labels: Ordered::new(labels) }
    }

    /// Pearson's, where pair `i` stands `times[i]` times.
    pub fn pearson(&self, times: &[u32]) -> Option<f64> {
        weighted(self.values.values, self.labels.values, |i| f64::from(times[i]))
    }

    /// Spearman's, likewise.
    pub fn spearman(&self, times: &[u32]) -> Option<f64> {
        self.pearson(times)?;
        let times = |i: usize| f64::from(times[i]);
        weighted(&self.values.ranks(times), &self.labels.ranks(times), times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_of_the_textbook() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(pearson(&a, &a), Some(1.0));
        assert_eq!(pearson(&a, &[5.0, 4.0, 3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(spearman(&a, &[1.0, 10.0, 100.0, 1e3, 1e4]), Some(1.0), "monotone, not linear");
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        // By hand: ranks 2.5 1 2.5 5 4, deviations -.5 -2 -.5 2 1 against -2 -1 0 1 2: 7 / √(10 · 9.5).
        let rho = spearman(&a, &[2.0, 1.0, 2.0, 5.0, 4.0]).unwrap();
        assert!((rho - 7.0 / 95f64.sqrt()).abs() < 1e-15, "{rho}");
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        let noise = [1.0, 1.0 + 1e-16, 1.0 - 1e-16];
        assert_eq!(pearson(&noise, &[1.0, 2.0, 3.0]), None);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &noise), None);
        assert_eq!(pearson(&[1.0], &[1.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }

    #[test]
    fn two_values_are_enough_and_the_least_variance_is_exact() {
        let two = [1.0, 2.0];
        assert_eq!((pearson(&two, &two), pearson(&two[..1], &two)), (Some(1.0), None));
        // ±x has the variance x².
        let spread = |x: f64| [-x, x];
        let least = 1.0 / (1u64 << 33) as f64;
        for (a, b) in [(spread(least), two), (two, spread(least))] {
            assert_eq!(pearson(&a, &b), Some(1.0));
        }
        for (a, b) in [(spread(least * 0.75), two), (two, spread(least * 0.75))] {
            assert_eq!(pearson(&a, &b), None);
        }
    }

    #[test]
    fn a_resample_is_the_list_it_stands_for() {
        let (a, b) = ([3.0, 1.0, 3.0, 2.0, -4.0], [0.5, 1.5, 0.25, 0.5, 9.0]);
        let times = [2u32, 0, 1, 3, 1];
        let long = |x: &[f64]| -> Vec<f64> {
            x.iter().zip(times).flat_map(|(v, n)| std::iter::repeat_n(*v, n as usize)).collect()
        };
        let (long_a, long_b) = (long(&a), long(&b));
        let resampled = Correlated::new(&a, &b);
        for (own, list) in [
            (resampled.pearson(&times), pearson(&long_a, &long_b)),
            (resampled.spearman(&times), spearman(&long_a, &long_b)),
            (resampled.spearman(&[1; 5]), spearman(&a, &b)),
        ] {
            assert!((own.unwrap() - list.unwrap()).abs() < 1e-14, "{own:?} {list:?}");
        }
        assert_eq!(resampled.pearson(&[0, 3, 0, 0, 0]), None, "one pair, three times");
        assert_eq!(resampled.spearman(&[1, 0, 1, 0, 0]), None, "values that are all the same");
    }
}
