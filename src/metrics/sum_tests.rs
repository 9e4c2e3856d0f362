//! The exact sum against cases worked by hand and against integer arithmetic.

use proptest::prelude::*;

use super::*;

fn sum(values: &[f64]) -> ExactSum {
    let mut s = ExactSum::new();
    for &v in values {
        s.add(v);
    }
    s
}

/// Sum of integers scaled by 2^-40, by i128: an oracle for moderate values.
fn oracle(integers: &[i64]) -> f64 {
    let total: i128 = integers.iter().map(|&i| i128::from(i)).sum();
    // i128 -> f64 rounds to nearest even; the power of two is exact.
    total as f64 * 2f64.powi(-40)
}

#[test]
fn cases_where_floating_addition_is_wrong() {
    assert_eq!(sum(&[1e308, 1.0, -1e308]).value(), 1.0);
    assert_eq!(sum(&[1e308, 1e-308, -1e308]).value(), 1e-308);
    assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
    assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
    assert_eq!(sum(&[-f64::MAX, -f64::MAX]).value(), f64::NEG_INFINITY);
    let tiny = f64::from_bits(1);
    assert_eq!(sum(&[tiny, tiny, tiny]).value(), f64::from_bits(3));
    assert_eq!(sum(&[1.0, tiny, -1.0]).value(), tiny);
    assert_eq!(sum(&[-1.0, -tiny, 1.0]).value(), -tiny);
    assert_eq!(sum(&[]).value().to_bits(), 0);
    assert_eq!(sum(&[-0.0, 1.5, -1.5]).value().to_bits(), 0, "zero has one sign");
}

#[test]
fn rounds_once_and_ties_to_even() {
    let ulp = f64::EPSILON; // of 1.0
    assert_eq!(sum(&[1.0, ulp / 2.0]).value(), 1.0, "tie, 1.0 is even");
    assert_eq!(sum(&[1.0 + ulp, ulp / 2.0]).value(), 1.0 + 2.0 * ulp, "tie, 1+ulp is odd");
    assert_eq!(sum(&[1.0, ulp / 2.0, f64::from_bits(1)]).value(), 1.0 + ulp, "a crumb below decides");
    assert_eq!(sum(&[1.0, ulp / 2.0, -f64::from_bits(1)]).value(), 1.0);
    assert_eq!(sum(&[2.0 - ulp, ulp / 2.0]).value(), 2.0, "rounds up into the next binade");
    assert_eq!(sum(&[f64::MIN_POSITIVE, -f64::from_bits(1)]).value(), f64::from_bits((1 << 52) - 1));
}

#[test]
fn nan_and_infinity_stick() {
    assert!(sum(&[1.0, f64::NAN]).value().is_nan());
    assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
    assert_eq!(sum(&[f64::INFINITY, -1e308]).value(), f64::INFINITY);
    let mut s = sum(&[1.0]);
    s.merge(&sum(&[f64::NEG_INFINITY]));
    assert_eq!(s.value(), f64::NEG_INFINITY);
}

#[test]
fn delayed_carries_do_not_overflow() {
    let mut s = sum(&[f64::MAX]);
    s.pending = MAX_PENDING; // as after 2^30 additions
    s.add(-f64::MAX);
    s.add(3.0);
    assert_eq!(s.value(), 3.0);
    // The largest pieces a limb can get, as often as it may get them without a carry.
    let mut s = ExactSum::new();
    s.limbs[20] = i64::from(u32::MAX) * i64::from(MAX_PENDING);
    let doubled = {
        let mut twice = s.clone();
        twice.merge(&s);
        twice
    };
    assert_eq!(doubled.value(), 2.0 * s.value());
}

#[test]
fn saved_states_are_unique_and_hostile_ones_are_refused() {
    let a = sum(&[0.1, 0.2, -0.7]);
    let b = sum(&[-0.7, 0.1, 0.2]);
    let text = serde_json::to_string(&a).unwrap();
    assert_eq!(text, serde_json::to_string(&b).unwrap());
    assert_eq!(serde_json::from_str::<ExactSum>(&text).unwrap(), a);
    let hostile = r#"{"negative":true,"start":67,"limbs":[1,2],"nan":0,"positive_infinity":0,"negative_infinity":0}"#;
    assert!(serde_json::from_str::<ExactSum>(hostile).is_err());
    let hostile = hostile.replace("67", "18446744073709551615");
    assert!(serde_json::from_str::<ExactSum>(&hostile).is_err());
}

