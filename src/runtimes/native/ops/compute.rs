//! The type activations are held in: what a device would round them to after every operation.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// What the results of operations are rounded to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compute {
    /// Nothing: they are float32.
    #[default]
    F32,
    /// IEEE half; beyond 65,504 lies infinity.
    F16,
    /// bfloat16.
    BF16,
}

/// Values rounded at a time.
const PIECE: usize = 64;

impl Compute {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
        }
    }

    /// Rounds every value, to nearest and ties to even.
    pub fn round(self, values: &mut [f32]) {
        match self {
            Self::F32 => {}
            Self::F16 => {
                let mut halves = [f16::ZERO; PIECE];
                for piece in values.chunks_mut(PIECE) {
                    halves[..piece.len()].convert_from_f32_slice(piece);
                    halves[..piece.len()].convert_to_f32_slice(piece);
                }
            }
            Self::BF16 => {
                let mut halves = [bf16::ZERO; PIECE];
                for piece in values.chunks_mut(PIECE) {
                    halves[..piece.len()].convert_from_f32_slice(piece);
                    halves[..piece.len()].convert_to_f32_slice(piece);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_the_nearest_of_their_type() {
        let rounded = |compute: Compute, x: f32| {
            let mut one = [x; 70];
            compute.round(&mut one);
            assert!(one.iter().all(|y| y.to_bits() == one[0].to_bits()));
            one[0]
        };
        assert_eq!(rounded(Compute::F32, 0.1), 0.1);
        assert_eq!(rounded(Compute::F16, 1.0 + 1.0 / 2048.0), 1.0, "a tie goes to even");
        assert_eq!(rounded(Compute::F16, 1.0 + 3.0 / 2048.0), 1.0 + 4.0 / 2048.0);
        assert_eq!(rounded(Compute::F16, 70_000.0), f32::INFINITY);
        assert_eq!(rounded(Compute::BF16, 1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(rounded(Compute::BF16, 70_000.0), 70_144.0);
        assert!(rounded(Compute::F16, f32::NAN).is_nan() && rounded(Compute::BF16, f32::NAN).is_nan());
    }
}
