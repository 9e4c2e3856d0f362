//! Limits on the device arm: another runtime on the same weights. They hold only where there is a recording.

use super::{Gate, Place, Policy, Stat};
use crate::hidden_states::{Arm, Tap};

/// Relative L2 per token (99th percentile, largest) and cosine distance of sentence vectors (largest) by what
/// the other runtime computes in.
///
/// Measured with MLX 0.32 on a CPU over 110 and 300 sentences, MiniLM and the shipped model at 8 and 4 bits (p99,
/// largest, sentence): float32 2.4e-6, 3.2e-6, 1.1e-12, where tanh-GELU makes 3.1e-4, 3.6e-4, 4.5e-8 and more. The
/// CPU's own float16 and bfloat16 kernels add up in those types: 3.4e-3, 4.1e-3, 2.4e-6 and 3.1e-2, 3.9e-2, 2.4e-4 on
/// the shipped model, half of what is allowed; a GPU's add up in float32 and stay below.
const LIMITS: &[(&str, [f64; 3])] =
    &[("float32", [1e-5, 5e-5, 1e-10]), ("float16", [8e-3, 3e-2, 1e-5]), ("bfloat16", [6e-2, 2e-1, 1e-3])];

impl Policy {
    /// With limits on the device arm when there is a recording, computed in `compute`, and the policy states
    /// none; without any when there is none.
    pub fn with_device_limits(mut self, compute: Option<&str>) -> Self {
        let Some(compute) = compute else {
            self.gates.retain(|g| g.arm != Some(Arm::Device));
            self.waivers.retain(|w| w.arm != Some(Arm::Device));
            return self;
        };
        // A limit relative to an earlier run bounds nothing by itself.
        if self.gates.iter().any(|g| g.arm == Some(Arm::Device) && g.is_absolute()) {
            return self;
        }
        let limits = LIMITS.iter().find(|(name, _)| *name == compute).map_or(LIMITS[0].1, |l| l.1);
        let gate = |on: Place, metric: &str, stat, max| Gate {
            on,
            arm: Some(Arm::Device),
            metric: metric.to_owned(),
            stat,
            max: Some(max),
            min: None,
            max_regression: None,
            why: Some(format!("built in: the same weights in another runtime's {compute}, measured with MLX")),
        };
        let tokens = || Place::Glob("*".to_owned());
        self.gates.push(gate(tokens(), "relative_l2", Stat::P99, limits[0]));
        self.gates.push(gate(tokens(), "relative_l2", Stat::Max, limits[1]));
        self.gates.push(gate(Place::Tap(Tap::Sentence), "cosine_distance", Stat::Max, limits[2]));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_gates_are_there_exactly_when_there_is_a_recording() {
        let policy = |arm: &str| {
            let text = format!(
                "schema = 1\n[[gate]]\non = \"final\"\narm = \"total\"\nmetric = \"mse\"\nstat = \"max\"\nmax = 1.0\n\
                 [[gate]]\non = \"final\"\narm = \"{arm}\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.5\n"
            );
            Policy::parse(&text, "p").unwrap()
        };
        let device = |p: Policy| p.gates.iter().filter(|g| g.arm == Some(Arm::Device)).count();
        assert_eq!(device(policy("device").with_device_limits(None)), 0);
        assert_eq!(device(policy("device").with_device_limits(Some("float32"))), 1);
        assert_eq!(device(policy("total").with_device_limits(None)), 0);
        assert_eq!(device(policy("total").with_device_limits(Some("float16"))), 3);
        // Each type has its own limits, the next one looser.
        let first = |compute| {
            let policy = policy("total").with_device_limits(Some(compute));
            policy.gates.iter().find(|g| g.arm == Some(Arm::Device)).unwrap().max.unwrap()
        };
        assert_eq!(
            ["float32", "float16", "bfloat16"].map(first),
            LIMITS.iter().map(|l| l.1[0]).collect::<Vec<_>>()[..]
        );
        assert!(LIMITS.is_sorted_by(|a, b| a.1.iter().zip(&b.1).all(|(a, b)| a < b)));
    }
}
