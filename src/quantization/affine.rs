//! MLX's affine mode: `w = scale·q + bias`, one scale and bias per group.
//!
//! Source: ml-explore/mlx `mlx/backend/cpu/quantized.cpp` (0.32.4), whose arithmetic this repeats:
//! with T the type of the scales, `p = round_T(q·scale)`, then `w = round_T(p + bias)`. Two roundings,
//! not fused: a fused formula differs in 15 to 60 % of the elements. A product may overflow to infinity although the
//! sum would not; MLX's does, too.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{Dequantization, FloatType, Floats, Packed, Scales};

/// Where a row is rounded to half precision.
#[derive(Debug, Default)]
pub struct Halves {
    f16: Vec<f16>,
    bf16: Vec<bf16>,
}

impl Halves {
    /// Rounds every value to the type.
    pub fn round(&mut self, float: FloatType, values: &mut [f32]) {
        match float {
            FloatType::F32 => {}
            FloatType::F16 => {
                self.f16.resize(values.len(), f16::ZERO);
                self.f16.convert_from_f32_slice(values);
                self.f16.convert_to_f32_slice(values);
            }
            FloatType::BF16 => {
                self.bf16.resize(values.len(), bf16::ZERO);
                self.bf16.convert_from_f32_slice(values);
                self.bf16.convert_to_f32_slice(values);
            }
        }
    }
}

/// Writes row `row`; zeros where the scales are none of this mode's.
pub(super) fn dequantize_row(packed: &Packed<'_>, row: usize, out: &mut [f32], halves: &mut Halves) {
    let Scales::Affine { scales, biases } = packed.scales else { return out.fill(0.0) };
    let row_bytes = packed.cols * packed.bits as usize / 8;
    let codes = packed.codes.get(row * row_bytes..(row + 1) * row_bytes).unwrap_or(&[]);
    match packed.bits {
        1 => unpack::<1>(codes, out),
        2 => unpack::<2>(codes, out),
        3 => unpack::<3>(codes, out),
        4 => unpack::<4>(codes, out),
        5 => unpack::<5>(codes, out),
        6 => unpack::<6>(codes, out),
        _ => codes.iter().zip(&mut *out).for_each(|(q, value)| *value = f32::from(*q)),
    }
    let groups = packed.cols / packed.group_size;
    for (g, values) in out.chunks_mut(packed.group_size).enumerate() {
        let scale = scales.get(row * groups + g);
        values.iter_mut().for_each(|q| *q *= scale);
    }
    let rounded = packed.effective == Dequantization::Dequantized;
    if rounded {
        halves.round(scales.float(), out);
    }
    for (g, values) in out.chunks_mut(packed.group_size).enumerate() {
        let bias = biases.get(row * groups + g);
        values.iter_mut().for_each(|p| *p += bias);
    }
    // MLX promotes when the two types differ: the sum is then done in float32.
    match (scales, biases) {
        (Floats::F16(_), Floats::F16(_)) | (Floats::BF16(_), Floats::BF16(_)) if rounded => {
            halves.round(scales.float(), out)
        }
        _ => {}
    }
}

/// A little-endian bit stream, least significant bit first: 8 codes are BITS bytes. (Columns are whole groups, and
/// those are multiples of 8.)
#[inline(always)]
fn unpack<const BITS: usize>(stream: &[u8], out: &mut [f32]) {
    for (bytes, values) in stream.as_chunks::<BITS>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        let mut word = [0; 8];
        word[..BITS].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        for (i, value) in values.iter_mut().enumerate() {
            *value = ((word >> (i * BITS)) as u32 & ((1 << BITS) - 1)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Codes packed bit by bit come back, at every width: an oracle that knows nothing of bytes.
        #[test]
        fn codes_survive_packing(bits in prop::sample::select(vec![1u32, 2, 3, 4, 5, 6, 8]), seed in any::<u64>()) {
            let n = 64usize;
            let codes: Vec<u32> = (0..n as u64).map(|i| (seed.rotate_left(i as u32 * 7) as u32 ^ i as u32) & ((1 << bits) - 1)).collect();
            let mut stream = vec![0u8; n * bits as usize / 8];
            for (i, c) in codes.iter().enumerate() {
                for b in 0..bits as usize {
                    let at = i * bits as usize + b;
                    stream[at / 8] |= (((c >> b) & 1) as u8) << (at % 8);
                }
            }
            let one = 1f32.to_le_bytes();
            let scales = Scales::Affine { scales: Floats::F32(&one), biases: Floats::F32(&[0; 4]) };
            let packed = Packed { rows: 1, cols: n, bits, group_size: n, codes: &stream, scales, effective: Dequantization::default() };
            let mut back = vec![f32::NAN; n];
            dequantize_row(&packed, 0, &mut back, &mut Halves::default());
            prop_assert_eq!(back, codes.iter().map(|c| *c as f32).collect::<Vec<_>>());
        }
    }
}
