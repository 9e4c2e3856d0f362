//! The floating-point modes: a code is a small float, and a group shares one byte of scale.
//!
//! Source: ml-explore/mlx `mlx/backend/cpu/quantized.cpp`, `mlx/backend/cpu/fp4.h`, `fp8.h` (0.32.4); the formats are
//! OCP Microscaling Formats 1.0 (mxfp4, mxfp8) and NVIDIA's nvfp4. Where MLX departs from the OCP text, this follows
//! MLX: the scale byte 255 is +∞, not NaN.

use super::{Effective, Floats, Halves, Packed, Scales};

/// E2M1 by its four bits; the upper eight are the negative ones, -0 among them.
const FP4: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Low half of a byte first; scales are powers of two.
pub(super) fn mxfp4(packed: &Packed<'_>, row: usize, out: &mut [f32], halves: &mut Halves) {
    row_of(packed, row, out, halves, e8m0, fours);
}

/// A byte is a code; scales are powers of two.
pub(super) fn mxfp8(packed: &Packed<'_>, row: usize, out: &mut [f32], halves: &mut Halves) {
    row_of(packed, row, out, halves, e8m0, |codes, out| {
        codes.iter().zip(out).for_each(|(code, value)| *value = e4m3(*code));
    });
}

/// Low half of a byte first; scales are small floats themselves.
pub(super) fn nvfp4(packed: &Packed<'_>, row: usize, out: &mut [f32], halves: &mut Halves) {
    row_of(packed, row, out, halves, e4m3, fours);
}

fn fours(codes: &[u8], out: &mut [f32]) {
    for (code, values) in codes.iter().zip(out.as_chunks_mut::<2>().0) {
        *values = [FP4[usize::from(code & 15)], FP4[usize::from(code >> 4)]];
    }
}

/// Element × scale, one product rounded once. Zeros where the scales are none of these modes'.
fn row_of(
    packed: &Packed<'_>,
    row: usize,
    out: &mut [f32],
    halves: &mut Halves,
    scale: fn(u8) -> f32,
    unpack: impl Fn(&[u8], &mut [f32]),
) {
    let Scales::Bytes(scales) = packed.scales else { return out.fill(0.0) };
    let bytes = packed.cols * packed.bits as usize / 8;
    unpack(packed.codes.get(row * bytes..(row + 1) * bytes).unwrap_or(&[]), out);
    let groups = packed.cols / packed.group_size;
    let scales = scales.get(row * groups..(row + 1) * groups).unwrap_or(&[]);
    for (values, byte) in out.chunks_mut(packed.group_size).zip(scales) {
        let scale = scale(*byte);
        values.iter_mut().for_each(|value| *value *= scale);
    }
    if packed.effective == Effective::Dequantized {
        halves.round(Floats::BF16(&[]), out);
    }
}

/// 2^(byte − 127); 2^-127 is a subnormal, and 255 gives +∞.
fn e8m0(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(1 << 22),
        _ => f32::from_bits(u32::from(byte) << 23),
    }
}

/// E4M3 without infinities ("fn"): bias 7, largest value 448, NaN where all other bits are set.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let magnitude = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 512.0,
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_are_as_their_specifications_say() {
        assert_eq!([0x00, 0x01, 0x08, 0x38, 0x7e, 0xfe].map(e4m3), [0.0, 1.0 / 512.0, 1.0 / 64.0, 1.0, 448.0, -448.0]);
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        assert!(e4m3(0x80) == 0.0 && e4m3(0x80).is_sign_negative());
        // every finite value is larger than the one before it
        let values: Vec<f32> = (0..0x7f).map(e4m3).collect();
        assert!(values.is_sorted_by(|a, b| a < b));
        assert_eq!([1, 126, 127, 128, 254].map(e8m0), [2f32.powi(-126), 0.5, 1.0, 2.0, 2f32.powi(127)]);
        assert_eq!((e8m0(0), e8m0(255)), (2f32.powi(-127), f32::INFINITY));
    }
}
