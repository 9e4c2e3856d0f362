//! MLX's affine mode: `w = scale·q + bias`, one scale and bias per group.
//!
//! Source: ml-explore/mlx `mlx/backend/cpu/quantized.cpp` (0.32.4), whose arithmetic this repeats:
//! with T the type of the scales, `p = round_T(q·scale)`, then `w = round_T(p + bias)`. Two roundings,
//! not fused: a fused formula differs in 15 to 60 % of the elements.

use half::{bf16, f16};
use rayon::prelude::*;

use super::{Floats, Packed};

/// Elements below which threads cost more than they save.
const PARALLEL_ABOVE: usize = 1 << 16;

/// Writes `rows × cols` values.
pub(super) fn dequantize(packed: &Packed<'_>, out: &mut [f32]) {
    if packed.cols == 0 {
        return;
    }
    let one = |(row, values): (usize, &mut [f32])| dequantize_row(packed, row, values);
    if out.len() >= PARALLEL_ABOVE {
        out.par_chunks_mut(packed.cols).enumerate().for_each(one);
    } else {
        out.chunks_mut(packed.cols).enumerate().for_each(one);
    }
}

fn dequantize_row(packed: &Packed<'_>, row: usize, out: &mut [f32]) {
    let row_bytes = packed.cols * packed.bits as usize / 8;
    let codes = packed.codes.get(row * row_bytes..(row + 1) * row_bytes).unwrap_or(&[]);
    let groups = packed.cols / packed.group_size;
    let round = rounding(packed.scales);
    // MLX promotes when the two types differ: the sum is then done in float32.
    let round_sum = match (packed.scales, packed.biases) {
        (Floats::F16(_), Floats::F16(_)) | (Floats::BF16(_), Floats::BF16(_)) => round,
        _ => exact,
    };
    for (g, values) in out.chunks_mut(packed.group_size).enumerate() {
        let scale = packed.scales.get(row * groups + g);
        let bias = packed.biases.get(row * groups + g);
        for (j, value) in values.iter_mut().enumerate() {
            let q = code(codes, g * packed.group_size + j, packed.bits) as f32;
            *value = round_sum(round(q * scale) + bias);
        }
    }
}

/// Element `i` of a little-endian bit stream, least significant bit first.
#[inline]
fn code(stream: &[u8], i: usize, bits: u32) -> u32 {
    let bit = i * bits as usize;
    let byte = bit / 8;
    let low = u32::from(stream.get(byte).copied().unwrap_or(0));
    let high = u32::from(stream.get(byte + 1).copied().unwrap_or(0));
    ((low | high << 8) >> (bit % 8)) & ((1 << bits) - 1)
}

fn rounding(type_of: Floats<'_>) -> fn(f32) -> f32 {
    match type_of {
        Floats::F32(_) => exact,
        Floats::F16(_) => |v| f16::from_f32(v).to_f32(),
        Floats::BF16(_) => |v| bf16::from_f32(v).to_f32(),
    }
}

fn exact(v: f32) -> f32 {
    v
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Codes packed bit by bit come back, at every width: an oracle that knows nothing of bytes.
        #[test]
        fn codes_survive_packing(bits in prop::sample::select(vec![2u32, 3, 4, 5, 6, 8]), seed in any::<u64>()) {
            let n = 64usize;
            let codes: Vec<u32> = (0..n as u64).map(|i| (seed.rotate_left(i as u32 * 7) as u32 ^ i as u32) & ((1 << bits) - 1)).collect();
            let mut stream = vec![0u8; n * bits as usize / 8];
            for (i, c) in codes.iter().enumerate() {
                for b in 0..bits as usize {
                    let at = i * bits as usize + b;
                    stream[at / 8] |= (((c >> b) & 1) as u8) << (at % 8);
                }
            }
            let back: Vec<u32> = (0..n).map(|i| code(&stream, i, bits)).collect();
            prop_assert_eq!(back, codes);
        }
    }
}
