//! The compute arm: what the candidate's activations in half precision would bring.

use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::Arm;
use crate::metrics::Measurements;

/// A state that is no number in half precision is one on the device: an activation beyond 65,504 in float16, say.
pub(crate) fn findings(measurements: &Measurements) -> Option<Finding> {
    let of_arm = measurements.of_arm(Arm::Compute, "non_finite");
    // A count that is no number is no zero.
    let first = of_arm.filter(|m| !m.max.is_some_and(|most| most == 0.0)).min_by_key(|m| m.tap)?;
    let message = format!(
        "in half precision the candidate's states are no longer numbers from {} on: an activation is beyond the type's range",
        first.tap
    );
    Some(Finding::new(Severity::Failure, &codes::COMPUTE_NON_FINITE, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::{RowId, RowSet, Tap};
    use crate::metrics::{Mode, TapAccumulator};

    #[test]
    fn an_overflow_is_named_at_the_first_tap_and_nothing_else_is() {
        let measured = |tap, values: &[f32]| {
            let mut accumulator = TapAccumulator::new(tap, Arm::Compute, Mode::Accumulated, None);
            accumulator.add_row(RowId { set: RowSet::Corpus, row: 0 }, &[1.0, 2.0], values, 2).unwrap();
            accumulator.finish()
        };
        let fine = measured(Tap::Layer(0), &[1.0, 2.0]);
        assert!(findings(&fine.clone().into()).is_none() && findings(&Measurements::default()).is_none());
        let broken = [fine, measured(Tap::Layer(2), &[1.0, f32::NAN]), measured(Tap::Layer(1), &[f32::INFINITY, 0.0])];
        let found = findings(&broken.concat().into()).unwrap();
        assert!(found.message.contains("from layer.1 on") && found.severity == Severity::Failure, "{}", found.message);
    }
}
