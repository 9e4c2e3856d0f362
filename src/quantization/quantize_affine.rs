//! MLX's affine quantizer: the scale is laid so that the group's largest weight falls on a code exactly.
//!
//! Source: ml-explore/mlx `mlx/backend/cpu/quantized.cpp`, `quantize`, and `mlx/backend/metal/kernels/quantized.h`,
//! `affine_quantize` (0.32.4). Everything is computed in float32; scale and bias are rounded to the weights' type only
//! after the codes were chosen.

use super::{Codes, Program, Target};
use crate::vectors::widest;

/// Smallest scale (`eps` there).
const SMALLEST_SCALE: f32 = 1e-7;

/// A group's scale and bias before they are rounded.
#[derive(Clone, Copy)]
struct Line {
    scale: f32,
    bias: f32,
}

/// Codes of a row that has the target's type already.
pub(super) fn quantize_row(target: &Target, row: &[f32], out: &mut Codes) {
    out.codes.resize(row.len(), 0);
    out.scales.clear();
    out.biases.clear();
    out.bytes.clear();
    for (group, codes) in row.chunks(target.group_size.max(1)).zip(out.codes.chunks_mut(target.group_size.max(1))) {
        let line = line(target, group);
        widest(
            #[inline(always)]
            || codes_of(line, target, group, codes),
        );
        out.scales.push(target.float.round(line.scale));
        out.biases.push(target.float.round(line.bias));
    }
}

fn line(target: &Target, group: &[f32]) -> Line {
    let (low, high) = widest(
        #[inline(always)]
        || extremes(group),
    );
    // Metal begins its maximum at 0, the CPU at minus infinity.
    let high = if target.program == Program::Metal { high.max(0.0) } else { high };
    if target.bits == 1 {
        return Line { scale: (high - low).max(SMALLEST_SCALE), bias: low };
    }
    let most = most(target.bits);
    let downward = low.abs() > high.abs();
    let scale = ((high - low) / most).max(SMALLEST_SCALE);
    let scale = if downward { scale } else { -scale };
    let edge = if downward { low } else { high };
    let at_edge = match target.program {
        Program::Cpu => (edge / scale).round_ties_even(),
        Program::Metal => (edge / scale).round(),
    };
    match at_edge == 0.0 {
        true => Line { scale, bias: 0.0 },
        false => Line { scale: edge / at_edge, bias: edge },
    }
}

fn most(bits: u32) -> f32 {
    (2f32).powi(bits.min(8) as i32) - 1.0
}

/// Smallest and largest, in lanes: a fold over one value at a time is not vectorised.
#[inline(always)]
fn extremes(group: &[f32]) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (whole, rest) = group.as_chunks::<LANES>();
    for values in whole {
        for ((low, high), value) in low.iter_mut().zip(&mut high).zip(values) {
            *low = if *value < *low { *value } else { *low };
            *high = if *value > *high { *value } else { *high };
        }
    }
    let low = low.iter().chain(rest).fold(f32::INFINITY, |a, b| a.min(*b));
    let high = high.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    (low, high)
}

/// Added to a small float32, it leaves the whole number nearest to it (ties to even) in the lowest bits: 2^23.
const WHOLE: f32 = 8_388_608.0;

#[inline(always)]
fn codes_of(line: Line, target: &Target, group: &[f32], codes: &mut [u8]) {
    let most = most(target.bits);
    match target.program {
        Program::Cpu => {
            for (code, w) in codes.iter_mut().zip(group) {
                // Between whole numbers, clamping before rounding is clamping after it.
                let at = ((w - line.bias) / line.scale).clamp(0.0, most);
                *code = (at + WHOLE).to_bits() as u8;
            }
        }
        Program::Metal => {
            for (code, w) in codes.iter_mut().zip(group) {
                *code = ((w - line.bias) / line.scale).round().clamp(0.0, most) as u8;
            }
        }
    }
}
