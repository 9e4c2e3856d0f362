//! How far a number is from perfect, so that "10 % worse" and "twice that" mean the same for every metric.

use super::Direction;
use super::metrics::limits_of;

/// The loss of a value: 0 is perfect. NaN stays NaN, and a metric that nothing has is NaN.
pub fn loss(metric: &str, value: f64) -> f64 {
    limits_of(metric).map_or(f64::NAN, |limits| limits.loss.of(value))
}

/// The value with that loss, on the side that a limit of this direction bounds.
pub fn at_loss(metric: &str, direction: Direction, loss: f64) -> f64 {
    limits_of(metric).map_or(f64::NAN, |limits| limits.loss.value(loss, direction == Direction::Max))
}

/// Losses below this are not the candidate's.
pub fn noise(metric: &str) -> f64 {
    limits_of(metric).map_or(0.0, |limits| limits.noise)
}

/// True for an error relative to the states' own size.
pub fn is_relative(metric: &str) -> bool {
    limits_of(metric).is_some_and(|limits| limits.relative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::metrics::{NEIGHBOUR_METRICS, TAP_METRICS, TASK_METRICS, WEIGHT_METRICS};

    #[test]
    fn a_loss_and_its_value_are_each_others_way_back() {
        for known in TAP_METRICS.iter().chain(WEIGHT_METRICS).chain(NEIGHBOUR_METRICS).chain(TASK_METRICS) {
            for direction in [Direction::Max, Direction::Min] {
                let value = at_loss(known.id, direction, 0.25);
                assert!((loss(known.id, value) - 0.25).abs() < 1e-12, "{} {direction}", known.id);
            }
            assert!(loss(known.id, f64::NAN).is_nan(), "{}", known.id);
        }
        assert!((loss("sqnr_db", 40.0) - 0.01).abs() < 1e-15);
        assert_eq!(
            (at_loss("norm_ratio", Direction::Max, 0.5), at_loss("norm_ratio", Direction::Min, 0.5)),
            (1.5, 0.5)
        );
        assert_eq!(loss("sqnr_db", f64::INFINITY), 0.0);
    }
}
