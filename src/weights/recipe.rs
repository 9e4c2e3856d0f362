//! How a twin is made: a tensor's format, and what the original is cast to before it is quantized.

use crate::checkpoint::Weight;
use crate::quantization::{Codes, FloatType, Halves, Packed, Program, QuantizationMode, Target};

/// A tensor's format, and the way the original is brought to it.
#[derive(Clone, Copy)]
pub(super) struct Recipe {
    pub(super) mode: &'static QuantizationMode,
    pub(super) target: Target,
    /// What the original is cast to, one after the other: nothing where only scales are stored in another type.
    pub(super) casts: [Option<FloatType>; 2],
}

/// Memory that rows share.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) row: Vec<f32>,
    pub(super) twin: Codes,
    pub(super) own: Codes,
    pub(super) halves: Halves,
    pub(super) metal: Codes,
    pub(super) exact: Codes,
}

impl Recipe {
    /// Every way that the tensor's file leaves open.
    pub(super) fn all(weight: &Weight, mode: &'static QuantizationMode, packed: &Packed<'_>) -> Vec<Self> {
        let target = |float| Target { bits: packed.bits, group_size: packed.group_size, float, program: Program::Cpu };
        let one = |casts, float| Self { mode, target: target(float), casts };
        match FloatType::named(&weight.storage.dtype).filter(|_| mode.floats.is_none()) {
            None => FloatType::ALL.into_iter().map(|float| one([Some(float), None], float)).collect(),
            Some(float) => {
                let coarser = [FloatType::F16, FloatType::BF16].into_iter().filter(|first| *first != float);
                let cast = std::iter::once(one([Some(float), None], float));
                let twice = coarser.map(|first| one([Some(first), Some(float)], float));
                cast.chain(std::iter::once(one([None, None], float))).chain(twice).collect()
            }
        }
    }

    /// The original's row as the quantizer gets it, and what it makes of it.
    pub(super) fn quantize(&self, original: &[f32], scratch: &mut Scratch) {
        scratch.row.clear();
        scratch.row.extend_from_slice(original);
        for float in self.casts.into_iter().flatten() {
            scratch.halves.round(float, &mut scratch.row);
        }
        (self.mode.quantize_row)(&self.target, &scratch.row, &mut scratch.twin);
    }

    /// Sum over the row's weights of the square of half their step.
    pub(super) fn half_steps(&self, scratch: &Scratch) -> f64 {
        let size = self.target.group_size;
        match self.mode.floats {
            None => scratch.twin.scales.iter().map(|s| 0.25 * f64::from(*s) * f64::from(*s) * size as f64).sum(),
            Some(codes) => {
                let groups = scratch.row.chunks(size).zip(&scratch.twin.bytes);
                let of = |(weights, byte): (&[f32], &u8)| {
                    let scale = codes.scale_of(*byte);
                    weights.iter().map(|w| codes.rounding(f64::from(*w), scale).powi(2)).sum::<f64>()
                };
                groups.map(of).sum()
            }
        }
    }

    /// Its name in reports.
    pub(super) fn name(&self) -> &'static str {
        self.casts[0].unwrap_or(FloatType::F32).name()
    }
}