/// 2^k units of 2^-1074.
fn unit(k: i32) -> f64 {
    f64::from_bits(1) * 2f64.powi(k - 1) * 2.0
}

#[test]
fn values_around_the_first_rounded_bit_and_crumbs_far_below() {
    for bits in [1, (1 << 52) - 1, 1 << 52, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, (3 << 52) + 5] {
        assert_eq!(sum(&[f64::from_bits(bits)]).value().to_bits(), bits, "{bits:#x}");
    }
    // Bit 180 is in limb 5, half its ulp (bit 127) in limb 3, the crumb (bit 70) in limb 2.
    let (one, half, crumb) = (unit(180), unit(127), unit(70));
    assert_eq!(sum(&[one, half]).value(), one, "a tie, to even");
    assert_eq!(sum(&[one, half, crumb]).value(), one + unit(128));
}

#[test]
fn carries_are_counted() {
    assert_eq!(MAX_PENDING, 1_073_741_824);
    let mut s = ExactSum::new();
    s.pending = MAX_PENDING - 1;
    s.add(1.0);
    assert_eq!(s.pending, MAX_PENDING);
    s.add(1.0);
    assert_eq!((s.pending, s.value()), (1, 2.0));
}

#[test]
fn the_written_form_is_this_one_and_keeps_infinities() {
    let text = r#"{"negative":false,"start":33,"limbs":[262144],"nan":0,"positive_infinity":0,"negative_infinity":0}"#;
    assert_eq!(serde_json::to_string(&sum(&[1.0])).unwrap(), text);
    let wide = serde_json::to_value(sum(&[unit(64), unit(1)])).unwrap();
    assert_eq!((&wide["start"], &wide["limbs"]), (&0.into(), &serde_json::json!([2, 0, 1])));
    assert_eq!(serde_json::to_value(sum(&[])).unwrap()["limbs"], serde_json::json!([]));
    for x in [f64::INFINITY, f64::NEG_INFINITY] {
        let back: ExactSum = serde_json::from_str(&serde_json::to_string(&sum(&[x])).unwrap()).unwrap();
        assert_eq!(back.value(), x);
    }
    assert_ne!(sum(&[1.0]), sum(&[2.0]));
}

/// Any finite f64, all exponents alike.
fn any_finite() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite())
}

proptest! {
    #[test]
    fn equals_integer_arithmetic(integers in prop::collection::vec(-(1i64 << 53)..(1i64 << 53), 0..200)) {
        let values: Vec<f64> = integers.iter().map(|&i| i as f64 * 2f64.powi(-40)).collect();
        prop_assert_eq!(sum(&values).value(), oracle(&integers));
    }

    #[test]
    fn order_and_grouping_change_nothing(values in prop::collection::vec(any_finite(), 1..60), cuts in prop::collection::vec(0usize..60, 0..6), seed in any::<u64>()) {
        let all = serde_json::to_string(&sum(&values)).unwrap();
        let mut shuffled = values.clone();
        let mut state = seed;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (values.len() + 1)).collect();
        cuts.sort_unstable();
        let mut merged = ExactSum::new();
        let mut start = 0;
        for end in cuts.into_iter().chain([shuffled.len()]) {
            let mut part = sum(&shuffled[start..end]);
            part.merge(&merged);
            merged = part;
            start = end;
        }
        prop_assert_eq!(&serde_json::to_string(&merged).unwrap(), &all);
        prop_assert_eq!(serde_json::from_str::<ExactSum>(&all).unwrap().value().to_bits(), sum(&values).value().to_bits());
    }

    #[test]
    fn what_is_subtracted_again_leaves_the_rest(values in prop::collection::vec(any_finite(), 0..40), rest in any_finite()) {
        let mut s = sum(&values);
        s.add(rest);
        for v in values.iter().rev() {
            s.add(-v);
        }
        prop_assert_eq!(s.value(), rest);
    }
}
