//! The arithmetic of the forward pass, one function per file.
//!
//! Data are flat float32 slices in the shape their comment says. Every result depends on its own row
//! only, never on the other rows of a batch: each output is one chain of additions in a fixed order. Nothing here
//! starts threads; they share out whole rows, further up.
//!
//! Vectors are those of `rten-simd`: one source, compiled for AVX-512, AVX2, NEON and a portable twin, the machine's
//! best picked at run time.

mod activation;
mod attention;
mod compute;
mod exp;
mod gated;
mod gelu;
mod gelu_tanh;
mod layer_norm;
mod linear;
mod product;
mod rms_norm;
mod rotary;
mod silu;
mod softmax;

pub use activation::{ACTIVATIONS, Activation, activation_function};
pub use attention::{AttentionScratch, Heads, Reach, RelativeBias, Scoring, attention};
pub use compute::Compute;
use exp::{exp, exp_up_to_88};
pub use gated::gated;
pub use gelu::gelu;
pub use gelu_tanh::gelu_tanh;
pub use layer_norm::LayerNorm;
pub use linear::{PackedLinear, inputs_of};
pub use product::{
    Bias, ProductError, Rows, RowsMut, Transposed, multiply, multiply_transposed, repack, repack_transposed,
};
pub use rms_norm::RmsNorm;
pub use rotary::Rotary;
pub use silu::{quick_gelu, silu};
pub use softmax::softmax;

#[cfg(test)]
pub(super) mod testing {
    /// Distance of `found` from the exact value, in units of the float32 spacing at `exact`.
    pub(in crate::runtimes::native) fn ulps(found: f32, exact: f64) -> f64 {
        let near = (exact as f32).abs().max(f32::MIN_POSITIVE);
        let spacing = f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near);
        (f64::from(found) - exact).abs() / spacing
    }

    /// `n` evenly spaced floats from `low` to `high`, both included.
    pub(in crate::runtimes::native) fn sweep(low: f32, high: f32, n: u32) -> impl Iterator<Item = f32> {
        (0..=n).map(move |i| (f64::from(low) + f64::from(high - low) * f64::from(i) / f64::from(n)) as f32)
    }

    /// Values without structure in [-1, 1], the same on every machine.
    pub(in crate::runtimes::native) fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }
}
