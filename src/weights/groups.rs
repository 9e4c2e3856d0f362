//! Is every group of a quantized matrix where quantization would have put it?
//!
//! Rounding moves the weights of a group up and down, each by half a step at most. A wrong code, scale or zero point
//! moves them farther, and sums over a whole matrix do not see it.

use crate::checkpoint::Weight;
use crate::quantization::{self, FloatCodes};

/// The group that moved most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GroupShift {
    /// How far it moved, over the most that rounding to nearest could make of it.
    pub(super) size: f64,
    /// Its row.
    pub(super) row: usize,
    /// Its number within the row.
    pub(super) group: usize,
}

/// A quantized matrix by its groups.
struct Groups {
    columns: usize,
    size: usize,
    bits: u32,
    floats: Option<&'static FloatCodes>,
    /// Of the scales, where they are floats.
    unit: f64,
}

impl Groups {
    /// None for matrices that are not quantized or not `[rows, columns]`.
    fn of(candidate: &Weight) -> Option<Self> {
        let storage = &candidate.storage;
        let (bits, size) = (storage.bits?, usize::try_from(storage.group_size?).ok()?);
        let &[_, columns] = candidate.shape.as_slice() else { return None };
        if size == 0 || columns == 0 || columns % size != 0 {
            return None;
        }
        let floats = quantization::mode(storage.mode?)?.floats;
        Some(Self { columns, size, bits, floats, unit: unit_roundoff(&storage.dtype) })
    }

    /// (how far a group moved, what rounding could make of it)
    fn moved(&self, original: &[f32], candidate: &[f32]) -> (f64, f64) {
        match self.floats {
            None => affine(original, candidate, self.bits, self.unit),
            Some(codes) => floats(original, candidate, codes),
        }
    }
}

/// The largest shift of a group; none for matrices that are not quantized or not `[rows, columns]`.
pub(super) fn largest_shift(original: &Weight, candidate: &Weight) -> Option<GroupShift> {
    let groups = Groups::of(candidate)?;
    let mut worst: Option<GroupShift> = None;
    let (o, c) = (original.rows(), candidate.rows());
    for (i, (o, c)) in o.chunks(groups.size).zip(c.chunks(groups.size)).enumerate() {
        let (moved, rounding) = groups.moved(o, c);
        let size = if moved == 0.0 { 0.0 } else { moved / rounding };
        if worst.is_none_or(|w| size > w.size) {
            let per_row = groups.columns / groups.size;
            worst = Some(GroupShift { size, row: i / per_row, group: i % per_row });
        }
    }
    worst
}

/// The mean of ŵ − w.
///
/// A step is (max − min)/(2^bits − 1) of the group's float32 weights, as MLX's own quantizer lays it
/// (`mlx/backend/cpu/quantized.cpp`, `quantize`). Rounding codes to nearest moves a weight, and so a mean, by
/// half a step at most; rounding the stored scale and zero point (after the codes were chosen) by their
/// type's share of the range and of the largest weight. A group of equal weights has no step: any error
/// there is beyond all rounding.
fn affine(original: &[f32], candidate: &[f32], bits: u32, unit: f64) -> (f64, f64) {
    let codes = 2f64.powi(bits as i32) - 1.0;
    let (mut low, mut high, mut moved) = (f64::INFINITY, f64::NEG_INFINITY, 0.0f64);
    for (&o, &c) in original.iter().zip(candidate) {
        let (o, c) = (f64::from(o), f64::from(c));
        low = low.min(o);
        high = high.max(o);
        moved += c - o;
    }
    let mean = (moved / original.len() as f64).abs();
    let rounding = 0.5 * (high - low) / codes + unit * (high - low + low.abs().max(high.abs()));
    let equal = high == low && mean > unit * high.abs();
    (mean, if equal { 0.0 } else { rounding })
}

/// The root mean square of ŵ − w. Floats have a sign of their own and no zero point: a scale that is wrong leaves the
/// mean where it was, but no weight.
///
/// The scale is the one the group's float32 weights ask for, so that a wrong one is not measured by itself. Rounding
/// to nearest moves a weight by half the step it lies in (or as [`FloatCodes::rounding`] says); casting it to half
/// precision first by its share.
fn floats(original: &[f32], candidate: &[f32], codes: &FloatCodes) -> (f64, f64) {
    let scale = codes.scale(original.iter().fold(0.0, |most, o| f64::from(o.abs()).max(most)));
    let (mut moved, mut rounding) = (0.0f64, 0.0f64);
    for (&o, &c) in original.iter().zip(candidate) {
        let (o, c) = (f64::from(o), f64::from(c));
        moved += (c - o) * (c - o);
        rounding += (codes.rounding(o, scale) + unit_roundoff("BF16") * o.abs()).powi(2);
    }
    ((moved / original.len() as f64).sqrt(), (rounding / original.len() as f64).sqrt())
}

