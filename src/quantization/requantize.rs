//! A float32 matrix as MLX would have stored it: its codes, scales and biases, and the float32 weights that come back
//! from them.

use super::{Codes, Dequantization, FloatType, Floats, Halves, Packed, Program, QuantizationMode, Scales, Target};
use crate::checkpoint::{Bytes, PackedBytes, Weight};

/// `original` as it would be dequantized from `bits`-bit affine codes in groups of `group_size`, scales stored as
/// `dtype` (`F16`, `BF16`, else float32). None where the columns do not divide into groups.
pub fn requantized(original: &Weight, bits: u32, group_size: u32, dtype: &str) -> Option<Weight> {
    let float = FloatType::named(dtype).unwrap_or(FloatType::F32);
    let group_size = usize::try_from(group_size).ok()?;
    quantized_as(original, super::mode("affine")?, &Target { bits, group_size, float, program: Program::Cpu })
}

/// `original` cast to the target's type, quantized as MLX does it and dequantized again, its bytes beside it. None where
/// the mode has no such width or the columns do not divide into groups.
pub fn quantized_as(original: &Weight, mode: &'static QuantizationMode, target: &Target) -> Option<Weight> {
    let &[rows, cols] = original.shape.as_slice() else { return None };
    let groups = cols.checked_div(target.group_size).filter(|n| n * target.group_size == cols && *n > 0)?;
    if !mode.bits.contains(&target.bits) || !(cols * target.bits as usize).is_multiple_of(8) {
        return None;
    }
    let (mut codes, mut scales, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    let (mut row_codes, mut halves) = (Codes::default(), Halves::default());
    let mut values = Vec::with_capacity(original.len());
    let mut dequantized = vec![0.0; cols];
    for row in original.rows().chunks(cols) {
        let row: Vec<f32> = row.iter().map(|w| target.float.round(*w)).collect();
        (mode.quantize_row)(target, &row, &mut row_codes);
        let at = (codes.len(), scales.len(), biases.len());
        codes.extend(row_codes.pack(target.bits));
        scales.extend_from_slice(&row_codes.bytes);
        row_codes.scales.iter().for_each(|s| push(target.float, *s, &mut scales));
        row_codes.biases.iter().for_each(|b| push(target.float, *b, &mut biases));
        let stored = match mode.floats {
            None => Scales::Affine {
                scales: Floats::of(target.float, &scales[at.1..]),
                biases: Floats::of(target.float, &biases[at.2..]),
            },
            Some(_) => Scales::Bytes(&scales[at.1..]),
        };
        let packed = Packed {
            rows: 1,
            cols,
            bits: target.bits,
            group_size: target.group_size,
            codes: &codes[at.0..],
            scales: stored,
            effective: Dequantization::Dequantized,
        };
        (mode.dequantize_row)(&packed, 0, &mut dequantized, &mut halves);
        values.extend_from_slice(&dequantized);
    }
    debug_assert_eq!(values.len(), rows * cols);
    let mut weight = original.changed(|all| *all = values);
    weight.storage.mode = Some(mode.name);
    (weight.storage.bits, weight.storage.group_size) = (Some(target.bits), u32::try_from(target.group_size).ok());
    let dtype = if mode.floats.is_some() { "U8" } else { target.float.name() };
    dtype.clone_into(&mut weight.storage.dtype);
    weight.storage.bytes = (codes.len() + scales.len() + biases.len()) as u64;
    debug_assert_eq!(groups * rows, if mode.floats.is_some() { scales.len() } else { groups * rows });
    let biases = mode.floats.is_none().then(|| (Bytes::of(biases), dtype.to_owned()));
    Some(weight.with_packed(PackedBytes::new(Bytes::of(codes), Bytes::of(scales), biases)))
}

fn push(float: FloatType, value: f32, out: &mut Vec<u8>) {
    match float {
        FloatType::F32 => out.extend(value.to_le_bytes()),
        FloatType::F16 => out.extend(half::f16::from_f32(value).to_le_bytes()),
        FloatType::BF16 => out.extend(half::bf16::from_f32(value).to_le_bytes()),
    }
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
