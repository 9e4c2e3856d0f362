//! How far a number that was measured on some rows may be from that of all rows like them.

/// Resamples of an interval: the ends of a 95 % interval are then the 25th and the 975th.
const RESAMPLES: usize = 1000;

/// Share of the resamples that must give a number.
const USABLE: f64 = 0.9;

/// The 95 % percentile interval of a statistic over `rows` rows (Efron & Tibshirani 1993, chapter 13): `of` gets how often
/// each row stands in the resample. Paired where `of` takes a difference of two sides. Seeded: the same rows give the same
/// interval. None where the statistic has no value in one resample of ten.
pub fn interval(rows: usize, of: impl Fn(&[u32]) -> Option<f64>) -> Option<[f64; 2]> {
    let mut state = 0u64;
    let mut times = vec![0u32; rows];
    let mut found = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        times.fill(0);
        for _ in 0..rows {
            times[pick(&mut state, rows)] += 1;
        }
        found.extend(of(&times).filter(|v| !v.is_nan()));
    }
    found.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| found.get(((found.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied();
    if (found.len() as f64) < USABLE * RESAMPLES as f64 { None } else { Some([at(0.025)?, at(0.975)?]) }
}

/// A number below `most`, by SplitMix64 (Steele, Lea & Flood 2014) and Lemire's multiplication (2019).
fn pick(state: &mut u64, most: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((u128::from(z ^ (z >> 31)) * most as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64], times: &[u32]) -> f64 {
        values.iter().zip(times).map(|(v, n)| v * f64::from(*n)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() {
        let values: Vec<f64> = (0..400).map(|i| f64::from((i * 37) % 400)).collect();
        let [low, high] = interval(values.len(), |times| Some(mean(&values, times))).unwrap();
        // Uniform on 0 to 399: standard deviation 115.5, of the mean 5.77.
        assert!(
            (low - (199.5 - 1.96 * 5.77)).abs() < 2.0 && (high - (199.5 + 1.96 * 5.77)).abs() < 2.0,
            "{low} {high}"
        );
        assert_eq!(interval(values.len(), |times| Some(mean(&values, times))), Some([low, high]), "seeded");
    }

    #[test]
    fn what_has_no_value_has_no_interval() {
        assert_eq!(interval(5, |_| None), None);
        assert_eq!(interval(5, |_| Some(f64::NAN)), None);
        assert_eq!(interval(0, |_| Some(1.0)), Some([1.0, 1.0]));
        let mut state = 3;
        assert!((0..1000).all(|_| pick(&mut state, 7) < 7));
    }
}
