//! MLX's quantizers to small floats: a group's scale is its largest weight over the largest code, rounded up to a power
//! of two (mxfp4, mxfp8) or to the nearest E4M3 (nvfp4).
//!
//! Source: ml-explore/mlx `fp_quantize` in `mlx/ops.cpp`, which computes in the weights' own type, and
//! `mlx/backend/metal/kernels/fp_quantized.h`, `fp4.h`, `fp8.h` (0.32.4), which compute in float32.

use super::microscaling::{FP4, e4m3, e8m0};
use super::{Codes, FloatType, Program, Target};

/// Largest values of the two kinds of codes.
const LARGEST: (f32, f32) = (6.0, 448.0);

pub(super) fn mxfp4(target: &Target, row: &[f32], out: &mut Codes) {
    each(target, row, out, power_of_two, four);
}

pub(super) fn mxfp8(target: &Target, row: &[f32], out: &mut Codes) {
    each(target, row, out, power_of_two, |_, w| to_e4m3(w));
}

pub(super) fn nvfp4(target: &Target, row: &[f32], out: &mut Codes) {
    each(target, row, out, |_, s| to_e4m3(s), four);
}

fn each(target: &Target, row: &[f32], out: &mut Codes, scale: fn(&Target, f32) -> u8, code: fn(&Target, f32) -> u8) {
    let float = computed_in(target);
    let largest = if target.bits == 4 { LARGEST.0 } else { LARGEST.1 };
    out.codes.resize(row.len(), 0);
    out.scales.clear();
    out.biases.clear();
    out.bytes.clear();
    let size = target.group_size.max(1);
    for (group, codes) in row.chunks(size).zip(out.codes.chunks_mut(size)) {
        let most = group.iter().fold(0.0f32, |most, w| most.max(w.abs()));
        let byte = scale(target, float.round(most / largest));
        out.bytes.push(byte);
        let by = float.round(if target.group_size == 16 { e4m3(byte) } else { e8m0(byte) });
        for (slot, w) in codes.iter_mut().zip(group) {
            *slot = match target.program {
                Program::Cpu => code(target, float.round(w / by)),
                Program::Metal if by == 0.0 => code(target, 0.0),
                Program::Metal => code(target, w * (1.0 / by)),
            };
        }
    }
}

/// The CPU's operations round to the weights' type after each step.
fn computed_in(target: &Target) -> FloatType {
    if target.program == Program::Cpu { target.float } else { FloatType::F32 }
}

/// The smallest power of two that is not less; 2^0 of nothing.
fn power_of_two(target: &Target, scale: f32) -> u8 {
    if scale == 0.0 {
        // `where(scales == 0, 0, log2)` gives the exponent 0; Metal takes the smallest power.
        return if target.program == Program::Cpu { 127 } else { 0 };
    }
    let exponent = libm::log2(f64::from(scale)).ceil() as i32;
    match target.program {
        // The byte wraps where the exponent is beyond it.
        Program::Cpu => (exponent + 127) as u8,
        Program::Metal => (exponent.clamp(-127, 127) + 127) as u8,
    }
}

/// The nearest E2M1.
fn four(target: &Target, w: f32) -> u8 {
    if target.program == Program::Metal {
        const EDGES: [(f32, bool); 7] =
            [(0.25, false), (0.75, true), (1.25, false), (1.75, true), (2.5, false), (3.5, true), (5.0, false)];
        let above = |(edge, even): &(f32, bool)| if *even { w.abs() >= *edge } else { w.abs() > *edge };
        let code = EDGES.iter().take_while(|edge| above(edge)).count() as u8;
        return code | if w.is_sign_negative() { 8 } else { 0 };
    }
    // The first of the nearest, in the order of the codes: ties to the smaller magnitude, and +0 before -0.
    let float = computed_in(target);
    let mut best = (0u8, f32::INFINITY);
    for (code, value) in (0u8..).zip(FP4) {
        let distance = float.round(w - value).abs();
        if distance < best.1 {
            best = (code, distance);
        }
    }
    best.0
}

/// The nearest E4M3, ties to even; what is beyond the largest becomes it.
fn to_e4m3(value: f32) -> u8 {
    const LARGEST: u32 = 543 << 21;
    const SUBNORMAL: u32 = 141 << 23;
    let sign = value.to_bits() & 0x8000_0000;
    let bits = value.to_bits() ^ sign;
    let code = if bits >= LARGEST {
        0x7e
    } else if bits < 121 << 23 {
        (f32::from_bits(bits) + f32::from_bits(SUBNORMAL)).to_bits().wrapping_sub(SUBNORMAL) as u8
    } else {
        let odd = bits >> 20 & 1;
        (bits.wrapping_add(0xc400_0000).wrapping_add(0x7_ffff).wrapping_add(odd) >> 20) as u8
    };
    code | (sign >> 24) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_e4m3_comes_back_and_so_does_every_e2m1() {
        for byte in (0..=0x7eu8).chain(0x80..=0xfe) {
            assert_eq!(to_e4m3(e4m3(byte)), byte);
        }
        for program in [Program::Cpu, Program::Metal] {
            let target = Target { bits: 4, group_size: 32, float: FloatType::F32, program };
            for (code, value) in (0u8..).zip(FP4).filter(|(code, _)| *code != 8) {
                assert_eq!(four(&target, value), code);
            }
            // 2.5 lies in the middle of 2 and 3, 3.5 in that of 3 and 4
            let ties = [2.5, 3.5, -2.5].map(|w| FP4[usize::from(four(&target, w))]);
            assert_eq!(ties, if program == Program::Cpu { [2.0, 3.0, -2.0] } else { [2.0, 4.0, -2.0] });
        }
    }
}
