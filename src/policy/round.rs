//! Numbers for people that stay true.

use super::Direction;

/// `value` with 3 significant digits, rounded away from the limit's side that would fail: up for a
/// `max`, down for a `min`, so that a limit copied from a message really passes. None when not finite.
pub fn outward(value: f64, direction: Direction) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    if value == 0.0 {
        return Some(0.0);
    }
    // Decimal text is the honest way: `0.0523` must come out as the f64 that a TOML reader makes of it.
    let text = format!("{value:.2e}");
    let nearest: f64 = text.parse().ok()?;
    if nearest.is_finite() && direction.keeps(value, nearest) {
        return Some(nearest);
    }
    let (mantissa, exponent) = text.split_once('e')?;
    let hundredths: i64 = mantissa.replace('.', "").parse().ok()?;
    let exponent: i32 = exponent.parse().ok()?;
    let step = if direction == Direction::Max { 1 } else { -1 };
    let moved: f64 = format!("{}e{}", hundredths.checked_add(step)?, exponent.checked_sub(2)?).parse().ok()?;
    Some(if moved.is_finite() && direction.keeps(value, moved) { moved } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_to_three_digits_on_the_passing_side() {
        for (value, direction, expected) in [
            (0.052_31, Direction::Max, 0.0524),
            (0.0523, Direction::Max, 0.0523),
            (0.052_31, Direction::Min, 0.0523),
            (0.052_29, Direction::Min, 0.0522),
            (9.999, Direction::Max, 10.0),
            (9.991, Direction::Max, 10.0),
            (1.001e-3, Direction::Min, 1.0e-3),
            (-9.994, Direction::Min, -10.0),
            (0.0, Direction::Max, 0.0),
        ] {
            assert_eq!(outward(value, direction), Some(expected), "{value} {direction}");
        }
        assert_eq!(outward(f64::NAN, Direction::Max), None);
        assert_eq!(outward(f64::INFINITY, Direction::Max), None);
        assert_eq!(outward(f64::MAX, Direction::Max), Some(f64::MAX));
    }

    proptest! {
        #[test]
        fn a_suggested_limit_passes(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            for direction in [Direction::Max, Direction::Min] {
                prop_assert!(direction.keeps(value, outward(value, direction).unwrap()));
            }
        }
    }
}
