//! Correlation of two lists of similarities.

/// A list whose variance is below this is constant up to f64 noise (similarities are in [-1, 1]): 2⁻⁶⁶, 1.4e-20.
pub(super) const CONSTANT: f64 = 1.0 / (1u128 << 66) as f64;

/// Pearson's correlation; `None` when either list does not vary or there are fewer than two values.
pub(super) fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len().min(b.len());
    if n < 2 {
        return None;
    }
    let (a, b) = (&a[..n], &b[..n]);
    let mean = |x: &[f64]| x.iter().sum::<f64>() / n as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    if aa / (n as f64) < CONSTANT || bb / (n as f64) < CONSTANT {
        return None;
    }
    // One root: equal lists give exactly 1.
    Some((ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank.
pub(super) fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    // A constant list has ranks that are all equal up to noise; refuse it by its values.
    pearson(a, b)?;
    pearson(&ranks(a), &ranks(b))
}

fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_unstable_by(|&i, &j| x[i].total_cmp(&x[j]));
    let mut ranks = vec![0.0; x.len()];
    let mut start = 0;
    for group in order.chunk_by(|&i, &j| x[i] == x[j]) {
        let mean = start as f64 + (group.len() - 1) as f64 / 2.0;
        for &i in group {
            ranks[i] = mean;
        }
        start += group.len();
    }
    ranks
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
}
