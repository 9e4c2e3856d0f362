//! MLX's affine quantizer, to answer "what if this matrix had more bits": the float32 weights as they would
//! come back from codes.
//!
//! Source: ml-explore/mlx `mlx/backend/cpu/quantized.cpp` (0.32.4), `quantize`: the scale is laid so that the
//! group's largest weight falls on a code exactly.

use half::{bf16, f16};

use crate::checkpoint::Weight;

/// Smallest scale (`eps` there).
const SMALLEST_SCALE: f32 = 1e-7;

/// `original` as it would be dequantized from `bits`-bit codes in groups of `group_size`, scales stored as
/// `dtype` (`F16`, `BF16`, else float32). None where the columns do not divide into groups.
pub fn requantized(original: &Weight, bits: u32, group_size: u32, dtype: &str) -> Option<Weight> {
    let &[_, columns] = original.shape.as_slice() else { return None };
    let size = usize::try_from(group_size).ok().filter(|&g| g > 0 && columns.is_multiple_of(g))?;
    let codes = (1u32.checked_shl(bits)?).checked_sub(1)? as f32;
    let round: fn(f32) -> f32 = match dtype {
        "F16" => |v| f16::from_f32(v).to_f32(),
        "BF16" => |v| bf16::from_f32(v).to_f32(),
        _ => |v| v,
    };
    let mut values = Vec::with_capacity(original.len());
    for group in original.rows().chunks(size) {
        // A checkpoint is cast to its type before it is quantized.
        let group: Vec<f32> = group.iter().map(|v| round(*v)).collect();
        let (low, high) = group.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let downward = low.abs() > high.abs();
        let mut scale = ((high - low) / codes).max(SMALLEST_SCALE) * if downward { 1.0 } else { -1.0 };
        let edge = if downward { low } else { high };
        let at_edge = (edge / scale).round_ties_even();
        let bias = if at_edge == 0.0 { 0.0 } else { edge };
        if at_edge != 0.0 {
            scale = edge / at_edge;
        }
        let (stored_scale, stored_bias) = (round(scale), round(bias));
        values.extend(group.iter().map(|v| {
            let code = ((v - bias) / scale).round_ties_even().clamp(0.0, codes);
            round(round(code * stored_scale) + stored_bias)
        }));
    }
    let mut weight = original.changed(|all| *all = values);
    weight.storage.mode = Some("affine");
    (weight.storage.bits, weight.storage.group_size) = (Some(bits), Some(group_size));
    dtype.clone_into(&mut weight.storage.dtype);
    weight.storage.bytes = bytes(original.len(), bits, size, dtype);
    Some(weight)
}

/// Bytes of `elements` codes with their scales and biases.
fn bytes(elements: usize, bits: u32, group_size: usize, dtype: &str) -> u64 {
    let scale = if matches!(dtype, "F16" | "BF16") { 2 } else { 4 };
    (elements as u64 * u64::from(bits)).div_ceil(8) + 2 * scale * (elements / group_size) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Storage;

    fn matrix(values: Vec<f32>) -> Weight {
        let storage =
            Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: String::new() };
        Weight::new("a.weight", vec![values.len() / 32, 32], values, storage)
    }

    #[test]
    fn codes_on_a_grid_come_back_exactly_and_others_within_half_a_step() {
        let grid = matrix((0..64).map(|i| (i % 16) as f32 - 15.0).collect());
        assert_eq!(requantized(&grid, 4, 32, "F32").unwrap().rows(), grid.rows());
        let ragged = matrix((0..64).map(|i| ((i * 37) as f32).sin()).collect());
        for bits in [2, 4, 8] {
            let back = requantized(&ragged, bits, 32, "F32").unwrap();
            let step = 2.0 / (2f32.powi(bits as i32) - 1.0);
            let worst = ragged.rows().iter().zip(back.rows().iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Half a step, and what laying the largest weight on a code clips at the other end.
            assert!(worst <= step, "{bits} bits: {worst} of {step}");
            assert!(worst > 0.1 * step, "something was rounded");
        }
        assert!(requantized(&ragged, 4, 24, "F32").is_none());
        assert_eq!(requantized(&ragged, 8, 32, "F16").unwrap().storage.bytes, 64 + 8);
    }

    #[test]
    fn a_group_of_zeros_stays_zero() {
        assert_eq!(requantized(&matrix(vec![0.0; 32]), 4, 32, "F16").unwrap().rows(), vec![0.0; 32]);
    }
}
