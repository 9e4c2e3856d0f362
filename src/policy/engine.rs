//! What is judged whatever a policy says. The engine arm: a control that does not reproduce the reference is an
//! instrument that shows nothing. The candidate's groups: one that was changed is no quantization.

use super::{Gate, Place, Policy, Quantity, Stat};
use crate::hidden_states::Arm;

/// Most that two float32 engines may differ by at any token, relative L2. Measured: 1.3e-5 at most (all-mpnet-base-v2, five
/// models over three kinds of text), float32 rounding of another summation order.
pub const LARGEST_ENGINE: f64 = 1e-4;

/// Limits on the relative L2 of the engine arm for policies that state none. At the 99th percentile 2.7e-6 at most was
/// measured on the same.
const LIMITS: &[(Stat, f64)] = &[(Stat::P99, 1e-5), (Stat::Max, LARGEST_ENGINE)];

impl Policy {
    /// The policy, with limits on the engine arm where it states none itself for the layers; one tap's, or another
    /// metric's, are none.
    pub fn with_engine_floor(mut self) -> Self {
        let layers = |g: &Gate| matches!(&g.quantity.on, Place::Glob(on) if on == "*" || on == "layer.*");
        let tail = |g: &Gate| matches!(g.quantity.stat, Stat::P99 | Stat::P999 | Stat::Max);
        let states = |g: &Gate| {
            g.quantity.arm == Some(Arm::Engine) && g.quantity.metric == "relative_l2" && g.max.is_some() && tail(g)
        };
        if self.gates.iter().any(|g| layers(g) && states(g)) {
            return self;
        }
        self.gates.extend(LIMITS.iter().map(|&(stat, limit)| Gate {
            quantity: Quantity {
                on: Place::Glob("*".to_owned()),
                arm: Some(Arm::Engine),
                metric: "relative_l2".to_owned(),
                stat,
            },
            max: Some(limit),
            min: None,
            max_regression: None,
            if_given: false,
            why: Some("built in: the control must reproduce the reference, or it shows nothing".to_owned()),
        }));
        self
    }
}

/// Limits on the weights of quantized candidates for every policy. A group that its own quantizer did not make of the
/// original was changed; GPTQ moves the worst group by 17.5 half steps, root mean square (the real MiniLM at 8 bits).
const TWIN: &[(&str, f64, &str)] = &[
    ("changed_groups", 0.0, "built in: a group that its own quantizer did not make of the original was changed"),
    ("group_error", 28.0, "built in: no quantizer leaves a group so many half steps from the original"),
];

impl Policy {
    /// The policy, with limits on the groups of a quantized candidate: a lax policy cannot drop them. A candidate that is
    /// not quantized has no groups.
    pub fn with_twin_floor(mut self, quantized: bool) -> Self {
        for &(metric, limit, why) in TWIN.iter().filter(|_| quantized) {
            let as_strict = |g: &Gate| {
                g.quantity.on == Place::Weights && g.quantity.metric == metric && g.max.is_some_and(|m| m <= limit)
            };
            if !self.gates.iter().any(as_strict) {
                self.gates.push(Gate {
                    quantity: Quantity { on: Place::Weights, arm: None, metric: metric.to_owned(), stat: Stat::Max },
                    max: Some(limit),
                    min: None,
                    max_regression: None,
                    if_given: false,
                    why: Some(why.to_owned()),
                });
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_without_engine_gates_gets_them_and_others_keep_their_own() {
        let gate = |on: &str, arm: &str| {
            let text = format!(
                "schema = 1\n[[gate]]\non = \"{on}\"\narm = \"{arm}\"\nmetric = \"relative_l2\"\nstat = \"p99\"\nmax = 0.005\n"
            );
            Policy::parse(&text, "p").unwrap().with_engine_floor().gates
        };
        assert_eq!(gate("layer.*", "engine").len(), 1);
        assert_eq!(gate("final", "engine").len(), 1 + LIMITS.len(), "one tap's limit is not the others'");
        let filled = gate("final", "total");
        assert_eq!(filled.len(), 1 + LIMITS.len());
        assert!(filled[1..].iter().all(|g| g.quantity.arm == Some(Arm::Engine) && g.max.is_some_and(|m| m <= 1e-4)));
    }

    #[test]
    fn no_policy_is_without_limits_on_groups_unless_there_are_none() {
        let text = |more: &str| {
            format!(
                "schema = 1\n[[gate]]\non = \"weights\"\nmetric = \"changed_groups\"\nstat = \"max\"\nmax = {more}\n"
            )
        };
        let gates = |more: &str, quantized| Policy::parse(&text(more), "p").unwrap().with_twin_floor(quantized).gates;
        assert_eq!(gates("0.0", true).len(), 2, "its own, and that on the error");
        assert_eq!(gates("7.0", true).len(), 3, "a lax one does not replace it");
        assert_eq!(gates("7.0", false).len(), 1);
    }
}
