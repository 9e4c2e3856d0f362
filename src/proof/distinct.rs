//! Two models that agree to the bit where two models cannot are one model, compared with itself.

use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::Arm;
use crate::metrics::{Measurements, Mode};
use crate::weights::WeightsReport;

/// Refuses states without any difference: of the candidate, when its weights differ from the control's; of the
/// control, when ONNX Runtime, another program with another order of additions, made the others.
pub(crate) fn findings(measurements: &Measurements, weights: &WeightsReport) -> Vec<Finding> {
    let same = |arm| {
        let all = measurements.of_arm(arm, "relative_l2");
        let mut of_arm = all.filter(|m| m.mode == Mode::Accumulated && !m.tap.is_sentence_level()).peekable();
        of_arm.peek().is_some() && of_arm.all(|m| m.max == Some(0.0))
    };
    let mut out = Vec::new();
    let mut refuse = |message: &str| {
        out.push(Finding::new(Severity::Refusal, &codes::ALIGNMENT_SAME_STATES, message));
    };
    if weights.totals.relative_error > 0.0 && same(Arm::Quantization) {
        refuse(
            "the candidate's states are the control's to the bit although their weights differ: one was run for both",
        );
    }
    if same(Arm::Engine) {
        refuse("the control's states are the reference's to the bit at every tap: one program was run for both");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::Tap;
    use crate::metrics::Measurement;

    fn measured(arm: Arm, max: &[f64]) -> Measurements {
        let one = |(k, max): (usize, &f64)| Measurement {
            tap: Tap::Layer(k),
            arm,
            mode: Mode::Accumulated,
            metric: "relative_l2".to_owned(),
            count: 10,
            mean: Some(*max),
            p50: Some(*max),
            p90: Some(*max),
            p99: Some(*max),
            p999: Some(*max),
            min: Some(*max),
            max: Some(*max),
            worst: None,
        };
        max.iter().enumerate().map(one).collect()
    }

    #[test]
    fn states_without_any_difference_are_refused_where_there_must_be_one() {
        let mut weights = WeightsReport::default();
        let found = |m: &Measurements, w: &WeightsReport| findings(m, w).len();
        assert_eq!(found(&Measurements::default(), &weights), 0);
        assert_eq!(found(&measured(Arm::Engine, &[0.0, 0.0]), &weights), 1);
        assert_eq!(found(&measured(Arm::Engine, &[0.0, 1e-9]), &weights), 0, "embeddings alone may agree");
        assert_eq!(found(&measured(Arm::Engine, &[0.0, f64::NAN]), &weights), 0, "NaN is another matter");
        assert_eq!(found(&measured(Arm::Quantization, &[0.0, 0.0]), &weights), 0, "the same weights");
        weights.totals.relative_error = 1e-9;
        assert_eq!(found(&measured(Arm::Quantization, &[0.0, 0.0]), &weights), 1);
    }
}
