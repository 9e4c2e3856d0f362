//! How far a number is from perfect, so that "10 % worse" and "twice that" mean the same for every metric.

use super::Direction;

/// The loss of a value: 0 is perfect. An error is its own loss; decibels are a ratio of amplitudes in another
/// scale; lengths are perfect at 1, and so are shares and correlations of neighbours. NaN stays NaN.
pub fn loss(metric: &str, value: f64) -> f64 {
    match metric {
        "sqnr_db" => 10f64.powf(-value / 20.0),
        "norm_ratio" => (value - 1.0).abs(),
        "top1_agreement" | "top10_overlap" | "spearman" | "pearson" | "twin_equal" => 1.0 - value,
        _ => value,
    }
}

/// The value with that loss, on the side that a limit of this direction bounds.
pub fn at_loss(metric: &str, direction: Direction, loss: f64) -> f64 {
    match metric {
        "sqnr_db" => -20.0 * loss.log10(),
        "norm_ratio" if direction == Direction::Max => 1.0 + loss,
        "norm_ratio" | "top1_agreement" | "top10_overlap" | "spearman" | "pearson" | "twin_equal" => 1.0 - loss,
        _ => loss,
    }
}

/// Losses below this are not the candidate's: two float32 engines differ by up to 1e-5 from each other (cosine
/// distance: half its square), and neighbours that are equally near change places, one in a
/// thousand. Mean lengths within a thousandth of 1 are right: honest error hardly moves them, in either direction (8-bit
/// MiniLM: 4e-4). Metrics in
/// the model's own units have no such number.
pub fn noise(metric: &str) -> f64 {
    match metric {
        "relative_l2" | "standardized_l2" | "sqnr_db" => 2e-5,
        "norm_ratio" => 1e-3,
        "cosine_distance" => 1e-9,
        "top1_agreement" | "top10_overlap" => 1e-3,
        "spearman" | "pearson" | "twin_equal" => 1e-6,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::metrics::{NEIGHBOUR_METRICS, TAP_METRICS, WEIGHT_METRICS};

    #[test]
    fn a_loss_and_its_value_are_each_others_way_back() {
        for known in TAP_METRICS.iter().chain(WEIGHT_METRICS).chain(NEIGHBOUR_METRICS) {
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
