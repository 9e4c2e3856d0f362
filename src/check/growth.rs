//! Where the candidate's error grows more than it should, from what each layer adds by itself.

use crate::figures::number;
use crate::finding::{Finding, Severity, codes};
use crate::hidden_states::{Arm, Tap};
use crate::metrics::{Measurements, Mode};
use crate::policy::{GateResult, Outcome, Stat};
use crate::report::{Explanation, LayerErrors};

/// The metric of the story, and its mean: what one layer adds to another's error adds up in means.
const METRIC: &str = "relative_l2";

/// A layer whose error exceeds what arrives and a typical layer's own by more than this is where to look.
/// Measured on MiniLM at 8 and 4 bits: layers 0 to 4 0.66 to 0.96 times, the last one 1.40 and 1.45.
const GROWTH: f64 = 1.3;

/// Reads the story off the measurements: independent errors add as squares, so a layer is expected to
/// leave √(what arrives² + what a typical layer adds²).
pub(super) fn explain(measurements: &Measurements) -> Explanation {
    let mean = |tap: Tap, mode: Mode| measurements.of(tap, Arm::Quantization, mode, METRIC).and_then(|m| m.mean);
    let mut stages = measurements.taps();
    stages.retain(|t| matches!(t, Tap::Embeddings | Tap::Layer(_)));
    let mut layers: Vec<LayerErrors> = stages
        .iter()
        .map(|&tap| LayerErrors {
            tap,
            accumulated: mean(tap, Mode::Accumulated),
            isolated: mean(tap, Mode::Isolated),
            expected: None,
        })
        .collect();
    let typical = median(layers.iter().filter_map(|l| l.isolated).collect());
    for k in 1..layers.len() {
        let before = layers[k - 1].accumulated;
        layers[k].expected = before.zip(typical).map(|(before, own)| before.hypot(own));
    }
    // Written so that NaN is out of proportion.
    let in_proportion = |l: &&LayerErrors| match (l.accumulated, l.expected) {
        (Some(seen), Some(expected)) => seen <= GROWTH * expected,
        _ => true,
    };
    let first = layers.iter().find(|l| !in_proportion(l)).map(|l| l.tap);
    let cause = first.and_then(|first| cause(&layers, first));
    Explanation { layers, first, cause, ..Explanation::default() }
}

/// The layer itself where its own error is at least half of what is seen there, else the stage before it
/// (embeddings included) that adds most.
fn cause(layers: &[LayerErrors], first: Tap) -> Option<Tap> {
    let here = layers.iter().find(|l| l.tap == first)?;
    if here.isolated? >= 0.5 * here.accumulated? {
        return Some(first);
    }
    let own = |l: &LayerErrors| if l.tap == Tap::Embeddings { l.accumulated } else { l.isolated };
    let up_to = layers.iter().filter(|l| l.tap <= first);
    up_to.filter_map(|l| Some((l.tap, own(l)?))).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(tap, _)| tap)
}

/// When the control does not reproduce the reference: the stages that part by themselves, fed with the
/// reference's own input, and not because of what arrives. That is where the export or our encoder is wrong.
pub(super) fn engine_culprits(measurements: &Measurements, gates: &[GateResult]) -> Option<Finding> {
    let is_engine = |g: &&GateResult| {
        g.quantity.arm == Some(Arm::Engine) && g.quantity.is_of(METRIC, Stat::P99) && g.outcome == Outcome::Fail
    };
    let own = |tap: Tap| {
        let mode = if tap == Tap::Embeddings { Mode::Accumulated } else { Mode::Isolated };
        measurements.of(tap, Arm::Engine, mode, METRIC).and_then(|m| m.p99)
    };
    let mut named = Vec::new();
    for gate in gates.iter().filter(is_engine) {
        let Some(tap) = gate.quantity.tap() else { continue };
        if !matches!(tap, Tap::Embeddings | Tap::Layer(_)) {
            continue;
        }
        // Written so that NaN is a culprit.
        if let Some(error) = own(tap).filter(|e| !gate.direction.keeps(*e, gate.limit)) {
            named.push(format!("{tap} ({})", number(error)));
        }
    }
    (!named.is_empty()).then(|| {
        let message = format!(
            "by itself, fed with the reference's own input, the control differs from the reference at {}: there the graph does not compute what the float32 weights and the configuration say",
            named.join(", ")
        );
        Finding::new(Severity::Refusal, &codes::ALIGNMENT_ENGINE_LAYER, message)
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Measurement;

    fn curve(accumulated: &[f64], isolated: &[f64]) -> Measurements {
        let one = |tap, mode, mean| Measurement {
            tap,
            arm: Arm::Quantization,
            mode,
            metric: METRIC.to_owned(),
            count: 10,
            mean: Some(mean),
            p50: None,
            p90: None,
            p99: None,
            p999: None,
            min: None,
            max: None,
            worst: None,
        };
        let tap = |i: usize| if i == 0 { Tap::Embeddings } else { Tap::Layer(i - 1) };
        let whole = accumulated.iter().enumerate().map(|(i, v)| one(tap(i), Mode::Accumulated, *v));
        let alone = isolated.iter().enumerate().map(|(i, v)| one(tap(i + 1), Mode::Isolated, *v));
        whole.chain(alone).collect()
    }

    #[test]
    fn a_layer_that_makes_the_error_itself_is_named() {
        let story = explain(&curve(&[0.01, 0.011, 0.012, 0.05, 0.05], &[0.004, 0.004, 0.048, 0.004]));
        assert_eq!((story.first, story.cause), (Some(Tap::Layer(2)), Some(Tap::Layer(2))));
        assert!(story.sentence().unwrap().contains("its own weights"), "{:?}", story.sentence());
    }

    #[test]
    fn a_layer_that_only_amplifies_is_told_from_the_one_that_causes() {
        let story = explain(&curve(&[0.01, 0.02, 0.02, 0.08, 0.08], &[0.018, 0.004, 0.004, 0.004]));
        assert_eq!((story.first, story.cause), (Some(Tap::Layer(0)), Some(Tap::Layer(0))));
        let story = explain(&curve(&[0.03, 0.03, 0.03, 0.08, 0.08], &[0.004, 0.004, 0.004, 0.004]));
        assert_eq!((story.first, story.cause), (Some(Tap::Layer(2)), Some(Tap::Embeddings)));
    }

    #[test]
    fn even_growth_has_no_first_layer_and_nan_does() {
        let story = explain(&curve(&[0.01, 0.0108, 0.0115, 0.0122], &[0.004, 0.004, 0.004]));
        assert_eq!((story.first, story.sentence()), (None, None));
        assert_eq!(story.story(), ["the error grows evenly from layer to layer"]);
        assert_eq!(explain(&curve(&[0.01, f64::NAN], &[0.01])).first, Some(Tap::Layer(0)));
        assert_eq!(explain(&Measurements::default()), Explanation::default());
    }
}
