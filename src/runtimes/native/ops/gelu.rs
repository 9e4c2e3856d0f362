//! Activations of the feed-forward block, by their Hugging Face names.
//!
//! Source: Hendrycks & Gimpel 2016 (GELU); huggingface/transformers `activations.py` for the names.

/// An activation.
#[derive(Clone, Copy)]
pub struct Activation {
    /// Its name in config.json.
    pub name: &'static str,
    /// What it computes, whatever its name: two names with the same function are the same activation.
    pub function: &'static str,
    /// The function.
    pub apply: fn(f32) -> f32,
}

/// Every activation parallax computes.
pub const ACTIVATIONS: &[Activation] = &[
    Activation { name: "gelu", function: "gelu", apply: gelu_erf },
    Activation { name: "gelu_new", function: "gelu_tanh", apply: gelu_tanh },
    Activation { name: "gelu_pytorch_tanh", function: "gelu_tanh", apply: gelu_tanh },
    Activation { name: "gelu_fast", function: "gelu_tanh", apply: gelu_tanh },
    Activation { name: "relu", function: "relu", apply: relu },
    Activation { name: "silu", function: "silu", apply: silu },
    Activation { name: "swish", function: "silu", apply: silu },
];

/// The error function (fdlibm's, through `libm`: below 1 ulp).
pub fn erf(x: f32) -> f32 {
    libm::erff(x)
}

/// Exact GELU, `x·Φ(x)`, as `x/2·erfc(−x/√2)`: unlike `1 + erf` it does not cancel in the left tail.
pub fn gelu_erf(x: f32) -> f32 {
    0.5 * x * libm::erfcf(-x * std::f32::consts::FRAC_1_SQRT_2)
}

/// The tanh approximation of GELU.
pub fn gelu_tanh(x: f32) -> f32 {
    const C: f32 = 0.797_884_6; // √(2/π)
    0.5 * x * (1.0 + (C * (x + 0.044_715 * x * x * x)).tanh())
}

/// `max(x, 0)`; NaN stays NaN.
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `x·σ(x)`.
pub fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured over −10..10 in steps of 1e-4: 1.9e-7 of |x| at most; float32's spacing is 1.2e-7.
    const GELU_ERROR: f64 = 3e-7;

    #[test]
    fn gelu_is_exact_to_float32_and_the_tanh_variant_is_another_function() {
        let mut furthest = 0.0f64;
        for i in -100_000..=100_000 {
            let x = i as f32 * 1e-4;
            let exact = 0.5 * f64::from(x) * libm::erfc(-f64::from(x) / std::f64::consts::SQRT_2);
            let error = (f64::from(gelu_erf(x)) - exact).abs();
            assert!(error <= GELU_ERROR * f64::from(x.abs()), "{x}: {error}");
            furthest = furthest.max((f64::from(gelu_tanh(x)) - exact).abs());
        }
        // The known distance of the two variants: 4.73e-4 (public incident I3).
        assert!((4.7e-4..4.8e-4).contains(&furthest), "{furthest}");
    }

    #[test]
    fn special_values_and_invariants() {
        for a in ACTIVATIONS {
            assert!((a.apply)(f32::NAN).is_nan(), "{}", a.name);
            assert_eq!((a.apply)(0.0), 0.0, "{}", a.name);
            assert_eq!((a.apply)(30.0), 30.0, "{}", a.name);
            assert!((a.apply)(-30.0).abs() < 1e-10, "{}", a.name);
        }
        assert!((erf(0.5) - 0.520_499_9).abs() < 1e-7);
    }
}