/// `candidate` with the group in its middle moved by so many codes: up the affine scale, away from zero among floats.
/// None where the group has no step or nothing is quantized.
pub fn moved_by_codes(original: &Weight, candidate: &Weight, codes: u32) -> Option<Weight> {
    let groups = Groups::of(candidate)?;
    let start = candidate.len() / 2 / groups.size * groups.size;
    let rows = original.rows();
    let group = rows.get(start..start + groups.size)?;
    let (low, high) = group.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let step = |value: f32| match groups.floats {
        None => f64::from(high - low) / (2f64.powi(groups.bits as i32) - 1.0),
        Some(floats) => {
            floats.step(f64::from(value), floats.scale(f64::from(low.abs().max(high.abs())))).copysign(f64::from(value))
        }
    };
    if step(high) == 0.0 {
        return None;
    }
    let moved = candidate.changed(|values| {
        for value in values.iter_mut().skip(start).take(groups.size) {
            *value += (f64::from(codes) * step(*value)) as f32;
        }
    });
    Some(match quantization::moved(candidate, start / groups.size, codes) {
        Some(bytes) => moved.with_packed(bytes),
        None => moved,
    })
}

/// Largest relative error of rounding to a stored type: 2^-p for p significant bits.
fn unit_roundoff(dtype: &str) -> f64 {
    match dtype {
        "BF16" => 1.0 / 256.0,
        "F16" => 1.0 / 2048.0,
        _ => 1.0 / 16_777_216.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Storage;

    fn matrix(values: Vec<f32>, mode: Option<&'static str>) -> Weight {
        let storage = Storage {
            dtype: "F32".to_owned(),
            mode,
            bits: mode.map(|_| 2),
            group_size: mode.map(|_| 4),
            bytes: 0,
            file: String::new(),
        };
        Weight::new("a.weight", vec![2, 8], values, storage)
    }

    #[test]
    fn one_code_up_in_one_group_is_one_step() {
        let original: Vec<f32> = (0..16).map(|i| (i % 4) as f32).collect();
        let exact = matrix(original.clone(), Some("affine"));
        let o = matrix(original.clone(), None);
        assert_eq!(largest_shift(&o, &exact).unwrap().size, 0.0);
        let mut moved = original;
        moved[8..12].iter_mut().for_each(|v| *v += 1.0);
        let shift = largest_shift(&o, &matrix(moved.clone(), Some("affine"))).unwrap();
        assert!((shift.size - 2.0).abs() < 1e-5, "one step, half a step allowed: {shift:?}");
        assert_eq!((shift.row, shift.group), (1, 0));
        assert!(largest_shift(&o, &matrix(moved, None)).is_none(), "a plain matrix has no groups");
    }

    /// A matrix of two groups of 32 as MLX would quantize it, `change` made to the second one's codes.
    fn mxfp4(weights: &[f32], change: impl Fn(f32) -> f32) -> Weight {
        let codes = [0.0f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
        let nearest = |w: f32| codes.into_iter().min_by(|a, b| (a - w.abs()).abs().total_cmp(&(b - w.abs()).abs()));
        let values = weights.iter().enumerate();
        let values = values.map(|(i, w)| (i, nearest(*w).unwrap().copysign(*w)));
        let values = values.map(|(i, w)| if i < 32 { w } else { change(w) }).collect();
        let storage =
            Storage { dtype: "U8".into(), mode: Some("mxfp4"), bits: Some(4), group_size: Some(32), ..plain() };
        Weight::new("a.weight", vec![1, 64], values, storage)
    }

    fn plain() -> Storage {
        Storage { dtype: "F32".into(), mode: None, bits: None, group_size: None, bytes: 0, file: String::new() }
    }

    #[test]
    fn among_floats_a_wrong_scale_and_a_wrong_code_are_seen() {
        // the largest of each group is the largest code, so the scale is 1
        let weights: Vec<f32> = (0..64).map(|i| if i % 32 == 0 { 6.0 } else { 6.0 * (i as f32 * 1.7).sin() }).collect();
        let original = Weight::new("a.weight", vec![1, 64], weights.clone(), plain());
        let shift = |change: fn(f32) -> f32| largest_shift(&original, &mxfp4(&weights, change)).unwrap();
        let honest = shift(|w| w).size;
        assert!(honest > 0.3 && honest < 0.8, "rounding is spread evenly, so its root mean square is 1/√3: {honest}");
        for (wrong, change) in [("twice the scale", (|w| 2.0 * w) as fn(f32) -> f32), ("half the scale", |w| 0.5 * w)] {
            let seen = shift(change);
            assert!(seen.size > 1.5 && (seen.row, seen.group) == (0, 1), "{wrong}: {seen:?}");
        }
        let candidate = mxfp4(&weights, |w| w);
        let up = moved_by_codes(&original, &candidate, 1).unwrap();
        let seen = largest_shift(&original, &up).unwrap();
        assert!(seen.size > 1.5 && seen.group == 1, "one code up: {seen:?}");
    }

    #[test]
    fn a_group_of_equal_weights_has_no_room_for_error() {
        let o = matrix(vec![1.0; 16], None);
        let mut moved = vec![1.0; 16];
        assert_eq!(largest_shift(&o, &matrix(moved.clone(), Some("affine"))).unwrap().size, 0.0);
        moved[5] = 1.5;
        let shift = largest_shift(&o, &matrix(moved, Some("affine"))).unwrap();
        assert_eq!((shift.size, shift.row, shift.group), (f64::INFINITY, 0, 1));
    }
}
