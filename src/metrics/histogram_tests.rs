//! The histogram against sorted values.

use proptest::prelude::*;

use super::*;

fn histogram(values: &[f64]) -> Histogram {
    let mut h = Histogram::new();
    for &v in values {
        h.add(v);
    }
    h
}

/// Nearest rank over sorted values, NaN last.
fn exact(values: &[f64], thousandths: u64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as u64 * thousandths).div_ceil(1000).max(1);
    sorted[rank as usize - 1]
}

#[test]
fn empty_is_nothing() {
    let h = Histogram::new();
    assert_eq!((h.count(), h.min(), h.max(), h.quantile(500)), (0, None, None, None));
}

#[test]
fn lanes() {
    let h = histogram(&[0.0, -0.0, f64::INFINITY, 1.0]);
    assert_eq!((h.count(), h.min(), h.max()), (4, Some(0.0), Some(f64::INFINITY)));
    assert_eq!(h.quantile(500), Some(0.0));
    assert!((1.0..1.0 + QUANTILE_ERROR).contains(&h.quantile(750).unwrap()));
    assert_eq!(h.quantile(1000), Some(f64::INFINITY));
}

#[test]
fn nan_is_larger_than_everything_and_never_dropped() {
    let mut values = vec![0.5; 99];
    values.push(f64::NAN);
    let h = histogram(&values);
    assert_eq!(h.count(), 100);
    assert_eq!(h.quantile(990), Some(0.5), "one of a hundred is beyond p99");
    assert!(h.quantile(999).unwrap().is_nan());
    assert!(h.max().unwrap().is_nan() && h.min().unwrap().is_nan());
    assert!(histogram(&[f64::NAN]).quantile(500).unwrap().is_nan());
    assert_eq!(histogram(&[-1.0]).nan(), 1, "a negative distance is no number");
}

#[test]
fn memory_is_bounded_by_the_spread_not_by_the_count() {
    let mut h = Histogram::new();
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..200_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        h.add(1e-3 + (x >> 11) as f64 / (1u64 << 53) as f64); // about ten powers of two
    }
    assert!(h.occupied() <= 11 * PAGE, "{} buckets", h.occupied());
    assert!(h.pages.len() <= 11);
}

#[test]
fn hostile_saved_states_are_refused() {
    for bad in [
        r#"{"zero":0,"infinite":0,"nan":0,"min":null,"max":null,"buckets":[[4294967295,1]]}"#,
        r#"{"zero":0,"infinite":0,"nan":0,"min":null,"max":null,"buckets":[[130944,1]]}"#,
        r#"{"zero":0,"infinite":0,"nan":0,"min":0,"max":9221120237041090560,"buckets":[]}"#,
        r#"{"zero":0,"infinite":0,"nan":1,"min":0,"max":0,"buckets":[]}"#,
        r#"{"zero":7,"infinite":0,"nan":0,"min":null,"max":null,"buckets":[]}"#,
        // Two buckets, the smallest value above the largest.
        r#"{"zero":0,"infinite":0,"nan":0,"min":4607182418800017408,"max":4602678819172646912,"buckets":[[130816,1],[130944,1]]}"#,
    ] {
        assert!(serde_json::from_str::<Histogram>(bad).is_err(), "{bad}");
    }
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        8 => (-300f64..300.0).prop_map(|e| 10f64.powf(e)),
        8 => 0.001f64..1.0,
        1 => Just(0.0),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NAN),
    ];
    prop::collection::vec(value, 1..300)
}

proptest! {
    #[test]
    fn quantiles_are_within_a_bucket_above(values in values()) {
        let h = histogram(&values);
        for p in [500u32, 900, 990, 999, 1000] {
            let (seen, truth) = (h.quantile(p).unwrap(), exact(&values, u64::from(p)));
            if truth.is_nan() {
                prop_assert!(seen.is_nan());
            } else if truth.is_infinite() || truth == 0.0 {
                prop_assert_eq!(seen, truth);
            } else {
                prop_assert!(seen >= truth && seen <= truth * (1.0 + QUANTILE_ERROR), "p{}: {} for {}", p, seen, truth);
            }
        }
    }

    #[test]
    fn merging_in_any_order_gives_the_same_bytes(values in values(), cut in 0usize..300) {
        let (a, b) = values.split_at(cut % (values.len() + 1));
        let whole = serde_json::to_string(&histogram(&values)).unwrap();
        let (mut ab, mut ba) = (histogram(a), histogram(b));
        ab.merge(&histogram(b));
        ba.merge(&histogram(a));
        prop_assert_eq!(&serde_json::to_string(&ab).unwrap(), &whole);
        prop_assert_eq!(&serde_json::to_string(&ba).unwrap(), &whole);
        let back: Histogram = serde_json::from_str(&whole).unwrap();
        prop_assert_eq!(serde_json::to_string(&back).unwrap(), whole);
    }
}

#[test]
fn one_bucket_is_a_128th_and_only_what_occurs_is_occupied() {
    assert_eq!(QUANTILE_ERROR, 0.007_812_5);
    let h = histogram(&[1.0, 1.0, 3.0]);
    assert_eq!((h.occupied(), h.nan(), histogram(&[]).occupied()), (2, 0, 0));
    assert_eq!(histogram(&[f64::NAN, -1.0]).nan(), 2);
    let exact = r#"{"zero":0,"infinite":0,"nan":0,"min":4602678819172646912,"max":4607182418800017408,"buckets":[[130816,1],[130944,1]]}"#;
    assert_eq!(serde_json::to_string(&histogram(&[1.0, 0.5])).unwrap(), exact);
}

#[test]
fn steps_hold_every_value_once() {
    let mut h = Histogram::new();
    assert!(h.steps().is_empty());
    h.add(0.0);
    assert_eq!(h.steps(), [(0.0, 1)]);
    for x in [1.5e-4, 1.9e-4, 3.1e-4, 3.2e-4] {
        h.add(x);
    }
    assert_eq!(h.steps(), [(1.6e-4, 2), (2e-4, 1), (2.5e-4, 0), (3.15e-4, 1), (4e-4, 1)]);
    h.add(f64::NAN);
    h.add(f64::INFINITY);
    assert_eq!(h.steps().last(), Some(&(f64::INFINITY, 2)));
    assert_eq!(h.steps().iter().map(|s| s.1).sum::<u64>(), h.count());
    h.add(1e-320);
    h.add(f64::MAX);
    assert_eq!(h.steps().iter().map(|s| s.1).sum::<u64>(), h.count());
}
