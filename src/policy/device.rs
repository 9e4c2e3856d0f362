//! Limits on the device arm: another runtime on the same weights. They hold only where there is a recording, and follow
//! what computing in its type costs *this* model on *these* rows: a shallow model in float16 is allowed less than a deep one
//! in bfloat16.

use serde::{Deserialize, Serialize};

use super::{Gate, Place, Policy, Quantity, Stat};
use crate::hidden_states::{Arm, Tap};
use crate::json_float;

/// Times the predicted error that a device may be off, at the 99th percentile over tokens (or sentences).
///
/// Measured with MLX 0.32.4 on a CPU over 104 sentences, the shipped model at 8 bits, the most at any tap: 1.7 times in
/// float32 (2.3e-7 at the embeddings; 2.2 on MiniLM, 3.4e-7 there), 2.5 in float16 (3.3e-3 at the end) and 3.4 in bfloat16 (2.9e-2 at the end). The CPU's
/// kernels add up in those types; a GPU's add up in float32, as the prediction does, and stay below. This is twice the most.
/// MLX's tanh-GELU is off by 3.1e-4 in float32, 100 times what is allowed.
const TIMES_P99: f64 = 7.0;

/// The same for the largest error: measured at most 2.0, 2.2 and 3.5 times.
const TIMES_MAX: f64 = 7.0;

/// The least that is taken for predicted: float32 rounding of another summation order. Measured between ONNX Runtime and our
/// encoder: 1.4e-7 at the embeddings to 4.6e-7 at the end of the shipped model, up to 1.7e-6 on MiniLM.
const LEAST: f64 = 1e-6;

/// The largest limit: a state that is off by half its own length is another state, whatever the type.
const CEILING: f64 = 0.5;

/// What computing in the recording's type is predicted to cost at one tap, relative L2 over tokens (or sentences): of the
/// candidate computed in that type, or in float32 what two engines differ by on the same weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PredictedTap {
    /// The tap.
    pub tap: Tap,
    /// 99th percentile.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub p99: Option<f64>,
    /// Largest value.
    #[serde(with = "json_float::optional")]
    #[schemars(with = "Option<json_float::Written>")]
    pub max: Option<f64>,
}

impl PredictedTap {
    /// What is taken for predicted at that statistic.
    pub fn at(&self, stat: Stat) -> f64 {
        let seen = if stat == Stat::Max { self.max } else { self.p99 };
        seen.filter(|v| v.is_finite()).unwrap_or(0.0).max(LEAST)
    }
}

/// What limits on a device arm follow from.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTerms<'a> {
    /// What the recording was computed in.
    pub compute: &'a str,
    /// Every tap that is compared with it.
    pub predicted: &'a [PredictedTap],
}

/// What there is to be judged.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// The recording, where there is one.
    pub device: Option<DeviceTerms<'a>>,
    /// The candidate is quantized.
    pub quantized: bool,
    /// Metrics of labels that were measured.
    pub scored: Vec<String>,
}

impl Policy {
    /// The policy as it judges: with the limits that no policy can drop, on the engine arm and on the groups of a
    /// `quantized` candidate, and on the device arm where there is a recording; without those on labels that were not given.
    pub fn in_force(self, terms: &Terms<'_>) -> Self {
        let known = self.with_engine_floor().with_twin_floor(terms.quantized).with_device_limits(terms.device);
        known.with_labels(&terms.scored)
    }

    /// Without the limits that hold only where labels are given, but those on what was `scored`.
    fn with_labels(mut self, scored: &[String]) -> Self {
        self.gates.retain(|g| !g.if_given || scored.contains(&g.quantity.metric));
        self
    }

    /// With limits on the device arm at every recorded tap that the policy states none for; without any when there is no
    /// recording.
    fn with_device_limits(mut self, device: Option<DeviceTerms<'_>>) -> Self {
        let Some(DeviceTerms { compute, predicted }) = device else {
            self.gates.retain(|g| g.quantity.arm != Some(Arm::Device));
            self.waivers.retain(|w| w.quantity.arm != Some(Arm::Device));
            return self;
        };
        let mut added = Vec::new();
        for tap in predicted {
            // A limit relative to an earlier run bounds nothing by itself.
            let own =
                |g: &Gate| g.quantity.arm == Some(Arm::Device) && g.is_absolute() && g.quantity.on.matches(tap.tap);
            if self.gates.iter().any(own) {
                continue;
            }
            for (stat, times) in [(Stat::P99, TIMES_P99), (Stat::Max, TIMES_MAX)] {
                let why = match compute {
                    "float32" => {
                        format!("built in: {times} times what two float32 engines differ by on the same weights")
                    }
                    _ => format!("built in: {times} times what computing in {compute} is predicted to cost here"),
                };
                added.push(Gate {
                    quantity: Quantity {
                        on: Place::Tap(tap.tap),
                        arm: Some(Arm::Device),
                        metric: "relative_l2".to_owned(),
                        stat,
                    },
                    max: Some((times * tap.at(stat)).min(CEILING)),
                    min: None,
                    max_regression: None,
                    if_given: false,
                    why: Some(why),
                });
            }
        }
        self.gates.extend(added);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(arm: &str) -> Policy {
        let text = format!(
            "schema = 1\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"mse\"\nstat = \"max\"\nmax = 1.0\n\
             [[gate]]\non = \"final\"\narm = \"{arm}\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.4\n"
        );
        Policy::parse(&text, "p").unwrap()
    }

    fn device(policy: Policy) -> Vec<(String, f64)> {
        let gates = policy.gates.iter().filter(|g| g.quantity.arm == Some(Arm::Device));
        gates.map(|g| (format!("{} {}", g.quantity.on, g.quantity.stat), g.max.unwrap())).collect()
    }

    fn predicted(p99: f64) -> [PredictedTap; 2] {
        [Tap::Layer(0), Tap::Final].map(|tap| PredictedTap { tap, p99: Some(p99), max: Some(2.0 * p99) })
    }

    #[test]
    fn every_recorded_tap_has_a_gate_exactly_when_there_is_a_recording() {
        let taps = predicted(1e-3);
        let terms = Some(DeviceTerms { compute: "float16", predicted: &taps });
        assert!(device(policy("device").in_force(&Terms::default())).is_empty());
        assert!(device(policy("total").in_force(&Terms::default())).is_empty());
        let names = |p: Policy| device(p).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            names(policy("total").in_force(&Terms { device: terms, ..Terms::default() })),
            ["layer.0 p99", "layer.0 max", "final p99", "final max"]
        );
        // Its own limit stands at the tap it speaks of; the others have the built-in one.
        assert_eq!(
            names(policy("device").in_force(&Terms { device: terms, ..Terms::default() })),
            ["final p99", "layer.0 p99", "layer.0 max"]
        );
    }

    #[test]
    fn limits_follow_the_prediction_between_the_noise_and_half_a_state() {
        let limit = |p99| {
            let taps = predicted(p99);
            device(policy("total").in_force(&Terms {
                device: Some(DeviceTerms { compute: "float32", predicted: &taps }),
                ..Terms::default()
            }))[0]
                .1
        };
        assert_eq!(limit(0.0), TIMES_P99 * LEAST);
        assert_eq!(limit(1e-3), TIMES_P99 * 1e-3);
        assert_eq!(limit(0.9), CEILING);
        assert!(
            [f64::NAN, f64::INFINITY].map(limit).iter().all(|l| *l == TIMES_P99 * LEAST),
            "no number allows nothing"
        );
    }
}
