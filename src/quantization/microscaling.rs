//! The floating-point modes: a code is a small float, and a group shares one byte of scale.
//!
//! Source: ml-explore/mlx `mlx/backend/cpu/quantized.cpp`, `mlx/backend/cpu/fp4.h`, `fp8.h` (0.32.4); the formats are
//! OCP Microscaling Formats 1.0 (mxfp4, mxfp8) and NVIDIA's nvfp4. Where MLX departs from the OCP text, this follows
//! MLX: the scale byte 255 is +∞, not NaN.

use super::{Dequantization, FloatType, Halves, Packed, Scales};

/// E2M1 by its four bits; the upper eight are the negative ones, -0 among them.
pub(super) const FP4: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// The values codes stand for: small floats of one format, and how a quantizer scales a group to them.
///
/// Source: `quantize` in the files above; scales of the mx formats are rounded up to a power of two, so that the largest
/// weight of the group is never beyond the largest code.
#[derive(Debug)]
pub struct FloatCodes {
    format: Format,
    scale: fn(f64) -> f64,
    /// What a code stands for.
    value: fn(u8) -> f32,
    /// What a byte of scale stands for.
    byte: fn(u8) -> f32,
}

/// A small float without infinities.
#[derive(Clone, Copy, Debug)]
struct Format {
    /// Bits behind the point.
    mantissa: i32,
    /// Exponents of the smallest and of the largest normal values.
    exponents: (i32, i32),
    /// Its largest value.
    largest: f64,
}

const E2M1: Format = Format { mantissa: 1, exponents: (0, 2), largest: 6.0 };
const E4M3: Format = Format { mantissa: 3, exponents: (-6, 8), largest: 448.0 };

pub(super) const MXFP4: FloatCodes =
    FloatCodes { format: E2M1, scale: power_of_two_above, value: |code| FP4[usize::from(code & 15)], byte: e8m0 };
pub(super) const MXFP8: FloatCodes = FloatCodes { format: E4M3, scale: power_of_two_above, value: e4m3, byte: e8m0 };
pub(super) const NVFP4: FloatCodes =
    FloatCodes { format: E2M1, scale: |s| E4M3.nearest(s), value: |code| FP4[usize::from(code & 15)], byte: e4m3 };

impl FloatCodes {
    /// The scale of a group whose largest weight (in absolute value) is this; 0 where all its weights become 0.
    pub fn scale(&self, largest: f64) -> f64 {
        (self.scale)(largest / self.format.largest)
    }

    /// What a code with this byte of scale stands for, before any rounding.
    pub fn value(&self, code: u8, scale: u8) -> f64 {
        f64::from((self.value)(code)) * f64::from((self.byte)(scale))
    }

    /// What a byte of scale stands for.
    pub fn scale_of(&self, byte: u8) -> f64 {
        f64::from((self.byte)(byte))
    }

    /// Distance of the two values with this scale between which a weight lies.
    pub fn step(&self, weight: f64, scale: f64) -> f64 {
        if scale > 0.0 { scale * self.format.step(weight / scale) } else { 0.0 }
    }

    /// The most that rounding to the nearest code moves a weight: half its step, or as far as it lies beyond the largest
    /// code. That can only be where the scale was itself rounded down; where it was rounded to nothing, so is the weight.
    pub fn rounding(&self, weight: f64, scale: f64) -> f64 {
        (weight.abs() - self.format.largest * scale).max(0.5 * self.step(weight, scale))
    }
}

impl Format {
    /// Distance of the two values around `value`; beyond the largest, that of the last two.
    fn step(&self, value: f64) -> f64 {
        let (least, most) = self.exponents;
        let exponent = if value == 0.0 { least } else { (value.abs().log2().floor() as i32).clamp(least, most) };
        2f64.powi(exponent - self.mantissa)
    }

    fn nearest(&self, value: f64) -> f64 {
        let step = self.step(value);
        ((value / step).round_ties_even() * step).min(self.largest)
    }
}

/// Exponents of a byte of scale: 2^-127 to 2^127.
fn power_of_two_above(value: f64) -> f64 {
    if value > 0.0 { 2f64.powi((value.log2().ceil() as i32).clamp(-127, 127)) } else { 0.0 }
}

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
    if packed.effective == Dequantization::Dequantized {
        halves.round(FloatType::BF16, out);
    }
}

/// 2^(byte − 127); 2^-127 is a subnormal, and 255 gives +∞.
pub(super) fn e8m0(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(1 << 22),
        _ => f32::from_bits(u32::from(byte) << 23),
    }
}

/// E4M3 without infinities ("fn"): bias 7, largest value 448, NaN where all other bits are set.
pub(super) fn e4m3(byte: u8) -> f32 {
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
    fn steps_are_between_neighbouring_codes() {
        for (format, codes) in [(E2M1, FP4[..8].to_vec()), (E4M3, (0..0x7f).map(e4m3).collect())] {
            for pair in codes.windows(2) {
                let (low, high) = (f64::from(pair[0]), f64::from(pair[1]));
                assert_eq!(format.step((low + high) / 2.0), high - low, "between {low} and {high}");
                assert_eq!(format.nearest(low + 0.4 * (high - low)), low);
                assert_eq!(format.nearest(high), high);
            }
            let (last, largest) = (f64::from(codes[codes.len() - 2]), f64::from(codes[codes.len() - 1]));
            assert_eq!((format.step(2.0 * largest), format.nearest(2.0 * largest)), (largest - last, largest));
        }
    }

    #[test]
    fn a_scale_takes_the_largest_weight_of_its_group() {
        assert_eq!([0.0, 5.9, 6.0, 6.1, 12.0].map(|w| MXFP4.scale(w)), [0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!([448.0, 449.0].map(|w| MXFP8.scale(w)), [1.0, 2.0]);
        assert_eq!([6.0, 6.3, 6.6, 0.004, 1e-9].map(|w| NVFP4.scale(w)), [1.0, 1.0, 1.125, 0.0, 0.0]);
        assert_eq!([2.2, 5.5, 6.9, 7.5].map(|w| MXFP4.rounding(w, 1.0)), [0.5, 1.0, 1.0, 1.5]);
        assert_eq!(NVFP4.rounding(-0.004, NVFP4.scale(0.004)), 0.004);
        assert_eq!((MXFP4.step(5.0, 0.5), MXFP4.step(0.1, 0.5), MXFP4.step(1.0, 0.0)), (1.0, 0.25, 0.0));
    }

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
