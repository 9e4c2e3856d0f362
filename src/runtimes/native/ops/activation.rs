//! Activations by their transformers name (`ACT2FN` in `transformers/activations.py`).

use super::{gelu, gelu_tanh, quick_gelu, silu};

/// Applies an activation in place.
pub type Activation = fn(&mut [f32]);

/// Every name a `config.json` may state, the function it means, and that function. Two names of one
/// function are the same activation. A new activation is one row.
pub const ACTIVATIONS: &[(&str, &str, Activation)] = &[
    ("gelu", "gelu", gelu),
    ("gelu_python", "gelu", gelu),
    ("gelu_new", "gelu_tanh", gelu_tanh),
    ("gelu_pytorch_tanh", "gelu_tanh", gelu_tanh),
    ("gelu_fast", "gelu_tanh", gelu_tanh),
    ("quick_gelu", "quick_gelu", quick_gelu),
    ("relu", "relu", relu),
    ("silu", "silu", silu),
    ("swish", "silu", silu),
];

/// The function that a name means.
pub fn activation_function(name: &str) -> Option<&'static str> {
    ACTIVATIONS.iter().find(|(known, ..)| *known == name).map(|(_, function, _)| *function)
}

/// max(x, 0) in place; NaN stays NaN.
fn relu(values: &mut [f32]) {
    for x in values {
        *x = if *x < 0.0 { 0.0 } else { *x };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activation_keeps_nan_and_differs_from_doing_nothing() {
        for (name, _, activation) in ACTIVATIONS {
            let mut x = [f32::NAN, -1.0, 0.0];
            activation(&mut x);
            assert!(x[0].is_nan(), "{name}");
            assert!(x[1] > -1.0 && x[2] == 0.0, "{name}");
        }
    }
}
