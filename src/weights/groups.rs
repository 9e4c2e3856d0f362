//! Is every group of an affine matrix where quantization would have put it?
//!
//! Rounding moves the weights of a group up and down, so its mean hardly moves. A wrong code, scale or
//! zero point moves them all one way, and sums over a whole matrix do not see it.

use crate::checkpoint::Weight;

/// The group that moved most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GroupShift {
    /// |mean of ŵ − w over the group|, over the most that rounding to nearest could make of it.
    pub(super) size: f64,
    /// Its row.
    pub(super) row: usize,
    /// Its number within the row.
    pub(super) group: usize,
}

/// The largest shift of a group's mean; none for matrices that are not affine or not `[rows, columns]`.
///
/// A step is (max − min)/(2^bits − 1) of the group's float32 weights, as MLX's own quantizer lays it
/// (`mlx/backend/cpu/quantized.cpp`, `quantize`). Rounding codes to nearest moves a weight, and so a mean, by
/// half a step at most; rounding the stored scale and zero point (after the codes were chosen) by their
/// type's share of the range and of the largest weight. A group of equal weights has no step: any error
/// there is beyond all rounding.
pub(super) fn largest_shift(original: &Weight, candidate: &Weight) -> Option<GroupShift> {
    let storage = &candidate.storage;
    let (bits, size) = (storage.bits?, usize::try_from(storage.group_size?).ok()?);
    let &[_, columns] = candidate.shape.as_slice() else { return None };
    if storage.mode != Some("affine") || size == 0 || columns == 0 || columns % size != 0 {
        return None;
    }
    let codes = f64::from((1u32.checked_shl(bits)?).checked_sub(1)?);
    let unit = unit_roundoff(&storage.dtype);
    let mut worst: Option<GroupShift> = None;
    for (i, (o, c)) in original.rows().chunks(size).zip(candidate.rows().chunks(size)).enumerate() {
        let (mut low, mut high, mut moved) = (f64::INFINITY, f64::NEG_INFINITY, 0.0f64);
        for (&o, &c) in o.iter().zip(c) {
            let (o, c) = (f64::from(o), f64::from(c));
            low = low.min(o);
            high = high.max(o);
            moved += c - o;
        }
        let mean = (moved / o.len() as f64).abs();
        let rounding = 0.5 * (high - low) / codes + unit * (high - low + low.abs().max(high.abs()));
        let equal = high == low && mean > unit * high.abs();
        let moved = if mean == 0.0 { 0.0 } else { mean / if equal { 0.0 } else { rounding } };
        if worst.is_none_or(|w| moved > w.size) {
            let per_row = columns / size;
            worst = Some(GroupShift { size: moved, row: i / per_row, group: i % per_row });
        }
    }
    worst
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
